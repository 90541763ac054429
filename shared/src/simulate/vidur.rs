//! The parity driver: Vidur's clock and Vidur's order, to give its very numbers.
//!
//! Time is a double of seconds, added in Vidur's order. Events of one instant run in the order they
//! were made: all arrivals are made before the run, everything else as it is returned by a handler.
//! Schedulers, routers and tables are those of the native driver.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use crate::latency::{BatchShape, VidurModel, VidurTime};
use crate::serving::{
    Batch, ClusterConfig, PromptPrefix, Replica, Request, RequestId, Router, SchedulerConfig, Served, StepOutcome,
    TokenEvent, Unserved,
};

/// What happened, for who wants to compare it with Vidur's own records.
pub trait Observer {
    /// An event was handled.
    fn event(&mut self, _event: &Event) {}

    /// A batch is complete, or the run is over. `id` counts over all replicas.
    fn batch(&mut self, _batch: &FinishedBatch) {}

    /// A batch began on a stage.
    fn stage(&mut self, _stage: &StageRun) {}

    /// A sequence lost its blocks, having processed `num_processed` tokens.
    fn restart(&mut self, _request: RequestId, _time: f64, _num_processed: u32) {}
}

/// Records nothing.
impl Observer for () {}

/// One event as it is handled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Seconds.
    pub time: f64,
    /// Its number, from 1, in the order events were made.
    pub number: u64,
    /// What it is.
    pub kind: EventKind,
}

/// What an event is about. Numbers of batches count over all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A request arrives.
    RequestArrival(RequestId),
    /// Requests that arrived are given to replicas.
    GlobalSchedule,
    /// A replica forms batches.
    ReplicaSchedule(u32),
    /// A batch reaches a stage: replica, stage, batch.
    BatchStageArrival(u32, u32, u64),
    /// A stage begins its next batch, if it is idle and has one: replica, stage.
    StageSchedule(u32, u32),
    /// A stage has ended a batch: replica, stage, batch.
    BatchStageEnd(u32, u32, u64),
    /// A batch has ended: replica, batch.
    BatchEnd(u32, u64),
}

/// A batch that has ended, or that a time limit cut off.
#[derive(Clone, Debug)]
pub struct FinishedBatch {
    /// Its number over all replicas.
    pub id: u64,
    /// Its replica.
    pub replica: u32,
    /// When it was formed, s.
    pub scheduled: f64,
    /// When it ended, s.
    pub completed: Option<f64>,
    /// What was in it.
    pub batch: Batch,
    /// Output tokens it gave.
    pub tokens: Vec<TokenEvent<f64>>,
    /// KV blocks held after it was formed.
    pub num_blocks: u32,
    /// Requests that waited after it was formed.
    pub num_waiting: u32,
}

/// A batch on a stage.
#[derive(Clone, Copy, Debug)]
pub struct StageRun {
    /// The batch's number.
    pub batch: u64,
    /// Its replica.
    pub replica: u32,
    /// The stage.
    pub stage: u32,
    /// The batch's sums.
    pub shape: BatchShape,
    /// What it costs.
    pub time: VidurTime,
    /// When it began, s.
    pub start: f64,
    /// When it will end, s.
    pub end: f64,
}

/// What Vidur keeps of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VidurRequest {
    /// Why no replica serves it. Vidur has no such answer: it stops, or waits for ever.
    pub unserved: Option<Unserved>,
    /// It arrived before the run ended.
    pub has_arrived: bool,
    /// When it was first in a batch, s.
    pub scheduled: Option<f64>,
    /// When its prompt was computed, s: its first token.
    pub prefill_completed: Option<f64>,
    /// When its last token was there, s.
    pub completed: Option<f64>,
    /// Sum over stages and attempts, s.
    pub execution: f64,
    /// The same without host operations, s.
    pub model_execution: f64,
    /// Waiting between stages, s.
    pub preempted: f64,
    /// Attempts beyond the first.
    pub num_restarts: u32,
    /// Prompt length of the last attempt.
    pub num_prefill_tokens: u32,
    /// Output length of the last attempt.
    pub num_decode_tokens: u32,
    last_stage_end: Option<f64>,
}

/// What a run in parity mode gives.
#[derive(Clone, Debug, Default)]
pub struct VidurRun {
    /// By request.
    pub requests: Vec<VidurRequest>,
    /// Time of the last event, s.
    pub end: f64,
    /// Look-ups outside the tables, in batches times stages; Vidur would have stopped at the first.
    pub num_uncovered: u64,
    /// Requests never completed though no time limit was reached: nothing would ever make room for them.
    pub num_stalled: u32,
}

/// What is run.
pub struct VidurSimulation<'a> {
    /// Scheduler of each replica, with `vidur_oddities`; `max_in_flight` is the number of stages.
    pub scheduler: &'a SchedulerConfig,
    /// The replicas.
    pub cluster: &'a ClusterConfig,
    /// Seed of a random router.
    pub seed: u64,
    /// The replica of each request, where another program drew them; otherwise the router chooses.
    pub assigned: Option<&'a [u32]>,
    /// Stage times.
    pub model: &'a VidurModel,
    /// The event after this instant is the last, s.
    pub time_limit: Option<f64>,
}

impl VidurSimulation<'_> {
    /// Runs `requests`, numbered `0..N-1` in order.
    ///
    /// # Errors
    /// Impossible settings, or a stage that would take no time or less.
    pub fn run(&self, requests: &[Request<f64>], observer: &mut impl Observer) -> Result<VidurRun, String> {
        let mut driver = Driver::new(self, requests, observer)?;
        let is_cut = driver.drive();
        if let Some(problem) = driver.impossible.take() {
            return Err(problem);
        }
        let num_stalled = match is_cut {
            true => 0,
            false => driver.requests.iter().filter(|request| request.is_stalled()).count() as u32,
        };
        driver.flights.iter().for_each(|flight| driver.observer.batch(&flight.finished));
        let Driver { requests, now, num_uncovered, .. } = driver;
        Ok(VidurRun { requests, end: now, num_uncovered, num_stalled })
    }
}

struct Engine {
    replica: Replica<f64>,
    stages: Vec<Stage>,
}

#[derive(Default)]
struct Stage {
    is_busy: bool,
    queue: VecDeque<u64>,
}

/// A batch between forming and end.
struct Flight {
    finished: FinishedBatch,
    shape: BatchShape,
    time: VidurTime,
}

struct Driver<'a, O> {
    simulation: &'a VidurSimulation<'a>,
    observer: &'a mut O,
    asked: &'a [Request<f64>],
    engines: Vec<Engine>,
    router: Router,
    heap: BinaryHeap<Pending>,
    num_events: u64,
    /// Arrived, not yet given to a replica.
    queue: Vec<RequestId>,
    flights: Vec<Flight>,
    num_batches: u64,
    requests: Vec<VidurRequest>,
    outcome: StepOutcome<f64>,
    now: f64,
    num_uncovered: u64,
    /// Why the run cannot go on.
    impossible: Option<String>,
}

impl<'a, O: Observer> Driver<'a, O> {
    fn new(
        simulation: &'a VidurSimulation<'a>,
        asked: &'a [Request<f64>],
        observer: &'a mut O,
    ) -> Result<Self, String> {
        let config = simulation.scheduler;
        let replica = Replica::new(config)?;
        let stages = || (0..config.num_stages()).map(|_| Stage::default()).collect();
        let engine = |_| Engine { replica: replica.clone(), stages: stages() };
        let of = |request: &Request<f64>| VidurRequest {
            num_prefill_tokens: request.num_prefill_tokens,
            num_decode_tokens: request.num_decode_tokens,
            ..VidurRequest::default()
        };
        let mut driver = Driver {
            simulation,
            observer,
            asked,
            engines: (0..simulation.cluster.num_replicas).map(engine).collect(),
            router: Router::new(simulation.cluster, simulation.seed),
            heap: BinaryHeap::new(),
            num_events: 0,
            queue: Vec::new(),
            flights: Vec::new(),
            num_batches: 0,
            requests: asked.iter().map(of).collect(),
            outcome: StepOutcome::default(),
            now: 0.0,
            num_uncovered: 0,
            impossible: None,
        };
        for request in asked {
            driver.push(request.arrival, EventKind::RequestArrival(request.id));
        }
        Ok(driver)
    }

    fn push(&mut self, time: f64, kind: EventKind) {
        self.num_events += 1;
        self.heap.push(Pending(Event { time, number: self.num_events, kind }));
    }

    /// `true` when the time limit ended the run.
    fn drive(&mut self) -> bool {
        while let Some(Pending(event)) = self.heap.pop() {
            self.now = event.time;
            self.observer.event(&event);
            self.handle(event.time, event.kind);
            if self.impossible.is_some() || self.simulation.time_limit.is_some_and(|limit| event.time > limit) {
                return true;
            }
        }
        false
    }

    fn handle(&mut self, now: f64, kind: EventKind) {
        match kind {
            EventKind::RequestArrival(request) => {
                self.requests[request as usize].has_arrived = true;
                self.queue.push(request);
                self.push(now, EventKind::GlobalSchedule);
            }
            EventKind::GlobalSchedule => self.route(now),
            EventKind::ReplicaSchedule(replica) => self.form_batches(replica, now),
            EventKind::BatchStageArrival(replica, stage, batch) => {
                self.engines[replica as usize].stages[stage as usize].queue.push_back(batch);
                self.push(now, EventKind::StageSchedule(replica, stage));
            }
            EventKind::StageSchedule(replica, stage) => self.begin_stage(replica, stage, now),
            EventKind::BatchStageEnd(replica, stage, batch) => self.end_stage(replica, stage, batch, now),
            EventKind::BatchEnd(replica, batch) => self.end_batch(replica, batch, now),
        }
    }

    fn route(&mut self, now: f64) {
        let mut queue = std::mem::take(&mut self.queue);
        let arrival = |id: &RequestId| self.asked[*id as usize].arrival;
        queue.sort_by(|a, b| arrival(a).total_cmp(&arrival(b)));
        let mut hit = vec![false; self.engines.len()];
        for id in queue {
            let request = self.asked[id as usize];
            let index = match self.simulation.assigned {
                Some(assigned) => assigned[id as usize] as usize,
                None => {
                    let count = self.engines.len();
                    let replica = |index: usize| &self.engines[index].replica;
                    self.router.choose(count, replica, &request, PromptPrefix::default())
                }
            };
            hit[index] = true;
            self.requests[id as usize].unserved = self.engines[index].replica.admit(request);
        }
        for (index, _) in hit.iter().enumerate().filter(|(_, hit)| **hit) {
            self.push(now, EventKind::ReplicaSchedule(index as u32));
        }
    }

    fn form_batches(&mut self, replica: u32, now: f64) {
        let mut formed = Vec::new();
        while let Some(batch) = self.engines[replica as usize].replica.begin_step(now) {
            let engine = &self.engines[replica as usize].replica;
            for request in &batch.preempted {
                let processed = engine.num_prefill_tokens(*request).unwrap_or(0);
                self.observer.restart(*request, now, processed);
                self.requests[*request as usize].num_restarts += 1;
            }
            for item in &batch.items {
                self.requests[item.request_id as usize].scheduled.get_or_insert(now);
            }
            let (load, shape, id) = (engine.load(), batch.shape(), self.num_batches);
            let (num_blocks, num_waiting) = (load.kv_blocks_used, load.num_waiting);
            let finished = FinishedBatch {
                id,
                replica,
                scheduled: now,
                completed: None,
                batch,
                tokens: Vec::new(),
                num_blocks,
                num_waiting,
            };
            self.flights.push(Flight { finished, shape, time: VidurTime::default() });
            self.num_batches += 1;
            formed.push(id);
        }
        for id in formed {
            self.push(now, EventKind::BatchStageArrival(replica, 0, id));
        }
    }

    fn flight(&self, batch: u64) -> usize {
        let found = self.flights.iter().position(|flight| flight.finished.id == batch);
        found.expect("a batch is kept from forming to end")
    }

    fn begin_stage(&mut self, replica: u32, stage: u32, now: f64) {
        let state = &mut self.engines[replica as usize].stages[stage as usize];
        if state.is_busy {
            return;
        }
        let Some(batch) = state.queue.pop_front() else { return };
        state.is_busy = true;
        let index = self.flight(batch);
        let flight = &mut self.flights[index];
        let time = self.simulation.model.time(&flight.shape, stage);
        flight.time = time;
        for item in &flight.finished.batch.items {
            let request = &mut self.requests[item.request_id as usize];
            request.preempted += request.last_stage_end.map_or(0.0, |end| now - end);
        }
        self.num_uncovered += u64::from(!time.is_covered);
        if !(time.total_s > 0.0 && time.total_s.is_finite()) {
            let (tokens, seconds) = (flight.shape.num_tokens(), time.total_s);
            self.impossible = Some(format!("the latency tables give a batch of {tokens} tokens {seconds} s"));
        }
        let end = now + time.total_s;
        let shape = flight.shape;
        self.observer.stage(&StageRun { batch, replica, stage, shape, time, start: now, end });
        self.push(end, EventKind::BatchStageEnd(replica, stage, batch));
    }

    fn end_stage(&mut self, replica: u32, stage: u32, batch: u64, now: f64) {
        let index = self.flight(batch);
        let flight = &self.flights[index];
        for item in &flight.finished.batch.items {
            let request = &mut self.requests[item.request_id as usize];
            request.execution += flight.time.total_s;
            request.model_execution += flight.time.model_s;
            request.last_stage_end = Some(now);
        }
        let stages = &mut self.engines[replica as usize].stages;
        stages[stage as usize].is_busy = false;
        let is_last = stage as usize + 1 == stages.len();
        self.push(now, EventKind::StageSchedule(replica, stage));
        self.push(
            now,
            match is_last {
                true => EventKind::BatchEnd(replica, batch),
                false => EventKind::BatchStageArrival(replica, stage + 1, batch),
            },
        );
    }

    fn end_batch(&mut self, replica: u32, batch: u64, now: f64) {
        let index = self.flight(batch);
        let mut flight = self.flights.remove(index);
        flight.finished.completed = Some(now);
        self.engines[replica as usize].replica.end_step(&flight.finished.batch, now, &[], &mut self.outcome);
        flight.finished.tokens.clone_from(&self.outcome.tokens);
        for item in &flight.finished.batch.items {
            let request = &mut self.requests[item.request_id as usize];
            let ends_prefill = !item.is_decode && item.emits_token;
            if ends_prefill {
                request.prefill_completed.get_or_insert(now);
            }
            if let Some(prefill) = self.engines[replica as usize].replica.num_prefill_tokens(item.request_id) {
                request.set_prefill(prefill);
            }
        }
        for served in &self.outcome.finished {
            let Served { request, completion, num_prefill_tokens_last, .. } = *served;
            self.requests[request.id as usize].completed = Some(completion);
            self.requests[request.id as usize].set_prefill(num_prefill_tokens_last);
        }
        self.observer.batch(&flight.finished);
        self.engines[replica as usize].replica.recycle(flight.finished.batch);
        self.push(now, EventKind::ReplicaSchedule(replica));
    }
}

impl VidurRequest {
    fn is_stalled(&self) -> bool {
        self.completed.is_none() && self.unserved.is_none()
    }

    fn set_prefill(&mut self, num_prefill_tokens: u32) {
        let total = self.num_prefill_tokens + self.num_decode_tokens;
        self.num_prefill_tokens = num_prefill_tokens;
        self.num_decode_tokens = total - num_prefill_tokens;
    }
}

/// An event in the heap: the earliest is the greatest.
struct Pending(Event);

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.time.total_cmp(&self.0.time).then(other.0.number.cmp(&self.0.number))
    }
}

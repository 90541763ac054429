//! The native driver: whole picoseconds, events ordered by `(time, rank, sequence)`.
//!
//! All events of one instant are drained before the next batches are chosen, exactly as the engine's
//! loop sees them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::latency::{BatchShape, LatencyModel};
use crate::schema::{StepRow, Workload, WorkloadRow};
use crate::serving::{
    Batch, ClusterConfig, Load, PromptPrefix, Replica, Request, Router, SchedulerConfig, StepOutcome, TokenEvent,
};
use crate::simulate::{Recorder, SimulationCounts, SimulationError, step_row};
use crate::time::Ticks;

/// Runs `workload` through one replica.
///
/// # Errors
/// As [`Simulation::run`].
pub fn simulate<R: Recorder>(
    workload: &Workload,
    config: &SchedulerConfig,
    model: &impl LatencyModel,
    recorder: &mut R,
) -> Result<SimulationCounts, SimulationError<R::Error>> {
    Simulation { scheduler: config, cluster: &ClusterConfig::default(), seed: 0, model }.run(workload, recorder)
}

/// What is simulated.
pub struct Simulation<'a, M> {
    /// Settings of each replica's scheduler; its `num_stages` is the depth of the pipeline.
    pub scheduler: &'a SchedulerConfig,
    /// The replicas.
    pub cluster: &'a ClusterConfig,
    /// Seed of a random router.
    pub seed: u64,
    /// Step times.
    pub model: &'a M,
}

impl<M: LatencyModel> Simulation<'_, M> {
    /// Runs a workload to its end.
    ///
    /// # Errors
    /// Impossible settings, requests that nothing will ever serve, or a recorder that fails.
    pub fn run<R: Recorder>(
        &self,
        workload: &Workload,
        recorder: &mut R,
    ) -> Result<SimulationCounts, SimulationError<R::Error>> {
        let request = |(id, row): (usize, &WorkloadRow)| Request::from_row(id as u32, row);
        let requests = workload.rows.iter().enumerate().map(request);
        self.run_requests(requests.map(|request| (request, prefix_of(workload, request.id))), recorder)
    }

    /// Runs requests that nobody holds: each with the beginning of its prompt, in order of arrival, numbered
    /// `0..N-1`.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn run_requests<'w, R: Recorder>(
        &self,
        requests: impl Iterator<Item = (Request, PromptPrefix<'w>)>,
        recorder: &mut R,
    ) -> Result<SimulationCounts, SimulationError<R::Error>> {
        let mut driver = Driver::new(self, recorder).map_err(SimulationError::Settings)?;
        driver.drive(requests).map_err(SimulationError::Recorder)?;
        if let Some(problem) = driver.timeless {
            return Err(SimulationError::Timeless(problem));
        }
        match driver.engines.iter().all(|engine| engine.replica.is_idle()) {
            true => Ok(driver.counts),
            false => Err(SimulationError::Stalled(
                "requests wait for KV blocks that nothing will free: raise `num_blocks`, lower `watermark_permille`, or \
                 leave Vidur's oddities out"
                    .to_owned(),
            )),
        }
    }
}

fn prefix_of(workload: &Workload, id: u32) -> PromptPrefix<'_> {
    match &workload.prefixes {
        Some(prefixes) => PromptPrefix { piece_tokens: prefixes.block_tokens, pieces: prefixes.of(id) },
        None => PromptPrefix::default(),
    }
}

/// One replica and its pipeline.
struct Engine {
    replica: Replica<Ticks>,
    stages: Vec<Stage>,
    /// Batches out, each in its place from first to last.
    flights: Vec<Option<Flight>>,
    /// Requests that arrived since a batch was last chosen.
    num_arrived: u32,
    is_touched: bool,
}

/// Batches by their places in [`Engine::flights`].
#[derive(Default)]
struct Stage {
    busy: Option<usize>,
    queue: VecDeque<usize>,
}

impl Engine {
    fn launch(&mut self, flight: Flight) {
        let free = self.flights.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[place] = Some(flight);
        self.stages[0].queue.push_back(place);
    }
}

/// A batch on its way.
struct Flight {
    batch: Batch,
    shape: BatchShape,
    load: Load,
    /// When it was chosen, and when its first stage began: later, when scheduled asynchronously.
    chosen: Ticks,
    begun: Ticks,
    /// Host time between those, for the requests that had arrived.
    admission: Ticks,
    /// Host time that nothing hid.
    host: Ticks,
}

struct Driver<'a, M, R> {
    simulation: &'a Simulation<'a, M>,
    recorder: &'a mut R,
    router: Router,
    engines: Vec<Engine>,
    /// Ends of stages: `(time, sequence, replica, stage)`.
    ends: BinaryHeap<Reverse<(Ticks, u64, u32, u32)>>,
    num_events: u64,
    /// Why the run cannot go on.
    timeless: Option<String>,
    /// Replicas that may have something to start, each once.
    touched: Vec<usize>,
    outcome: StepOutcome<Ticks>,
    counts: SimulationCounts,
}

impl<'a, M: LatencyModel, R: Recorder> Driver<'a, M, R> {
    fn new(simulation: &'a Simulation<'a, M>, recorder: &'a mut R) -> Result<Self, String> {
        let config = simulation.scheduler;
        let replica = match recorder.wants_tokens() {
            true => Replica::new(config)?,
            false => Replica::counting(config)?,
        };
        let engine = || Engine {
            replica: replica.clone(),
            stages: (0..config.num_stages()).map(|_| Stage::default()).collect(),
            flights: Vec::new(),
            num_arrived: 0,
            is_touched: false,
        };
        if simulation.cluster.num_replicas == 0 {
            return Err("`num_replicas` must be at least 1".to_owned());
        }
        Ok(Driver {
            simulation,
            recorder,
            router: Router::new(simulation.cluster, simulation.seed),
            engines: (0..simulation.cluster.num_replicas).map(|_| engine()).collect(),
            ends: BinaryHeap::new(),
            num_events: 0,
            timeless: None,
            touched: Vec::new(),
            outcome: StepOutcome::default(),
            counts: SimulationCounts::default(),
        })
    }

    fn drive<'w>(&mut self, requests: impl Iterator<Item = (Request, PromptPrefix<'w>)>) -> Result<(), R::Error> {
        let mut arrivals = requests.map(|(request, prefix)| (Ticks::from(request.arrival), request, prefix)).peekable();
        loop {
            let next_arrival = arrivals.peek().map(|(time, ..)| *time);
            let next_end = self.ends.peek().map(|Reverse((time, ..))| *time);
            let Some(now) = next_arrival.into_iter().chain(next_end).min() else { return Ok(()) };
            if self.timeless.is_some() {
                return Ok(());
            }
            while let Some((_, request, prefix)) = arrivals.next_if(|(time, ..)| *time == now) {
                self.arrive(request, prefix, now)?;
            }
            while let Some(&Reverse((time, _, replica, stage))) = self.ends.peek()
                && time == now
            {
                self.ends.pop();
                self.end_stage(replica as usize, stage as usize, now)?;
            }
            // Replicas in order, whatever touched them.
            self.touched.sort_unstable();
            for index in std::mem::take(&mut self.touched) {
                self.engines[index].is_touched = false;
                self.start(index, now);
            }
        }
    }

    fn arrive(&mut self, request: Request, prefix: PromptPrefix<'_>, now: Ticks) -> Result<(), R::Error> {
        let on_our_clock = request.with_arrival(now);
        let index = match self.engines.len() {
            1 => 0,
            count => self.router.choose(count, |index| &self.engines[index].replica, &on_our_clock, prefix),
        };
        let engine = &mut self.engines[index];
        // Scheduled asynchronously, an engine that computes looks at its queue when a batch comes back.
        let is_blocked = self.simulation.scheduler.async_scheduling && engine.stages[0].busy.is_some();
        if !is_blocked && !std::mem::replace(&mut engine.is_touched, true) {
            self.touched.push(index);
        }
        engine.num_arrived += 1;
        match engine.replica.admit_known(on_our_clock, prefix) {
            Some(unserved) => self.recorder.finished(unserved.row(&request)),
            None => Ok(()),
        }
    }

    fn end_stage(&mut self, replica: usize, stage: usize, now: Ticks) -> Result<(), R::Error> {
        let engine = &mut self.engines[replica];
        if !std::mem::replace(&mut engine.is_touched, true) {
            self.touched.push(replica);
        }
        let place = engine.stages[stage].busy.take().expect("a stage that ends was busy");
        if let Some(next) = engine.stages.get_mut(stage + 1) {
            next.queue.push_back(place);
            return Ok(());
        }
        let flight = engine.flights[place].take().expect("a batch is kept until it ends");
        engine.replica.end_step(&flight.batch, now, &[], &mut self.outcome);
        self.record(replica, &flight, now)?;
        self.engines[replica].replica.recycle(flight.batch);
        Ok(())
    }

    fn record(&mut self, replica: usize, flight: &Flight, now: Ticks) -> Result<(), R::Error> {
        for event in &self.outcome.tokens {
            let TokenEvent { request_id, index, time } = *event;
            self.recorder.token(TokenEvent { request_id, index, time: time.to_nanos() }, None)?;
        }
        for served in &self.outcome.finished {
            self.recorder.finished(served.row(Ticks::to_nanos))?;
        }
        let (start, end) = (flight.begun.to_nanos(), now.to_nanos());
        // Waiting for a later stage counts as the device's time.
        let device = (end - start).saturating_sub(flight.host.to_nanos());
        let row = step_row(flight.batch.id, &flight.shape, flight.load, start, end, device);
        let row = StepRow { replica_id: replica as u32, ..row };
        self.recorder.step(row)
    }

    /// Chooses new batches and sets idle stages to work.
    fn start(&mut self, index: usize, now: Ticks) {
        let engine = &mut self.engines[index];
        let mut admission = match engine.num_arrived {
            0 => Ticks::default(),
            num_arrived => self.simulation.model.admission_time(num_arrived),
        };
        while let Some(batch) = engine.replica.begin_step(now + admission) {
            self.counts.num_steps += 1;
            self.counts.num_preemptions += batch.preempted.len() as u64;
            let (shape, load) = (batch.shape(), engine.replica.load());
            engine.num_arrived = 0;
            let admission = std::mem::take(&mut admission);
            engine.launch(Flight { batch, shape, load, chosen: now, begun: now, admission, host: Ticks::default() });
        }
        for (number, stage) in engine.stages.iter_mut().enumerate() {
            if stage.busy.is_none()
                && let Some(place) = stage.queue.pop_front()
            {
                let flight = engine.flights[place].as_mut().expect("a batch is kept until it ends");
                let mut time = self.simulation.model.stage_time(&flight.shape, number as u32);
                if flight.batch.id == 0 && number == 0 {
                    time.device = time.device + self.simulation.model.first_step_time();
                }
                if time.host + time.device == Ticks::default() {
                    let tokens = flight.shape.num_tokens();
                    self.timeless = Some(format!("the latency model gives a batch of {tokens} tokens no time"));
                }
                // Scheduled asynchronously, the host's part began while the batch before was computed.
                let prepared = if number == 0 { flight.chosen + flight.admission + time.host } else { now + time.host };
                let device_start = now.max(prepared);
                if number == 0 {
                    flight.begun = now;
                }
                flight.host = flight.host + Ticks(device_start.0 - now.0);
                self.counts.steps_out_of_profile += u64::from(!time.is_covered && number == 0);
                self.ends.push(Reverse((device_start + time.device, self.num_events, index as u32, number as u32)));
                self.num_events += 1;
                stage.busy = Some(place);
            }
        }
    }
}

//! The parity law: the engine's driver on a scripted executor equals the simulator, event for event.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

use fidelio::engine::{Executor, HostPhases, SampledToken, StepResult, serve};
use fidelio_shared::latency::{BatchShape, LatencyModel, StepTime};
use fidelio_shared::schema::{RequestRow, StepPhases, StepRow, Workload, WorkloadRow};
use fidelio_shared::serving::{Batch, Policy, Replica, Request, RequestId, SchedulerConfig, StepOutcome, TokenEvent};
use fidelio_shared::simulate::{Recorder, simulate, step_row};
use fidelio_shared::time::Nanos;

use crate::harness::grid_workload;

/// Arrivals and step times are multiples of this, so that they meet.
const GRID: u64 = 1_000;

/// Step times on the grid: 2 units of host, then device time by shape.
pub struct GridTimes;

impl LatencyModel for GridTimes {
    fn stage_time(&self, shape: &BatchShape, _stage: u32) -> StepTime {
        let units = 1 + shape.num_tokens() / 16 + shape.context_tokens / 64;
        StepTime { host: Nanos(2 * GRID).into(), device: Nanos(units * GRID).into(), is_covered: true }
    }
}

/// Everything a driver records, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Log {
    pub tokens: Vec<TokenEvent>,
    pub rows: BTreeMap<RequestId, RequestRow>,
    pub steps: Vec<StepRow>,
}

impl Recorder for Log {
    type Error = Infallible;

    fn token(&mut self, event: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        self.tokens.push(event);
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        let twice = self.rows.insert(row.request_id, row);
        assert_eq!(twice, None, "a request ends once");
        Ok(())
    }

    fn step(&mut self, row: StepRow) -> Result<(), Infallible> {
        self.steps.push(row);
        Ok(())
    }
}

/// Virtual time that moves by the same step times.
#[derive(Default)]
struct Scripted {
    now: Nanos,
}

impl Executor for Scripted {
    fn now(&mut self) -> Nanos {
        self.now
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.now = self.now.max(deadline);
    }

    fn vocab_size(&self) -> u32 {
        32_000
    }

    fn register(&mut self, _: RequestId, _: &[u32]) {}

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        let time = GridTimes.stage_time(&batch.shape(), 0);
        self.now += (time.host + time.device).to_nanos();
        Ok(StepResult { device: time.device.to_nanos(), ..StepResult::default() })
    }

    fn release(&mut self, _: RequestId) {}
}

pub fn settings(policy: Policy, num_blocks: u32) -> SchedulerConfig {
    SchedulerConfig {
        policy,
        max_num_seqs: 8,
        max_num_batched_tokens: 24,
        long_prefill_token_threshold: 0,
        block_size: 4,
        num_blocks,
        watermark_permille: 0,
        max_model_len: 256,
        ..SchedulerConfig::default()
    }
}

fn served(workload: &Workload, config: &SchedulerConfig) -> (Log, u64) {
    let mut log = Log::default();
    let mut replica = Replica::new(config).expect("possible settings");
    let counts = serve(workload, &[], &mut replica, &mut Scripted::default(), &mut log, &AtomicBool::new(false));
    let counts = counts.expect("a scripted executor never fails");
    (log, counts.num_preemptions)
}

fn simulated(workload: &Workload, config: &SchedulerConfig) -> (Log, u64) {
    let mut log = Log::default();
    let counts = simulate(workload, config, &GridTimes, &mut log).expect("possible settings");
    (log, counts.num_preemptions)
}

#[test]
fn engine_and_simulator_agree_on_every_event_through_thousands_of_preemptions() {
    let mut preemptions = BTreeMap::new();
    for policy in [Policy::VllmV1, Policy::Sarathi] {
        for seed in 0..150 {
            let workload = grid_workload(seed, 60, GRID, 12);
            for num_blocks in [26, 40, 200] {
                let config = settings(policy, num_blocks);
                let (real, real_preemptions) = served(&workload, &config);
                let (sim, sim_preemptions) = simulated(&workload, &config);
                assert_eq!(real, sim, "{policy:?}, seed {seed}, {num_blocks} blocks");
                assert_eq!(real_preemptions, sim_preemptions);
                *preemptions.entry(format!("{policy:?}")).or_insert(0) += real_preemptions;
            }
        }
    }
    println!("preemptions: {preemptions:?}");
    assert!(preemptions.values().all(|count| *count > 2_000), "too few preemptions to show anything: {preemptions:?}");
}

/// Samples token 7 for every item, and calls it the end of request 1 when it is its third.
#[derive(Default)]
struct StopsEarly {
    clock: Scripted,
    sampled: u32,
}

impl Executor for StopsEarly {
    fn now(&mut self) -> Nanos {
        self.clock.now()
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.clock.wait_until(deadline);
    }

    fn vocab_size(&self) -> u32 {
        32_000
    }

    fn register(&mut self, _: RequestId, _: &[u32]) {}

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        let mut result = self.clock.execute(batch)?;
        for item in batch.items.iter().filter(|item| item.emits_token) {
            self.sampled += u32::from(item.request_id == 1);
            let is_stop = item.request_id == 1 && self.sampled == 3;
            result.tokens.push(SampledToken { request_id: item.request_id, token_id: 7, is_stop });
        }
        Ok(result)
    }

    fn release(&mut self, _: RequestId) {}
}

#[test]
fn a_stop_token_ends_its_request_and_no_other() {
    let row = WorkloadRow { num_prefill_tokens: 5, num_decode_tokens: 10, ..WorkloadRow::default() };
    let workload = Workload { rows: vec![row; 3], prefixes: None };
    let mut replica = Replica::new(&settings(Policy::VllmV1, 40)).expect("possible settings");
    let mut log = Log::default();
    let interrupted = AtomicBool::new(false);
    serve(&workload, &[], &mut replica, &mut StopsEarly::default(), &mut log, &interrupted).expect("served");
    let actual: Vec<u32> = log.rows.values().map(|row| row.num_decode_tokens_actual).collect();
    assert_eq!(actual, [10, 3, 10]);
    assert_eq!(replica.load().kv_blocks_used, 0);
}

/// A clock that moves whenever it is read, and an engine that tells what its host did.
#[derive(Default)]
struct Tells {
    clock: Scripted,
}

const READING: Nanos = Nanos(5);

impl Executor for Tells {
    fn now(&mut self) -> Nanos {
        self.clock.now += READING;
        self.clock.now
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.clock.wait_until(deadline);
    }

    fn vocab_size(&self) -> u32 {
        32_000
    }

    fn register(&mut self, _: RequestId, _: &[u32]) {}

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        let phases = HostPhases { prepare: Nanos(1), launch: Nanos(2), wait: Nanos(3), sample: Nanos(4) };
        Ok(StepResult { phases: Some(phases), ..self.clock.execute(batch)? })
    }

    fn release(&mut self, _: RequestId) {}
}

#[test]
fn the_hosts_phases_reach_the_step_rows_of_an_engine_that_tells_them() {
    let workload = grid_workload(3, 20, GRID, 12);
    let mut replica = Replica::new(&settings(Policy::VllmV1, 40)).expect("possible settings");
    let mut log = Log::default();
    serve(&workload, &[], &mut replica, &mut Tells::default(), &mut log, &AtomicBool::new(false)).expect("served");
    let [prepare, launch, wait, sample] = [1, 2, 3, 4].map(Nanos);
    let expected = Some(StepPhases { schedule: READING, prepare, launch, wait, sample });
    assert!(log.steps.len() > 20 && log.steps.iter().all(|step| step.phases == expected), "{:?}", log.steps[0]);
    let (silent, _) = served(&workload, &settings(Policy::VllmV1, 40));
    assert!(silent.steps.iter().all(|step| step.phases.is_none()));
}

/// A driver with one tie broken on purpose: what arrives at the very end of a step is admitted after
/// the next batch was chosen.
fn served_with_a_broken_tie(workload: &Workload, config: &SchedulerConfig) -> Log {
    let (mut log, mut outcome, mut executor) = (Log::default(), StepOutcome::default(), Scripted::default());
    let mut replica = Replica::new(config).expect("possible settings");
    let mut pending = workload.rows.iter().enumerate().peekable();
    loop {
        let now = executor.now();
        while let Some((id, row)) =
            pending.next_if(|(_, row)| row.arrival < now || (row.arrival == now && replica.is_idle()))
        {
            let request = Request::from_row(id as RequestId, row);
            if let Some(unserved) = replica.admit(request) {
                log.finished(unserved.row(&request)).expect("infallible");
            }
        }
        if let Some(batch) = replica.begin_step(now) {
            let load = replica.load();
            let result = executor.execute(&batch).expect("scripted");
            let end = executor.now();
            replica.end_step(&batch, end, &[], &mut outcome);
            log.tokens.extend(&outcome.tokens);
            outcome.finished.iter().for_each(|served| log.finished(served.row(|time| time)).expect("infallible"));
            log.steps.push(step_row(batch.id, &batch.shape(), load, now, end, result.device));
        } else if let Some((_, row)) = pending.peek() {
            executor.wait_until(row.arrival);
        } else {
            return log;
        }
    }
}

#[test]
fn a_broken_tie_is_seen_on_the_grid() {
    let config = settings(Policy::VllmV1, 40);
    let differ = (0..50).filter(|seed| {
        let workload = grid_workload(*seed, 60, GRID, 12);
        served_with_a_broken_tie(&workload, &config) != simulated(&workload, &config).0
    });
    let differ = differ.count();
    println!("{differ} of 50 workloads show the broken tie");
    assert!(differ > 25, "the grid is too fine: only {differ} of 50 workloads tie where it matters");
}

/// A recorder that needs no tokens: the simulator may advance decodes together.
#[derive(Default)]
pub struct Untold(pub Log);

impl Recorder for Untold {
    type Error = Infallible;

    fn wants_tokens(&self) -> bool {
        false
    }

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        self.0.finished(row)
    }

    fn step(&mut self, row: StepRow) -> Result<(), Infallible> {
        self.0.step(row)
    }
}

#[test]
fn decodes_advanced_together_end_as_they_do_one_by_one() {
    let mut preemptions = 0;
    for policy in [Policy::VllmV1, Policy::Sarathi] {
        for seed in 0..150 {
            let workload = grid_workload(seed, 80, GRID, 12);
            for (num_blocks, vidur_oddities) in [(26, false), (40, true), (60, false), (400, false)] {
                let config = SchedulerConfig { vidur_oddities, ..settings(policy, num_blocks) };
                let (plain, counts) = simulated(&workload, &config);
                let mut untold = Untold::default();
                let fast = simulate(&workload, &config, &GridTimes, &mut untold).expect("possible settings");
                assert_eq!(fast.num_preemptions, counts);
                assert_eq!(untold.0.steps, plain.steps, "{policy:?}, seed {seed}, {num_blocks} blocks");
                assert_eq!(untold.0.rows, plain.rows, "{policy:?}, seed {seed}, {num_blocks} blocks");
                preemptions += counts;
            }
        }
    }
    println!("{preemptions} preemptions");
    assert!(preemptions > 10_000, "too few preemptions to show anything: {preemptions}");
}

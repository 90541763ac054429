//! The speed cases: what is simulated, under which settings, beside which figure of Vidur's.

use std::convert::Infallible;
use std::path::PathBuf;

use fidelio_shared::latency::{BatchShape, LatencyModel, StepTime};
use fidelio_shared::schema::{RequestRow, StepRow, Workload};
use fidelio_shared::serving::{ClusterConfig, Policy, PromptPrefix, SchedulerConfig, TokenEvent};
use fidelio_shared::simulate::vidur::{FinishedBatch, Observer, VidurSimulation};
use fidelio_shared::simulate::{Recorder, Simulation, simulate};
use fidelio_shared::time::Nanos;

use crate::folder::Golden;
use crate::workloads;

/// Vidur's event loop on 16,000 requests, metrics and trace off: 16.08 CPU s (`SPEED.md`).
const VIDUR_16000: f64 = 992.0;
/// The same on 1,000 requests, the nearest recorded to the golden's own 512.
const VIDUR_1000: f64 = 1044.0;
/// Requests of the long synthetic cases.
const MANY: u32 = 131_072;

/// What one run did.
#[derive(Default)]
pub struct Tally {
    pub num_requests: u64,
    pub num_tokens: u64,
    pub num_steps: u64,
    pub note: String,
    last_completion: Nanos,
}

impl Recorder for Tally {
    type Error = Infallible;

    fn wants_tokens(&self) -> bool {
        false
    }

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        self.num_requests += 1;
        self.num_tokens += u64::from(row.num_decode_tokens_actual);
        self.last_completion = self.last_completion.max(row.completion.expect("every request is served"));
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> Result<(), Infallible> {
        self.num_steps += 1;
        Ok(())
    }
}

/// A case made ready: each call is one run of its event loop.
type Prepared = Box<dyn FnMut() -> Tally>;

/// One line of the output.
pub struct Case {
    pub name: &'static str,
    /// Requests per second of Vidur's event loop on the same work.
    pub vidur: Option<f64>,
    /// `None` when its data is not there, which was said.
    pub prepare: fn() -> Option<Prepared>,
}

const fn case(name: &'static str, vidur: Option<f64>, prepare: fn() -> Option<Prepared>) -> Case {
    Case { name, vidur, prepare }
}

pub const CASES: [Case; 10] = [
    case("vidur_16000", Some(VIDUR_16000), vidur_16000),
    case("golden_g01", Some(VIDUR_1000), golden_g01),
    case("golden_g01_parity", Some(VIDUR_1000), golden_g01_parity),
    case("fixed_1024_128_c64", None, || Some(plain(workloads::fixed(MANY as usize, 1_024, 128), c64(Policy::VllmV1)))),
    case("fixed_1024_128_c64_sarathi", None, || {
        Some(plain(workloads::fixed(MANY as usize, 1_024, 128), c64(Policy::Sarathi)))
    }),
    case("lognormal_c64", None, || Some(plain(workloads::lognormal(MANY), c64(Policy::VllmV1)))),
    case("lognormal_c64_sarathi", None, || Some(plain(workloads::lognormal(MANY), c64(Policy::Sarathi)))),
    case("pressure_prefix", None, || Some(pressure(workloads::fixed(MANY as usize / 2, 1_024, 128)))),
    case("pressure_prefix_lognormal", None, || Some(pressure(workloads::lognormal(MANY / 2)))),
    case("azure_1m", None, azure_1m),
];

/// The golden whose tables are those of `SPEED.md`'s runs.
pub fn golden_folder() -> Option<PathBuf> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vidur_goldens");
    let folder = std::env::var_os("FIDELIO_VIDUR_GOLDENS").map_or_else(|| PathBuf::from(usual), PathBuf::from);
    let path = folder.join("g01_sarathi_llama3-8b_a100_conv_poisson");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: no golden at {}: set FIDELIO_VIDUR_GOLDENS", path.display());
    None
}

fn golden() -> Option<Golden> {
    Some(Golden::load(&golden_folder()?))
}

/// The workload of `SPEED.md`. The same: model, device, tables, scheduler and its settings, blocks, number of
/// requests, the law of arrivals. Not the same: lengths are the golden's 512 of the same trace, each about 31
/// times in random order, because the trace itself is not recorded: they ask for 221 output tokens on average, its
/// 16,000 for 210; and arrivals are our own draws, by Vidur's law but at 6.15 requests per second for its 6.45, so
/// that the load is as near to capacity: its run made 57,022 batches, 3.37 M output tokens and took 2,368 s.
fn vidur_16000() -> Option<Prepared> {
    let golden = golden()?;
    let workload = workloads::resampled(&golden.requests, 16_000, 6.15);
    Some(native(golden, workload))
}

fn golden_g01() -> Option<Prepared> {
    let golden = golden()?;
    let workload = workloads::recorded(&golden.requests);
    Some(native(golden, workload))
}

fn native(golden: Golden, workload: Workload) -> Prepared {
    Box::new(move || {
        let simulation =
            Simulation { scheduler: &golden.scheduler, cluster: &golden.cluster, seed: 0, model: &golden.model };
        let mut tally = Tally::default();
        let counts = simulation.run(&workload, &mut tally).expect("possible settings");
        assert_eq!(counts.steps_out_of_profile, 0, "every step is in the tables");
        let last_arrival = workload.rows.last().map_or(Nanos::ZERO, |row| row.arrival);
        tally.note = lag(last_arrival, tally.last_completion);
        tally
    })
}

struct Batches(u64);

impl Observer for Batches {
    fn batch(&mut self, _: &FinishedBatch) {
        self.0 += 1;
    }
}

fn golden_g01_parity() -> Option<Prepared> {
    let golden = golden()?;
    Some(Box::new(move || {
        let simulation = VidurSimulation {
            scheduler: &golden.scheduler,
            cluster: &golden.cluster,
            seed: 0,
            model: &golden.model,
            time_limit: None,
            assigned: golden.assigned.as_deref(),
        };
        let mut batches = Batches(0);
        let run = simulation.run(&golden.requests, &mut batches).expect("possible settings");
        let tokens = golden.requests.iter().map(|request| u64::from(request.num_decode_tokens)).sum();
        Tally {
            num_requests: run.requests.iter().filter(|request| request.completed.is_some()).count() as u64,
            num_tokens: tokens,
            num_steps: batches.0,
            ..Tally::default()
        }
    }))
}

/// Step times of an imaginary GPU: 2 ms, 20 µs a token, 10 ns a context token.
struct Gpu;

impl LatencyModel for Gpu {
    fn stage_time(&self, shape: &BatchShape, _: u32) -> StepTime {
        let device = Nanos(2_000_000 + 20_000 * shape.num_tokens() + 10 * shape.context_tokens);
        StepTime { host: Nanos(50_000).into(), device: device.into(), is_covered: true }
    }
}

/// At most 64 at once, and blocks for all of them.
fn c64(policy: Policy) -> SchedulerConfig {
    SchedulerConfig {
        policy,
        max_num_seqs: 64,
        max_num_batched_tokens: 2_048,
        num_blocks: 100_000,
        ..SchedulerConfig::default()
    }
}

fn plain(workload: Workload, config: SchedulerConfig) -> Prepared {
    Box::new(move || {
        let mut tally = Tally::default();
        simulate(&workload, &config, &Gpu, &mut tally).expect("possible settings");
        tally
    })
}

/// Prefix caching on, prompts that share beginnings, and fewer blocks than 64 sequences need.
fn pressure(workload: Workload) -> Prepared {
    let workload = workloads::with_shared_beginnings(workload, 200);
    let config = SchedulerConfig { num_blocks: 2_000, enable_prefix_caching: true, ..c64(Policy::VllmV1) };
    Box::new(move || {
        let mut tally = Tally::default();
        let counts = simulate(&workload, &config, &Gpu, &mut tally).expect("possible settings");
        let preemptions = counts.num_preemptions;
        assert!(preemptions > 1_000, "no pressure: {preemptions} preemptions");
        tally.note = format!(", {preemptions} preemptions");
        tally
    })
}

/// A million requests with the lengths and gaps of Azure's conversation trace, four times as fast; none is held.
fn azure_1m() -> Option<Prepared> {
    let rows = workloads::trace(&golden_folder()?.join("../../traces/AzureLLMInferenceTrace_conv.csv"))?;
    let config = SchedulerConfig { num_blocks: 100_000, max_model_len: 16_384, ..SchedulerConfig::default() };
    Some(Box::new(move || {
        let (mut tally, mut last_arrival) = (Tally::default(), Nanos::ZERO);
        let requests = workloads::cycled(&rows, 1_000_000, 4).map(|request| {
            last_arrival = request.arrival;
            (request, PromptPrefix::default())
        });
        let simulation = Simulation { scheduler: &config, cluster: &ClusterConfig::default(), seed: 0, model: &Gpu };
        simulation.run_requests(requests, &mut tally).expect("possible settings");
        tally.note = lag(last_arrival, tally.last_completion);
        tally
    }))
}

/// Stable or not: how long after the last arrival the last request ends.
fn lag(last_arrival: Nanos, last_completion: Nanos) -> String {
    let after = last_completion.saturating_sub(last_arrival);
    format!(", {:.0} s simulated, ends {:.1} s after the last arrival", last_arrival.as_secs_f64(), after.as_secs_f64())
}

/// Reads the golden's tables and simulates one request: the work of a cold start.
pub fn first_step() {
    let Some(golden) = golden() else { return };
    let workload = workloads::fixed(1, 512, 1);
    let tally = native(golden, workload)();
    assert_eq!(tally.num_steps, 1);
}

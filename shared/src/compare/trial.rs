//! Runs to hold comparisons against: the simulator on small workloads, with step times that a test can plan.

use crate::latency::{BatchShape, LatencyModel, StepTime};
use crate::metrics::Timeline;
use crate::random::Stream;
use crate::schema::{Run, Workload, WorkloadRow};
use crate::serving::{ClusterConfig, SchedulerConfig};
use crate::simulate::{RunRows, Simulation};
use crate::time::Nanos;

pub const MS: u64 = 1_000_000;

/// Step times, ns: host, and device by what is in the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub host: u64,
    pub device: u64,
    /// More in a step with prompt tokens.
    pub prefill: u64,
    /// More for each prompt token.
    pub prompt_token: u64,
    /// More in a step without any.
    pub decode: u64,
}

impl LatencyModel for Times {
    fn stage_time(&self, shape: &BatchShape, _: u32) -> StepTime {
        let by_kind = match shape.num_prefill_tokens {
            0 => self.decode,
            tokens => self.prefill + tokens * self.prompt_token,
        };
        StepTime { host: Nanos(self.host).into(), device: Nanos(self.device + by_kind).into(), is_covered: true }
    }
}

/// A workload of (arrival, prompt tokens, output tokens).
pub fn workload(requests: &[(u64, u32, u32)]) -> Workload {
    let mut previous = 0;
    let rows = requests.iter().map(|(arrival, prefill, decode)| {
        let row = WorkloadRow {
            prompt_id: String::new(),
            num_prefill_tokens: *prefill,
            num_decode_tokens: *decode,
            inter_arrival: Nanos(arrival - previous),
            arrival: Nanos(*arrival),
        };
        previous = *arrival;
        row
    });
    Workload { rows: rows.collect(), prefixes: None }
}

/// `count` requests of random lengths, arriving on a grid of 1 ms about every `mean_gap_ms`.
pub fn random_workload(seed: u64, count: usize, mean_gap_ms: f64) -> Workload {
    let mut stream = Stream::new(seed, "trial");
    let mut arrival = 0;
    let requests: Vec<_> = (0..count)
        .map(|_| {
            arrival += (stream.exponential() * mean_gap_ms) as u64 * MS;
            (arrival, 1 + stream.below(60) as u32, 1 + stream.below(40) as u32)
        })
        .collect();
    workload(&requests)
}

/// Small enough to chunk prompts and, with few blocks, to preempt.
pub fn scheduler(num_blocks: u32) -> SchedulerConfig {
    SchedulerConfig {
        max_num_seqs: 8,
        max_num_batched_tokens: 32,
        block_size: 4,
        num_blocks,
        max_model_len: 256,
        ..SchedulerConfig::default()
    }
}

/// Simulates `workload` on `num_replicas` engines.
pub fn run(workload: &Workload, scheduler: &SchedulerConfig, num_replicas: u32, times: &impl LatencyModel) -> Run {
    let mut rows = RunRows::default();
    let cluster = ClusterConfig { num_replicas, ..ClusterConfig::default() };
    let simulation = Simulation { scheduler, cluster: &cluster, seed: 0, model: times };
    simulation.run(workload, &mut rows).expect("every request is served");
    let Run { name, meta, requests, tokens, steps } = rows.into_run("run");
    Run::assemble(&name, meta, requests, tokens, steps).expect("a consistent run")
}

/// The compared requests of two runs whose outputs are equally long.
pub fn lines<'a>(real: &'a Run, sim: &'a Run) -> Vec<super::pairs::Line<'a>> {
    let line = |index| Some((&real.requests[index], Timeline::of(real, index)?, Timeline::of(sim, index)?));
    (0..real.requests.len()).filter_map(line).collect()
}

//! `vllm_v1` against a real vLLM 0.19 on an RTX 4090: 300 requests, Llama-3.1-8B, short of KV blocks.
//!
//! Nothing is fitted to that run: step times come from the operation profile of the same device and
//! model, arrivals from its `queued_ts`. Known and left out: its cold first step (0.36 s), the prompts
//! that share prefixes (their token ids were not recorded), host time (hidden behind the device).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use fidelio_shared::latency::layered::{LayerProfile, LayeredModel};
use fidelio_shared::latency::{LatencyModel, ModelShape};
use fidelio_shared::metrics::{self, Metric};
use fidelio_shared::schema::table::TableReader;
use fidelio_shared::schema::{RequestRow, Run, Workload, WorkloadRow};
use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::serving::memory::{VllmMemory, vllm_blocks};
use fidelio_shared::simulate::{SimulationCounts, StepRows, simulate};
use fidelio_shared::stats::{Percentile, Sorted, kendall_tau};
use fidelio_shared::time::Nanos;

use fidelio::store::load_run_dir;

use crate::harness::data;

/// Errors of the means of TTFT, TPOT and E2E are at most this, in percent.
const MEANS_WITHIN: f64 = 2.0;

#[test]
fn a_real_vllm_run_is_predicted_from_the_profile_of_its_operations() {
    let Some(folder) = data("vllm_rtx4090_llama31_8b") else { return };
    let real = Real::read(&folder);
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("meta.json")).expect("meta.json")).expect("JSON");
    let model = model(&folder, &meta);

    let settings = settings(&real);
    // vLLM keeps one block for itself.
    let (given, derived) = (settings.num_blocks, derived_blocks(&meta, &settings) - 1);
    for (how, num_blocks) in [("given", given), ("derived from memory", derived)] {
        let simulated = Simulated::of(&real, &model, &SchedulerConfig { num_blocks, ..settings.clone() });
        println!("\nKV blocks {how}: {num_blocks} ({:+.1} %)", percent(f64::from(num_blocks), f64::from(given)));
        let means = print_errors(&real, &simulated);
        assert_eq!(simulated.counts.steps_out_of_profile, 0, "the profile covers every step");
        for (metric, error) in means {
            assert!(error.abs() < MEANS_WITHIN, "mean {metric} {error:+.2} % with the block count {how}");
        }
        assert!(simulated.tau(&real) > 0.99, "first tokens come in the order of the real run's");
    }
}

/// The profile's model, padded to the graphs the engine captured.
fn model(folder: &Path, meta: &serde_json::Value) -> LayeredModel {
    let open = |name: &str| File::open(folder.join("profile").join(name)).expect("a table of the profile");
    let profile = LayerProfile::read(open("dense.csv"), open("attention.csv"), open("per_sequence.csv"));
    let captured = &meta["resolved_config"]["compilation_config"]["cudagraph_capture_sizes"];
    let captured: Vec<u32> = serde_json::from_value(captured.clone()).expect("sizes");
    LayeredModel::new(&profile.expect("a whole profile"), llama31_8b().num_layers, &captured, Nanos::ZERO)
}

fn llama31_8b() -> ModelShape {
    ModelShape {
        num_layers: 32,
        hidden_size: 4096,
        num_q_heads: 32,
        num_kv_heads: 8,
        head_dim: 128,
        mlp_hidden_size: 14336,
        is_gated: true,
        vocab_size: 128_256,
        has_tied_embeddings: false,
        has_qk_norm: false,
        dtype_bytes: 2,
        tensor_parallel: 1,
        pipeline_parallel: 1,
    }
}

/// The run's own settings, as they were imported.
fn settings(real: &Real) -> SchedulerConfig {
    serde_json::from_value(real.run.meta.params["scheduler"].clone()).expect("all settings are told")
}

fn derived_blocks(meta: &serde_json::Value, settings: &SchedulerConfig) -> u32 {
    let memory = VllmMemory {
        total_bytes: meta["hardware"]["device_total_memory_bytes"].as_u64().expect("a size"),
        gpu_memory_utilization: meta["kv_cache"]["gpu_memory_utilization"].as_f64().expect("a share"),
        max_num_seqs: settings.max_num_seqs,
        max_num_batched_tokens: settings.max_num_batched_tokens,
        non_torch_bytes: VllmMemory::NON_TORCH_BYTES,
    };
    vllm_blocks(&llama31_8b(), &memory, settings.block_size).expect("it fits").num_blocks
}

/// The real run; time zero is its first `queued_ts`.
struct Real {
    run: Run,
    samples: Vec<Sample>,
}

/// What the engine's log said at the end of a second.
struct Sample {
    at: Nanos,
    prompt_tokens: f64,
    running: f64,
    waiting: f64,
}

impl Real {
    fn read(folder: &Path) -> Self {
        let run = load_run_dir(folder).expect("the records and their settings");
        let samples = align(samples(folder), &run.requests);
        Real { run, samples }
    }

    fn workload(&self) -> Workload {
        let mut before = Nanos::ZERO;
        let rows = self.run.requests.iter().map(|row| WorkloadRow {
            prompt_id: String::new(),
            num_prefill_tokens: row.num_prefill_tokens,
            num_decode_tokens: row.num_decode_tokens,
            inter_arrival: row.arrival - std::mem::replace(&mut before, row.arrival),
            arrival: row.arrival,
        });
        Workload { rows: rows.collect(), prefixes: None }
    }
}

fn samples(folder: &Path) -> Vec<Sample> {
    let file = File::open(folder.join("timeseries.csv")).expect("timeseries.csv");
    let mut table = TableReader::new("timeseries.csv", file).expect("a table");
    let columns = table.all_required(&["t", "prompt_throughput", "running", "waiting"]).expect("columns");
    let mut samples = Vec::new();
    while table.next_row().expect("a row") {
        let [at, prompt_tokens, running, waiting] =
            [0, 1, 2, 3].map(|index| table.number(columns[index]).expect("a number"));
        samples.push(Sample { at: Nanos::from_secs_f64(at).expect("a time"), prompt_tokens, running, waiting });
    }
    samples
}

/// The log has a clock of its own. It counts a prompt when its first token is there, so the requests
/// counted by each second bound how far that clock is ahead of the requests' own; here 111 to 143 ms.
fn align(mut samples: Vec<Sample>, requests: &[RequestRow]) -> Vec<Sample> {
    let mut firsts: BTreeMap<Nanos, f64> = BTreeMap::new();
    for row in requests {
        *firsts.entry(row.first_token.expect("a token")).or_default() += f64::from(row.num_prefill_tokens);
    }
    let firsts: Vec<(Nanos, f64)> = firsts.into_iter().collect();
    let (mut counted, mut seen, mut next) = (0.0, 0.0, 0);
    let (mut least, mut most) = (Nanos::ZERO, Nanos(u64::MAX));
    for sample in &samples {
        counted += sample.prompt_tokens;
        while next < firsts.len() && seen + 0.5 < counted {
            seen += firsts[next].1;
            next += 1;
        }
        assert!((seen - counted).abs() < 0.5, "prompts are counted whole");
        most = most.min(sample.at.saturating_sub(firsts[next - 1].0));
        least = firsts.get(next).map_or(least, |(time, _)| least.max(sample.at.saturating_sub(*time)));
    }
    assert!(least < most, "one shift explains every second");
    let ahead = Nanos((least.0 + most.0) / 2);
    println!("the log's clock is {:.0} ms ahead", ahead.as_millis_f64());
    samples.iter_mut().for_each(|sample| sample.at = sample.at.saturating_sub(ahead));
    samples
}

struct Simulated {
    run: Run,
    counts: SimulationCounts,
}

impl Simulated {
    fn of(real: &Real, model: &impl LatencyModel, settings: &SchedulerConfig) -> Self {
        let mut rows = StepRows::default();
        let counts = simulate(&real.workload(), settings, model, &mut rows).expect("possible settings");
        Simulated { run: rows.into_run("simulated"), counts }
    }

    fn tau(&self, real: &Real) -> f64 {
        let firsts = |run: &Run| run.requests.iter().map(|row| row.first_token).collect::<Vec<_>>();
        kendall_tau(&firsts(&self.run), &firsts(&real.run)).expect("first tokens differ")
    }

    /// Root mean square of the differences at the log's seconds: running sequences, waiting ones.
    fn curves(&self, real: &Real) -> [f64; 2] {
        let steps = self.run.steps.as_deref().expect("recorded");
        let mut squares = [0.0; 2];
        for sample in &real.samples {
            let index = steps.partition_point(|step| step.start <= sample.at);
            let last = steps[..index].last().filter(|step| index < steps.len() || step.end > sample.at);
            let (running, waiting) = last.map_or((0, 0), |step| (step.num_running, step.num_waiting));
            for (sum, difference) in
                squares.iter_mut().zip([running as f64 - sample.running, waiting as f64 - sample.waiting])
            {
                *sum += difference * difference;
            }
        }
        squares.map(|sum| (sum / real.samples.len() as f64).sqrt())
    }
}

fn percent(simulated: f64, real: f64) -> f64 {
    (simulated / real - 1.0) * 100.0
}

/// Prints every error, and gives back those of the means.
fn print_errors(real: &Real, simulated: &Simulated) -> Vec<(&'static str, f64)> {
    println!("{:5} {:>12} {:>12} {:>8} {:>8} {:>8} {:>8}", "", "real ms", "simulated", "mean", "P50", "P90", "P99");
    let mut means = Vec::new();
    for metric in [Metric::Ttft, Metric::Tpot, Metric::E2e] {
        let [real, simulated] =
            [&real.run, &simulated.run].map(|run| Sorted::new(metrics::values(run, metric)).expect("300 requests"));
        let error = |of: &dyn Fn(&Sorted) -> f64| percent(of(&simulated), of(&real));
        let mean = error(&|values| values.mean().as_f64());
        let [p50, p90, p99] = [Percentile::P50, Percentile::P90, Percentile::P99]
            .map(|percentile| error(&|values| values.quantile(percentile).as_f64()));
        let [a, b] = [&real, &simulated].map(|values| values.mean().as_f64() / 1e6);
        println!("{:5} {a:12.1} {b:12.1} {mean:+8.2} {p50:+8.2} {p90:+8.2} {p99:+8.2}", metric.label());
        means.push((metric.label(), mean));
    }
    let [running, waiting] = simulated.curves(real);
    let (tau, counts) = (simulated.tau(real), simulated.counts);
    println!("order of first tokens: Kendall's tau {tau:.4}; RMS of running {running:.2}, of waiting {waiting:.2}");
    println!("{} steps, {} preemptions", counts.num_steps, counts.num_preemptions);
    means
}

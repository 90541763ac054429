//! Benchmarks of the stages a user waits for: tokenising, simulating, comparing, reading bundles.
//!
//! `cargo bench -p fidelio --bench pipeline`; figures belong in PERFORMANCE.md with their machine.

use std::convert::Infallible;
use std::io::{Cursor, Read};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use fidelio::workload::PromptTokenizer;
use fidelio_shared::bundle::{BundleReader, BundleWriter, SIM_RUN};
use fidelio_shared::compare::compare;
use fidelio_shared::explore::Explorer;
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::latency::{BatchShape, LatencyModel, StepTime};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::{comparison_markdown, tables};
use fidelio_shared::schema::comparison::CompareOptions;
use fidelio_shared::schema::{
    RequestRow, RequestWriter, Run, RunMeta, StepRow, TokenTimes, TokenWriter, Workload, WorkloadRow, read_prompts,
    read_requests, read_tokens, write_json,
};
use fidelio_shared::serving::{Policy, SchedulerConfig, TokenEvent};
use fidelio_shared::simulate::{Recorder, simulate};
use fidelio_shared::stats::Percentile;
use fidelio_shared::time::Nanos;

fn main() {
    divan::main();
}

#[divan::bench]
fn tokenise_demo_prompts(bencher: Bencher) {
    let tokenizer = PromptTokenizer::load("builtin:qwen3").expect("the built-in tokenizer");
    let prompts = read_prompts("demo.jsonl", fidelio::config::DEMO_PROMPTS).expect("the demo's prompts");
    let tokens: usize = prompts.iter().map(|prompt| tokenizer.encode(&prompt.text).expect("tokens").len()).sum();
    bencher
        .counter(ItemsCount::new(tokens))
        .bench(|| prompts.iter().map(|prompt| tokenizer.encode(&prompt.text).expect("tokens").len()).sum::<usize>());
}

/// Step times of an imaginary GPU: 2 ms, 20 µs a token, 10 ns a context token.
struct Gpu;

impl LatencyModel for Gpu {
    fn stage_time(&self, shape: &BatchShape, _: u32) -> StepTime {
        let device = Nanos(2_000_000 + 20_000 * shape.num_tokens() + 10 * shape.context_tokens);
        StepTime { host: Nanos(50_000).into(), device: device.into(), is_covered: true }
    }
}

#[derive(Default)]
struct CountTokens(u64);

impl Recorder for CountTokens {
    type Error = Infallible;

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        self.0 += 1;
        Ok(())
    }

    fn finished(&mut self, _: RequestRow) -> Result<(), Infallible> {
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Requests of 1,024 prompt and 128 output tokens, all there from the start, 64 served at once.
#[divan::bench(args = [(Policy::VllmV1, 100_000), (Policy::Sarathi, 100_000), (Policy::VllmV1, 3_000)], sample_count = 10)]
fn simulate_1024_128_concurrency_64(bencher: Bencher, (policy, num_blocks): (Policy, u32)) {
    const REQUESTS: usize = 2_000;
    let row = WorkloadRow { num_prefill_tokens: 1_024, num_decode_tokens: 128, ..WorkloadRow::default() };
    let workload = Workload { rows: vec![row; REQUESTS], prefixes: None };
    let config = SchedulerConfig {
        policy,
        max_num_seqs: 64,
        max_num_batched_tokens: 2_048,
        long_prefill_token_threshold: 0,
        block_size: 16,
        num_blocks,
        watermark_permille: 0,
        max_model_len: 4_096,
        ..SchedulerConfig::default()
    };
    bencher.counter(ItemsCount::new(REQUESTS)).bench(|| {
        let mut recorder = CountTokens::default();
        let counts = simulate(&workload, &config, &Gpu, &mut recorder).expect("possible settings");
        assert_eq!(recorder.0, REQUESTS as u64 * 128, "every token of every request");
        counts
    });
}

const RUN_REQUESTS: u32 = 10_000;
const RUN_TOKENS: u32 = 100;

/// A run of a million token rows; `slow` scales its times.
fn run(name: &str, slow: u64) -> Run {
    let mut rows = Vec::new();
    let mut lists = Vec::new();
    for request_id in 0..RUN_REQUESTS {
        let arrival = Nanos(u64::from(request_id) * 2_000_000);
        let jitter =
            |index: u32| u64::from(request_id.wrapping_mul(2_654_435_761).wrapping_add(index * 40_503) % 1_000_000);
        let mut time = arrival + Nanos(slow * (20_000_000 + jitter(0)));
        let mut list = vec![time];
        for index in 1..RUN_TOKENS {
            time += Nanos(slow * (8_000_000 + jitter(index)));
            list.push(time);
        }
        rows.push(RequestRow {
            request_id,
            arrival,
            first_token: list.first().copied(),
            completion: list.last().copied(),
            num_prefill_tokens: 512,
            num_decode_tokens: RUN_TOKENS,
            num_decode_tokens_actual: RUN_TOKENS,
            ..RequestRow::default()
        });
        lists.push(list);
    }
    Run::assemble(name, RunMeta::default(), rows, Some(TokenTimes::from_lists(&lists)), None).expect("a consistent run")
}

fn csv_of(run: &Run) -> (Vec<u8>, Vec<u8>) {
    let (mut requests, mut tokens) = (Vec::new(), Vec::new());
    {
        let mut writer = RequestWriter::new(&mut requests, "bench").expect("memory");
        run.requests.iter().for_each(|row| writer.write(row).expect("memory"));
        writer.flush().expect("memory");
        let mut writer = TokenWriter::new(&mut tokens, run.requests.len(), false).expect("memory");
        for row in &run.requests {
            let times = run.tokens.as_ref().expect("tokens").of(row.request_id);
            for (index, time) in times.iter().enumerate() {
                writer.write(row.request_id, index as u32, *time, None).expect("memory");
            }
        }
        writer.flush().expect("memory");
    }
    (requests, tokens)
}

fn options() -> CompareOptions {
    CompareOptions { allow_mismatch: true, ..CompareOptions::default() }
}

/// Two CSV files of a million token rows each: parsed, checked, compared, all tables written.
#[divan::bench(sample_count = 5)]
fn compare_two_runs_of_1m_token_rows_from_csv(bencher: Bencher) {
    let files = [run("real_run", 1), run("sim_run", 2)].map(|run| csv_of(&run));
    let bytes: usize = files.iter().map(|(requests, tokens)| requests.len() + tokens.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        let [real, sim] = ["real_run", "sim_run"].map(|name| {
            let (requests, tokens) = &files[usize::from(name == "sim_run")];
            let rows = read_requests("request_metrics.csv", requests.as_slice()).expect("rows");
            let tokens = read_tokens("token_metrics.csv", tokens.as_slice(), rows.len()).expect("tokens");
            Run::assemble(name, RunMeta::default(), rows, Some(tokens), None).expect("a run")
        });
        let comparison = compare(&[real], &sim, None, &options()).expect("comparable");
        (tables(&comparison), comparison_markdown(&comparison))
    });
}

/// A brushed third of a million gaps a side, reduced again: percentiles, distances, curves. The columns are in order.
#[divan::bench]
fn reduce_a_third_of_1m_gaps(bencher: Bencher) {
    let mut explorer = Explorer::new(vec![run("real_run", 1)], run(SIM_RUN, 2), None, &options()).expect("runs");
    let arrivals = Some((5_000_000_000, 12_000_000_000));
    let selection = Selection { arrivals, ..Selection::default() };
    let mut reduce = move || explorer.reduce(Metric::Itl, &selection, &Percentile::USUAL).expect("gaps");
    reduce();
    bencher.bench_local(reduce);
}

/// The order of a million gaps a side, taken once a metric, and the whole reduced.
#[divan::bench(sample_count = 10)]
fn put_1m_gaps_in_order(bencher: Bencher) {
    let (real, sim) = (run("real_run", 1), run(SIM_RUN, 2));
    bencher
        .with_inputs(|| Explorer::new(vec![real.clone()], sim.clone(), None, &options()).expect("runs"))
        .bench_local_values(|mut explorer| explorer.reduce(Metric::Itl, &Selection::default(), &Percentile::USUAL));
}

/// A bundle of two runs of a million token rows: opened, hashes checked, both runs parsed.
#[divan::bench(sample_count = 5)]
fn open_bundle_of_2m_token_rows(bencher: Bencher) {
    let (real, sim) = (run("real_run", 1), run(SIM_RUN, 2));
    let comparison = compare(std::slice::from_ref(&real), &sim, None, &options()).expect("comparable");
    let mut writer = BundleWriter::new("comparison_bench", None, false);
    let entry = |bytes: Vec<u8>| {
        Box::new(move || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(Cursor::new(bytes.clone()))) })
    };
    writer.add("comparison/comparison.json", entry(write_json(&comparison)));
    for run in [&real, &sim] {
        let (requests, tokens) = csv_of(run);
        writer.add(format!("{}/request_metrics.csv", run.name), entry(requests));
        writer.add(format!("{}/token_metrics.csv", run.name), entry(tokens));
    }
    let mut zip = Cursor::new(Vec::new());
    writer.write(&mut zip).expect("memory");
    let zip = zip.into_inner();
    bencher.counter(BytesCount::new(zip.len())).bench(|| {
        let mut bundle = BundleReader::open(Cursor::new(zip.as_slice())).expect("a bundle");
        let comparison = bundle.comparison().expect("a comparison");
        (comparison, bundle.real_run().expect("a run"), bundle.sim_run().expect("a run"))
    });
}

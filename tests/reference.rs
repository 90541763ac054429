//! Numbers that others published, recomputed from their raw rows to the printed digit.

use std::fs;

use fidelio_shared::schema::table::TableReader;
use fidelio_shared::serving::{Policy, Replica, Request, SchedulerConfig, StepOutcome};
use fidelio_shared::time::Nanos;

use crate::harness::{Scratch, fixture, fixture_arg};

#[test]
fn the_published_a100_comparison_is_refused_and_named_then_reproduced_under_a_banner() {
    let scratch = Scratch::new("reference-compare");
    let [real, sim, workload] =
        ["real_run", "vidur_run", "workload"].map(|part| fixture_arg(&format!("qwen3_a100_spaced/{part}")));
    let base = ["compare", "--real", &real, "--sim", &sim, "--workload", &workload];
    scratch.fidelio(&base).refused(&[
        "model` (real .../models/qwen3-0.6b/source-data, simulated Qwen/Qwen3-0.6B)",
        "the simulated run does not say `max_num_seqs`, `max_num_batched_tokens`",
        "neither run says `policy`",
        "--allow-mismatch",
    ]);
    assert!(!scratch.join("tmp").exists(), "a refusal leaves nothing behind");

    let allowed = [&base[..], &["--allow-mismatch", "--out", "out"]].concat();
    let ran = scratch.fidelio(&allowed).expect(0);
    assert!(ran.stdout.contains("! settings differ"), "the banner is on the output:\n{}", ran.stdout);
    let table = |name: &str| fs::read_to_string(scratch.join("out/tables").join(name)).expect("a table");
    let cells = |text: &str, percentile: &str| -> (String, String) {
        let line = text.lines().find(|line| line.starts_with(&format!("{percentile},"))).expect("a row");
        let mut cells = line.split(',').skip(1).map(str::to_owned);
        (cells.next().expect("real"), cells.next().expect("simulated"))
    };
    let ttft = table("ttft_percentiles.csv");
    for (percentile, real) in [("p50", "17283962.5"), ("p90", "20037415.3"), ("p99", "22755979.33")] {
        assert_eq!(cells(&ttft, percentile), (real.to_owned(), "1967610".to_owned()));
    }
    let itl = table("token_latency_percentiles.csv");
    for (percentile, real_ms) in [("p50", "13.616"), ("p90", "14.128"), ("p99", "17.141")] {
        let real: f64 = cells(&itl, percentile).0.parse().expect("a number");
        assert_eq!(format!("{:.3}", real / 1e6), real_ms);
    }
    let comparison: serde_json::Value =
        serde_json::from_slice(&fs::read(scratch.join("out/comparison.json")).expect("comparison.json")).expect("JSON");
    let itl = comparison["metrics"].as_array().expect("metrics").iter().find(|metric| metric["metric"] == "itl");
    assert_eq!(itl.expect("ITL")["num_values"], 504, "8 requests of 64 tokens have 504 gaps, index 0 left out");
    assert_eq!(comparison["verdict"]["verdict"], "outside", "8 requests, all 7.5 times too fast, are enough to know");
}

#[test]
fn the_published_burst_simulation_has_the_key_results_its_authors_printed() {
    let scratch = Scratch::new("reference-summary");
    let run = fixture_arg("qwen3_a100_burst_sim");
    let json = scratch.fidelio(&["summary", &run, "--json"]).expect(0).json();
    assert_eq!(
        (&json["num_requests"], &json["num_prefill_tokens"], &json["num_decode_tokens"]),
        (&4.into(), &53.into(), &256.into())
    );
    assert_eq!(json["ttft"]["mean"], 2_204_013);
    assert_eq!(json["e2e"]["mean"], 121_967_428);
    assert_eq!((&json["itl"]["min"], &json["itl"]["max"]), (&1_901_006.into(), &1_901_007.into()));
    let text = scratch.fidelio(&["summary", &run]).expect(0).stdout;
    assert!(text.contains("2098.9 tokens/s"), "{text}");
    let mean = json["itl"]["mean"].as_f64().expect("a mean");
    assert_eq!(format!("{mean:.1}"), "1901006.6");
}

/// What the real engine's records say of one request: lengths, then iterations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Schedule {
    num_prefill_tokens: u32,
    num_decode_tokens: u32,
    first_iteration: u64,
    prefill_done_after: u64,
    completed_after: u64,
    iterations_in_batch: u64,
}

#[test]
fn the_schedule_of_a_real_sarathi_engine_is_reproduced_iteration_by_iteration() {
    let path = fixture("llama2_7b_a100_arxiv/sarathi_chunk16_cap16_static50_schedule.csv");
    let mut table = TableReader::new("schedule.csv", fs::File::open(path).expect("the fixture")).expect("a table");
    let names = [
        "num_prefill_tokens",
        "num_decode_tokens",
        "first_iteration",
        "prefill_done_after_iteration",
        "completed_after_iteration",
        "iterations_in_batch",
    ];
    let columns = names.map(|name| table.required(name).expect("a column"));
    let mut recorded = Vec::new();
    while table.next_row().expect("a row") {
        let [prefill, decode, first, prefilled, completed, iterations] =
            columns.map(|column| table.integer(column).expect("a number"));
        recorded.push(Schedule {
            num_prefill_tokens: prefill as u32,
            num_decode_tokens: decode as u32,
            first_iteration: first,
            prefill_done_after: prefilled,
            completed_after: completed,
            iterations_in_batch: iterations,
        });
    }

    let config = SchedulerConfig {
        policy: Policy::Sarathi,
        max_num_seqs: 16,
        max_num_batched_tokens: 16,
        long_prefill_token_threshold: 0,
        block_size: 16,
        num_blocks: 100_000,
        watermark_permille: 0,
        max_model_len: 8_192,
        ..SchedulerConfig::default()
    };
    let mut replica = Replica::new(&config).expect("possible settings");
    let mut ours: Vec<Schedule> = Vec::new();
    for (id, row) in recorded.iter().enumerate() {
        let (num_prefill_tokens, num_decode_tokens) = (row.num_prefill_tokens, row.num_decode_tokens);
        let request = Request { id: id as u32, arrival: Nanos::ZERO, num_prefill_tokens, num_decode_tokens };
        assert_eq!(replica.admit(request), None);
        ours.push(Schedule { num_prefill_tokens, num_decode_tokens, ..Schedule::default() });
    }
    let mut outcome = StepOutcome::default();
    let mut iteration = 0;
    while let Some(batch) = replica.begin_step(Nanos::ZERO) {
        for item in &batch.items {
            let row = &mut ours[item.request_id as usize];
            if row.iterations_in_batch == 0 {
                row.first_iteration = iteration;
            }
            row.iterations_in_batch += 1;
        }
        iteration += 1;
        replica.end_step(&batch, Nanos::ZERO, &[], &mut outcome);
        for event in outcome.tokens.iter().filter(|event| event.index == 0) {
            ours[event.request_id as usize].prefill_done_after = iteration;
        }
        outcome.finished.iter().for_each(|served| ours[served.request.id as usize].completed_after = iteration);
    }
    let equal = ours.iter().zip(&recorded).filter(|(ours, recorded)| ours == recorded).count();
    println!("{equal} of {} requests equal in every iteration, {iteration} iterations", recorded.len());
    assert_eq!(recorded.len(), 50);
    assert_eq!(ours, recorded);
}

//! Comparing runs in memory: early stop, missing output, out-of-profile steps, noise, the three verdicts.

use fidelio_shared::compare::{Refusal, compare};
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::{CompareOptions, Comparison, NoticeKind};
use fidelio_shared::schema::{RequestRow, RequestStatus, Run, RunMeta, TokenTimes, read_json};
use fidelio_shared::stats::Verdict;
use fidelio_shared::time::Nanos;
use serde_json::json;

const MS: u64 = 1_000_000;

fn meta(run_type: &str) -> RunMeta {
    let params = json!({ "scheduler": {
        "policy": "vllm_v1", "max_num_seqs": 4, "max_num_batched_tokens": 64, "long_prefill_token_threshold": 0,
        "block_size": 16, "num_blocks": 100, "watermark_permille": 0, "max_model_len": 512, "max_in_flight": 1,
        "tensor_parallel_size": 1, "pipeline_parallel_size": 1, "num_replicas": 1, "reserve_full_prompt": true,
        "enable_prefix_caching": false, "async_scheduling": false,
    }, "ttft_endpoint": "end of step", "clock": "monotonic" });
    let document = json!({ "run_type": run_type, "model": "tiny", "params": params });
    read_json("run_meta.json", document.to_string().as_bytes()).expect("metadata")
}

/// Request `i` arrives at `i` seconds, has its first token after `ttft` ms, then one every `gap` ms.
fn run(run_type: &str, lengths: &[u32], ttft: impl Fn(usize) -> u64, gap: u64) -> Run {
    let (mut rows, mut lists) = (Vec::new(), Vec::new());
    for (index, length) in lengths.iter().enumerate() {
        let arrival = Nanos::from_millis(1_000 * index as u64);
        let first = arrival + Nanos(ttft(index));
        let times: Vec<Nanos> = (0..u64::from(*length)).map(|token| first + Nanos(token * gap)).collect();
        rows.push(RequestRow {
            request_id: index as u32,
            arrival,
            scheduled: Some(arrival),
            first_token: times.first().copied(),
            completion: times.last().copied(),
            num_prefill_tokens: 10,
            num_decode_tokens: 8,
            num_decode_tokens_actual: *length,
            ..RequestRow::default()
        });
        lists.push(times);
    }
    Run::assemble("run", meta(run_type), rows, Some(TokenTimes::from_lists(&lists)), None).expect("a consistent run")
}

fn compared(real: &[Run], sim: &Run) -> Comparison {
    compare(real, sim, None, &CompareOptions::default()).expect("comparable")
}

fn verdict_of(comparison: &Comparison, metric: Metric, label: &str) -> Verdict {
    let rows = &comparison.metric(metric).expect("the metric").percentiles;
    rows.iter().find(|row| row.label == label).expect("the percentile").verdict
}

#[test]
fn early_stops_cut_both_sides_to_the_shorter_output() {
    let real = run("real", &[8, 3, 8], |_| 50 * MS, 10 * MS);
    let sim = run("vidur", &[8, 8, 8], |_| 50 * MS, 10 * MS);
    let comparison = compared(&[real], &sim);
    assert_eq!((comparison.counts.num_cut, comparison.counts.num_tokens), (1, 19));
    let e2e = comparison.metric(Metric::E2e).expect("E2E");
    // Request 1 is compared at its third token on both sides: 50 + 2 × 10 ms.
    assert_eq!((e2e.real.min.to_string(), e2e.sim.min.to_string()), ("70000000".into(), "70000000".into()));
    assert_eq!(comparison.metric(Metric::Itl).expect("ITL").num_values, 7 + 2 + 7);
    assert_eq!(comparison.notices[0].kind, NoticeKind::EarlyStop);
    assert!(comparison.worst_requests.iter().all(|worst| worst.rel_error == Some(0.0)));
}

#[test]
fn failed_rejected_and_empty_requests_are_counted_and_left_out() {
    let mut real = run("real", &[8, 8, 0, 8], |_| 50 * MS, 10 * MS);
    let lost = &mut real.requests[1];
    *lost = RequestRow {
        status: RequestStatus::Error,
        first_token: None,
        completion: None,
        scheduled: None,
        num_decode_tokens_actual: 0,
        ..lost.clone()
    };
    let sim = run("vidur", &[8, 8, 8, 8], |_| 100 * MS, 10 * MS);
    let comparison = compared(&[real], &sim);
    let counts = comparison.counts;
    assert_eq!((counts.num_requests, counts.num_compared), (4, 2));
    assert_eq!((counts.num_real_missing, counts.num_sim_missing), (2, 0));
    assert_eq!(comparison.notices[0].kind, NoticeKind::MissingOutput);
    assert_eq!(comparison.metric(Metric::Ttft).expect("TTFT").num_requests, 2);
}

#[test]
fn nothing_to_pair_is_refused() {
    let real = run("real", &[0, 0], |_| 50 * MS, 10 * MS);
    let sim = run("vidur", &[8, 8], |_| 50 * MS, 10 * MS);
    let refused = compare(&[real], &sim, None, &CompareOptions::default());
    assert_eq!(refused.expect_err("nothing to compare"), Refusal::NoPairs);
}

#[test]
fn a_setting_that_differs_is_named_with_both_values() {
    let real = run("real", &[8; 20], |_| 50 * MS, 10 * MS);
    let mut sim = run("vidur", &[8; 20], |_| 50 * MS, 10 * MS);
    sim.meta.params["scheduler"]["block_size"] = json!(32);
    let refused = compare(std::slice::from_ref(&real), &sim, None, &CompareOptions::default()).expect_err("refused");
    assert!(refused.to_string().contains("`block_size` (real 16, simulated 32)"), "{refused}");
    let allowed = CompareOptions { allow_mismatch: true, ..CompareOptions::default() };
    let comparison = compare(&[real], &sim, None, &allowed).expect("allowed");
    assert_eq!(comparison.notices[0].kind, NoticeKind::Parity);
}

#[test]
fn verdicts_have_three_states_and_respect_floors_and_noise() {
    let lengths = vec![8; 70];
    let spread = |index: usize| (50 + index as u64) * MS;
    let real = run("real", &lengths, spread, 10 * MS);
    let near = run("vidur", &lengths, |index| spread(index) * 104 / 100, 10 * MS);
    let comparison = compared(std::slice::from_ref(&real), &near);
    assert_eq!(verdict_of(&comparison, Metric::Ttft, "p90"), Verdict::Within, "70 requests are enough for P90");
    assert_eq!(verdict_of(&comparison, Metric::Ttft, "p99"), Verdict::CannotTell, "but not for P99");
    assert_eq!(comparison.verdict.verdict, Verdict::CannotTell);

    let far = run("vidur", &lengths, |index| spread(index) * 130 / 100, 10 * MS);
    let comparison = compared(std::slice::from_ref(&real), &far);
    assert_eq!(verdict_of(&comparison, Metric::Ttft, "p90"), Verdict::Outside);
    assert_eq!(verdict_of(&comparison, Metric::Ttft, "p99"), Verdict::Outside, "every pair errs by 30 %");
    assert!(comparison.verdict.sentence.contains("TTFT at +30.0 %"), "{}", comparison.verdict.sentence);

    // The same machine takes 25 % longer the next time: 30 % more than the first run is no finding.
    let repeat = run("real", &lengths, |index| spread(index) * 125 / 100, 10 * MS);
    let comparison = compared(&[real, repeat], &far);
    let row = &comparison.metric(Metric::Ttft).expect("TTFT").percentiles[0];
    assert!((row.noise_rel.expect("two runs") - 0.25).abs() < 1e-9);
    assert_eq!(row.verdict, Verdict::CannotTell);
    assert!(comparison.verdict.sentence.contains("blurred by the real runs"), "{}", comparison.verdict.sentence);
}

#[test]
fn what_the_runs_say_of_themselves_becomes_a_notice() {
    let real = run("real", &[8; 20], |_| 50 * MS, 10 * MS);
    let mut sim = run("real", &[8; 20], |_| 50 * MS, 10 * MS);
    sim.meta.results = serde_json::Map::from_iter([
        ("num_steps".to_owned(), json!(160)),
        ("steps_out_of_profile".to_owned(), json!(12)),
        ("warnings".to_owned(), json!(["the clock moved"])),
    ]);
    let comparison = compared(&[real], &sim);
    let texts: Vec<&str> = comparison.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(texts[0].contains("12 of 160 simulated steps lie outside what was profiled"), "{texts:?}");
    assert!(texts[1].contains("the run given as the simulated one says that it is real"), "{texts:?}");
    assert!(texts[2].ends_with("the clock moved"), "{texts:?}");
}

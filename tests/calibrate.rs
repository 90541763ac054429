//! `fidelio calibrate`: fit, predict with what was fitted, and be told when that is no prediction.

use crate::harness::Scratch;

/// A run whose steps are known, to stand for a real one.
fn run_of(scratch: &Scratch, seed: &str, out: &str) {
    let seed = format!("seed={seed}");
    let base = ["simulate", "llama2-7b-a100-sarathi", "workload.num_requests=30", "latency.host_us=900"];
    scratch.fidelio(&[&base[..], &[&seed, "--out", out]].concat()).expect(0);
}

#[test]
fn a_calibration_predicts_another_run_and_says_when_it_predicts_nothing() {
    let scratch = Scratch::new("calibrate");
    run_of(&scratch, "1", "real");
    run_of(&scratch, "2", "other");
    let ran = scratch.fidelio(&["calibrate", "--real", "real", "--out", "found.json", "--json"]).expect(0).json();
    assert_eq!(ran["calibration"]["fitted_to"][0]["evidence"], "steps", "its own settings and steps are enough");
    assert!(ran["calibration"]["residuals"]["held_out_error"].as_f64().expect("a number") < 0.02);
    scratch.fidelio(&["calibrate", "--real", "real", "--out", "found.json"]).expect(0);

    for (real, seed, is_prediction) in [("real", "seed=1", false), ("other", "seed=2", true)] {
        let out = format!("sim-{real}");
        let settings = ["workload.num_requests=30", "latency=calibrated", "latency.profile=found.json"];
        let simulate = [&["simulate", "llama2-7b-a100-sarathi", seed], &settings[..], &["--out", &out]].concat();
        scratch.fidelio(&simulate).expect(0);
        let compared = scratch.fidelio(&["compare", "--real", real, "--sim", &out, "--json"]).expect(0).json();
        let notices = compared["notices"].as_array().expect("notices");
        let is_told = notices.iter().any(|notice| notice["kind"] == "fitted");
        assert_eq!(is_told, !is_prediction, "{notices:?}");
        let metrics = compared["metrics"].as_array().expect("metrics");
        let e2e = metrics.iter().find(|metric| metric["metric"] == "e2e").expect("E2E");
        let error = e2e["percentiles"][0]["rel_error"].as_f64().expect("an error");
        assert!(error.abs() < 0.01, "{real}: {error}");
    }
}

#[test]
fn what_cannot_be_calibrated_is_refused_with_what_to_do() {
    let scratch = Scratch::new("calibrate-refused");
    run_of(&scratch, "1", "real");
    let other = ["calibrate", "llama2-7b-a100-sarathi", "scheduler.max_num_batched_tokens=64", "--real", "real"];
    scratch.fidelio(&other).refused(&["cannot be replayed", "prefill tokens", "say the settings"]);
    scratch.fidelio(&["calibrate", "--real", "real", "--profile", "real"]).refused(&["a profile needs an experiment"]);
    std::fs::remove_file(scratch.join("real/step_metrics.csv")).expect("its steps");
    scratch.fidelio(&["calibrate", "--real", "real", "--requests", "0..4"]).refused(&["are too few", "longer runs"]);
    std::fs::remove_file(scratch.join("real/run_meta.json")).expect("its metadata");
    scratch.fidelio(&["calibrate", "--real", "real"]).refused(&["does not say its scheduler's settings", "EXPERIMENT"]);
}

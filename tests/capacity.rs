//! `fidelio capacity` and the Vidur paper's protocol: rates found on a predicted engine, and the presets that use them.

use crate::harness::Scratch;

/// A roofline of an A100, whose capacity for these requests lies at a few a second.
const SMALL: [&str; 5] = [
    "llama3-8b-a100",
    "workload.num_requests=400",
    "workload.requests.prefill={kind=\"constant\",num_tokens=1000}",
    "workload.requests.decode={kind=\"constant\",num_tokens=100}",
    "capacity.precision=0.05",
];

#[test]
fn the_rate_found_is_sustained_the_next_is_not_and_every_probe_is_told() {
    let scratch = Scratch::new("capacity");
    let args: Vec<&str> = ["capacity"].into_iter().chain(SMALL).chain(["--json"]).collect();
    let told = scratch.fidelio(&args).expect(0).json();
    let probes = told["capacity"]["probes"].as_array().expect("probes");
    let found = &told["capacity"]["capacity"];
    let (rate, overloaded) =
        (found["rate_rps"].as_f64().expect("a rate"), found["overloaded_rps"].as_f64().expect("a rate"));
    println!("{} probes, capacity {rate:.3} requests/s", probes.len());
    assert!(overloaded <= rate * 1.05 * 1.000_001, "{found}");
    let outcome = |rate: f64| {
        let probe = probes.iter().find(|probe| probe["rate_rps"].as_f64() == Some(rate)).expect("a bound was probed");
        probe["overload"].is_null()
    };
    assert!(outcome(rate) && !outcome(overloaded), "{told}");
    let at = told["rate_rps"].as_f64().expect("a rate");
    assert!((at / rate - 0.85).abs() < 1e-9, "the paper's 0.85 is the default share");

    // A bound far off on either side leads to the same place.
    for bounds in
        [["capacity.low_rps=0.01", "capacity.high_rps=0.02"], ["capacity.low_rps=100", "capacity.high_rps=200"]]
    {
        let moved: Vec<&str> = args.iter().copied().chain(bounds).collect();
        let again = scratch.fidelio(&moved).expect(0).json();
        let again = again["capacity"]["capacity"]["rate_rps"].as_f64().expect("a rate");
        assert!((again / rate - 1.0).abs() < 0.06, "{again} with {bounds:?}, {rate} before");
    }
}

#[test]
fn an_engine_that_cannot_serve_at_any_rate_has_no_capacity() {
    let scratch = Scratch::new("capacity-none");
    let args: Vec<&str> = ["capacity"].into_iter().chain(SMALL).chain(["scheduler.max_model_len=512"]).collect();
    let refused = scratch.fidelio(&args).expect(2);
    assert!(refused.stderr.contains("overloaded at"), "{}", refused.stderr);
    assert!(refused.stderr.contains("400 requests were not served"), "the probes are shown:\n{}", refused.stderr);
}

#[test]
fn the_papers_protocol_is_judged_by_the_papers_metrics() {
    let scratch = Scratch::new("capacity-protocol");
    let engine = [
        "model=qwen3-30m",
        "hardware=this-machine",
        "backend=candle-cpu",
        "scheduler.max_num_batched_tokens=64",
        "scheduler.max_num_seqs=8",
        "scheduler.num_blocks=400",
        "scheduler.max_model_len=512",
        "workload.num_requests=12",
        "workload.requests.prefill={kind=\"constant\",num_tokens=40}",
        "workload.requests.decode={kind=\"constant\",num_tokens=6}",
        "profile.max_seconds=4",
        "profile.refine_seconds=0",
        "profile.repeats=2",
        "backend.repeats=2",
    ];
    for (preset, metric) in [("vidur-static", "normalised_execution"), ("vidur-dynamic", "normalised_e2e")] {
        let args: Vec<&str> = ["run", preset, "--json"].into_iter().chain(engine).collect();
        let told = scratch.fidelio(&args).expect(0).json();
        let metrics: Vec<&str> =
            told["metrics"].as_array().expect("metrics").iter().filter_map(|one| one["metric"].as_str()).collect();
        assert!(metrics.contains(&metric), "{preset}: {metrics:?}");
        let sentence = told["verdict"]["sentence"].as_str().expect("a sentence");
        assert!(
            sentence.contains("of 4 percentiles") || sentence.contains("All 4 percentiles"),
            "{preset}: {sentence}"
        );
    }
}

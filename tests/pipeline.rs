//! The main job on a tiny model: every stage for real, the bundle verified, interruptions seen.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fidelio::store::{load_run_dir, load_workload_dir};
use fidelio_shared::schema::{RequestStatus, RunMeta};

use crate::harness::Scratch;

/// Quickstart's model cut to two layers and a few requests, so that a debug build is quick.
const SMALL: [&str; 11] = [
    "model.config.num_hidden_layers=2",
    "model.config.vocab_size=151936",
    "workload.num_requests=8",
    "workload.order=\"file\"",
    "workload.arrivals={ kind = \"poisson\", rate_rps = 8.0 }",
    "workload.decode={ kind = \"constant\", num_tokens = 6 }",
    "scheduler.max_num_batched_tokens=64",
    "scheduler.max_model_len=512",
    "profile.repeats=2",
    "profile.max_seconds=8.0",
    "profile.refine_seconds=1.0",
];

fn with<'a>(verb: &[&'a str], extra: &[&'a str]) -> Vec<&'a str> {
    [verb, &SMALL[..], extra].concat()
}

#[test]
fn one_command_does_the_whole_job_and_its_bundle_verifies() {
    let scratch = Scratch::new("pipeline-run");
    let ran = scratch.fidelio(&with(&["run", "quickstart"], &["--json", "backend.repeats=2"])).expect(0);
    let json = ran.json();
    let path = |key: &str| scratch.join(json[key].as_str().expect(key));
    let (_, workload) = load_workload_dir(&path("workload")).expect("a workload");
    assert_eq!(workload.rows.len(), 8);
    let real: Vec<_> = json["real_runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|dir| load_run_dir(&scratch.join(dir.as_str().expect("a path"))).expect("a real run"))
        .collect();
    assert_eq!(real.len(), 2);
    for run in &real {
        run.check_workload(&workload).expect("the workload it was given");
        assert!(run.requests.iter().all(|row| row.status == RequestStatus::Ok && row.num_decode_tokens_actual == 6));
        let steps = run.steps.as_ref().expect("steps");
        let prefilled: u64 = steps.iter().map(|step| step.num_prefill_tokens).sum();
        assert_eq!(prefilled, workload.rows.iter().map(|row| u64::from(row.num_prefill_tokens)).sum::<u64>());
        assert!(steps.iter().all(|step| step.start + step.host + step.device == step.end));
        // Open loop: while requests overlap, one begins before the one before it has ended.
        let overlaps = run.requests.windows(2).any(|pair| pair[1].scheduled < pair[0].completion);
        assert!(overlaps, "requests run concurrently, never one after another");
    }
    assert_eq!(
        fs::read_to_string(scratch.join(json["real_runs"][0].as_str().expect("a path")).join("summary.md"))
            .expect("summary.md")
            .lines()
            .nth(2),
        Some("All times below are measured: every time was read from a clock while an engine ran.")
    );
    let sim = load_run_dir(&path("sim_run")).expect("a simulated run");
    sim.check_workload(&workload).expect("the same workload");
    assert_eq!(sim.requests.len(), 8);
    let profile = path("profile");
    for file in [
        "steps.csv",
        "data/profiling/compute/this-machine/qwen3-30m/mlp.csv",
        "data/profiling/compute/this-machine/qwen3-30m/attention.csv",
    ] {
        assert!(profile.join(file).is_file(), "{file}");
    }
    let meta = fs::read(profile.join("run_meta.json")).expect("metadata");
    let results = RunMeta::read("run_meta.json", &meta).expect("good metadata").results;
    let closure = &results["closure"];
    assert!(closure["num_shapes"].as_u64().is_some_and(|shapes| shapes > 2), "{closure}");
    assert!(closure["mean_error"].as_f64().is_some_and(|error| error.abs() < 1.0), "{closure}");
    assert!(ran.stderr.contains("closure: operations add up to"), "{}", ran.stderr);
    assert!(results["refinement"]["num_added"].is_u64());
    let bundle = path("bundle").display().to_string();
    scratch.fidelio(&["verify", &bundle]).expect(0);
    let noise = json["metrics"][0]["percentiles"][0]["noise_rel"].as_f64();
    assert!(noise.is_some_and(|noise| noise >= 0.0), "two repeats tell the noise");
}

#[test]
fn ctrl_c_leaves_a_run_marked_incomplete_that_no_reader_takes() {
    let scratch = Scratch::new("pipeline-interrupt");
    let args = with(
        &["measure", "quickstart"],
        &["workload.decode={ kind = \"constant\", num_tokens = 200 }", "--out", "run"],
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_fidelio"))
        .args(args)
        .current_dir(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let begun = scratch.join("run.partial/step_metrics.csv");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !begun.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.exists(), "the run begins");
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let status = child.wait().expect("it ends");
    let mut stderr = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut stderr).expect("text");
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("interrupted") && stderr.contains("run.partial"), "{stderr}");
    assert!(!scratch.join("run").exists());
    scratch.fidelio(&["summary", "run.partial"]).refused(&["interrupted run"]);
    let again = with(&["measure", "quickstart"], &["--repeats", "1", "--out", "run"]);
    scratch.fidelio(&again).refused(&["an interrupted run lies in", "--force"]);
    scratch.fidelio(&[&again[..], &["--force", "-q"]].concat()).expect(0);
    load_run_dir(&scratch.join("run")).expect("a whole run");
}

#[test]
fn a_prompt_cannot_be_longer_than_the_model_serves() {
    let scratch = Scratch::new("pipeline-rejected");
    let args = ["scheduler.max_model_len=20", "--repeats", "1", "--out", "run", "-q"];
    scratch.fidelio(&[&with(&["measure", "quickstart"], &[])[..], &args].concat()).expect(0);
    let run = load_run_dir(&scratch.join("run")).expect("a run");
    let rejected: Vec<_> = run.requests.iter().filter(|row| row.status == RequestStatus::Rejected).collect();
    assert!(
        !rejected.is_empty() && rejected.len() < run.requests.len(),
        "{} of {}",
        rejected.len(),
        run.requests.len()
    );
    assert!(rejected.iter().all(|row| row.error_msg.as_ref().is_some_and(|why| why.contains("max_model_len 20"))));
}

//! The command line with `backend=cuda`, end to end on the emulated GPU.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use super::device::{Shape, folder};
use crate::harness::{Ran, Scratch};

/// Runs the binary with the emulated GPU as the machine's.
fn on_gpu(scratch: &Scratch, libraries: &Path, memory_bytes: u64, args: &[&str]) -> Ran {
    let memory_bytes = memory_bytes.to_string();
    let variables = [
        ("XDG_CACHE_HOME", libraries.as_os_str()),
        ("FIDELIO_CUDA_LIBS", libraries.as_os_str()),
        ("EMULATED_GPU_MEMORY", OsStr::new(&memory_bytes)),
    ];
    scratch.fidelio_with(args, &variables)
}

/// A small model in a Hugging Face folder's shape file, and settings that keep the emulated GPU's work small.
fn settings() -> Vec<String> {
    let shape: serde_json::Map<String, Value> = serde_json::from_str(&Shape::SMALL.json()).unwrap();
    let mut settings: Vec<String> = shape.iter().map(|(key, value)| format!("model.config.{key}={value}")).collect();
    settings.extend(
        [
            "model.name=small",
            "workload.num_requests=6",
            "workload.requests.prefill={ kind = \"constant\", num_tokens = 20 }",
            "workload.requests.decode={ kind = \"constant\", num_tokens = 5 }",
            "scheduler.max_num_seqs=4",
            "scheduler.max_num_batched_tokens=32",
            "scheduler.max_model_len=64",
            "backend.warmup_requests=1",
            "backend.repeats=1",
            "profile.repeats=1",
            "profile.warmup_repeats=0",
            "profile.max_seconds=5.0",
        ]
        .map(str::to_owned),
    );
    settings
}

#[test]
fn the_whole_job_runs_on_the_gpu_with_one_number_of_blocks() {
    let Some(libraries) = folder() else { return };
    let scratch = Scratch::new("cuda-run");
    let settings = settings();
    let args: Vec<&str> =
        ["run", "qwen3-0.6b-gpu", "--json"].into_iter().chain(settings.iter().map(String::as_str)).collect();
    let ran = on_gpu(&scratch, libraries, 700 << 20, &args);
    assert!(ran.code == 0 || ran.code == 1, "{}\n{}", ran.stdout, ran.stderr);
    let meta = |kind: &str| -> Value {
        let mut runs = std::fs::read_dir(scratch.join("tmp").join(kind)).unwrap().flatten();
        let run = runs.find(|run| run.path().is_dir()).unwrap_or_else(|| panic!("no {kind}: {}", ran.stderr));
        serde_json::from_slice(&std::fs::read(run.path().join("run_meta.json")).unwrap()).unwrap()
    };
    let (real, simulated) = (meta("real_runs"), meta("sim_runs"));
    assert_eq!(real["hardware"]["name"], "Emulated GPU");
    assert_eq!(real["backend"], "cuda");
    assert!(real["results"]["telemetry"]["samples"].as_array().is_some_and(|samples| samples.len() >= 2), "{real:#}");
    let blocks = |run: &Value| run["params"]["scheduler"]["num_blocks"].as_u64().unwrap();
    assert!(blocks(&real) > 100, "sized from memory: {}", blocks(&real));
    assert_eq!(blocks(&real), blocks(&simulated));
}

#[test]
fn a_model_that_does_not_fit_ends_with_what_to_lower() {
    let Some(libraries) = folder() else { return };
    let scratch = Scratch::new("cuda-memory");
    let settings = settings();
    let args: Vec<&str> = ["measure", "qwen3-0.6b-gpu", "scheduler.num_blocks=100000"]
        .into_iter()
        .chain(settings.iter().map(String::as_str))
        .collect();
    let ran = on_gpu(&scratch, libraries, 300 << 20, &args);
    ran.refused(&["the GPU is out of memory", "the KV blocks need", "are free", "hint: lower scheduler.num_blocks"]);
}

#[test]
fn a_profile_of_other_settings_is_used_with_a_warning() {
    let Some(libraries) = folder() else { return };
    let scratch = Scratch::new("cuda-otherwise");
    let settings = settings();
    let run = |verb: &str, extra: &[&str]| {
        let args: Vec<&str> = [verb, "qwen3-0.6b-gpu"]
            .into_iter()
            .chain(settings.iter().map(String::as_str))
            .chain(extra.iter().copied())
            .collect();
        on_gpu(&scratch, libraries, 700 << 20, &args).expect(0)
    };
    run("profile", &["backend.cuda.graphs=false"]);
    let warned = run("simulate", &[]).stderr;
    assert!(warned.contains("warning: the profile was measured with `backend.cuda`"), "{warned}");
    let same = run("simulate", &["backend.cuda.graphs=false"]).stderr;
    assert!(!same.contains("warning"), "{same}");
}

#[test]
fn doctor_names_the_gpu() {
    let Some(libraries) = folder() else { return };
    let scratch = Scratch::new("cuda-doctor");
    let ran = on_gpu(&scratch, libraries, 1 << 30, &["doctor"]).expect(0);
    assert!(ran.stdout.contains("Emulated GPU"), "{}", ran.stdout);
}

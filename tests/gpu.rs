//! The GPU's backend as the command line has it, on machines without a GPU: settings, refusals, and what works all the same.

use std::fs;
use std::path::Path;

use fidelio::config::{ConfigRequest, CudaConfig, Experiment, resolve};
use fidelio_shared::schema::RunMeta;
use serde_json::{Value, json};

use crate::harness::Scratch;

const GPU: &str = "qwen3-0.6b-gpu";

fn resolved(overrides: &[&str]) -> Result<Experiment, fidelio::config::ConfigError> {
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    resolve(&ConfigRequest { experiment: GPU.to_owned(), overrides, ..ConfigRequest::default() })
}

/// The scheduler's blocks as a run recorded them.
fn recorded_blocks(run: &Path) -> Value {
    let bytes = fs::read(run.join("run_meta.json")).expect("metadata");
    RunMeta::read("run_meta.json", &bytes).expect("good metadata").params["scheduler"]["num_blocks"].clone()
}

/// A profile as the GPU would leave it: enough steps to fit, and metadata that says how many blocks there were.
fn fake_profile(dir: &Path, num_blocks: u64) {
    fs::create_dir_all(dir).expect("a folder");
    let header = "num_prefill_tokens,num_prefill_seqs,prefill_pairs,num_decode_seqs,context_tokens,num_sampled,\
                  num_repeats,host_ns,device_ns,device_min_ns,device_max_ns,is_held_out";
    let rows = "1,1,1,0,0,1,3,10000,900000,900000,900000,0\n2048,1,2098176,0,0,1,3,10000,9000000,9000000,9000000,0\n\
                0,0,0,1,100,1,3,10000,900000,900000,900000,0\n0,0,0,256,25600,256,3,10000,4000000,4000000,4000000,0\n";
    fs::write(dir.join("steps.csv"), format!("{header}\n{rows}")).expect("written");
    let meta = json!({
        "schema_version": "v1",
        "model": "qwen3-0.6b",
        "ended_at": "2026-01-01T00:00:00Z",
        "hardware": { "name": "A GPU nobody has", "hardware_id": "this-gpu" },
        "params": { "scheduler": { "num_blocks": num_blocks } },
    });
    fs::write(dir.join("run_meta.json"), meta.to_string()).expect("written");
}

#[test]
fn the_gpus_settings_have_defaults_and_go_with_the_gpu_only() {
    let experiment = resolved(&[]).expect("the preset");
    assert_eq!(experiment.backend.cuda, Some(CudaConfig::default()));
    assert_eq!((experiment.scheduler.num_blocks, experiment.scheduler.max_num_seqs), (0, 256));
    let said = resolved(&["backend.cuda.graphs=false", "backend.cuda.max_captured_seqs=64"]).expect("good");
    let expected = CudaConfig { graphs: false, max_captured_seqs: Some(64), ..CudaConfig::default() };
    assert_eq!(said.backend.cuda, Some(expected));
    let bare = ["backend=candle-cpu", "backend.kind=cuda", "backend.warmup_requests=1", "backend.repeats=1"];
    let bare = resolved(&bare).expect("good");
    assert_eq!(bare.params()["backend"]["cuda"]["graphs"], true, "what nobody said is recorded all the same");
    let params = resolved(&["backend=candle-cpu", "scheduler.num_blocks=9"]).expect("good").params();
    assert!(params["backend"].get("cuda").is_none(), "the CPU's runs say nothing of a GPU: {}", params["backend"]);
    for (setting, problem) in [
        ("backend.cuda.max_captured_seqs=0", "0 is not between 1 and 4096"),
        ("backend.cuda.graph=true", "there is no such key"),
    ] {
        let error = resolved(&[setting]).expect_err("a mistake").to_string();
        assert!(error.contains(problem) && error.contains("backend.cuda"), "{error}");
    }
    let other = resolved(&["backend=candle-cpu", "backend.cuda.graphs=true", "scheduler.num_blocks=9"]);
    let error = other.expect_err("the CPU has no graphs");
    assert!(error.to_string().contains("does not go with backend `candle-cpu`"), "{error}");
    let uncounted = resolved(&["backend=candle-cpu"]).expect_err("nothing counts the CPU's blocks");
    assert!(uncounted.to_string().contains("scheduler.num_blocks"), "{uncounted}");
}

#[test]
fn without_a_gpu_the_verbs_that_compute_say_what_is_missing_before_they_do_anything() {
    let scratch = Scratch::new("gpu-refused");
    // Asked in a process of its own: the emulated GPU may be open in this one.
    if scratch.fidelio(&["doctor", "--json"]).expect(0).json()[3]["is_there"] == true {
        eprintln!("SKIPPED: this machine has a GPU");
        return;
    }
    for verb in ["measure", "profile", "run"] {
        let ran = scratch.fidelio(&[verb, GPU]).refused(&["`backend=cuda` cannot be used on this machine", "hint: "]);
        assert_eq!(ran.stderr.matches("caused by: ").count(), 1, "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    }
    assert!(!scratch.join("tmp").exists(), "no workload is drawn for an engine that is not there");
}

#[test]
fn a_simulation_alone_takes_its_blocks_from_the_profile_or_from_a_known_memory() {
    let scratch = Scratch::new("gpu-blocks");
    let small = ["workload.num_requests=20", "-q"];
    let simulate = |extra: &[&str]| scratch.fidelio(&[&["simulate", GPU], &small[..], extra].concat());
    fake_profile(&scratch.join("counted"), 4_321);
    let run = scratch.join(&simulate(&["--profile", "counted"]).expect(0).path().display().to_string());
    assert_eq!(recorded_blocks(&run), 4_321);
    let summary = fs::read_to_string(run.join("summary.md")).expect("a summary");
    assert!(summary.contains("A GPU nobody has"), "what was profiled is what is predicted: {summary}");
    let said = simulate(&["--profile", "counted", "scheduler.num_blocks=2000"]).expect(0).path();
    assert_eq!(recorded_blocks(&scratch.join(&said.display().to_string())), 2_000);
    fake_profile(&scratch.join("uncounted"), 0);
    simulate(&["--profile", "uncounted"]).refused(&["nothing here tells how many", "scheduler.num_blocks=N"]);
    let known = simulate(&["latency=roofline", "hardware=h200"]).expect(0).path();
    let blocks = recorded_blocks(&scratch.join(&known.display().to_string())).as_u64();
    assert!(blocks.is_some_and(|blocks| blocks > 50_000), "{blocks:?}");
}

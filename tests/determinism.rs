//! Same inputs, same bytes: workloads, simulations, comparisons and bundles made twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fidelio_shared::latency::{BatchShape, StepProfile, StepProfileRow};
use fidelio_shared::time::Nanos;

use crate::harness::{Scratch, fixture_arg};

/// A made-up profile of the quickstart model, so that simulating needs no measuring.
pub fn write_profile(dir: &Path, model: &str) {
    let row = |tokens: u64, decodes: u64, context: u64| {
        let shape = BatchShape {
            num_prefill_tokens: tokens,
            num_prefill_seqs: u64::from(tokens > 0),
            prefill_pairs: tokens * (tokens + 1) / 2 + tokens * context,
            num_decode_seqs: decodes,
            context_tokens: decodes * context,
            num_sampled: decodes + u64::from(tokens > 0),
            ..BatchShape::default()
        };
        let device =
            Nanos(2_000_000 + 40_000 * shape.num_tokens() + 30 * shape.context_tokens + 5 * shape.prefill_pairs);
        StepProfileRow {
            shape,
            num_repeats: 1,
            host: Nanos(60_000 + 500 * decodes),
            device,
            device_min: device,
            device_max: device,
            is_held_out: false,
        }
    };
    let mut profile = StepProfile::default();
    for tokens in [1, 4, 16, 64, 256] {
        profile.rows.extend([row(tokens, 0, 0), row(tokens, 0, 1_700)]);
    }
    for decodes in [1, 4, 16] {
        profile.rows.extend([row(0, decodes, 10), row(0, decodes, 2_000)]);
    }
    fs::create_dir_all(dir).expect("a directory");
    profile.write(fs::File::create(dir.join("steps.csv")).expect("a file")).expect("written");
    let meta = serde_json::json!({ "run_type": "vidur_profile", "model": model });
    fs::write(dir.join("run_meta.json"), meta.to_string()).expect("written");
}

/// Every file below `dir` but the metadata documents, which hold the clock.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below").display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !name.ends_with("_meta.json") {
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

/// The metadata without the fields that hold the clock.
fn meta_without_clock(path: &Path) -> serde_json::Value {
    let mut meta: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("metadata")).expect("JSON");
    let object = meta.as_object_mut().expect("an object");
    for field in ["created_at", "started_at", "ended_at"] {
        object.remove(field);
    }
    meta
}

#[test]
fn workload_and_simulation_made_twice_are_the_same_bytes() {
    let (a, b) = (Scratch::new("twice-a"), Scratch::new("twice-b"));
    for scratch in [&a, &b] {
        write_profile(&scratch.join("profile"), "qwen3-30m");
        scratch.fidelio(&["workload", "quickstart", "--out", "workload"]).expect(0);
        let simulate = ["simulate", "quickstart", "--workload", "workload", "--profile", "profile", "--out", "sim"];
        scratch.fidelio(&simulate).expect(0);
    }
    for part in ["workload", "sim"] {
        let (first, second) = (contents(&a.join(part)), contents(&b.join(part)));
        assert!(first.len() >= 3, "{part} has its files: {:?}", first.keys());
        assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
        for (name, bytes) in &first {
            assert!(bytes == &second[name], "{part}/{name} differs");
        }
    }
    for meta in ["workload/workload_meta.json", "sim/run_meta.json"] {
        assert_eq!(meta_without_clock(&a.join(meta)), meta_without_clock(&b.join(meta)), "{meta}");
    }
    let again = ["simulate", "quickstart", "--workload", "workload", "--profile", "profile", "--out", "sim"];
    assert!(a.fidelio(&again).expect(0).stderr.contains("reusing"));
    fs::write(a.join("sim/token_metrics.csv"), "").expect("written");
    a.fidelio(&again).refused(&["is damaged", "--force"]);
    let different = a.fidelio(&["workload", "quickstart", "seed=43", "--out", "other"]).expect(0);
    assert_ne!(contents(&a.join("workload")), contents(&a.join("other")), "{}", different.stdout);
}

#[test]
fn a_bundle_made_twice_is_the_same_file() {
    let scratch = Scratch::new("bundle-twice");
    let [real, sim] = ["real_run", "vidur_run"].map(|part| fixture_arg(&format!("qwen3_a100_spaced/{part}")));
    scratch.fidelio(&["compare", "--real", &real, "--sim", &sim, "--allow-mismatch", "--out", "c"]).expect(0);
    for out in ["one.zip", "two.zip"] {
        scratch.fidelio(&["bundle", "c", "--out", out]).expect(0);
    }
    let [one, two] = ["one.zip", "two.zip"].map(|name| fs::read(scratch.join(name)).expect("a bundle"));
    assert!(one == two, "the bundles differ");
}

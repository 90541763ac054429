//! Our kernels through NVIDIA's own compiler, for every architecture it is asked for; no GPU is needed for that.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fidelio::engine::cuda::{KernelShape, LIBRARIES_VARIABLE, compile, has_compiler};
use fidelio::engine::qwen3::Qwen3Config;

/// Set in the process that compiles: this one may have the emulated compiler open under the same name.
const COMPILE_HERE: &str = "FIDELIO_TEST_COMPILE_HERE";

/// Compiled; those tuned for may not spill.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_90", "sm_100", "sm_120"];
const TARGETS: [&str; 2] = ["sm_80", "sm_90"];

/// Folder of the compiler's library: `FIDELIO_NVRTC`, or where `.ci/setup.sh nvrtc` puts it.
fn compiler() -> Option<PathBuf> {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/cuda/nvidia/cu13/lib");
    let folder = std::env::var_os("FIDELIO_NVRTC").map_or_else(installed, PathBuf::from);
    if folder.join("libnvrtc.so.13").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: kernels were not compiled: no NVRTC in `{}`; `.ci/setup.sh nvrtc` brings it", folder.display());
    None
}

/// Qwen3 as published: 0.6B and 8B.
fn published() -> [(&'static str, Qwen3Config); 2] {
    let config = |hidden: usize, intermediate: usize, layers: usize, heads: usize| {
        Qwen3Config::from_json(&format!(
            r#"{{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": {hidden}, "intermediate_size": {intermediate},
            "num_hidden_layers": {layers}, "num_attention_heads": {heads}, "num_key_value_heads": 8, "head_dim": 128,
            "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": true, "max_position_embeddings": 40960}}"#
        ))
        .unwrap()
    };
    [("Qwen3-0.6B", config(1024, 3072, 28, 16)), ("Qwen3-8B", config(4096, 12288, 36, 32))]
}

#[test]
fn kernels_compile_for_every_architecture_without_spilling() {
    if std::env::var_os(COMPILE_HERE).is_some() {
        return compile_all();
    }
    let Some(folder) = compiler() else { return };
    let name = "cuda::compiling::kernels_compile_for_every_architecture_without_spilling";
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(COMPILE_HERE, "1")
        .env(LIBRARIES_VARIABLE, &folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    // Past the capture of the test's output: these figures belong in the log of every run.
    let _ = std::io::stderr().write_all(said.as_bytes());
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("sm_90 decode_attention: "), "nothing was compiled: {said}");
}

fn compile_all() {
    assert!(has_compiler(), "the compiler is there but cannot be opened");
    for (model, config) in published() {
        let shape = KernelShape::new(&config, 16).unwrap();
        for architecture in ARCHITECTURES {
            let compiled = compile(&shape, architecture, None).unwrap_or_else(|error| panic!("{error}"));
            assert!(compiled.cubin.starts_with(b"\x7fELF"), "{architecture}: not machine code");
            let kernels = resources(&compiled.log);
            assert!(kernels.len() >= 15, "{architecture}: the compiler reports {} kernels", kernels.len());
            for (kernel, registers, spilled_bytes, shared_bytes) in kernels {
                println!(
                    "{model} {architecture} {kernel}: {registers} registers, {spilled_bytes} spilled, {shared_bytes} shared"
                );
                assert!(
                    spilled_bytes == 0 || !TARGETS.contains(&architecture),
                    "{model}, {architecture}: {kernel} spills"
                );
            }
        }
    }
}

/// Name, registers, spilled bytes and static shared bytes of each kernel in the compiler's report.
fn resources(log: &str) -> Vec<(String, u32, u32, u32)> {
    let number_before = |line: &str, what: &str| -> u32 {
        let before = line.split(what).next().unwrap_or_default();
        before.split([' ', ',']).filter_map(|word| word.parse().ok()).next_back().unwrap_or(0)
    };
    let mut kernels = Vec::new();
    let (mut name, mut spilled) = (String::new(), 0);
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            name = rest.split('\'').next().unwrap_or_default().to_owned();
        } else if line.contains("spill stores") {
            spilled = number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
        } else if line.contains("Used ") && line.contains(" registers") {
            let shared = if line.contains(" bytes smem") { number_before(line, " bytes smem") } else { 0 };
            kernels.push((std::mem::take(&mut name), number_before(line, " registers"), spilled, shared));
        }
    }
    kernels
}

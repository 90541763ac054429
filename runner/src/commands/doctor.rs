//! `fidelio doctor`: what this machine has, and what each missing thing disables.

use serde::Serialize;
use serde_json::json;

use crate::commands::{Outcome, meta};
#[cfg(feature = "cuda")]
use crate::engine::cuda;
use crate::workload::PromptTokenizer;
use crate::{machine, site};

/// One thing that was looked for.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    what: &'static str,
    is_there: bool,
    detail: String,
}

/// Looks at the machine and this build; never fails because something is missing.
pub fn doctor() -> Outcome {
    let mut findings = vec![processor(), memory()];
    findings.extend(gpu());
    findings.extend([tokenizer(), viewer(), build()]);
    let mut text = String::new();
    for finding in &findings {
        let mark = if finding.is_there { "ok     " } else { "missing" };
        text.push_str(&format!("{mark}  {:<10} {}\n", finding.what, finding.detail));
    }
    Outcome::new(text.trim_end(), json!(findings))
}

fn processor() -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Finding { what: "processor", is_there: true, detail: format!("{}, {threads} threads", machine::processor()) }
}

fn memory() -> Finding {
    let detail = match machine::memory_bytes() {
        Some(bytes) => format!("{:.1} GiB; qwen3-0.6b needs about 4 GiB", bytes as f64 / (1u64 << 30) as f64),
        None => "the operating system does not say how much there is".to_owned(),
    };
    Finding { what: "memory", is_there: true, detail }
}

/// Without its engine nothing is looked for.
#[cfg(not(feature = "cuda"))]
fn gpu() -> [Finding; 1] {
    let detail = "not looked for: this build does not have `backend=cuda`, so it is disabled; the default features do";
    [Finding { what: "gpu", is_there: false, detail: detail.to_owned() }]
}

/// Driver, device, compiler and matrix library: `backend=cuda` needs all four.
#[cfg(feature = "cuda")]
fn gpu() -> [Finding; 4] {
    const DISABLED: &str = "so `backend=cuda` is disabled";
    let device = cuda::device();
    let has_driver = cuda::has_driver();
    let driver = match (&device, has_driver) {
        (Ok(device), _) => {
            let version = device.driver_cuda_version;
            Ok(format!("takes CUDA up to {}.{}", version / 1_000, version % 1_000 / 10))
        }
        (Err(_), true) => Ok("is here".to_owned()),
        (Err(missing), false) => Err(format!("{}, {DISABLED}; {}", missing.problem, missing.hint)),
    };
    let device = match device {
        Ok(device) => match cuda::usable(&device) {
            Ok(()) => Ok(device_words(&device)),
            Err(refused) => Err(format!("{}, {DISABLED}; {}", refused.problem, refused.hint)),
        },
        Err(refused) if has_driver => Err(format!("{}, {DISABLED}; {}", refused.problem, refused.hint)),
        Err(_) => Err(format!("no driver tells of one, {DISABLED}")),
    };
    let library = |is_there: bool, does: &str, package: &str| match is_there {
        true => Ok(does.to_owned()),
        false => {
            let place = cuda::LIBRARIES_VARIABLE;
            Err(format!("{does}, {DISABLED}; `pip install {package}` has it, and {place} may name its folder"))
        }
    };
    let compiler = library(cuda::has_compiler(), "compiles the GPU's kernels", "nvidia-cuda-nvrtc");
    let matrices = library(cuda::has_matrix_library(), "multiplies large matrices on the GPU", "nvidia-cublas");
    [("gpu driver", driver), ("gpu", device), ("nvrtc", compiler), ("cublaslt", matrices)]
        .map(|(what, found)| Finding { what, is_there: found.is_ok(), detail: found.unwrap_or_else(|missing| missing) })
}

#[cfg(feature = "cuda")]
fn device_words(device: &cuda::CudaDevice) -> String {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let (major, minor) = device.compute_capability;
    format!(
        "{}, compute capability {major}.{minor}, {:.1} GiB of memory, {:.1} free",
        device.name,
        gib(device.memory_bytes),
        gib(device.free_bytes)
    )
}

fn tokenizer() -> Finding {
    match PromptTokenizer::load("builtin:qwen3") {
        Ok(tokenizer) => Finding {
            what: "tokenizer",
            is_there: true,
            detail: format!("built-in Qwen3, {} tokens", tokenizer.vocab_size()),
        },
        Err(error) => Finding {
            what: "tokenizer",
            is_there: false,
            detail: format!("{error:#}; workloads from prompts are disabled"),
        },
    }
}

fn viewer() -> Finding {
    if site::check_built_in().is_ok() {
        return Finding { what: "viewer", is_there: true, detail: "built in".to_owned() };
    }
    Finding {
        what: "viewer",
        is_there: false,
        detail: "not built into this binary, so `fidelio view` is disabled; `make build` builds it in".to_owned(),
    }
}

fn build() -> Finding {
    let profile =
        if cfg!(debug_assertions) { "debug build: timings of a real run will be slow" } else { "release build" };
    let commit = meta::git_commit().unwrap_or_else(|| "commit unknown".to_owned());
    Finding {
        what: "build",
        is_there: true,
        detail: format!("fidelio {}, {profile}, {commit}", env!("CARGO_PKG_VERSION")),
    }
}

//! `fidelio doctor`: what this machine has, and what each missing thing disables.

use serde::Serialize;
use serde_json::json;

use crate::commands::{Outcome, meta};
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
    let findings = [processor(), memory(), gpu(), tokenizer(), viewer(), build()];
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

fn gpu() -> Finding {
    let version = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    match version.lines().next() {
        Some(line) => {
            Finding { what: "gpu", is_there: true, detail: format!("{line}; this version measures on the CPU only") }
        }
        None => Finding {
            what: "gpu",
            is_there: false,
            detail: "no NVIDIA driver; this version measures on the CPU only, so nothing is disabled".to_owned(),
        },
    }
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
    if site::is_built_in() {
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

//! The bundle under test, made by the binary under test, and `fidelio view` of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::process::{Running, root, scratch};

/// A bundle under test, made once, and what the binary says of it.
pub struct Sample {
    pub bundle: PathBuf,
    pub comparison: Value,
}

impl Sample {
    /// The published A100 runs: eight requests, token times, no engine steps.
    pub fn get() -> &'static Sample {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(|| {
            let data = root().join("tests/fixtures/qwen3_a100_spaced");
            let workload = format!("--workload={}", data.join("workload").display());
            Sample::make("spaced", &[data.join("real_run")], &data.join("vidur_run"), &[workload])
        })
    }

    /// 300 requests with engine steps, two repeats: simulations under three host overheads, the first two taken for real.
    pub fn engine() -> &'static Sample {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(|| {
            let dir = scratch("engine-runs");
            let [real, repeat, sim] = ["600", "620", "300"].map(|host_us| {
                let out = dir.join(format!("host-{host_us}"));
                let settings = ["workload.num_requests=300", "workload.arrivals.rate_rps=6", "workload.seed=5"];
                let mut arguments = vec!["simulate".to_owned(), "llama3-8b-a100".to_owned()];
                arguments.extend(settings.map(str::to_owned));
                let places = [format!("--out={}", out.display()), format!("--root={}", dir.display())];
                arguments.push(format!("latency.host_us={host_us}"));
                arguments.extend(places);
                fidelio(&arguments);
                out
            });
            Sample::make("engine", &[real, repeat], &sim, &[])
        })
    }

    fn make(name: &str, real: &[PathBuf], sim: &Path, more: &[String]) -> Sample {
        let dir = scratch(&format!("sample-{name}"));
        let (comparison, bundle) = (dir.join("comparison"), dir.join(format!("{name}.zip")));
        let mut arguments = vec!["compare".to_owned(), "--allow-mismatch".to_owned()];
        arguments.extend(real.iter().map(|run| format!("--real={}", run.display())));
        arguments.extend([format!("--sim={}", sim.display()), format!("--out={}", comparison.display())]);
        arguments.extend_from_slice(more);
        fidelio(&arguments);
        fidelio(&["bundle".to_owned(), comparison.display().to_string(), format!("--out={}", bundle.display())]);
        let bytes = std::fs::read(comparison.join("comparison.json")).expect("comparison.json");
        Sample { bundle, comparison: serde_json::from_slice(&bytes).expect("JSON") }
    }
}

/// Runs the binary, which must succeed.
pub fn fidelio(arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_fidelio")).args(arguments).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "fidelio {arguments:?}: {stderr}");
}

/// `fidelio view`.
pub struct View {
    _process: Running,
    pub url: String,
}

impl View {
    /// Of one bundle.
    pub fn of(bundle: &Path) -> View {
        View::of_all(&[bundle])
    }

    /// Of any number of them, also none.
    pub fn of_all(bundles: &[&Path]) -> View {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
        command.arg("view").args(bundles).arg("--no-open");
        let (process, url) = Running::start(&mut command, "`make viewer` builds the site", |line| {
            line.starts_with("http://127.0.0.1:").then(|| line.trim().to_owned())
        });
        View { _process: process, url }
    }

    /// The bare site, ending in a slash.
    pub fn site(&self) -> String {
        self.url.split('#').next().unwrap_or_default().to_owned()
    }

    /// Where the first bundle lies, from the site's root.
    pub fn path(&self) -> String {
        let after = self.url.split("#bundle=").nth(1).unwrap_or_default();
        after.split('&').next().unwrap_or_default().to_owned()
    }
}

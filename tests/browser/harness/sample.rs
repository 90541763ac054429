//! The bundle under test, made by the binary under test, and `fidelio view` of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::process::{Running, root, scratch};

/// The bundle of the published A100 runs, made once.
pub struct Sample {
    pub bundle: PathBuf,
    pub comparison: Value,
}

impl Sample {
    pub fn get() -> &'static Sample {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(Sample::make)
    }

    fn make() -> Sample {
        let data = root().join("tests/fixtures/qwen3_a100_spaced");
        let dir = scratch("sample");
        let (comparison, bundle) = (dir.join("comparison"), dir.join("spaced.zip"));
        let path = |path: &Path| path.to_str().expect("Unicode").to_owned();
        fidelio(&[
            "compare".to_owned(),
            format!("--real={}", path(&data.join("real_run"))),
            format!("--sim={}", path(&data.join("vidur_run"))),
            format!("--workload={}", path(&data.join("workload"))),
            "--allow-mismatch".to_owned(),
            format!("--out={}", path(&comparison)),
        ]);
        fidelio(&["bundle".to_owned(), path(&comparison), format!("--out={}", path(&bundle))]);
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

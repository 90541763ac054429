//! The big bundles: two simulations of one workload, compared as if the first were real. Made once, by the binary itself.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of a bundle.
#[derive(Clone, Copy)]
pub struct Size {
    pub name: &'static str,
    num_requests: u32,
}

/// 1.0 million token rows a side.
pub const MILLION: Size = Size { name: "1m", num_requests: 4_920 };
/// 10.4 million token rows a side.
pub const TEN_MILLION: Size = Size { name: "10m", num_requests: 51_000 };

impl Size {
    /// The bundle, kept below `target` from one benchmark to the next.
    pub fn bundle(self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("viewer-bench");
        let bundle = folder.join(format!("{}.zip", self.name));
        if !bundle.is_file() {
            eprintln!("making {} of {} requests", bundle.display(), self.num_requests);
            let work = folder.join(self.name);
            let _ = std::fs::remove_dir_all(&work);
            std::fs::create_dir_all(&work).expect("a directory below target");
            let requests = format!("workload.num_requests={}", self.num_requests);
            let simulate = ["simulate", "llama3-8b-a100", &requests, "workload.arrivals.rate_rps=8"];
            fidelio(&work, &[&simulate[..], &["--out", "real"]].concat());
            fidelio(&work, &[&simulate[..], &["latency.host_us=300", "--out", "sim"]].concat());
            fidelio(&work, &["compare", "--real", "real", "--sim", "sim", "--allow-mismatch", "--out", "comparison"]);
            fidelio(&work, &["bundle", "comparison", "--out", "bundle.zip"]);
            std::fs::rename(work.join("bundle.zip"), &bundle).expect("moved");
            std::fs::remove_dir_all(&work).expect("removed");
        }
        bundle
    }
}

fn fidelio(folder: &Path, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_fidelio")).args(arguments).current_dir(folder).output();
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "fidelio {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

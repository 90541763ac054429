//! Bundles: a comparison and its inputs in one zip. The viewer and `verify` are pure functions of these bytes.

mod bare;
mod reader;
mod verify;
mod writer;

pub use reader::BundleReader;
pub use verify::{Verification, verify};
pub use writer::BundleWriter;

/// Folder of the comparison inside a bundle.
pub const COMPARISON: &str = "comparison";
/// Folder of the compared real run; repeats are `real_run_2`, `real_run_3`, ….
pub const REAL_RUN: &str = "real_run";
/// Folder of the simulated run.
pub const SIM_RUN: &str = "sim_run";
/// Folder of the workload.
pub const WORKLOAD: &str = "workload";
/// Name of the first entry.
pub const MANIFEST: &str = "manifest.json";

/// Entries in a bundle, at most: more is not a bundle.
pub const MAX_ENTRIES: usize = 4096;
/// Uncompressed size of all entries together, at most: beyond it a zip is taken for a bomb.
pub const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Folder of the `index`-th real run, from 0.
pub fn real_run_name(index: usize) -> String {
    if index == 0 { REAL_RUN.to_owned() } else { format!("{REAL_RUN}_{}", index + 1) }
}

//! Operation by operation: Vidur's profiling roots read, and a predictor fitted to each operation's samples.

mod context;
mod coordinates;
mod failed;
mod floor;
mod grid;
mod kriging;
mod operation;
mod predictor;
mod profile;
#[cfg(test)]
mod tests;
mod trees;
mod tuning;

pub use context::{OperationContext, OperationShape, num_multiprocessors};
pub use failed::{SetAside, set_failed_aside};
pub use operation::{Axes, Operation, ProfileFile};
pub use predictor::Predictor;
pub use profile::{CpuOverheadFilter, OperationProfile, ProfileFilter};

/// One measurement of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Sizes, in the order of [`Operation::axes`].
    pub x: [f64; 2],
    /// Median time of the repeats, ms.
    pub time: f64,
    /// Standard deviation of the repeats, ms, where the file has it.
    pub std: Option<f64>,
    /// Line of the file.
    pub line: u64,
}

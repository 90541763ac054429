//! Statistics of a comparison: exact quantiles, distances, sample floors, verdicts. Same bits natively and in wasm.

mod bins;
mod distance;
mod kendall;
mod quantile;
mod verdict;
mod windows;

pub use bins::quartile_bins;
pub use distance::{kolmogorov_smirnov, wasserstein};
pub use kendall::kendall_tau;
pub use quantile::{CentiNanos, Percentile, Sorted};
pub use verdict::{Evidence, Verdict, judge, sample_floor};
pub use windows::{Trend, mser5, trend};

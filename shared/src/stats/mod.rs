//! Statistics of a comparison: exact quantiles, intervals, distances, sample floors, verdicts. Same bits natively and in wasm.

mod bins;
mod block_length;
mod bootstrap;
mod clusters;
mod distance;
mod interval;
mod kendall;
mod laws;
#[cfg(test)]
mod peers;
mod quantile;
mod verdict;
mod windows;

pub use bins::quartile_bins;
pub use block_length::block_length;
pub use bootstrap::{Blocks, BootstrapOptions, Resamples, resample};
pub use clusters::Clusters;
pub use distance::{Wasserstein, kolmogorov_smirnov, wasserstein};
pub(crate) use interval::interpolate;
pub use interval::{Interval, percentile_interval, simultaneous_band};
pub use kendall::kendall_tau;
pub use laws::{normal_quantile, student_quantile};
pub use quantile::{CentiNanos, Percentile, Sorted};
pub use verdict::{Doubt, Evidence, Judgement, Verdict, judge, sample_floor};
pub use windows::{Trend, mser5, trend};

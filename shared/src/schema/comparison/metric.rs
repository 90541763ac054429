//! One metric in `comparison.json`: percentiles with intervals, distances, curves, pairs.

use serde::{Deserialize, Serialize};

use crate::metrics::Metric;
use crate::stats::{Blocks, CentiNanos, Doubt, Percentile, Verdict};

/// One metric on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// Which; every time below is in nanoseconds.
    pub metric: Metric,
    /// Requests behind it (tokens of one request are not independent).
    pub num_requests: usize,
    /// Values behind it on each side: requests, or gaps for ITL.
    pub num_values: usize,
    /// The real side.
    pub real: Summary,
    /// The simulated side.
    pub sim: Summary,
    /// One row a percentile.
    pub percentiles: Vec<PercentileRow>,
    /// Kolmogorov-Smirnov D, 0..=1.
    pub ks: f64,
    /// Wasserstein-1, ns.
    pub wasserstein_ns: f64,
    /// Wasserstein-1 over the real mean; `None` when that is zero.
    pub wasserstein_rel: Option<f64>,
    /// The part of it where the simulation is the slower, ns.
    #[serde(default)]
    pub wasserstein_slower_ns: f64,
    /// The part of it where the simulation is the faster, ns; slower - faster is the difference of the means.
    #[serde(default)]
    pub wasserstein_faster_ns: f64,
    /// The means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<MeanRow>,
    /// How the intervals were made; `None` with too few pairs for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Blocks>,
    /// Quantile curves on one grid of fractions, for the CDF.
    pub curve: Curve,
    /// How far each quantile is shifted, with a band; `None` with too few pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<ShiftCurve>,
    /// Request by request; `None` for ITL, which has no one value a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairErrors>,
}

/// Moments and range of one side, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean.
    pub mean: CentiNanos,
    /// Median.
    pub median: CentiNanos,
    /// Smallest.
    pub min: CentiNanos,
    /// Largest.
    pub max: CentiNanos,
}

/// One percentile of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PercentileRow {
    /// `p50`, `p99.9`.
    pub label: String,
    /// The fraction, in hundredths of a percent.
    pub percentile: Percentile,
    /// Real, ns.
    pub real_ns: CentiNanos,
    /// Simulated, ns.
    pub sim_ns: CentiNanos,
    /// Simulated - real, ns.
    pub diff_ns: CentiNanos,
    /// (simulated - real) / real, signed; `None` when real is zero.
    pub rel_error: Option<f64>,
    /// The interval of the difference and of the relative error; `None` with too few pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ErrorInterval>,
    /// Largest relative difference between two repeats of the real run; `None` with one run.
    pub noise_rel: Option<f64>,
    /// Root mean square of the relative differences of all two repeats: what an error of one run against another
    /// would be if both were real.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_rms: Option<f64>,
    /// |relative error| / that; `None` without noise.
    pub noise_multiple: Option<f64>,
    /// Requests needed before a verdict may be given.
    pub sample_floor: u32,
    /// There are fewer; *outside* was said because every request is.
    #[serde(default)]
    pub is_below_floor: bool,
    /// More requests that a verdict needs, by the floor or by the interval; 0 when there is one, `None` when
    /// more would not help.
    pub num_more_needed: Option<u32>,
    /// What is known against the tolerance.
    pub verdict: Verdict,
    /// Why nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

/// The mean on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanRow {
    /// Simulated - real, ns.
    pub diff_ns: CentiNanos,
    /// (simulated - real) / real; `None` when real is zero.
    pub rel_error: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ErrorInterval>,
}

/// Where the truth of a difference lies, with the confidence of the comparison's options.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorInterval {
    /// Lower end of simulated - real, ns.
    pub diff_low_ns: CentiNanos,
    /// Upper end of simulated - real, ns.
    pub diff_high_ns: CentiNanos,
    /// Lower end of the relative error; `None` when real is zero.
    pub rel_low: Option<f64>,
    /// Upper end of the relative error; `None` when real is zero.
    pub rel_high: Option<f64>,
}

/// The shift function (Doksum 1974): simulated - real at each quantile, with a band that holds all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShiftCurve {
    /// Ascending, inside (0, 1).
    pub fractions: Vec<f64>,
    /// Simulated - real, ns.
    pub shift_ns: Vec<CentiNanos>,
    /// Lower edge of the band, ns.
    pub low_ns: Vec<CentiNanos>,
    /// Upper edge of the band, ns.
    pub high_ns: Vec<CentiNanos>,
}

/// The requests one by one, each against itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairErrors {
    /// Pairs with a real value above zero.
    pub num_pairs: usize,
    /// Share of them whose relative error is inside the tolerance.
    pub share_within: f64,
    /// Fractions of `rel_errors`, ascending, 0 to 1.
    pub fractions: Vec<f64>,
    /// Quantiles of the signed relative errors.
    pub rel_errors: Vec<f64>,
    /// Differences against magnitude.
    pub bland_altman: BlandAltman,
}

/// Bland and Altman (1986): is there a bias, how wide do differences scatter, do they grow with the value?
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlandAltman {
    /// Mean of simulated - real, ns.
    pub bias_ns: f64,
    /// Standard deviation of simulated - real, ns.
    pub deviation_ns: f64,
    /// Lower limit of agreement, bias - 1.96 deviations, ns.
    pub low_ns: f64,
    /// Upper limit of agreement, ns.
    pub high_ns: f64,
    /// Slope of the difference over the mean of both sides; `None` when all means are the same.
    pub slope: Option<f64>,
}

/// Type-7 quantiles of both sides on one grid: `fractions[i]` of the values lie below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Ascending, first 0, last 1.
    pub fractions: Vec<f64>,
    /// Real, ns.
    pub real_ns: Vec<CentiNanos>,
    /// Simulated, ns.
    pub sim_ns: Vec<CentiNanos>,
}

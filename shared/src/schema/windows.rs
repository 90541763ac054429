//! Windows in `comparison.json`: warm-up, steady part and drain of a run, and the percentiles of the steady part.

use serde::{Deserialize, Serialize};

use crate::metrics::Metric;
use crate::stats::{CentiNanos, Percentile};

/// The windows of the real run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Whether the run has a steady part, and when.
    pub steady: SteadyState,
    /// Arrival of the first compared request, ns.
    pub first_arrival_ns: u64,
    /// Arrival of the last one: after it the run only drains, ns.
    pub last_arrival_ns: u64,
    /// Last completion of the real run, ns.
    pub real_end_ns: u64,
    /// Last completion of the simulated run, ns.
    pub sim_end_ns: u64,
    /// Headline metrics of the requests that arrived in the steady part; empty without one.
    pub metrics: Vec<WindowedMetric>,
}

/// Whether a run has a steady part. That it has none is an answer too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SteadyState {
    /// It has.
    Found {
        /// Arrival of its first request, ns.
        from_ns: u64,
        /// Arrival of its last request, ns.
        to_ns: u64,
        /// Requests that arrived in it.
        num_requests: usize,
    },
    /// It has none.
    None {
        /// Why.
        reason: Unsteady,
    },
}

/// Why a run has no steady part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsteady {
    /// Nothing can be told of so few requests.
    TooFew {
        /// Requests there.
        num_requests: usize,
        /// Requests needed.
        num_needed: usize,
    },
    /// All requests arrive at one instant: the whole run is drain.
    OneInstant,
    /// The warm-up reaches into the second half of the requests.
    LongWarmUp {
        /// What had not settled.
        series: Series,
    },
    /// After the warm-up it still moves.
    Trend {
        /// What moves.
        series: Series,
        /// How far over the window, as a share of its mean: positive rises.
        rise: f64,
    },
}

/// What is looked at, in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// Requests in the system when one arrives.
    NumInSystem,
    /// TTFT.
    Ttft,
}

impl Series {
    /// In a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Series::NumInSystem => "the number of requests in the system",
            Series::Ttft => "TTFT",
        }
    }
}

/// One metric over the requests of the steady part, the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowedMetric {
    /// Which.
    pub metric: Metric,
    /// Values on each side.
    pub num_values: usize,
    /// One row a percentile.
    pub percentiles: Vec<WindowedRow>,
}

/// One percentile over the steady part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowedRow {
    /// The fraction.
    pub percentile: Percentile,
    /// Real, ns.
    pub real_ns: CentiNanos,
    /// Simulated, ns.
    pub sim_ns: CentiNanos,
    /// (simulated - real) / real; `None` when real is zero.
    pub rel_error: Option<f64>,
}

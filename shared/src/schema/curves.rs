//! Curves in `comparison.json`: how full both systems were over time, on one clock.

use serde::{Deserialize, Serialize};

/// Means over bins of equal width; bin `i` of every list is `from_ns + i * bin_ns .. from_ns + (i + 1) * bin_ns`, for
/// both runs. Values are rounded to thousandths; a list is empty where the run does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// First arrival or step, ns since the runs began.
    pub from_ns: u64,
    /// Width of a bin, ns.
    pub bin_ns: u64,
    /// The real run.
    pub real: SideCurves,
    /// The simulated run.
    pub sim: SideCurves,
}

/// Where the curves of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveSource {
    /// Engine steps: a count holds until the next step of its replica, or until it is idle.
    Steps,
    /// Arrival, first scheduled and completion of requests: a preempted one counts as running.
    #[default]
    Stamps,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideCurves {
    /// Of all but `num_in_system`.
    pub source: CurveSource,
    /// Requests arrived and not complete, from request stamps whatever the source.
    pub num_in_system: Vec<f64>,
    /// Sequences running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub num_running: Vec<f64>,
    /// Sequences waiting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub num_waiting: Vec<f64>,
    /// KV blocks in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kv_blocks_used: Vec<f64>,
    /// Tokens in the step at work, prefill and decode; 0 when none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_tokens: Vec<f64>,
}

//! What comes back: small enough to cross from a worker to a page, and what figures are drawn from.

use serde::{Deserialize, Serialize};

use crate::explore::questions::WhatIf;
use crate::metrics::Metric;
use crate::schema::comparison::{Curve, Summary};
use crate::stats::{CentiNanos, Percentile};

/// What the raw rows hold, once they are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Requests of the workload.
    pub num_requests: usize,
    /// Output tokens, real and simulated.
    pub num_tokens: (u64, u64),
    /// First planned arrival and the last completion of either side, ns.
    pub span_ns: (u64, u64),
    /// Arrivals, in bins of equal width from the first to the last.
    pub arrivals: Histogram,
    /// Prompt lengths, in bins whose edges are distinct whole numbers, narrow where there are many.
    pub prompts: Histogram,
    /// There are token times on both sides.
    pub has_tokens: bool,
    /// There are engine steps: real, simulated.
    pub has_steps: (bool, bool),
    /// Metrics with one value a request, in the order they are shown.
    pub request_metrics: Vec<Metric>,
    /// Real runs, the compared one first.
    pub repeats: Vec<String>,
}

/// Counts between edges: bin `i` holds what is at or above `edges[i]` and below `edges[i + 1]`; the last edge belongs
/// to the last bin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Ascending, one more than counts.
    pub edges: Vec<f64>,
    /// How many.
    pub counts: Vec<u32>,
}

/// One metric over a selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reduced {
    /// Which.
    pub metric: Metric,
    /// Requests behind it.
    pub num_requests: usize,
    /// Values on each side.
    pub num_values: usize,
    /// The real side.
    pub real: Summary,
    /// The simulated side.
    pub sim: Summary,
    /// One row a percentile asked for.
    pub percentiles: Vec<ReducedRow>,
    /// Kolmogorov-Smirnov D.
    pub ks: f64,
    /// Wasserstein-1, ns.
    pub wasserstein_ns: f64,
    /// Quantile curves, as in a comparison.
    pub curve: Curve,
}

/// One percentile of a selection: what can be told at once, without an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReducedRow {
    /// Which.
    pub percentile: Percentile,
    /// Real, ns.
    pub real_ns: CentiNanos,
    /// Simulated, ns.
    pub sim_ns: CentiNanos,
    /// (simulated - real) / real.
    pub rel_error: Option<f64>,
    /// Requests that a verdict would need.
    pub sample_floor: u32,
}

/// Real against simulated, a point a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// Requests there are; more than points where they were thinned.
    pub num_requests: usize,
    /// Ids, real ns, simulated ns; the worst and the extreme ones are never thinned away.
    pub ids: Vec<u32>,
    /// Real, ns.
    pub real_ns: Vec<u64>,
    /// Simulated, ns.
    pub sim_ns: Vec<u64>,
}

/// One page of the request table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TablePage {
    /// Requests that pass selection and filter.
    pub num_rows: usize,
    /// Requests in all.
    pub num_requests: usize,
    /// What is wrong with the filter's words; all rows are shown then.
    pub filter_problem: Option<String>,
    /// First row's place.
    pub from: usize,
    /// The rows.
    pub rows: Vec<TableRow>,
    /// The request that was to be found; `None` where it does not pass, or none was asked for.
    #[serde(default)]
    pub found: Option<Found>,
}

/// Where a request stands among the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Which.
    pub request_id: u32,
    /// Its place, from 0.
    pub place: usize,
    /// The request before it.
    pub previous: Option<u32>,
    /// The request after it.
    pub next: Option<u32>,
}

/// One request on both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// Which.
    pub request_id: u32,
    /// Planned arrival, ns.
    pub arrival_ns: u64,
    /// Prompt tokens.
    pub num_prefill_tokens: u32,
    /// Output tokens compared.
    pub num_decode_tokens: u32,
    /// Preemptions: real, simulated.
    pub num_preemptions: (Option<u32>, Option<u32>),
    /// (Real, simulated) of each metric asked for, ns.
    pub values: Vec<(Option<u64>, Option<u64>)>,
    /// How it ended, where it did not end well.
    pub trouble: Option<String>,
}

/// One request token by token, both sides on the run's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestTimeline {
    /// Which.
    pub request_id: u32,
    /// Prompt tokens.
    pub num_prefill_tokens: u32,
    /// Planned arrival, ns.
    pub arrival_ns: u64,
    /// The real side; `None` without output.
    pub real: Option<TimelineSide>,
    /// The simulated side.
    pub sim: Option<TimelineSide>,
}

/// One side of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineSide {
    /// When a step first held it, ns.
    pub scheduled_ns: Option<u64>,
    /// Token times, ns; first and completion only, where a run has no token times.
    pub tokens_ns: Vec<u64>,
    /// Completion, ns.
    pub completion_ns: u64,
    /// Times it was preempted.
    pub num_preemptions: Option<u32>,
    /// `tokens_ns` are all of its tokens.
    pub has_tokens: bool,
}

/// Engine steps of both runs over a window, binned to what a screen can show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// The window, ns.
    pub from_ns: u64,
    /// Its end, ns.
    pub to_ns: u64,
    /// The real run; `None` without steps.
    pub real: Option<StepLane>,
    /// The simulated run.
    pub sim: Option<StepLane>,
}

/// Steps of one run. With few steps in the window each is a bin of its own, else bins have equal widths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepLane {
    /// Steps in the window.
    pub num_steps: usize,
    /// Every bin is one step.
    pub is_exact: bool,
    /// Start of each bin, ns.
    pub starts_ns: Vec<u64>,
    /// End of each bin, ns.
    pub ends_ns: Vec<u64>,
    /// Steps of each bin; one that lies in several counts in each by its share. A mean of no step is 0.
    pub weights: Vec<f64>,
    /// Prefill tokens a step, mean over the bin's steps.
    pub prefill_tokens: Vec<f64>,
    /// Sequences decoding a step, mean.
    pub decode_seqs: Vec<f64>,
    /// Duration of a step, mean, ns.
    pub duration_ns: Vec<f64>,
    /// Host time a step, mean, ns.
    pub host_ns: Vec<f64>,
    /// KV blocks in use, largest.
    pub kv_blocks: Vec<f64>,
    /// Sequences running, mean.
    pub running: Vec<f64>,
    /// Sequences waiting, mean.
    pub waiting: Vec<f64>,
}

/// Percentiles of every real run of a metric, the compared one first, and of the simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStrip {
    /// Labels of the percentiles.
    pub labels: Vec<String>,
    /// Name and percentiles, ns, of each real run.
    pub real: Vec<(String, Vec<CentiNanos>)>,
    /// Percentiles of the simulation, ns.
    pub sim: Vec<CentiNanos>,
}

/// What a "what if" stands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhatIfBasis {
    /// The settings of the run, and where each is from.
    pub settings: WhatIf,
    /// Step times come from: `real` or `sim` steps.
    pub source: String,
    /// Settings the run does not say, and what was taken.
    pub assumed: Vec<String>,
    /// Mean size of the relative error of the fitted step times over the steps they were fitted to.
    pub step_error: f64,
    /// What the unchanged settings give again, against the real run: how far the rest can be trusted.
    pub unchanged: WhatIfAnswer,
}

/// What came of a "what if".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WhatIfAnswer {
    /// Each metric's curve and percentiles.
    pub metrics: Vec<WhatIfMetric>,
    /// Output tokens a second.
    pub throughput_tokens_per_s: Option<f64>,
    /// Requests a second.
    pub throughput_rps: Option<f64>,
    /// Preemptions.
    pub num_preemptions: u64,
    /// Requests that were rejected.
    pub num_rejected: u64,
    /// Steps, and those beyond what was measured.
    pub num_steps: (u64, u64),
}

/// One metric of a "what if".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhatIfMetric {
    /// Which.
    pub metric: Metric,
    /// Fractions of the curve.
    pub fractions: Vec<f64>,
    /// Times at them, ns.
    pub times_ns: Vec<CentiNanos>,
    /// P50, P90, P95, P99 …, as the comparison asks for.
    pub percentiles: Vec<(Percentile, CentiNanos)>,
}

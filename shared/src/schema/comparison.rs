//! `comparison.json`: everything a report or the viewer shows first. Numbers only, no clock, no paths.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compare::ServiceComparison;
use crate::metrics::{Definition, Metric, Slo};
use crate::schema::Writer;
use crate::schema::attribution::Attribution;
use crate::schema::certificate::LoadCertificate;
use crate::schema::curves::Curves;
use crate::schema::windows::Windows;
use crate::stats::{CentiNanos, Percentile, Verdict};

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// `v1`.
    pub schema_version: String,
    /// What computed it.
    pub writer: Writer,
    /// What it was asked to do; verification asks the same again.
    pub options: CompareOptions,
    /// The one line a person can read aloud.
    pub verdict: OverallVerdict,
    /// Banners: what a reader must know before believing a number. Empty is good.
    pub notices: Vec<Notice>,
    /// The real run compared; repeats follow it and only serve the noise floor.
    pub real: Vec<RunIdentity>,
    /// The simulated run.
    pub sim: RunIdentity,
    /// The workload both ran.
    pub workload: WorkloadIdentity,
    /// Every setting that must match, matched or not.
    pub parity: Vec<ParityRow>,
    /// Requests and tokens on both sides, and how many were compared.
    pub counts: Counts,
    /// One entry a metric that both runs have.
    pub metrics: Vec<MetricComparison>,
    /// Requests with the largest absolute E2E error, worst first, at most ten.
    pub worst_requests: Vec<WorstRequest>,
    /// Where the difference comes from, part by part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// Warm-up, steady part and drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Whether the load was what was asked, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadCertificate>,
    /// How full both systems were over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// Goodput of both sides, where an objective was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceComparison>,
}

impl Comparison {
    /// The entry of one metric.
    pub fn metric(&self, metric: Metric) -> Option<&MetricComparison> {
        self.metrics.iter().find(|entry| entry.metric == metric)
    }
}

/// What a comparison is asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareOptions {
    /// Largest relative error accepted, as a fraction (0.1 is 10 %); declared beforehand.
    pub tolerance: f64,
    /// The tolerance was declared by the user or the experiment, not taken by default.
    pub is_tolerance_declared: bool,
    /// Percentiles to compare.
    pub percentiles: Vec<Percentile>,
    /// Proceed under a banner when runs differ or do not say.
    pub allow_mismatch: bool,
    /// Whose metrics and percentiles; ours where a document does not say.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub definition: Definition,
    /// The service-level objective goodput is counted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
}

fn is_usual(definition: &Definition) -> bool {
    *definition == Definition::default()
}

impl Default for CompareOptions {
    fn default() -> Self {
        CompareOptions {
            tolerance: 0.1,
            is_tolerance_declared: false,
            percentiles: Percentile::USUAL.to_vec(),
            allow_mismatch: false,
            definition: Definition::default(),
            slo: None,
        }
    }
}

/// The verdict over all percentiles of the headline metrics: TTFT, ITL, TPOT and E2E.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverallVerdict {
    /// The worst of the parts: outside, else cannot tell, else within.
    pub verdict: Verdict,
    /// One sentence for a person.
    pub sentence: String,
}

/// One banner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind, for machines.
    pub kind: NoticeKind,
    /// What a person reads.
    pub text: String,
}

/// Kinds of banner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Settings or workload differ, or a run does not say.
    Parity,
    /// Requests failed, were rejected, or made no token.
    MissingOutput,
    /// Sides stopped at different lengths and were cut.
    EarlyStop,
    /// The latency model was asked outside what was profiled.
    OutOfProfile,
    /// The load was not what was asked, or more than a run could serve.
    Load,
    /// Something else the runs said of themselves.
    Run,
}

/// Who a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// Its directory's name, and its folder in a bundle.
    pub name: String,
    /// As its metadata says it.
    pub run_id: Option<String>,
    /// The LLM.
    pub model: Option<String>,
    /// What ran it: a backend, or a simulator with its latency model.
    pub engine: Option<String>,
    /// The device, in words.
    pub hardware: Option<String>,
    /// The code's commit.
    pub git_commit: Option<String>,
    /// What wrote the files, with version; `None` is a foreign tool that does not say.
    pub writer: Option<String>,
    /// `params` of its metadata.
    pub params: Map<String, Value>,
    /// Requests per second completed over the span from first arrival to last completion.
    pub throughput_rps: Option<f64>,
    /// Output tokens per second over the same span.
    pub throughput_tokens_per_s: Option<f64>,
}

/// Which workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadIdentity {
    /// SHA-256 of its rows; computed from the real run's rows when no workload was given.
    pub sha256: String,
    /// Requests in it.
    pub num_requests: usize,
    /// Prompt tokens in it.
    pub num_prefill_tokens: u64,
    /// Output tokens it asks for.
    pub num_decode_tokens: u64,
    /// First to last arrival, ns.
    pub span_ns: u64,
}

/// One setting on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityRow {
    /// The setting's name.
    pub setting: String,
    /// What the real run says, `None` when it does not.
    pub real: Option<String>,
    /// What the simulated run says, `None` when it does not.
    pub sim: Option<String>,
    /// What follows.
    pub state: ParityState,
}

/// Outcome of comparing one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParityState {
    /// Both say the same.
    Matched,
    /// They say different things.
    Differs,
    /// One or both do not say.
    Unknown,
}

/// Requests and tokens on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests of the workload.
    pub num_requests: usize,
    /// Requests with output on both sides: the pairs behind every number.
    pub num_compared: usize,
    /// Pairs cut to the shorter side's length.
    pub num_cut: usize,
    /// Requests whose outputs differ in length and cannot be cut, because a run has no token times.
    #[serde(default)]
    pub num_uncut: usize,
    /// Requests of the real run without output (failed, rejected, zero tokens).
    pub num_real_missing: usize,
    /// Requests of the simulated run without output.
    pub num_sim_missing: usize,
    /// Output tokens compared.
    pub num_tokens: u64,
}

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
    /// Quantile curves on one grid of fractions, for the CDF.
    pub curve: Curve,
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
    /// Largest relative difference between two repeats of the real run; `None` with one run.
    pub noise_rel: Option<f64>,
    /// |relative error| / noise; `None` without noise.
    pub noise_multiple: Option<f64>,
    /// Requests needed before a verdict may be given.
    pub sample_floor: u32,
    /// Requests still missing to the floor; 0 when reached.
    pub num_more_needed: u32,
    /// What is known against the tolerance.
    pub verdict: Verdict,
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

/// A request the simulation got most wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstRequest {
    /// Which.
    pub request_id: u32,
    /// Its prompt's length.
    pub num_prefill_tokens: u32,
    /// Output tokens compared.
    pub num_decode_tokens: u32,
    /// Real E2E, ns.
    pub real_e2e_ns: u64,
    /// Simulated E2E, ns.
    pub sim_e2e_ns: u64,
    /// (simulated - real) / real.
    pub rel_error: Option<f64>,
}

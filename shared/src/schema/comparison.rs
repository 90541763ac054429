//! `comparison.json`: everything a report or the viewer shows first. Numbers only, no clock, no paths.

mod metric;

pub use metric::{
    BlandAltman, Curve, ErrorInterval, MeanRow, MetricComparison, PairErrors, PercentileRow, ShiftCurve, Summary,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compare::ServiceComparison;
use crate::metrics::{Definition, Metric, Slo};
use crate::schema::attribution::Attribution;
use crate::schema::certificate::LoadCertificate;
use crate::schema::curves::Curves;
use crate::schema::windows::Windows;
use crate::schema::{DataError, Writer, check_version, read_json};
use crate::stats::{BootstrapOptions, Percentile, Verdict};

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
    /// The order in which requests got their first tokens, on both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderReport>,
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
    /// Reads a `comparison.json`, of which errors call the file `file`.
    ///
    /// # Errors
    /// A schema this program does not know, not JSON, or not a comparison.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: Option<String>,
        }
        let version: Version = read_json(file, bytes)?;
        check_version(file, version.schema_version.as_deref())?;
        let comparison: Comparison = read_json(file, bytes)?;
        if comparison.options.percentiles.iter().any(|percentile| percentile.fraction() > 1.0) {
            return Err(DataError::new(file, "asks for a percentile above 100").in_column("options.percentiles"));
        }
        Ok(comparison)
    }

    /// As one line of JSON, to be carried from a worker to its page.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a comparison has string keys and finite numbers")
    }

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
    /// How intervals are computed.
    #[serde(default)]
    pub bootstrap: BootstrapOptions,
    /// Metrics the overall verdict rests on; none is the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdict_on: Vec<Metric>,
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

impl CompareOptions {
    /// The overall verdict rests on this metric.
    pub fn is_judged(&self, metric: Metric) -> bool {
        if self.verdict_on.is_empty() { metric.is_headline() } else { self.verdict_on.contains(&metric) }
    }
}

impl Default for CompareOptions {
    fn default() -> Self {
        CompareOptions {
            tolerance: 0.1,
            is_tolerance_declared: false,
            percentiles: Percentile::USUAL.to_vec(),
            allow_mismatch: false,
            bootstrap: BootstrapOptions::default(),
            verdict_on: Vec::new(),
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
    /// The latency model was fitted to the real run: what agrees there is no prediction.
    Fitted,
    /// Something else the runs said of themselves.
    Run,
    /// The metrics are as another tool defines them.
    Definition,
    /// The numbers are a summary that came in a link; never in `comparison.json`.
    Summary,
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
    /// One or both do not say it, and had the default that matches.
    Defaulted,
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

/// Whether the simulation serves requests in the real order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Kendall's tau-b of the first tokens' times: 1 is the same order, 0 none, -1 the reverse.
    pub kendall_tau: f64,
    /// Requests that another place was predicted for.
    pub num_displaced: usize,
    /// Those whose place is farthest off, worst first, at most ten.
    pub displaced: Vec<DisplacedRequest>,
}

/// A request that got its first token earlier or later, among all, than predicted. Requests whose first tokens come at
/// one instant stand in order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplacedRequest {
    /// Which.
    pub request_id: u32,
    /// Its place in the real run, from 1.
    pub real_place: usize,
    /// Its place in the simulated run, from 1.
    pub sim_place: usize,
}

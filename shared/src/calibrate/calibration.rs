//! `calibration.json`: fitted coefficients, how sure they are, and what they were fitted to. Knows no clock and no
//! directories but that of a profile calibrated upon.

use serde::{Deserialize, Serialize};

use crate::calibrate::model::CalibratedModel;
use crate::calibrate::select::LeftOut;
use crate::calibrate::terms::{Term, TermVector};
use crate::latency::{BatchShape, LatencyModel};
use crate::schema::{Run, Writer};
use crate::serving::SchedulerConfig;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// `v1`.
    pub schema_version: String,
    /// What fitted it.
    pub writer: Writer,
    /// The LLM of the runs, as they say it.
    pub model: Option<String>,
    /// Coefficients, in the order the run asked for them.
    pub terms: Vec<FittedTerm>,
    /// Terms tried last, which did not lower the held-out error enough.
    pub left_out: Vec<LeftOut>,
    /// The scheduler that the runs were served by, and replayed with.
    pub scheduler: SchedulerConfig,
    /// What it was fitted to: no prediction of these is a prediction.
    pub fitted_to: Vec<FittedRun>,
    /// How well.
    pub residuals: Residuals,
    /// Largest sums of the steps fitted to; beyond them a time is extrapolated.
    pub limits: BatchShape,
    /// The latency model calibrated upon, as its caller describes it; absent when the terms are all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<serde_json::Value>,
}

/// One coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedTerm {
    /// Of which term.
    pub term: Term,
    /// In `unit`; never negative.
    pub value: f64,
    /// Of the value, by the delete-a-block jackknife over 10 blocks of neighbouring requests.
    pub standard_error: f64,
    /// `ns per step`, `ns per token` and so on.
    pub unit: String,
}

/// A run that coefficients were fitted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedRun {
    /// As its metadata says it.
    pub run_id: Option<String>,
    /// Identity of its stamps: [`stamps_sha256`].
    pub stamps_sha256: String,
    /// Its requests.
    pub num_requests: u32,
    /// The first of them that was fitted to.
    pub first_request: u32,
    /// The last.
    pub last_request: u32,
    /// What of it was used.
    pub evidence: Evidence,
}

/// What of a run was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Arrival, schedule, first and last token of each request.
    Stamps,
    /// `step_metrics.csv`.
    Steps,
}

/// How well the fitted model reproduces what it was fitted to, as fractions of each observed span.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// Spans observed.
    pub num_observations: usize,
    /// Mean absolute error.
    pub mean_error: f64,
    /// Median absolute error.
    pub median_error: f64,
    /// Largest absolute error.
    pub max_error: f64,
    /// Mean absolute error of spans whose block was held out of the fit, over 10 blocks.
    pub held_out_error: f64,
    /// Rounds of simulating and fitting.
    pub num_rounds: u32,
    /// The last round changed no span by more than a ten-thousandth of it.
    pub has_converged: bool,
}

impl Calibration {
    /// The model it describes, upon `base`.
    pub fn latency_model<B: LatencyModel>(&self, base: B) -> CalibratedModel<B> {
        let mut coefficients: TermVector = [0.0; Term::COUNT];
        self.terms.iter().for_each(|fitted| coefficients[fitted.term.index()] = fitted.value);
        CalibratedModel { coefficients, limits: self.limits, base }
    }

    /// The entry of one term.
    pub fn term(&self, term: Term) -> Option<&FittedTerm> {
        self.terms.iter().find(|fitted| fitted.term == term)
    }
}

/// Identity of what a run's requests went through: SHA-256 of their stamps and lengths, so that a run is known again
/// whatever its directory, metadata or format.
pub fn stamps_sha256(run: &Run) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for row in &run.requests {
        let stamp = |time: Option<crate::time::Nanos>| time.map_or_else(String::new, |time| time.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{}",
            row.request_id,
            row.arrival,
            stamp(row.first_token),
            stamp(row.completion),
            row.num_prefill_tokens,
            row.num_decode_tokens_actual
        );
    }
    crate::schema::sha256_hex(text.as_bytes())
}

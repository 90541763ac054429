//! Calibration: fitting a latency model to real runs, by replaying their schedules.
//!
//! A request's stamps are sums of step times over a schedule. With given coefficients the schedule is
//! simulated; every observed span (arrival to schedule, schedule to first token, first to last token) is
//! then a linear form in the coefficients, which are fitted by robust non-negative least squares on
//! relative errors. The new coefficients give another schedule where arrivals meet running requests, so
//! both are repeated until they agree. A run that recorded its steps is fitted on them directly.
//!
//! A term is in the model only if it lowers the error on blocks of requests that the fit has not seen;
//! every coefficient has a standard error, and a [`Calibration`] says what it was fitted to, so that
//! nobody takes a reproduction of that for a prediction.

mod calibration;
mod fit;
mod fixed_point;
mod model;
mod replay;
mod select;
mod steps;
mod terms;
#[cfg(test)]
mod tests;
mod track;

pub(crate) use steps::{RecordedStep, recorded};
pub(crate) use track::served;

pub use calibration::{Calibration, Evidence, FittedRun, FittedTerm, Residuals, stamps_sha256};
pub use model::{CalibratedModel, NoBase};
pub use select::{LEAST_GAIN, LeftOut, NUM_BLOCKS};
pub use terms::{StepFeatures, Term};

use std::fmt;
use std::ops::Range;

use crate::latency::LatencyModel;
use crate::schema::{Run, SCHEMA_VERSION, Writer};
use crate::serving::SchedulerConfig;

use fit::median;
use fixed_point::State;
use track::Track;

/// Fewer observed spans say too little to hold any of them out.
const FEWEST_OBSERVATIONS: usize = 2 * NUM_BLOCKS;

/// A run to fit to, and which of its requests.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The run.
    pub run: &'a Run,
    /// The requests whose stamps are used; what follows them is not looked at.
    pub requests: Range<u32>,
}

impl<'a> Source<'a> {
    /// All of a run.
    pub fn whole(run: &'a Run) -> Self {
        Source { run, requests: 0..run.requests.len() as u32 }
    }
}

/// Why nothing was fitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalibrationError {
    /// The scheduler settings are impossible, or not those the run was served with.
    Settings(String),
    /// The runs hold too few spans.
    TooFew(usize),
}

impl fmt::Display for CalibrationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CalibrationError::Settings(problem) => write!(out, "the run cannot be replayed: {problem}"),
            CalibrationError::TooFew(count) => {
                write!(out, "{count} observed spans are too few to calibrate on: {FEWEST_OBSERVATIONS} are needed")
            }
        }
    }
}

impl std::error::Error for CalibrationError {}

/// Fits a model to `sources`, which were all served with `scheduler`; upon `base` ([`NoBase`] for none).
///
/// # Errors
/// Settings that cannot have served the runs, or too little to fit to.
pub fn calibrate<B: LatencyModel>(
    sources: &[Source<'_>],
    scheduler: &SchedulerConfig,
    base: &B,
) -> Result<Calibration, CalibrationError> {
    if scheduler.num_stages() > 1 {
        return Err(CalibrationError::Settings("it has pipeline stages, whose times no stamp tells apart".to_owned()));
    }
    let tracks: Vec<Track> =
        sources.iter().map(|source| Track::of(source, scheduler, base)).collect::<Result<_, _>>()?;
    let mut state = State::first(&tracks, scheduler, base)?;
    state.settle(&tracks, scheduler)?;
    let State { observations, terms, left_out, model, num_rounds, has_converged, .. } = state;
    let errors: Vec<f64> = observations.iter().map(|one| libm::fabs(one.error(&model.coefficients))).collect();
    let standard_errors = select::standard_errors(&observations, &terms, &model.coefficients);
    Ok(Calibration {
        schema_version: SCHEMA_VERSION.to_owned(),
        writer: Writer::this(),
        model: sources.iter().find_map(|source| source.run.meta.model.clone()),
        terms: terms
            .iter()
            .map(|term| FittedTerm {
                term: *term,
                value: model.coefficients[term.index()],
                standard_error: standard_errors[term.index()],
                unit: term.unit().to_owned(),
            })
            .collect(),
        left_out,
        scheduler: scheduler.clone(),
        fitted_to: sources.iter().zip(&tracks).map(|(source, track)| track.fitted(source)).collect(),
        residuals: Residuals {
            num_observations: observations.len(),
            mean_error: errors.iter().sum::<f64>() / errors.len() as f64,
            median_error: median(&errors),
            max_error: errors.iter().copied().fold(0.0, f64::max),
            held_out_error: select::held_out_error(&observations, &terms),
            num_rounds,
            has_converged,
        },
        limits: model.limits,
        base: None,
    })
}

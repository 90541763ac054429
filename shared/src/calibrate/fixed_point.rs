//! Coefficients and the schedule they give, repeated until they agree.

use crate::calibrate::fit::{Observation, fit};
use crate::calibrate::model::{CalibratedModel, grow};
use crate::calibrate::select::{self, LeftOut};
use crate::calibrate::terms::{Term, TermVector};
use crate::calibrate::track::Track;
use crate::calibrate::{CalibrationError, FEWEST_OBSERVATIONS};
use crate::latency::{BatchShape, LatencyModel};
use crate::serving::SchedulerConfig;

/// Rounds of simulating and fitting, at most.
const MAX_ROUNDS: u32 = 40;

/// Rounds that choose the terms anew: the first schedules are of coefficients far off.
const SELECTING_ROUNDS: [u32; 2] = [3, 6];

/// From this round on each goes a smaller part of the way than the one before (Robbins and Monro 1951), so that two
/// schedules cannot take turns for ever.
const DAMPED_FROM: u32 = 12;

/// A schedule is reached when no span changes by more than this fraction of it.
const SETTLED: f64 = 1e-4;

/// Where the first schedule comes from, without a model to begin with; ns.
const FIRST_GUESS_NS: f64 = 1e7;

/// Coefficients and the schedule they give.
pub struct State<'b, B> {
    pub observations: Vec<Observation>,
    /// Terms that every model has.
    start: Vec<Term>,
    pub terms: Vec<Term>,
    pub left_out: Vec<LeftOut>,
    pub model: CalibratedModel<&'b B>,
    pub num_rounds: u32,
    pub has_converged: bool,
}

impl<'b, B: LatencyModel> State<'b, B> {
    /// The model calibrated upon as it is, or a guess.
    ///
    /// # Errors
    /// Settings that cannot serve the runs, or too few spans.
    pub fn first(tracks: &[Track<'_>], scheduler: &SchedulerConfig, base: &'b B) -> Result<Self, CalibrationError> {
        let mut coefficients: TermVector = [0.0; Term::COUNT];
        coefficients[Term::BaseDevice.index()] = 1.0;
        let mut model = CalibratedModel { coefficients, limits: BatchShape::default(), base };
        let one_token = BatchShape { num_decode_seqs: 1, context_tokens: 1, num_sampled: 1, ..BatchShape::default() };
        let mut start = match model.features(&one_token).base_device_ns > 0.0 {
            true => vec![Term::BaseDevice],
            false => vec![Term::Step],
        };
        if start == [Term::Step] {
            model.coefficients[Term::Step.index()] = FIRST_GUESS_NS;
        }
        // An engine that schedules asynchronously admits while its device computes.
        if !scheduler.async_scheduling {
            start.extend([Term::AdmissionStep, Term::Arrival]);
        }
        let mut state = State {
            observations: Vec::new(),
            terms: start.clone(),
            start,
            left_out: Vec::new(),
            model,
            num_rounds: 0,
            has_converged: false,
        };
        state.observe(tracks, scheduler)?;
        match state.observations.len() {
            count if count < FEWEST_OBSERVATIONS => Err(CalibrationError::TooFew(count)),
            _ => Ok(state),
        }
    }

    fn observe(&mut self, tracks: &[Track<'_>], scheduler: &SchedulerConfig) -> Result<(), CalibrationError> {
        self.observations.clear();
        for track in tracks {
            let position = self.observations.last().map_or(0, |one| one.position + 1);
            let (observations, limits) = track.observe(scheduler, &self.model, position)?;
            self.observations.extend(observations);
            grow(&mut self.model.limits, &limits);
        }
        Ok(())
    }

    /// Rounds until the schedule stays, or until there were enough of them.
    ///
    /// # Errors
    /// Settings that cannot serve the runs.
    pub fn settle(&mut self, tracks: &[Track<'_>], scheduler: &SchedulerConfig) -> Result<(), CalibrationError> {
        while self.num_rounds < MAX_ROUNDS && !self.has_converged {
            self.advance(tracks, scheduler)?;
        }
        Ok(())
    }

    /// Fits to the schedule at hand, then simulates the next.
    fn advance(&mut self, tracks: &[Track<'_>], scheduler: &SchedulerConfig) -> Result<(), CalibrationError> {
        if SELECTING_ROUNDS.contains(&self.num_rounds) {
            (self.terms, self.left_out) = select::select(&self.observations, &self.start);
            if select::is_cold(&self.observations, &self.terms) {
                self.terms.push(Term::FirstStep);
            }
        }
        let before = self.model.coefficients;
        let mut next = fit(&self.observations, &self.terms);
        if self.num_rounds >= DAMPED_FROM {
            let share = 1.0 / f64::from(self.num_rounds - DAMPED_FROM + 2);
            next.iter_mut().zip(&before).for_each(|(value, before)| *value = before + share * (*value - before));
        }
        self.model.coefficients = next;
        let change = |one: &Observation| libm::fabs(one.error(&next) - one.error(&before));
        let change = self.observations.iter().map(change).fold(0.0, f64::max);
        self.num_rounds += 1;
        self.has_converged = self.num_rounds > SELECTING_ROUNDS[1] + 1 && change < SETTLED;
        self.model.limits = BatchShape::default();
        self.observe(tracks, scheduler)
    }
}

//! The calibrated latency model: a sum of terms with fitted coefficients, alone or upon another model.

use crate::calibrate::terms::{StepFeatures, Term, TermVector, counts, dot};
use crate::latency::{BatchShape, LatencyModel, StepTime};
use crate::time::Ticks;

/// Predicts a step as the sum of its terms. Host time of the model calibrated upon is added as it is.
#[derive(Clone, Debug)]
pub struct CalibratedModel<B = NoBase> {
    /// Coefficients, ns (a ratio for [`Term::BaseDevice`]).
    pub coefficients: TermVector,
    /// Largest sums of the steps fitted to; beyond them a time is extrapolated.
    pub limits: BatchShape,
    /// What was calibrated.
    pub base: B,
}

/// No model to calibrate upon: the terms are all there is.
#[derive(Clone, Copy, Debug)]
pub struct NoBase;

impl LatencyModel for NoBase {
    fn stage_time(&self, _shape: &BatchShape, _stage: u32) -> StepTime {
        StepTime { is_covered: true, ..StepTime::default() }
    }
}

impl<B: LatencyModel> CalibratedModel<B> {
    /// What the terms count in a step of this shape, arrivals and coldness apart.
    pub fn features(&self, shape: &BatchShape) -> StepFeatures {
        let base = self.base.stage_time(shape, 0);
        StepFeatures { shape: *shape, base_device_ns: base.device.to_nanos_f64(), ..StepFeatures::default() }
    }

    fn ticks(&self, features: &StepFeatures, includes: impl Fn(Term) -> bool) -> Ticks {
        let mut counts = counts(features);
        Term::ALL.into_iter().filter(|term| !includes(*term)).for_each(|term| counts[term.index()] = 0.0);
        Ticks::from_nanos_f64(dot(&counts, &self.coefficients))
    }
}

impl<B: LatencyModel> LatencyModel for CalibratedModel<B> {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        let base = self.base.stage_time(shape, stage);
        let device = self.ticks(&self.features(shape), |term| !term.is_admission());
        StepTime { host: base.host, device, is_covered: base.is_covered && is_within(shape, &self.limits) }
    }

    fn admission_time(&self, num_arrived: u32) -> Ticks {
        let arrivals = StepFeatures { num_arrived, ..StepFeatures::default() };
        self.ticks(&arrivals, Term::is_admission) + self.base.admission_time(num_arrived)
    }

    fn first_step_time(&self) -> Ticks {
        let first = StepFeatures { is_first: true, ..StepFeatures::default() };
        self.ticks(&first, |term| term == Term::FirstStep) + self.base.first_step_time()
    }
}

/// The largest of each sum that terms count.
pub fn grow(limits: &mut BatchShape, shape: &BatchShape) {
    limits.num_prefill_tokens = limits.num_prefill_tokens.max(shape.num_prefill_tokens);
    limits.num_prefill_seqs = limits.num_prefill_seqs.max(shape.num_prefill_seqs);
    limits.prefill_pairs = limits.prefill_pairs.max(shape.prefill_pairs);
    limits.prefill_squares = limits.prefill_squares.max(shape.prefill_squares);
    limits.prefill_context_rounded = limits.prefill_context_rounded.max(shape.prefill_context_rounded);
    limits.num_decode_seqs = limits.num_decode_seqs.max(shape.num_decode_seqs);
    limits.context_tokens = limits.context_tokens.max(shape.context_tokens);
    limits.num_sampled = limits.num_sampled.max(shape.num_sampled);
}

fn is_within(shape: &BatchShape, limits: &BatchShape) -> bool {
    let mut grown = *limits;
    grow(&mut grown, shape);
    grown == *limits
}

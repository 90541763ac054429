//! The terms a calibrated model may have: what each counts in a step, and its unit. Knows no times.

use serde::{Deserialize, Serialize};

use crate::latency::BatchShape;

/// One summand of a step's time: a count of the step times a coefficient that is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// Device time of the model calibrated upon; the coefficient is a ratio.
    BaseDevice,
    /// Every step: weights streamed, kernels launched, the loop's bookkeeping.
    Step,
    /// A step with both prefill and decodes: engines that compute them by kernels of their own launch both.
    MixedStep,
    /// A prefill token.
    PrefillToken,
    /// A token of context that a prefill item reads, each item's context rounded up as
    /// [`BatchShape::prefill_context_rounded`] has it: what a memory-bound chunk costs.
    PrefillContextToken,
    /// A query-key pair of prefill attention: what a compute-bound chunk costs.
    PrefillPair,
    /// A decoding sequence.
    DecodeSequence,
    /// A token of context that a decoding sequence reads.
    ContextToken,
    /// A sampled token.
    SampledToken,
    /// A step before which requests arrived, however many.
    AdmissionStep,
    /// A request that arrived.
    Arrival,
    /// The first step of an engine that has just started.
    FirstStep,
}

/// What a step is to the terms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepFeatures {
    /// The batch.
    pub shape: BatchShape,
    /// Device time that the model calibrated upon gives it, ns; 0 without one.
    pub base_device_ns: f64,
    /// Requests that arrived since the batch before was chosen.
    pub num_arrived: u32,
    /// No step was computed before it.
    pub is_first: bool,
}

impl Term {
    /// All of them, in the order of a term vector.
    pub const ALL: [Term; Term::COUNT] = [
        Term::BaseDevice,
        Term::Step,
        Term::MixedStep,
        Term::PrefillToken,
        Term::PrefillContextToken,
        Term::PrefillPair,
        Term::DecodeSequence,
        Term::ContextToken,
        Term::SampledToken,
        Term::AdmissionStep,
        Term::Arrival,
        Term::FirstStep,
    ];

    /// How many there are.
    pub const COUNT: usize = 12;

    /// Its place in a term vector.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Counted before a batch is chosen, not in it.
    pub fn is_admission(self) -> bool {
        matches!(self, Term::AdmissionStep | Term::Arrival)
    }

    /// Unit of its coefficient.
    pub fn unit(self) -> &'static str {
        match self {
            Term::BaseDevice => "ratio",
            Term::Step | Term::MixedStep | Term::AdmissionStep | Term::FirstStep => "ns per step",
            Term::PrefillToken | Term::PrefillContextToken | Term::ContextToken | Term::SampledToken => "ns per token",
            Term::PrefillPair => "ns per pair",
            Term::DecodeSequence => "ns per sequence",
            Term::Arrival => "ns per request",
        }
    }

    /// How much of it a step has.
    pub fn count(self, step: &StepFeatures) -> f64 {
        let shape = &step.shape;
        let flag = |holds: bool| f64::from(u8::from(holds));
        match self {
            Term::BaseDevice => step.base_device_ns,
            Term::Step => 1.0,
            Term::MixedStep => flag(shape.num_prefill_seqs > 0 && shape.num_decode_seqs > 0),
            Term::PrefillToken => shape.num_prefill_tokens as f64,
            Term::PrefillContextToken => shape.prefill_context_rounded as f64,
            Term::PrefillPair => shape.prefill_pairs as f64,
            Term::DecodeSequence => shape.num_decode_seqs as f64,
            Term::ContextToken => shape.context_tokens as f64,
            Term::SampledToken => shape.num_sampled as f64,
            Term::AdmissionStep => flag(step.num_arrived > 0),
            Term::Arrival => f64::from(step.num_arrived),
            Term::FirstStep => flag(step.is_first),
        }
    }
}

/// One number a term: counts, sums of counts, or coefficients.
pub type TermVector = [f64; Term::COUNT];

/// Counts of all terms.
pub fn counts(step: &StepFeatures) -> TermVector {
    Term::ALL.map(|term| term.count(step))
}

/// Sum of the products.
pub fn dot(a: &TermVector, b: &TermVector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_stand_where_their_index_says() {
        for (index, term) in Term::ALL.into_iter().enumerate() {
            assert_eq!(term.index(), index);
        }
    }
}

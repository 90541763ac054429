//! Which terms a run supports, by the error on blocks of it that a fit has not seen; and how sure each coefficient is.

use serde::{Deserialize, Serialize};

use crate::calibrate::fit::{MAD_TO_SIGMA, Observation, fit, median};
use crate::calibrate::terms::{Term, TermVector};

/// Blocks of neighbouring requests that are held out in turn.
pub const NUM_BLOCKS: usize = 10;

/// A further term must lower the held-out error by this fraction of it.
pub const LEAST_GAIN: f64 = 0.05;

/// A term that was tried and did not earn its place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The term.
    pub term: Term,
    /// Held-out error with them.
    pub held_out_error: f64,
}

/// Terms that must earn their place.
const CANDIDATES: [Term; 8] = [
    Term::Step,
    Term::MixedStep,
    Term::PrefillToken,
    Term::PrefillContextToken,
    Term::PrefillPair,
    Term::DecodeSequence,
    Term::ContextToken,
    Term::SampledToken,
];

/// Adds terms to `start`, each time those that lower the held-out error most, as long as they lower it enough; ends
/// with those left out.
pub fn select(observations: &[Observation], start: &[Term]) -> (Vec<Term>, Vec<LeftOut>) {
    // Until it is known whether the engine was cold, its first step says nothing of the others.
    let is_warm = |one: &&Observation| one.counts[Term::FirstStep.index()] == 0.0;
    let observations = &observations.iter().filter(is_warm).copied().collect::<Vec<Observation>>();
    let mut terms = start.to_vec();
    let mut error = held_out_error(observations, &terms);
    loop {
        let open = CANDIDATES.into_iter().filter(|term| !terms.contains(term));
        let try_one =
            |term| LeftOut { term, held_out_error: held_out_error(observations, &[&terms[..], &[term]].concat()) };
        let mut tried: Vec<LeftOut> = open.map(try_one).collect();
        tried.sort_by(|a, b| a.held_out_error.total_cmp(&b.held_out_error));
        match tried.first() {
            Some(best) if best.held_out_error < error * (1.0 - LEAST_GAIN) => {
                error = best.held_out_error;
                terms.push(best.term);
            }
            _ => return (terms, tried),
        }
    }
}

/// Mean absolute relative error of observations whose block a fit did not see.
pub fn held_out_error(observations: &[Observation], terms: &[Term]) -> f64 {
    let mut sum = 0.0;
    for block in 0..NUM_BLOCKS {
        let (seen, unseen) = split(observations, block);
        let coefficients = fit(&seen, terms);
        sum += unseen.iter().map(|one| libm::fabs(one.error(&coefficients))).sum::<f64>();
    }
    sum / observations.len().max(1) as f64
}

/// The first step belongs in the model when, without it, the span that holds it errs by more than this many robust
/// standard deviations of all spans, and by this part of it: it is one observation, which nothing held out could
/// support.
const COLD_BEYOND: f64 = 3.0;
const COLD_LEAST: f64 = 0.05;

/// The first step is slower than the fitted `terms` explain.
pub fn is_cold(observations: &[Observation], terms: &[Term]) -> bool {
    let is_first = |one: &&Observation| one.counts[Term::FirstStep.index()] > 0.0;
    let (firsts, others): (Vec<Observation>, Vec<Observation>) = observations.iter().partition(is_first);
    let coefficients = fit(&others, terms);
    let limit = (COLD_BEYOND * robust_deviation(&others, &coefficients)).max(COLD_LEAST);
    firsts.iter().any(|one| one.error(&coefficients) < -limit)
}

/// Standard errors by the delete-a-block jackknife (Künsch 1989), which lets errors of neighbours depend on each
/// other: clocks and temperatures drift. A term that occurs in one block only has that of its own observations.
pub fn standard_errors(observations: &[Observation], terms: &[Term], coefficients: &TermVector) -> TermVector {
    let fits: Vec<TermVector> = (0..NUM_BLOCKS).map(|block| fit(&split(observations, block).0, terms)).collect();
    let deviation = robust_deviation(observations, coefficients);
    let count = NUM_BLOCKS as f64;
    let mut errors = [0.0; Term::COUNT];
    for term in terms {
        let index = term.index();
        let occurs = |block: &usize| split(observations, *block).1.iter().any(|one| one.counts[index] > 0.0);
        errors[index] = if (0..NUM_BLOCKS).filter(occurs).count() > 1 {
            let mean = fits.iter().map(|one| one[index]).sum::<f64>() / count;
            let squares: f64 = fits.iter().map(|one| (one[index] - mean) * (one[index] - mean)).sum();
            libm::sqrt((count - 1.0) / count * squares)
        } else {
            let counts = observations.iter().map(|one| one.counts[index] / one.scale_ns);
            let size = libm::sqrt(counts.map(|count| count * count).sum::<f64>());
            if size > 0.0 { deviation / size } else { 0.0 }
        };
    }
    errors
}

/// Of the relative errors, by their median size.
fn robust_deviation(observations: &[Observation], coefficients: &TermVector) -> f64 {
    let errors: Vec<f64> = observations.iter().map(|one| libm::fabs(one.error(coefficients))).collect();
    MAD_TO_SIGMA * median(&errors)
}

/// Observations outside and inside of one block; blocks are equal shares of the positions.
fn split(observations: &[Observation], block: usize) -> (Vec<Observation>, Vec<Observation>) {
    let last = observations.iter().map(|one| one.position as usize).max().unwrap_or(0);
    observations.iter().partition(|one| one.position as usize * NUM_BLOCKS / (last + 1) != block)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 ms a step and `per_token` ns a token, with errors of a percent that do not repeat.
    fn observations(per_token: f64) -> Vec<Observation> {
        let at = |index: u32| {
            let mut counts = [0.0; Term::COUNT];
            counts[Term::Step.index()] = f64::from(20 + index % 5);
            counts[Term::ContextToken.index()] = f64::from(index * 7_919 % 10_007);
            counts[Term::DecodeSequence.index()] = f64::from(index * 104_729 % 23);
            let noise = 1.0 + 0.01 * (f64::from(index * 31 % 17) / 8.0 - 1.0);
            let target_ns = noise * (3e6 * counts[Term::Step.index()] + per_token * counts[Term::ContextToken.index()]);
            Observation { counts, target_ns, scale_ns: target_ns, position: index }
        };
        (0..80).map(at).collect()
    }

    #[test]
    fn a_term_that_explains_is_taken_and_one_that_does_not_is_left() {
        let (terms, left) = select(&observations(900.0), &[Term::Step]);
        assert_eq!(terms, [Term::Step, Term::ContextToken]);
        assert!(left.iter().any(|one| one.term == Term::DecodeSequence));
        let (terms, _) = select(&observations(0.0), &[Term::Step]);
        assert_eq!(terms, [Term::Step]);
    }

    #[test]
    fn standard_errors_have_the_size_of_what_is_not_known() {
        let terms = [Term::Step, Term::ContextToken];
        let found = fit(&observations(900.0), &terms);
        let errors = standard_errors(&observations(900.0), &terms, &found);
        let [off, error] = [found, errors].map(|vector| vector[Term::ContextToken.index()]);
        assert!((off - 900.0).abs() < 4.0 * error, "{off} ± {error}");
        assert!(error > 0.0 && error < 90.0, "{error}");
    }
}

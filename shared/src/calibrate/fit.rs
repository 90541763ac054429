//! Robust non-negative least squares over observed spans, on relative errors. Knows terms by number only.

use crate::calibrate::terms::{Term, TermVector, dot};

/// One observed span of time, and what the terms count in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// What the terms count in the span.
    pub counts: TermVector,
    /// The span, less what no term explains; ns.
    pub target_ns: f64,
    /// What errors of it are relative to: the span, or a step's time if that is longer; ns.
    pub scale_ns: f64,
    /// Its position in the run, for blocks: neighbours share what no term explains.
    pub position: u32,
}

impl Observation {
    /// (predicted - observed), relative.
    pub fn error(&self, coefficients: &TermVector) -> f64 {
        (dot(&self.counts, coefficients) - self.target_ns) / self.scale_ns
    }
}

/// Errors beyond this many robust standard deviations weigh less (Huber 1964; 95 % efficient for normal errors).
const HUBER: f64 = 1.345;

/// Errors below this are no hiccups, however well the rest fits.
const HUBER_FLOOR: f64 = 1e-4;

/// Standard deviation of a normal law over its median absolute deviation.
pub const MAD_TO_SIGMA: f64 = 1.4826;

/// Weights are settled long before; perfect data end at once.
const MAX_REWEIGHTINGS: usize = 12;

/// A coefficient as large as an observation's scale counts as an error of this size. It decides only between terms
/// the run cannot tell apart, which then share: the smallest coefficients that explain it.
const RIDGE: f64 = 1e-5;

/// Fits the coefficients of `terms`, all others zero: least squares of relative errors with Huber's weights,
/// iterated.
pub fn fit(observations: &[Observation], terms: &[Term]) -> TermVector {
    let mut weights = vec![1.0; observations.len()];
    let mut coefficients = solve(observations, &weights, terms);
    for _ in 0..MAX_REWEIGHTINGS {
        let errors: Vec<f64> = observations.iter().map(|one| libm::fabs(one.error(&coefficients))).collect();
        let limit = (HUBER * MAD_TO_SIGMA * median(&errors)).max(HUBER_FLOOR);
        let next: Vec<f64> = errors.iter().map(|error| if *error > limit { limit / error } else { 1.0 }).collect();
        let change = weights.iter().zip(&next).map(|(a, b)| libm::fabs(a - b)).fold(0.0, f64::max);
        weights = next;
        if change < 1e-6 {
            break;
        }
        coefficients = solve(observations, &weights, terms);
    }
    coefficients
}

/// The middle of `values`, or the mean of the two middle ones; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    match count {
        0 => 0.0,
        _ => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// The weighted problem's normal equations, columns scaled to unit size: their magnitudes span nine decades.
struct Normal {
    gram: Vec<Vec<f64>>,
    right: Vec<f64>,
    sizes: Vec<f64>,
}

impl Normal {
    fn of(observations: &[Observation], weights: &[f64], terms: &[Term]) -> Self {
        let width = terms.len();
        let (mut gram, mut right) = (vec![vec![0.0; width]; width], vec![0.0; width]);
        let mut smallest_scale = f64::INFINITY;
        let mut row = vec![0.0; width];
        for (one, weight) in observations.iter().zip(weights) {
            smallest_scale = smallest_scale.min(one.scale_ns);
            terms.iter().zip(&mut row).for_each(|(term, cell)| *cell = one.counts[term.index()] / one.scale_ns);
            for i in 0..width {
                right[i] += weight * row[i] * one.target_ns / one.scale_ns;
                for j in 0..width {
                    gram[i][j] += weight * row[i] * row[j];
                }
            }
        }
        let ridge = RIDGE / smallest_scale;
        for (index, row) in gram.iter_mut().enumerate().filter(|(index, _)| terms[*index] != Term::BaseDevice) {
            // A term that never occurs stays out.
            row[index] += if row[index] > 0.0 { ridge * ridge } else { 0.0 };
        }
        let sizes: Vec<f64> = (0..width).map(|index| libm::sqrt(gram[index][index])).collect();
        for i in 0..width {
            right[i] /= if sizes[i] > 0.0 { sizes[i] } else { 1.0 };
            for j in 0..width {
                let size = sizes[i] * sizes[j];
                gram[i][j] /= if size > 0.0 { size } else { 1.0 };
            }
        }
        Normal { gram, right, sizes }
    }
}

/// Lawson and Hanson's active-set algorithm ("Solving Least Squares Problems", 1974, chapter 23) on the normal
/// equations: exact where terms are collinear, which coordinate descent is not.
fn solve(observations: &[Observation], weights: &[f64], terms: &[Term]) -> TermVector {
    let Normal { gram, right, sizes } = Normal::of(observations, weights, terms);
    let width = terms.len();
    let mut x = vec![0.0; width];
    let mut is_free = vec![false; width];
    // Each round frees one term; a term may be held again, but never twice with the same others.
    for _ in 0..4 * width {
        let slope = |index: usize| right[index] - (0..width).map(|j| gram[index][j] * x[j]).sum::<f64>();
        let candidates = (0..width).filter(|index| !is_free[*index] && sizes[*index] > 0.0);
        let steepest = candidates.map(|index| (slope(index), index)).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, index)) = steepest.filter(|(slope, _)| *slope > 1e-13) else { break };
        is_free[index] = true;
        loop {
            let target = solve_free(&gram, &right, &is_free);
            let blocked = (0..width).filter(|index| is_free[*index] && target[*index] <= 0.0);
            let step = blocked.map(|index| x[index] / (x[index] - target[index]).max(f64::MIN_POSITIVE));
            let Some(step) = step.min_by(f64::total_cmp) else {
                x = target;
                break;
            };
            for index in 0..width {
                x[index] += step * (target[index] - x[index]);
                if is_free[index] && x[index] <= 1e-15 {
                    is_free[index] = false;
                    x[index] = 0.0;
                }
            }
        }
    }
    let mut coefficients = [0.0; Term::COUNT];
    for ((term, value), size) in terms.iter().zip(&x).zip(&sizes) {
        coefficients[term.index()] = if *size > 0.0 { value / size } else { 0.0 };
    }
    coefficients
}

/// The unbounded optimum over the free terms, by Cholesky's factors; zero for the others.
fn solve_free(gram: &[Vec<f64>], right: &[f64], is_free: &[bool]) -> Vec<f64> {
    let free: Vec<usize> = (0..is_free.len()).filter(|index| is_free[*index]).collect();
    let count = free.len();
    let mut factor = vec![vec![0.0; count]; count];
    for i in 0..count {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = gram[free[i]][free[j]] - known;
            factor[i][j] = if i == j { libm::sqrt(rest.max(1e-14)) } else { rest / factor[j][j] };
        }
    }
    let mut y = vec![0.0; count];
    for i in 0..count {
        let known: f64 = (0..i).map(|k| factor[i][k] * y[k]).sum();
        y[i] = (right[free[i]] - known) / factor[i][i];
    }
    let mut x = vec![0.0; is_free.len()];
    for i in (0..count).rev() {
        let known: f64 = (i + 1..count).map(|k| factor[k][i] * x[free[k]]).sum();
        x[free[i]] = (y[i] - known) / factor[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(counts: &[(Term, f64)], target_ns: f64, position: u32) -> Observation {
        let mut row = [0.0; Term::COUNT];
        counts.iter().for_each(|(term, count)| row[term.index()] = *count);
        Observation { counts: row, target_ns, scale_ns: target_ns.max(1.0), position }
    }

    fn line(noise: impl Fn(u32) -> f64) -> Vec<Observation> {
        let at = |index: u32| {
            let steps = f64::from(10 + index % 7);
            let tokens = f64::from(1_000 * (index % 11));
            let counts = [(Term::Step, steps), (Term::ContextToken, tokens)];
            observation(&counts, (2e6 * steps + 500.0 * tokens) * (1.0 + noise(index)), index)
        };
        (0..60).map(at).collect()
    }

    #[test]
    fn exact_data_give_back_their_coefficients() {
        let found = fit(&line(|_| 0.0), &[Term::Step, Term::ContextToken, Term::DecodeSequence]);
        assert!((found[Term::Step.index()] / 2e6 - 1.0).abs() < 1e-5, "{found:?}");
        assert!((found[Term::ContextToken.index()] / 500.0 - 1.0).abs() < 1e-5, "{found:?}");
        assert_eq!(found[Term::DecodeSequence.index()], 0.0, "a term that never occurs stays out");
    }

    #[test]
    fn a_few_hiccups_do_not_move_the_fit() {
        let hiccups = line(|index| if index % 12 == 0 { 0.8 } else { 1e-3 * f64::from(index % 3) - 1e-3 });
        let found = fit(&hiccups, &[Term::Step, Term::ContextToken]);
        assert!((found[Term::Step.index()] / 2e6 - 1.0).abs() < 5e-3, "{found:?}");
    }

    #[test]
    fn a_negative_optimum_is_held_at_zero() {
        let falling = |index: u32| {
            let (steps, tokens) = (10.0, f64::from(index));
            observation(&[(Term::Step, steps), (Term::ContextToken, tokens)], 1e6 - 1e3 * tokens, index)
        };
        let observations: Vec<Observation> = (0..20).map(falling).collect();
        let found = fit(&observations, &[Term::Step, Term::ContextToken]);
        assert_eq!(found[Term::ContextToken.index()], 0.0);
        assert!(found[Term::Step.index()] > 9.8e4);
    }

    #[test]
    fn terms_that_cannot_be_told_apart_share_by_how_much_each_explains() {
        let pair = |steps: f64, requests: f64| [(Term::AdmissionStep, steps), (Term::Arrival, requests)];
        // One request at a time: both count the same, so each gets half.
        let single: Vec<Observation> = (0..9).map(|index| observation(&pair(1.0, 1.0), 2e6, index)).collect();
        let found = fit(&single, &[Term::AdmissionStep, Term::Arrival]);
        assert!((found[Term::AdmissionStep.index()] / 1e6 - 1.0).abs() < 1e-3, "{found:?}");
        assert!((found[Term::Arrival.index()] / 1e6 - 1.0).abs() < 1e-3, "{found:?}");
        // A hundred at once: what explains a hundred times as much per unit gets nearly all.
        let burst = [observation(&pair(1.0, 100.0), 2e6, 0)];
        let found = fit(&burst, &[Term::AdmissionStep, Term::Arrival]);
        assert!((found[Term::Arrival.index()] / 2e4 - 1.0).abs() < 1e-2, "{found:?}");
    }
}

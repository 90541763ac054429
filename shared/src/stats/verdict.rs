//! Verdicts in three states, and how many requests each percentile needs before one may be given.

use serde::{Deserialize, Serialize};

use crate::stats::Percentile;

/// What is known about an error against its tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The error is inside the tolerance, and there are requests enough to say so.
    Within,
    /// Too few requests, or too noisy a machine, to tell.
    CannotTell,
    /// The error exceeds the tolerance.
    Outside,
}

impl Verdict {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Within => "within",
            Verdict::Outside => "outside",
            Verdict::CannotTell => "cannot tell",
        }
    }
}

/// Requests needed for a verdict at `percentile`: the smallest n at which a 99 % confidence bound
/// still holds with one violation allowed, `P(Binomial(n, 1 - p) <= 1) <= 1 - 0.99`. MLPerf LoadGen's
/// rule for early stopping gives 64, 130 and 662 for P90, P95 and P99, and so does this. Percentiles
/// below the median mirror those above it.
pub fn sample_floor(percentile: Percentile) -> u32 {
    let tail = percentile.fraction().min(1.0 - percentile.fraction());
    if tail <= 0.0 {
        return u32::MAX;
    }
    let keep = 1.0 - tail;
    let enough = |n: u32| {
        let n = f64::from(n);
        libm::pow(keep, n) + n * tail * libm::pow(keep, n - 1.0) <= 0.01
    };
    let (mut low, mut high) = (1u32, 1u32);
    while !enough(high) {
        (low, high) = (high, high.saturating_mul(2));
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// What is known about one percentile.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Which percentile.
    pub percentile: Percentile,
    /// Its relative error, signed.
    pub relative_error: f64,
    /// Relative errors of the request pairs behind it.
    pub pair_errors: &'a [f64],
    /// How much repeats of the real run differ among themselves; `None` with one run.
    pub noise: Option<f64>,
}

/// Judges one percentile. The error is known to within the noise of the real engine, so *within* asks
/// that error and noise together stay inside the tolerance, and *outside* that the error exceeds it by
/// more than the noise. Below the sample floor, *outside* is still said when every pair errs that far
/// on the same side.
pub fn judge(evidence: Evidence<'_>, tolerance: f64) -> Verdict {
    let Evidence { percentile, relative_error, pair_errors, noise } = evidence;
    let noise = noise.unwrap_or(0.0);
    let error = libm::fabs(relative_error);
    let limit = tolerance + noise;
    if pair_errors.len() >= sample_floor(percentile) as usize {
        return match (error + noise <= tolerance, error > limit) {
            (true, _) => Verdict::Within,
            (false, true) => Verdict::Outside,
            (false, false) => Verdict::CannotTell,
        };
    }
    let is_one_sided = !pair_errors.is_empty()
        && (pair_errors.iter().all(|error| *error > limit) || pair_errors.iter().all(|error| *error < -limit));
    if is_one_sided && error > limit { Verdict::Outside } else { Verdict::CannotTell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_those_of_loadgen() {
        let floors = [Percentile::P90, Percentile::P95, Percentile::P99].map(sample_floor);
        assert_eq!(floors, [64, 130, 662]);
        assert_eq!(sample_floor(Percentile::P50), 11);
    }

    fn judged(pair_errors: &[f64], relative_error: f64, noise: Option<f64>) -> Verdict {
        judge(Evidence { percentile: Percentile::P99, relative_error, pair_errors, noise }, 0.1)
    }

    #[test]
    fn eight_requests_all_far_off_are_enough_to_say_outside_but_never_within() {
        assert_eq!(judged(&[-0.87; 8], -0.87, None), Verdict::Outside);
        let mixed = [-0.87, 0.5, -0.87, -0.87, -0.87, -0.87, -0.87, -0.87];
        assert_eq!(judged(&mixed, -0.87, None), Verdict::CannotTell);
        assert_eq!(judged(&[0.001; 661], 0.001, None), Verdict::CannotTell);
        assert_eq!(judged(&[0.001; 662], 0.001, None), Verdict::Within);
        assert_eq!(judged(&[0.2; 662], 0.2, None), Verdict::Outside);
    }

    #[test]
    fn an_error_the_real_engine_makes_by_itself_is_no_finding() {
        let many = [0.15; 662];
        assert_eq!(judged(&many, 0.15, Some(0.02)), Verdict::Outside);
        assert_eq!(judged(&many, 0.15, Some(0.06)), Verdict::CannotTell);
        assert_eq!(judged(&many, 0.05, Some(0.02)), Verdict::Within);
        assert_eq!(judged(&many, 0.05, Some(0.2)), Verdict::CannotTell);
        assert_eq!(judged(&[-0.87; 8], -0.87, Some(0.2)), Verdict::Outside);
    }
}

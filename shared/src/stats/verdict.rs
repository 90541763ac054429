//! Verdicts in three states, and how many requests each percentile needs before one may be given.

use serde::{Deserialize, Serialize};

use crate::stats::Percentile;

/// What is known about an error against its tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The error is inside the tolerance, and there are requests enough to say so.
    Within,
    /// Too few requests to tell.
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

/// Judges one percentile. `relative_error` is that of the percentile, `pair_errors` those of the
/// request pairs behind it: below the sample floor, *outside* is still said when every pair errs
/// beyond the tolerance on the same side.
pub fn judge(percentile: Percentile, relative_error: f64, pair_errors: &[f64], tolerance: f64) -> Verdict {
    let is_enough = pair_errors.len() >= sample_floor(percentile) as usize;
    let is_one_sided = !pair_errors.is_empty()
        && (pair_errors.iter().all(|error| *error > tolerance) || pair_errors.iter().all(|error| *error < -tolerance));
    match (is_enough, libm::fabs(relative_error) <= tolerance) {
        (true, true) => Verdict::Within,
        (true, false) => Verdict::Outside,
        (false, false) if is_one_sided => Verdict::Outside,
        (false, _) => Verdict::CannotTell,
    }
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

    #[test]
    fn eight_requests_all_far_off_are_enough_to_say_outside_but_never_within() {
        let far = [-0.87; 8];
        assert_eq!(judge(Percentile::P99, -0.87, &far, 0.1), Verdict::Outside);
        let mixed = [-0.87, 0.5, -0.87, -0.87, -0.87, -0.87, -0.87, -0.87];
        assert_eq!(judge(Percentile::P99, -0.87, &mixed, 0.1), Verdict::CannotTell);
        assert_eq!(judge(Percentile::P99, 0.001, &[0.001; 661], 0.1), Verdict::CannotTell);
        assert_eq!(judge(Percentile::P99, 0.001, &[0.001; 662], 0.1), Verdict::Within);
        assert_eq!(judge(Percentile::P99, 0.2, &[0.001; 662], 0.1), Verdict::Outside);
    }
}

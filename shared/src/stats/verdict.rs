//! Verdicts in three states, and how many requests each percentile needs before one may be given.

use serde::{Deserialize, Serialize};

use crate::stats::{Interval, Percentile};

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

/// Requests without which no interval is believed.
const FEWEST_JUDGED: u32 = 50;

/// Requests needed for a verdict at `percentile`: the smallest n at which a 99 % confidence bound
/// still holds with one violation allowed, `P(Binomial(n, 1 - p) <= 1) <= 1 - 0.99`. MLPerf LoadGen's
/// rule for early stopping gives 64, 130 and 662 for P90, P95 and P99, and so does this. Percentiles
/// below the median mirror those above it. Never under fifty: an interval from fewer does not know its own length
/// (on 11 requests that lean on each other, one in ten verdicts of the median would be a false alarm).
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
    high.max(FEWEST_JUDGED)
}

/// What is known about one percentile.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Which percentile.
    pub percentile: Percentile,
    /// Its relative error, signed.
    pub relative_error: f64,
    /// The interval of that error; `None` where requests are too few to have one.
    pub interval: Option<Interval>,
    /// Relative errors of the request pairs behind it.
    pub pair_errors: &'a [f64],
    /// How much repeats of the real run differ among themselves; `None` with one run.
    pub noise: Option<f64>,
}

/// Why nothing can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The percentile's sample floor is not reached.
    FewRequests,
    /// The interval of the error reaches over the tolerance.
    WideInterval,
    /// Repeats of the real run differ too much.
    NoisyEngine,
    /// The error has no interval: none was asked for, or the real value is zero in some resamples.
    NoInterval,
}

/// A verdict, and what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is known.
    pub verdict: Verdict,
    /// Why nothing is; `None` with *within* and *outside*.
    pub doubt: Option<Doubt>,
    /// More requests that a verdict needs: to the sample floor, or until the interval, which shrinks with the square root
    /// of their number, would fit. 0 when told; `None` when more of them would not help.
    pub num_more_needed: Option<u32>,
}

/// Pairs that err on one side, at least, to be a finding below the sample floor: by chance half of them do,
/// so six have a probability of 3 % (the sign test).
const FEWEST_ONE_SIDED: usize = 6;

/// Judges one percentile. The error is known to within its interval, and the real engine repeats itself to within the
/// noise: *within* asks that the interval, widened by the noise, lies inside the tolerance, *outside* that it
/// lies beyond it. Below the sample floor, *outside* is still said when every pair errs that far on the same side.
pub fn judge(evidence: Evidence<'_>, tolerance: f64) -> Judgement {
    let Evidence { percentile, relative_error, pair_errors, .. } = evidence;
    let noise = evidence.noise.unwrap_or(0.0);
    let error = libm::fabs(relative_error);
    let told = |verdict| Judgement { verdict, doubt: None, num_more_needed: Some(0) };
    let untold =
        |doubt, num_more_needed| Judgement { verdict: Verdict::CannotTell, doubt: Some(doubt), num_more_needed };
    let (num_pairs, floor) = (pair_errors.len() as u32, sample_floor(percentile));
    let Some(interval) = evidence.interval.filter(|_| num_pairs >= floor) else {
        let limit = tolerance + noise;
        let is_one_sided = pair_errors.len() >= FEWEST_ONE_SIDED
            && (pair_errors.iter().all(|error| *error > limit) || pair_errors.iter().all(|error| *error < -limit));
        return match num_pairs < floor {
            _ if is_one_sided && error > limit => told(Verdict::Outside),
            true => untold(Doubt::FewRequests, Some(floor - num_pairs)),
            false => untold(Doubt::NoInterval, None),
        };
    };
    let place = |noise: f64| {
        let farthest = libm::fabs(interval.low).max(libm::fabs(interval.high));
        let nearest = interval.low.max(-interval.high);
        match (farthest + noise <= tolerance, nearest - noise > tolerance) {
            (true, _) => Verdict::Within,
            (false, true) => Verdict::Outside,
            (false, false) => Verdict::CannotTell,
        }
    };
    match (place(noise), place(0.0)) {
        (Verdict::CannotTell, Verdict::CannotTell) => {
            untold(Doubt::WideInterval, more_for(interval, relative_error, tolerance, num_pairs))
        }
        (Verdict::CannotTell, _) => untold(Doubt::NoisyEngine, None),
        (verdict, _) => told(verdict),
    }
}

/// Requests to add until the side of the interval that crosses the tolerance would no longer reach it.
fn more_for(interval: Interval, error: f64, tolerance: f64, num_pairs: u32) -> Option<u32> {
    let (size, away, towards) = if error >= 0.0 {
        (error, interval.high - error, error - interval.low)
    } else {
        (-error, error - interval.low, interval.high - error)
    };
    let reach = if size <= tolerance { away.max(towards - 2.0 * size) } else { towards };
    let ratio = reach / libm::fabs(tolerance - size);
    let more = libm::ceil(f64::from(num_pairs) * (ratio * ratio - 1.0));
    // An error that sits on the tolerance would need more requests than anybody sends.
    (more > 0.0 && more < 1e7).then_some(more as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_those_of_loadgen() {
        let floors = [Percentile::P90, Percentile::P95, Percentile::P99].map(sample_floor);
        assert_eq!(floors, [64, 130, 662]);
        assert_eq!(sample_floor(Percentile::P50), FEWEST_JUDGED);
    }

    fn judged(pair_errors: &[f64], relative_error: f64, noise: Option<f64>) -> Verdict {
        let interval = Some(Interval { low: relative_error, high: relative_error });
        judge(Evidence { percentile: Percentile::P99, relative_error, interval, pair_errors, noise }, 0.1).verdict
    }

    #[test]
    fn an_error_without_an_interval_is_not_taken_for_a_certain_one() {
        let judged = |pair_errors: &[f64], relative_error| {
            judge(
                Evidence { percentile: Percentile::P50, relative_error, interval: None, pair_errors, noise: None },
                0.1,
            )
        };
        assert_eq!(judged(&[0.0; 100], 0.0).doubt, Some(Doubt::NoInterval));
        assert_eq!(judged(&[0.3, -0.3].repeat(50), 0.3).doubt, Some(Doubt::NoInterval));
        assert_eq!(judged(&[0.3; 100], 0.3).verdict, Verdict::Outside, "every pair says so");
    }

    fn with_interval(low: f64, high: f64, noise: Option<f64>) -> Judgement {
        let interval = Some(Interval { low, high });
        let relative_error = (low + high) / 2.0;
        judge(Evidence { percentile: Percentile::P50, relative_error, interval, pair_errors: &[0.0; 100], noise }, 0.1)
    }

    #[test]
    fn the_whole_interval_must_lie_on_one_side_of_the_tolerance() {
        assert_eq!(with_interval(-0.05, 0.09, None).verdict, Verdict::Within);
        assert_eq!(with_interval(0.11, 0.2, None).verdict, Verdict::Outside);
        assert_eq!(with_interval(-0.3, -0.12, None).verdict, Verdict::Outside);
        let wide = with_interval(0.0, 0.12, None);
        // An error of 6 % known to 6 %: 4 % would do, for which 100 requests must become 225.
        assert_eq!((wide.doubt, wide.num_more_needed), (Some(Doubt::WideInterval), Some(125)));
        let noisy = with_interval(-0.05, 0.09, Some(0.03));
        assert_eq!((noisy.doubt, noisy.num_more_needed), (Some(Doubt::NoisyEngine), None));
        let around = with_interval(-0.2, 0.2, None);
        assert_eq!((around.doubt, around.num_more_needed), (Some(Doubt::WideInterval), Some(300)));
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

//! Fits the weights of an interpolation by leaving points out, one at a time and whole gaps at a time.

use super::coordinates::NUM_COORDINATES;
use super::kriging::{Field, Weights};

/// Points left out to judge one setting. Twice as many on planes gain 2 % of the error and take a whole profile
/// beyond a second.
const NUM_PROBES: usize = 128;

/// Rounds over all weights.
const NUM_ROUNDS: usize = 4;

/// A gap is this part of the points, one in so many.
const GAP_PART: usize = 25;

/// Coordinate search from `first`: each weight in turn times and over a factor, kept when the mean relative
/// error falls. Single points and gaps count alike, each relative to what `first` errs.
pub(super) fn tune(field: &Field, first: Weights) -> Weights {
    let num_points = field.points.len();
    if num_points < 12 {
        return first;
    }
    let count = NUM_PROBES.min(num_points - 2);
    let stride = (num_points / count).max(1);
    let probes: Vec<usize> = (0..count)
        .map(|index| index * num_points / count + (index * 31) % stride)
        .filter(|index| *index > 0 && index + 1 < num_points)
        .collect();
    let trials = trials(field, &first, &probes);
    let start = errors(field, &first, &trials);
    let score = |[single, gap]: [f64; 2]| single / start[0].max(1e-9) + gap / start[1].max(1e-9);
    let (mut best, mut lowest, mut factor) = (first, 2.0, 4.0);
    for _ in 0..NUM_ROUNDS {
        let mut is_better = false;
        for parameter in 0..=NUM_COORDINATES {
            if parameter < NUM_COORDINATES && best.coordinates[parameter] == 0.0 {
                continue;
            }
            for scale in [factor, 1.0 / factor] {
                let mut tried = best.clone();
                match tried.coordinates.get_mut(parameter) {
                    Some(weight) => *weight *= scale as f32,
                    None => tried.noise *= scale,
                }
                let now = score(errors(field, &tried, &trials));
                if now < lowest - 1e-4 {
                    (best, lowest, is_better) = (tried, now, true);
                    break;
                }
            }
        }
        if !is_better {
            factor = libm::sqrt(factor);
        }
    }
    best
}

/// A point, and the candidates left to it alone and within a gap.
struct Trial {
    at: usize,
    left: [Vec<u32>; 2],
}

fn trials(field: &Field, weights: &Weights, probes: &[usize]) -> Vec<Trial> {
    let gap = (field.points.len() / GAP_PART).max(2);
    let trial = |(order, at): (usize, &usize)| {
        let begin = at.saturating_sub((order * 7) % gap);
        let left =
            [*at..at + 1, begin..begin + gap].map(|out| field.candidates(*at, weights, |index| !out.contains(&index)));
        Trial { at: *at, left }
    };
    probes.iter().enumerate().map(trial).collect()
}

/// Mean relative errors: of points left out alone, and within a gap.
fn errors(field: &Field, weights: &Weights, trials: &[Trial]) -> [f64; 2] {
    let error = |trial: &Trial, kind: usize| {
        let estimate = field.estimate_among(trial.at, &trial.left[kind], weights);
        relative_error(estimate, field.points[trial.at].value)
    };
    [0, 1].map(|kind| trials.iter().map(|trial| error(trial, kind)).sum::<f64>() / trials.len() as f64)
}

/// Relative error of a time whose log is `estimate` where it is `value`.
pub(super) fn relative_error(estimate: f64, value: f64) -> f64 {
    libm::fabs(libm::exp(estimate - value) - 1.0)
}

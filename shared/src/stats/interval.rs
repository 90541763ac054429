//! Intervals from resamples: pointwise for a number, simultaneous for a curve.

use crate::stats::Blocks;
use crate::stats::laws::{normal_cdf, normal_quantile, student_quantile};

/// A range that holds the truth with the confidence asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The expanded percentile interval (Hesterberg 2015): percentiles of the resampled statistic, taken farther out than
/// the confidence says by what Student's law asks of so few blocks. `None` without resamples.
pub fn percentile_interval(resampled: &[f64], blocks: &Blocks) -> Option<Interval> {
    let mut sorted = resampled.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let tail = normal_cdf(-reach(blocks));
    Some(Interval { low: interpolate(&sorted, tail)?, high: interpolate(&sorted, 1.0 - tail)? })
}

/// Standard errors that so few blocks ask for where the normal law would ask for its own quantile.
fn reach(blocks: &Blocks) -> f64 {
    let outside = (1.0 - blocks.confidence) / 2.0;
    let freedom = (blocks.num_blocks - 1.0).max(1.0);
    libm::sqrt((freedom + 1.0) / freedom) * student_quantile(1.0 - outside, freedom)
}

/// A band around a whole curve: with the confidence asked for, all of it lies inside. Half-widths are one multiple of
/// each point's standard error (sup-t; Montiel Olea and Plagborg-Møller 2019), as much wider for few blocks as an
/// interval is. `resampled[point][resample]`
/// around `curve[point]`.
pub fn simultaneous_band(curve: &[f64], resampled: &[Vec<f64>], blocks: &Blocks) -> Option<Vec<Interval>> {
    let num_resamples = resampled.first()?.len();
    let errors: Vec<f64> = resampled.iter().map(|values| standard_deviation(values)).collect();
    let mut farthest: Vec<f64> = (0..num_resamples)
        .map(|index| {
            let points = curve.iter().zip(resampled).zip(&errors).filter(|(_, error)| **error > 0.0);
            points.map(|((at, values), error)| (values[index] - at).abs() / error).fold(0.0, f64::max)
        })
        .collect();
    farthest.sort_unstable_by(f64::total_cmp);
    let wider = reach(blocks) / normal_quantile((1.0 + blocks.confidence) / 2.0);
    let multiple = interpolate(&farthest, blocks.confidence)? * wider;
    let around = |(at, error): (&f64, &f64)| Interval { low: at - multiple * error, high: at + multiple * error };
    Some(curve.iter().zip(&errors).map(around).collect())
}

fn standard_deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    libm::sqrt(squares / (n - 1.0).max(1.0))
}

/// Type-7 quantile of ascending values; `None` of none.
pub(crate) fn interpolate(sorted: &[f64], fraction: f64) -> Option<f64> {
    let position = fraction.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let index = position as usize;
    let (low, high) = (sorted[index], sorted[(index + 1).min(sorted.len() - 1)]);
    Some(low + (high - low) * (position - index as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(num_blocks: f64) -> Blocks {
        Blocks { block_length: 1, num_blocks, num_resamples: 1001, confidence: 0.95 }
    }

    #[test]
    fn few_blocks_reach_farther_out_than_many() {
        let resampled: Vec<f64> = (0..=1000).map(f64::from).collect();
        let many = percentile_interval(&resampled, &blocks(1e9)).expect("resamples");
        assert!((many.low - 25.0).abs() < 0.01 && (many.high - 975.0).abs() < 0.01, "{many:?}");
        let few = percentile_interval(&resampled, &blocks(10.0)).expect("resamples");
        // sqrt(10 / 9) * 2.2622 = 2.3846; beyond it lie 0.855 % of the normal law.
        assert!((few.low - 8.55).abs() < 0.05 && (few.high - 991.45).abs() < 0.05, "{few:?}");
    }

    #[test]
    fn a_band_over_many_points_is_wider_than_one_points_interval() {
        let resampled: Vec<Vec<f64>> = (0..20u64)
            .map(|point| (0..500u64).map(|index| ((index * 7919 + point * 104_729) % 997) as f64 - 498.0).collect())
            .collect();
        let curve = [0.0; 20];
        let band = simultaneous_band(&curve, &resampled, &blocks(1e9)).expect("resamples");
        let inside = (0..500)
            .filter(|index| resampled.iter().zip(&band).all(|(v, b)| (b.low..=b.high).contains(&v[*index])))
            .count();
        assert!((475..=480).contains(&inside), "{inside} of 500 curves lie inside");
    }
}

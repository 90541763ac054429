//! Drawing token counts from a length distribution.

use crate::random::Stream;
use crate::workload::spec::LengthDistribution;

/// A distribution made ready to draw from; checked before (see `LengthDistribution::check`).
pub(super) struct LengthSampler<'a> {
    law: &'a LengthDistribution,
    /// Running sum of the Zipf weights; empty for the other laws.
    cumulative: Vec<f64>,
}

impl<'a> LengthSampler<'a> {
    pub(super) fn new(law: &'a LengthDistribution) -> Self {
        let cumulative = match law {
            LengthDistribution::Zipf { theta, min, max } => zipf_cumulative(*theta, max - min + 1),
            _ => Vec::new(),
        };
        LengthSampler { law, cumulative }
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> u32 {
        match *self.law {
            LengthDistribution::Constant { num_tokens } => num_tokens,
            LengthDistribution::Uniform { min, max } => min + stream.below(u64::from(max - min) + 1) as u32,
            LengthDistribution::Lognormal { mean, median, sigma, min, max } => {
                let centre =
                    median.or(mean.map(|mean| mean * libm::exp(-0.5 * sigma * sigma))).unwrap_or(f64::from(min));
                let value = libm::round(centre * libm::exp(sigma * stream.normal()));
                value.clamp(f64::from(min), f64::from(max)) as u32
            }
            LengthDistribution::Zipf { min, max, .. } => {
                let total = self.cumulative.last().copied().unwrap_or(1.0);
                let target = stream.unit() * total;
                let rank = self.cumulative.partition_point(|sum| *sum <= target) as u32;
                (min + rank).min(max)
            }
        }
    }
}

fn zipf_cumulative(theta: f64, num_ranks: u32) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=num_ranks)
        .map(|rank| {
            sum += libm::pow(f64::from(rank), -theta);
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(law: &LengthDistribution, num: usize) -> Vec<u32> {
        let sampler = LengthSampler::new(law);
        let mut stream = Stream::new(3, "lengths");
        (0..num).map(|_| sampler.draw(&mut stream)).collect()
    }

    fn share(values: &[u32], wanted: impl Fn(u32) -> bool) -> f64 {
        values.iter().filter(|value| wanted(**value)).count() as f64 / values.len() as f64
    }

    #[test]
    fn uniform_takes_both_ends() {
        let values = sample(&LengthDistribution::Uniform { min: 3, max: 5 }, 30_000);
        assert!(values.iter().all(|value| (3..=5).contains(value)));
        for length in 3..=5 {
            let found = share(&values, |value| value == length);
            assert!((found - 1.0 / 3.0).abs() < 0.014, "{length}: {found}");
        }
    }

    #[test]
    fn lognormal_keeps_its_median_or_mean_and_its_bounds() {
        let law = |mean, median, max| LengthDistribution::Lognormal { mean, median, sigma: 0.8, min: 1, max };
        let by_median = sample(&law(None, Some(500.0), 100_000), 40_000);
        let below = share(&by_median, |value| value < 500);
        assert!((below - 0.5).abs() < 0.0125, "{below} lie below the median");
        let by_mean = sample(&law(Some(500.0), None, 100_000), 40_000);
        let mean = by_mean.iter().map(|value| f64::from(*value)).sum::<f64>() / 40_000.0;
        // One deviation of this law is 500 sqrt(exp(0.64) - 1) = 473; five standard errors are 11.9.
        assert!((mean - 500.0).abs() < 11.9, "mean {mean}");
        let bounded = sample(&law(None, Some(500.0), 600), 10_000);
        assert_eq!(bounded.iter().max(), Some(&600));
    }

    #[test]
    fn zipf_follows_its_power_law() {
        let values = sample(&LengthDistribution::Zipf { theta: 1.0, min: 10, max: 13 }, 50_000);
        // Weights 1, 1/2, 1/3, 1/4 sum to 25/12.
        for (length, weight) in [(10, 12.0), (11, 6.0), (12, 4.0), (13, 3.0)] {
            let found = share(&values, |value| value == length);
            assert!((found - weight / 25.0).abs() < 0.0112, "{length}: {found}");
        }
    }
}

//! Exact quantiles of a resample: one walk over the sample in ascending order, counting what was drawn.

use crate::stats::Clusters;

/// A side of at most some ten thousand values.
pub(in crate::stats) struct Walk {
    /// Values ascending, each with the request it belongs to.
    ordered: Vec<(u64, u32)>,
    /// Number and sum of each request's values.
    totals: Vec<(u64, f64)>,
}

impl Walk {
    pub(in crate::stats) fn new(side: &Clusters) -> Self {
        let owned =
            side.requests().enumerate().flat_map(|(owner, values)| values.iter().map(move |v| (*v, owner as u32)));
        let mut ordered: Vec<(u64, u32)> = owned.collect();
        ordered.sort_unstable();
        let total = |values: &[u64]| (values.len() as u64, values.iter().map(|value| *value as f64).sum());
        Walk { ordered, totals: side.requests().map(total).collect() }
    }

    /// Appends the quantiles (type 7) of the resample in which request `i` came `weights[i]` times, and returns its mean.
    pub(in crate::stats) fn resample(&self, weights: &[u32], fractions: &[f64], quantiles: &mut [Vec<f64>]) -> f64 {
        let (mut count, mut sum) = (0u64, 0.0);
        for ((number, total), weight) in self.totals.iter().zip(weights) {
            count += number * u64::from(*weight);
            sum += total * f64::from(*weight);
        }
        if count == 0 {
            quantiles.iter_mut().for_each(|values| values.push(0.0));
            return 0.0;
        }
        let place = |fraction: f64| {
            let position = fraction * (count - 1) as f64;
            let rank = (position as u64).min(count - 1);
            (rank, position - rank as f64)
        };
        let (mut seen, mut next) = (0u64, 0usize);
        let mut value_at = |rank: u64| {
            while seen <= rank {
                seen += u64::from(weights[self.ordered[next].1 as usize]);
                next += 1;
            }
            self.ordered[next - 1].0 as f64
        };
        let mut lows = Vec::with_capacity(fractions.len());
        for fraction in fractions {
            let (rank, part) = place(*fraction);
            lows.push((rank, value_at(rank), part));
        }
        let (mut seen, mut next) = (0u64, 0usize);
        for ((rank, low, part), values) in lows.into_iter().zip(quantiles) {
            let rank = (rank + 1).min(count - 1);
            while seen <= rank {
                seen += u64::from(weights[self.ordered[next].1 as usize]);
                next += 1;
            }
            values.push(low + (self.ordered[next - 1].0 as f64 - low) * part);
        }
        sum / count as f64
    }
}

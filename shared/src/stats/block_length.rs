//! How long the blocks of a bootstrap must be: neighbouring requests queue together, so they are drawn together.

use std::f64::consts::FRAC_1_SQRT_2;

/// Blocks are at most this part of the series, so that there are some to draw.
const FEWEST_BLOCKS: usize = 4;

/// Length of the blocks in which `series` (in order of arrival) is to be resampled for an interval.
///
/// How fast the dependence dies is read off the series as Politis and White (2004) do, with the
/// correction of Patton, Politis and White (2009): `2 G^2 / (4/3 g(0)^2)` to the third, a flat-top lag
/// window over the autocovariances up to where they vanish. Their length grows with `n^(1/3)`, which makes
/// the *variance* best and intervals too short; for the coverage of an interval the bandwidth must grow
/// with `n^(1/2)` (Sun, Phillips and Jin 2008, for the Bartlett window, which is a block bootstrap's),
/// so that is the power here. Blocks are never shorter than `n^(1/3)`: on few requests the rule sees no dependence where
/// there is some.
pub fn block_length(series: &[f64]) -> usize {
    let n = series.len();
    let longest = (n / FEWEST_BLOCKS).max(1);
    let length = (dependence(series) * libm::sqrt(n as f64)).max(libm::cbrt(n as f64));
    (libm::ceil(length) as usize).clamp(1, longest)
}

/// The factor before the power of `n`; 0 for a series that does not vary or does not depend.
fn dependence(series: &[f64]) -> f64 {
    let n = series.len();
    if n < 8 {
        return 0.0;
    }
    let log_n = libm::log10(n as f64);
    // Autocorrelations vanish once `quiet` in a row are below `limit` (Politis and White's suggestion).
    let quiet = (libm::ceil(libm::sqrt(log_n)) as usize).max(5);
    let limit = 2.0 * libm::sqrt(log_n / n as f64);
    let farthest = (libm::ceil(libm::sqrt(n as f64)) as usize + quiet).min(n - 1);
    let covariances = autocovariances(series, farthest);
    let variance = covariances[0];
    if variance <= 0.0 {
        return 0.0;
    }
    let is_large = |lag: usize| covariances[lag].abs() >= limit * variance;
    let vanished = (0..=farthest - quiet.min(farthest)).find(|lag| (lag + 1..=lag + quiet).all(|lag| !is_large(lag)));
    let last = match vanished {
        Some(lag) => lag,
        None => (1..=farthest).rev().find(|lag| is_large(*lag)).unwrap_or(0),
    };
    let window = (2 * last).clamp(1, farthest);
    let (mut spectrum, mut bend) = (variance, 0.0);
    for (lag, covariance) in covariances.iter().enumerate().take(window + 1).skip(1) {
        let share = lag as f64 / window as f64;
        let weight = if share <= 0.5 { 1.0 } else { 2.0 * (1.0 - share) };
        spectrum += 2.0 * weight * covariance;
        bend += 2.0 * weight * lag as f64 * covariance;
    }
    if spectrum <= 0.0 {
        return 0.0;
    }
    libm::cbrt(1.5 * (bend / spectrum) * (bend / spectrum))
}

fn autocovariances(series: &[f64], farthest: usize) -> Vec<f64> {
    let n = series.len() as f64;
    let mean = series.iter().sum::<f64>() / n;
    let centred: Vec<f64> = series.iter().map(|value| value - mean).collect();
    let at = |lag: usize| centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum::<f64>() / n;
    (0..=farthest).map(at).collect()
}

/// How much each unit of a sample moves its quantile `p`: `(p - share of its values below) / density`.
/// `counts[i]` are unit `i`'s values and those at or below the quantile.
pub(super) fn influence(counts: &[(usize, usize)], p: f64, density: f64) -> impl Iterator<Item = f64> {
    counts.iter().map(move |(all, below)| (p * *all as f64 - *below as f64) / density)
}

/// Density at the quantile `p` of an ascending sample: the difference quotient over the bandwidth of
/// Hall and Sheather (1988) for 95 % intervals of quantiles. Never 0: ties give a large number.
pub(super) fn density(sorted: &[u64], p: f64) -> f64 {
    use super::laws::{normal_density, normal_quantile};
    let n = sorted.len() as f64;
    let z = normal_quantile(p.clamp(1e-6, 1.0 - 1e-6));
    let phi = normal_density(z);
    let two_sided = normal_quantile(0.975);
    let curve = libm::cbrt(1.5 * phi * phi / (2.0 * z * z + 1.0));
    let width = libm::cbrt(two_sided * two_sided / n) * curve;
    let width = width.max(FRAC_1_SQRT_2 / n).min(p.min(1.0 - p).max(1.0 / n));
    let at = |fraction: f64| {
        let position = fraction.clamp(0.0, 1.0) * (n - 1.0);
        let index = position as usize;
        let low = sorted[index] as f64;
        let high = sorted[(index + 1).min(sorted.len() - 1)] as f64;
        low + (high - low) * (position - index as f64)
    };
    let (low, high) = ((p - width).max(0.0), (p + width).min(1.0));
    (high - low) / (at(high) - at(low)).max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn autoregressive(n: usize, rho: f64, seed: u64) -> Vec<f64> {
        let mut stream = Stream::new(seed, "block length");
        let mut value = stream.normal();
        let fresh = libm::sqrt(1.0 - rho * rho);
        (0..n)
            .map(|_| {
                value = rho * value + fresh * stream.normal();
                value
            })
            .collect()
    }

    #[test]
    fn independent_series_need_short_blocks_and_dependent_ones_longer_blocks_the_longer_they_remember() {
        let mean =
            |rho: f64| (0..50).map(|seed| block_length(&autoregressive(1_000, rho, seed)) as f64).sum::<f64>() / 50.0;
        let lengths = [0.0, 0.5, 0.8].map(mean);
        println!("mean block lengths at rho 0, 0.5, 0.8 of 1,000: {lengths:?}");
        assert!(lengths[0] < 12.0 && lengths[1] > 20.0 && lengths[2] > 2.0 * lengths[1], "{lengths:?}");
    }

    /// For an AR(1) series the factor is known: `G / g(0) = 2 rho / (1 - rho^2)`.
    #[test]
    fn the_factor_of_a_long_autoregressive_series_is_the_known_one() {
        let rho: f64 = 0.5;
        let known = libm::cbrt(1.5 * (2.0 * rho / (1.0 - rho * rho)).powi(2));
        let found = (0..20).map(|seed| dependence(&autoregressive(20_000, rho, seed))).sum::<f64>() / 20.0;
        assert!((found - known).abs() < 0.1 * known, "{found} for {known}");
    }

    #[test]
    fn series_that_tell_nothing_are_taken_in_the_shortest_blocks() {
        assert_eq!(block_length(&[1.0; 100]), 5);
        assert_eq!(block_length(&[]), 1);
        assert_eq!(block_length(&[1.0, 2.0, 3.0]), 1);
        let ramp: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(block_length(&ramp), 25, "a trend leaves four blocks");
    }
}

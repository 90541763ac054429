//! Finding the steady part of a series: warm-up truncation and a test for trend.

use crate::stats::kendall_tau;

/// Observations to a batch of [`mser5`].
const MSER_BATCH: usize = 5;
/// Batches at the end that no truncation may leave alone: a mean of so few has a tiny variance by chance.
const MSER_LEFT: usize = 5;
/// Batches below which [`mser5`] says nothing.
const MSER_MIN_BATCHES: usize = 10;

/// Observations to cut off the beginning of `series`, by MSER-5: of all truncations of means of five, the one with
/// the smallest squared standard error of the mean of what is left, `sum (z - mean)^2 / n^2`. `None` of fewer than
/// 50 observations. A result beyond the middle says that there is no steady state to be seen.
///
/// White, "An effective truncation heuristic for bias reduction in simulation output", Simulation 69 (1997), with
/// batches after White, Cobb and Spratt (2000); the last five batches are no candidates and the middle is the limit
/// as in Hoad, Robinson and Davies, "Automating warm-up length estimation", J. Oper. Res. Soc. 61 (2010).
pub fn mser5(series: &[f64]) -> Option<usize> {
    let means = batch_means(series, series.len() / MSER_BATCH, MSER_BATCH);
    if means.len() < MSER_MIN_BATCHES {
        return None;
    }
    // From the back, so that sums of what is left are running ones; a shift by the last mean keeps their digits.
    let shift = means[means.len() - 1];
    let (mut sum, mut squares, mut best) = (0.0, 0.0, (f64::INFINITY, 0));
    for cut in (0..means.len()).rev() {
        let value = means[cut] - shift;
        sum += value;
        squares += value * value;
        let left = means.len() - cut;
        if left < MSER_LEFT {
            continue;
        }
        let left = left as f64;
        let error = (squares - sum * sum / left).max(0.0) / (left * left);
        // Of equals, the shortest truncation.
        if error <= best.0 {
            best = (error, cut);
        }
    }
    Some(best.1 * MSER_BATCH)
}

/// Means of `count` batches of `size` from the start; the rest is left out.
fn batch_means(series: &[f64], count: usize, size: usize) -> Vec<f64> {
    series.chunks_exact(size.max(1)).take(count).map(|batch| batch.iter().sum::<f64>() / batch.len() as f64).collect()
}

/// How a series moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Normal score of Kendall's S against no trend: beyond ±2.576 one in a hundred.
    pub z: f64,
    /// Theil and Sen's slope over the whole series, as a share of its mean's size.
    pub rise: f64,
}

/// Most batches that [`trend`] looks at.
const TREND_BATCHES: usize = 20;

/// Mann and Kendall's test on the means of up to 20 batches, with Sen's slope. The means stand for the observations
/// because those of neighbours in a queue are not independent, which the test takes them to be (Mann 1945; Kendall
/// 1975; Sen 1968; on dependence, Hamed and Rao, J. Hydrology 204 (1998)). `None` of fewer than 10 observations, or
/// when all are equal.
pub fn trend(series: &[f64]) -> Option<Trend> {
    let count = (series.len() / 2).min(TREND_BATCHES);
    if count < 5 {
        return None;
    }
    let means = batch_means(series, count, series.len() / count);
    let n = means.len() as f64;
    // Equal means are rare, but a queue that stays empty has them: ranks make them ties for the tau.
    let mut sorted = means.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let ranks: Vec<usize> = means.iter().map(|value| sorted.partition_point(|other| other < value)).collect();
    let order: Vec<usize> = (0..means.len()).collect();
    let tau = kendall_tau(&order, &ranks)?;
    // Variance of S with ties, and S from tau-b: S = tau sqrt(pairs (pairs - tied)).
    let (pairs, mut tied, mut variance) = (n * (n - 1.0) / 2.0, 0.0, n * (n - 1.0) * (2.0 * n + 5.0));
    for run in sorted.chunk_by(|a, b| a == b) {
        let t = run.len() as f64;
        tied += t * (t - 1.0) / 2.0;
        variance -= t * (t - 1.0) * (2.0 * t + 5.0);
    }
    let s = libm::round(tau * libm::sqrt(pairs * (pairs - tied)));
    let corrected = if s > 0.0 {
        s - 1.0
    } else if s < 0.0 {
        s + 1.0
    } else {
        0.0
    };
    let z = corrected / libm::sqrt(variance / 18.0);
    let mut slopes = Vec::with_capacity(means.len() * means.len() / 2);
    for later in 1..means.len() {
        slopes.extend((0..later).map(|earlier| (means[later] - means[earlier]) / (later - earlier) as f64));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = (slopes[(slopes.len() - 1) / 2] + slopes[slopes.len() / 2]) / 2.0;
    let size = libm::fabs(means.iter().sum::<f64>() / n);
    Some(Trend { z, rise: if size > 0.0 { slope * (n - 1.0) / size } else { 0.0 } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// First-order autoregressive noise around `mean`, unit deviation.
    fn ar1(stream: &mut Stream, count: usize, rho: f64, mean: f64) -> Vec<f64> {
        let mut state = stream.normal();
        let next = |_| {
            state = rho * state + (1.0 - rho * rho).sqrt() * stream.normal();
            mean + state
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn the_truncation_is_the_one_of_the_definition() {
        let mut stream = Stream::new(5, "mser");
        let series: Vec<f64> = ar1(&mut stream, 203, 0.5, 3.0)
            .into_iter()
            .enumerate()
            .map(|(i, x)| x + 9.0 * (-(i as f64) / 20.0).exp())
            .collect();
        let means: Vec<f64> = series[..200].chunks(5).map(|batch| batch.iter().sum::<f64>() / 5.0).collect();
        let error = |cut: usize| {
            let left = &means[cut..];
            let mean = left.iter().sum::<f64>() / left.len() as f64;
            left.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (left.len() as f64).powi(2)
        };
        let best = (0..=means.len() - 5).min_by(|a, b| error(*a).total_cmp(&error(*b))).expect("candidates");
        assert_eq!(mser5(&series), Some(best * 5));
        assert!((10..=100).contains(&(best * 5)), "a decay over 20 observations is cut off: {}", best * 5);
    }

    #[test]
    fn a_planted_ramp_is_cut_off_and_a_stationary_series_left_whole() {
        let (mut early, mut whole) = (0, 0);
        for seed in 0..200 {
            let mut stream = Stream::new(seed, "ramp");
            let flat = ar1(&mut stream, 500, 0.5, 10.0);
            whole += usize::from(mser5(&flat).expect("enough") <= 100);
            let ramp: Vec<f64> =
                flat.iter().enumerate().map(|(i, x)| x - 10.0 * (1.0 - i as f64 / 100.0).max(0.0)).collect();
            let cut = mser5(&ramp).expect("enough");
            early += usize::from((70..=250).contains(&cut));
        }
        println!("of 200: {early} ramps cut where they end, {whole} flat series cut by at most a fifth");
        assert!(early >= 190 && whole >= 150, "{early} {whole}");
        assert_eq!(mser5(&vec![7.0; 60]), Some(0));
        assert_eq!(mser5(&vec![7.0; 49]), None);
        let rising: Vec<f64> = (0..200).map(f64::from).collect();
        assert!(mser5(&rising).expect("enough") > 100, "what only rises has no steady state");
    }

    #[test]
    fn a_trend_is_found_and_rarely_where_there_is_none() {
        let is_trend = |series: &[f64]| trend(series).is_some_and(|trend| trend.z.abs() > 2.576);
        let (mut found, mut false_alarms) = (0, 0);
        for seed in 0..1_000 {
            let flat = ar1(&mut Stream::new(seed, "trend"), 500, 0.5, 10.0);
            false_alarms += usize::from(is_trend(&flat));
            let rising: Vec<f64> = flat.iter().enumerate().map(|(i, x)| x + 2.0 * i as f64 / 500.0).collect();
            found += usize::from(is_trend(&rising));
        }
        println!("of 1,000 AR(1) series, rho 0.5: {false_alarms} false alarms, {found} rises of two deviations found");
        assert!(false_alarms <= 30 && found >= 990, "{false_alarms} {found}");
    }

    #[test]
    fn trends_of_hand_computed_series() {
        // 1..10 in batches of two: all ten pairs rise, S = 10, variance 5*4*15/18, z = 9 / sqrt(16.67).
        let rising: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = trend(&rising).expect("ten values");
        assert!((found.z - 9.0 / (300.0f64 / 18.0).sqrt()).abs() < 1e-12);
        assert!((found.rise - 8.0 / 5.5).abs() < 1e-12, "slope 2 a batch over four steps, of mean 5.5");
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        assert!((trend(&falling).expect("ten values").z + found.z).abs() < 1e-12);
        assert_eq!(trend(&[4.0; 50]), None);
        assert_eq!(trend(&rising[..9]), None);
    }
}

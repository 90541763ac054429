//! Gaps between arrivals, in whole nanoseconds, from an arrival process.

use crate::time::Nanos;
use crate::workload::spec::{ArrivalProcess, SpecError};
use crate::workload::stream::Stream;

/// Gaps before each of `num` requests. The first is 0 unless given times say otherwise.
pub(super) fn gaps(
    process: &ArrivalProcess,
    num: usize,
    seed: u64,
    times: Option<&[Nanos]>,
) -> Result<Vec<Nanos>, SpecError> {
    let mut stream = Stream::new(seed, "arrivals");
    match process {
        ArrivalProcess::Static {} => Ok(vec![Nanos::ZERO; num]),
        ArrivalProcess::FixedInterval { interval_ms } => random_gaps(num, "arrivals.interval_ms", || interval_ms / 1e3),
        ArrivalProcess::Poisson { rate_rps } => {
            random_gaps(num, "arrivals.rate_rps", || stream.exponential() / rate_rps)
        }
        ArrivalProcess::Gamma { rate_rps, cv } => {
            let (shape, scale) = (1.0 / (cv * cv), cv * cv / rate_rps);
            random_gaps(num, "arrivals.rate_rps", || stream.gamma(shape) * scale)
        }
        ArrivalProcess::Times { file } => given_gaps(file, num, times.unwrap_or_default()),
    }
}

fn random_gaps(num: usize, field: &str, mut seconds: impl FnMut() -> f64) -> Result<Vec<Nanos>, SpecError> {
    let later = (1..num).map(|_| {
        Nanos::from_secs_f64(seconds()).ok_or_else(|| SpecError::new(field, "makes a gap of more than 584 years"))
    });
    std::iter::once(Ok(Nanos::ZERO)).chain(later).take(num).collect()
}

fn given_gaps(file: &str, num: usize, times: &[Nanos]) -> Result<Vec<Nanos>, SpecError> {
    if times.len() < num {
        let problem = format!("`{file}` gives {} arrival times for {num} requests", times.len());
        return Err(SpecError::new("arrivals.file", problem).with_hint("set `workload.num_requests` to fewer"));
    }
    let mut before = Nanos::ZERO;
    let gap = |(index, time): (usize, &Nanos)| {
        let gap = time.checked_sub(before).ok_or_else(|| {
            SpecError::new("arrivals.file", format!("`{file}`: arrival {index} is earlier than the one before it"))
        });
        before = *time;
        gap
    };
    times.iter().take(num).enumerate().map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(process: &ArrivalProcess, num: usize) -> Vec<f64> {
        let gaps = gaps(process, num + 1, 11, None).expect("a good process");
        assert_eq!(gaps[0], Nanos::ZERO, "the first request comes at once");
        gaps[1..].iter().map(|gap| gap.as_secs_f64()).collect()
    }

    /// Mean and coefficient of variation.
    fn mean_cv(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn poisson_and_gamma_keep_their_rate_and_their_variation() {
        let num = 100_000;
        for (process, cv) in [
            (ArrivalProcess::Poisson { rate_rps: 4.0 }, 1.0),
            (ArrivalProcess::Gamma { rate_rps: 4.0, cv: 0.25 }, 0.25),
            (ArrivalProcess::Gamma { rate_rps: 4.0, cv: 1.0 }, 1.0),
            (ArrivalProcess::Gamma { rate_rps: 4.0, cv: 2.0 }, 2.0),
        ] {
            let (mean, found_cv) = mean_cv(&seconds(&process, num));
            let standard_error = 0.25 * cv / (num as f64).sqrt();
            assert!((mean - 0.25).abs() < 5.0 * standard_error, "{process:?}: mean gap {mean}");
            // A gamma law of shape k has kurtosis 3 + 6/k, so the standard error of its deviation is
            // cv sqrt((2 + 6 cv²) / 4n) relative to the mean, and at most that plus the mean's own.
            let cv_error = cv * ((2.0 + 6.0 * cv * cv) / (4.0 * num as f64)).sqrt() + cv * cv / (num as f64).sqrt();
            assert!((found_cv - cv).abs() < 5.0 * cv_error, "{process:?}: cv {found_cv}");
        }
    }

    #[test]
    fn exponential_gaps_have_the_exponential_distribution() {
        let num = 20_000;
        let mut values = seconds(&ArrivalProcess::Poisson { rate_rps: 1.0 }, num);
        values.sort_by(f64::total_cmp);
        let distance = values.iter().enumerate().map(|(index, x)| {
            let expected = 1.0 - (-x).exp();
            (expected - index as f64 / num as f64).abs().max((expected - (index + 1) as f64 / num as f64).abs())
        });
        let worst = distance.fold(0.0, f64::max);
        // Kolmogorov: D sqrt(n) exceeds 1.95 once in a thousand.
        assert!(worst * (num as f64).sqrt() < 1.95, "Kolmogorov-Smirnov distance {worst}");
    }

    #[test]
    fn fixed_and_static_gaps_are_exact() {
        let fixed = gaps(&ArrivalProcess::FixedInterval { interval_ms: 2000.0 }, 3, 0, None).expect("good");
        assert_eq!(fixed, [Nanos(0), Nanos(2_000_000_000), Nanos(2_000_000_000)]);
        assert_eq!(gaps(&ArrivalProcess::Static {}, 2, 0, None).expect("good"), [Nanos(0), Nanos(0)]);
    }

    #[test]
    fn given_times_are_kept_and_backward_ones_refused() {
        let process = ArrivalProcess::Times { file: "t.csv".to_owned() };
        let times = [Nanos(5), Nanos(5), Nanos(9), Nanos(4)];
        assert_eq!(gaps(&process, 3, 0, Some(&times)).expect("good"), [Nanos(5), Nanos(0), Nanos(4)]);
        let backward = gaps(&process, 4, 0, Some(&times)).expect_err("time runs backwards");
        assert_eq!(backward.to_string(), "`arrivals.file`: `t.csv`: arrival 3 is earlier than the one before it");
        let few = gaps(&process, 5, 0, Some(&times)).expect_err("too few");
        assert_eq!(few.to_string(), "`arrivals.file`: `t.csv` gives 4 arrival times for 5 requests");
    }
}

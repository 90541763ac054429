//! Gaps between arrivals, in whole nanoseconds, from an arrival process; one at a time.

use crate::random::Stream;
use crate::schema::table::MAX_TIME;
use crate::time::Nanos;
use crate::workload::check::{GenerateError, SpecError};
use crate::workload::source::{Open, Opened};
use crate::workload::spec::{ArrivalProcess, FirstArrival};

/// The gaps of one workload, in order.
pub(super) struct Gaps<'a> {
    process: &'a ArrivalProcess,
    stream: Stream,
    given: Option<Given>,
    /// The next request is the first, and it comes at once.
    is_first: bool,
    arrival: Nanos,
}

/// Times of a file of their own.
struct Given {
    times: Opened<Nanos>,
    /// The time that counts as the start, once it is known; `None` before the first.
    start: Option<Nanos>,
    has_own_start: bool,
    num_taken: u64,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(
        process: &'a ArrivalProcess,
        first: FirstArrival,
        seed: u64,
        times: Option<&Open<Nanos>>,
    ) -> Result<Self, GenerateError> {
        let given = match (process, times) {
            (ArrivalProcess::Times { start_time_s, end_time_s, .. }, Some(open)) => {
                let is_window = start_time_s.is_some() || end_time_s.is_some();
                let has_own_start = is_window || first == FirstArrival::AfterGap;
                Some(Given { times: open()?, start: None, has_own_start, num_taken: 0 })
            }
            _ => None,
        };
        let mut gaps =
            Gaps { process, stream: Stream::new(seed, "arrivals"), given, is_first: false, arrival: Nanos::ZERO };
        match first {
            FirstArrival::AtZero => gaps.is_first = true,
            // The first given time is only where the gaps begin.
            FirstArrival::AfterGap if gaps.given.is_some() => drop(gaps.given_time()?),
            FirstArrival::AfterGap => {}
        }
        Ok(gaps)
    }

    /// Gap and arrival of the next request; `own` is the time its row gives. `None` when given times have
    /// run out.
    pub(super) fn next(&mut self, own: Option<Nanos>) -> Result<Option<(Nanos, Nanos)>, GenerateError> {
        let is_first = std::mem::take(&mut self.is_first);
        let stream = &mut self.stream;
        let arrival = match self.process {
            ArrivalProcess::Static {} => self.arrival,
            ArrivalProcess::FixedInterval { .. } | ArrivalProcess::Poisson { .. } | ArrivalProcess::Gamma { .. }
                if is_first =>
            {
                Nanos::ZERO
            }
            ArrivalProcess::FixedInterval { interval_ms } => self.after("arrivals.interval_ms", interval_ms / 1e3)?,
            ArrivalProcess::Poisson { rate_rps, max_gap_factor } => {
                let drawn = stream.exponential();
                let gap = max_gap_factor.map_or(drawn, |factor| drawn.min(factor)) / rate_rps;
                self.after("arrivals.rate_rps", gap)?
            }
            ArrivalProcess::Gamma { rate_rps, cv } => {
                let (shape, scale) = (1.0 / (cv * cv), cv * cv / rate_rps);
                let gap = stream.gamma(shape) * scale;
                self.after("arrivals.rate_rps", gap)?
            }
            ArrivalProcess::Times { .. } => match self.given_time()? {
                Some(time) => time,
                None => return Ok(None),
            },
            ArrivalProcess::Trace { time_scale } => {
                let own = own.ok_or_else(|| SpecError::new("arrivals", "the trace's rows give no times")
                    .with_hint("choose another arrival process, for example `arrivals = { kind = \"poisson\", rate_rps = 2.0 }`"))?;
                scaled(own, *time_scale)?
            }
        };
        let gap = arrival.checked_sub(self.arrival).ok_or_else(|| {
            SpecError::new(
                "arrivals",
                format!("a request arrives at {arrival} ns, the one before it at {}", self.arrival),
            )
        })?;
        self.arrival = arrival;
        Ok(Some((gap, arrival)))
    }

    /// How many given times there were.
    pub(super) fn num_given(&self) -> u64 {
        self.given.as_ref().map_or(0, |given| given.num_taken)
    }

    fn after(&self, field: &str, seconds: f64) -> Result<Nanos, SpecError> {
        let gap = Nanos::from_secs_f64(seconds)
            .filter(|gap| *gap <= MAX_TIME)
            .ok_or_else(|| SpecError::new(field, "makes a gap of more than 292 years"))?;
        Some(self.arrival + gap).filter(|arrival| *arrival <= MAX_TIME).ok_or_else(too_late)
    }

    /// The next of the given times that is in the window, from the start, scaled.
    fn given_time(&mut self) -> Result<Option<Nanos>, GenerateError> {
        let ArrivalProcess::Times { time_scale, start_time_s, end_time_s, whole_seconds, .. } = self.process else {
            return Ok(None);
        };
        let Some(given) = &mut self.given else { return Ok(None) };
        let time = loop {
            let Some(time) = given.times.next().transpose()? else { return Ok(None) };
            if start_time_s.is_none_or(|start| time.as_secs_f64() > start) {
                break time;
            }
        };
        if end_time_s.is_some_and(|end| time.as_secs_f64() >= end) {
            return Ok(None);
        }
        given.num_taken += 1;
        let start = *given.start.get_or_insert(if given.has_own_start { time } else { Nanos::ZERO });
        let mut time = time.saturating_sub(start);
        if *whole_seconds {
            time = Nanos(time.0 - time.0 % 1_000_000_000);
        }
        Ok(Some(scaled(time, *time_scale)?))
    }
}

fn scaled(time: Nanos, scale: f64) -> Result<Nanos, SpecError> {
    if scale == 1.0 {
        return Ok(time);
    }
    let nanos = libm::round(time.0 as f64 * scale);
    if nanos <= MAX_TIME.0 as f64 { Ok(Nanos(nanos as u64).min(MAX_TIME)) } else { Err(too_late()) }
}

fn too_late() -> SpecError {
    SpecError::new("arrivals", "a request would arrive after 292 years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::source::in_memory;

    fn poisson(rate_rps: f64, max_gap_factor: Option<f64>) -> ArrivalProcess {
        ArrivalProcess::Poisson { rate_rps, max_gap_factor }
    }

    /// The first `num` arrivals.
    fn arrivals(process: &ArrivalProcess, first: FirstArrival, num: usize) -> Vec<Nanos> {
        let mut gaps = Gaps::new(process, first, 11, None).expect("a good process");
        let mut next = || gaps.next(None).expect("a good process").expect("no end");
        (0..num).map(|_| next().1).collect()
    }

    fn seconds(process: &ArrivalProcess, num: usize) -> Vec<f64> {
        let arrivals = arrivals(process, FirstArrival::AtZero, num + 1);
        assert_eq!(arrivals[0], Nanos::ZERO, "the first request comes at once");
        arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
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
            (poisson(4.0, None), 1.0),
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
    fn vidur_s_cap_makes_its_rate_five_percent_higher() {
        let num = 400_000;
        let gaps = seconds(&poisson(4.0, Some(3.0)), num);
        assert!(gaps.iter().all(|gap| *gap <= 0.75));
        // One gap in e³ = 20.1 is at the cap.
        let capped = gaps.iter().filter(|gap| **gap == 0.75).count() as f64 / num as f64;
        assert!((capped - 0.049_787).abs() < 5.0 * (0.0498f64 * 0.95 / num as f64).sqrt(), "{capped} are at the cap");
        let rate = num as f64 / gaps.iter().sum::<f64>();
        // The capped law's variation is 0.85, so five standard errors are 0.67 %.
        assert!((rate / 4.0 - 1.0524).abs() < 0.0067, "{rate} requests a second");
        let uncapped = seconds(&poisson(4.0, None), 1000);
        assert!(uncapped.iter().zip(&gaps).all(|(uncapped, gap)| (uncapped.min(0.75) - gap).abs() < 1e-6));
    }

    #[test]
    fn exponential_gaps_have_the_exponential_distribution() {
        let num = 20_000;
        let mut values = seconds(&poisson(1.0, None), num);
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
    fn fixed_and_static_gaps_are_exact_and_the_first_is_drawn_when_asked() {
        let fixed = ArrivalProcess::FixedInterval { interval_ms: 2000.0 };
        assert_eq!(arrivals(&fixed, FirstArrival::AtZero, 3), [0, 2, 4].map(|s| Nanos(s * 1_000_000_000)));
        assert_eq!(arrivals(&fixed, FirstArrival::AfterGap, 2), [2, 4].map(|s| Nanos(s * 1_000_000_000)));
        assert_eq!(arrivals(&ArrivalProcess::Static {}, FirstArrival::AtZero, 2), [Nanos(0), Nanos(0)]);
        let (at_zero, after_gap) = (poisson(1.0, None), arrivals(&poisson(1.0, None), FirstArrival::AfterGap, 5));
        assert_eq!(arrivals(&at_zero, FirstArrival::AtZero, 6)[1..], after_gap, "the same gaps, one earlier");
    }

    /// What becomes of given times.
    fn given(times: &[u64], process: &ArrivalProcess, first: FirstArrival) -> Vec<u64> {
        let open = in_memory(times.iter().copied().map(Nanos).collect());
        let mut gaps = Gaps::new(process, first, 0, Some(&open)).expect("times");
        let mut sum = 0;
        let next = || {
            let (gap, arrival) = gaps.next(None).expect("good times")?;
            sum += gap.0;
            assert_eq!(arrival.0, sum);
            Some(arrival.0)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn given_times_are_kept_scaled_or_cut_to_a_window() {
        let times = |time_scale, start_time_s, end_time_s, whole_seconds| ArrivalProcess::Times {
            file: "t.csv".to_owned(),
            time_scale,
            start_time_s,
            end_time_s,
            whole_seconds,
        };
        const S: u64 = 1_000_000_000;
        let (at_zero, after_gap) = (FirstArrival::AtZero, FirstArrival::AfterGap);
        assert_eq!(given(&[5, 5, 9], &times(1.0, None, None, false), at_zero), [5, 5, 9]);
        assert_eq!(given(&[4, 6, 10], &times(2.5, None, None, false), at_zero), [10, 15, 25]);
        let seconds = [0, S, 2 * S + 7, 3 * S + 6, 4 * S, 9 * S];
        // Strictly between 1 s and 9 s, counted from the first that is.
        assert_eq!(given(&seconds, &times(1.0, Some(1.0), Some(9.0), false), at_zero), [0, S - 1, 2 * S - 7]);
        // As Vidur does it: whole seconds, and the first time is only where the gaps begin.
        assert_eq!(given(&seconds, &times(2.0, Some(1.0), Some(9.0), true), after_gap), [0, 2 * S]);
    }

    #[test]
    fn a_trace_s_own_times_are_scaled_and_must_be_there() {
        let process = ArrivalProcess::Trace { time_scale: 0.5 };
        let mut gaps = Gaps::new(&process, FirstArrival::AtZero, 0, None).expect("good");
        assert_eq!(gaps.next(Some(Nanos(10))).expect("good"), Some((Nanos(5), Nanos(5))));
        assert_eq!(gaps.next(Some(Nanos(30))).expect("good"), Some((Nanos(10), Nanos(15))));
        let error = gaps.next(None).expect_err("a row without a time");
        assert_eq!(error.to_string(), "`arrivals`: the trace's rows give no times");
    }
}

//! Capacity: the highest arrival rate an engine sustains, searched for with every probe on record.
//!
//! After the protocol of the Vidur paper (Agrawal et al. 2024, section 6), whose published search never looked
//! whether its lower bound was sustained: here both bounds are probed first, moved apart until one is sustained
//! and the other is not, and a system that is overloaded at the lowest rate has no capacity to report.

use serde::{Deserialize, Serialize};

use crate::metrics::{Metric, Timeline};
use crate::schema::Run;
use crate::stats::{CentiNanos, Percentile, Sorted, trend};
use crate::time::Nanos;

/// Where to search, and what *sustained* means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityOptions {
    /// Rate thought to be sustained, requests/s.
    pub low_rps: f64,
    /// Rate thought not to be, requests/s.
    pub high_rps: f64,
    /// The bounds are at most this far apart in the end, relative to the lower one.
    pub precision: f64,
    /// P99 of the scheduling delay, at most, s. Vidur's is 5.
    pub max_delay_s: f64,
    /// Probes, at most.
    pub max_probes: u32,
}

impl Default for CapacityOptions {
    fn default() -> Self {
        CapacityOptions { low_rps: 0.5, high_rps: 8.0, precision: 0.02, max_delay_s: 5.0, max_probes: 40 }
    }
}

/// Bounds are moved by this factor while they do not hold the capacity between them.
const WIDEN: f64 = 2.0;
/// Bounds are moved this often, at most: a factor of a million.
const MOST_WIDENED: u32 = 20;
/// Two-sided significance of a growing queue: one in a hundred.
const GROWING_Z: f64 = 2.576;
/// A queue that grows by less than its own mean over the run is no overload.
const GROWING_RISE: f64 = 1.0;
/// Mean scheduling delay below which growth is no matter.
const SHORT_DELAY: f64 = 1e8;

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Arrival rate, requests/s.
    pub rate_rps: f64,
    /// Requests sent.
    pub num_requests: usize,
    /// P99 of the scheduling delay, ns.
    pub p99_delay_ns: Option<CentiNanos>,
    /// Why it is not sustained; `None` when it is.
    pub overload: Option<Overload>,
}

/// Why a rate is not sustained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Overload {
    /// Requests were refused or failed.
    Unserved {
        /// How many.
        num_requests: usize,
    },
    /// P99 of the scheduling delay is above the limit.
    LongDelay,
    /// The delay rises from the first request to the last: no steady state (Mann 1945, Kendall 1975).
    Growing {
        /// How far, over the mean delay.
        rise: f64,
    },
}

impl Overload {
    /// As people read it.
    pub fn words(&self) -> String {
        match self {
            Overload::Unserved { num_requests } => format!("{num_requests} requests were not served"),
            Overload::LongDelay => "requests wait too long".to_owned(),
            Overload::Growing { rise } => format!("the queue grows (by {rise:.1} × its mean over the run)"),
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Capacity {
    /// Sustained at `rate_rps`, and not at `overloaded_rps`.
    Found {
        /// The highest rate that was sustained, requests/s.
        rate_rps: f64,
        /// The lowest above it that was not, requests/s.
        overloaded_rps: f64,
    },
    /// Not even the lowest rate is sustained: there is nothing to report.
    Overloaded {
        /// That rate, requests/s.
        rate_rps: f64,
    },
    /// Every rate was sustained: the requests are too few, or too small, to overload the engine.
    NotReached {
        /// The highest rate tried, requests/s.
        rate_rps: f64,
    },
}

/// The search as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// What was asked.
    pub options: CapacityOptions,
    /// What was found.
    pub capacity: Capacity,
    /// Every probe, in the order they were made.
    pub probes: Vec<Probe>,
}

/// Judges one run at `rate_rps` by the delays of its requests.
pub fn judge_probe(rate_rps: f64, run: &Run, options: &CapacityOptions) -> Probe {
    let lines: Vec<Timeline<'_>> = (0..run.requests.len()).filter_map(|index| Timeline::of(run, index)).collect();
    let delays: Vec<u64> = lines.iter().filter_map(|line| line.value(Metric::SchedulingDelay)).collect();
    let num_unserved = run.requests.iter().filter(|row| row.num_decode_tokens > 0).count().saturating_sub(lines.len());
    let p99 = Sorted::new(delays.clone()).map(|delays| delays.quantile(Percentile::P99));
    let limit = CentiNanos::from_nanos(Nanos::from_secs_f64(options.max_delay_s).map_or(u64::MAX, |limit| limit.0));
    let series: Vec<f64> = delays.iter().map(|delay| *delay as f64).collect();
    let mean = series.iter().sum::<f64>() / series.len().max(1) as f64;
    let growing = trend(&series).filter(|trend| trend.z > GROWING_Z && trend.rise > GROWING_RISE && mean > SHORT_DELAY);
    let overload = match (num_unserved, p99, growing) {
        (count @ 1.., ..) => Some(Overload::Unserved { num_requests: count }),
        (_, Some(p99), _) if p99 > limit => Some(Overload::LongDelay),
        (.., Some(trend)) => Some(Overload::Growing { rise: trend.rise }),
        _ => None,
    };
    Probe { rate_rps, num_requests: run.requests.len(), p99_delay_ns: p99, overload }
}

/// Searches with `probe`, which runs a rate.
///
/// # Errors
/// The first of a probe.
pub fn search<E>(
    options: &CapacityOptions,
    mut probe: impl FnMut(f64) -> Result<Probe, E>,
) -> Result<CapacityReport, E> {
    let mut probes: Vec<Probe> = Vec::new();
    let mut tried = |rate: f64| -> Result<Option<Overload>, E> {
        let probe = probe(rate)?;
        let overload = probe.overload;
        probes.push(probe);
        Ok(overload)
    };
    let capacity = bracket(options, &mut tried)?;
    Ok(CapacityReport { options: *options, capacity, probes })
}

fn bracket<E>(
    options: &CapacityOptions,
    tried: &mut impl FnMut(f64) -> Result<Option<Overload>, E>,
) -> Result<Capacity, E> {
    let (mut low, mut high) = (options.low_rps, options.high_rps.max(options.low_rps * WIDEN));
    let mut left = options.max_probes;
    let mut widened = 0;
    // The lower bound must be seen to hold: what was never tried is not known.
    while let Some(overload) = tried(low)? {
        (left, widened) = (left.saturating_sub(1), widened + 1);
        // Requests that are refused are refused at any rate.
        if matches!(overload, Overload::Unserved { .. }) || widened > MOST_WIDENED || left == 0 {
            return Ok(Capacity::Overloaded { rate_rps: low });
        }
        (low, high) = (low / WIDEN, low);
    }
    let is_high_known = widened > 0;
    widened = 0;
    while !is_high_known && tried(high)?.is_none() {
        (left, widened) = (left.saturating_sub(1), widened + 1);
        if widened > MOST_WIDENED || left == 0 {
            return Ok(Capacity::NotReached { rate_rps: high });
        }
        (low, high) = (high, high * WIDEN);
    }
    while high > low * (1.0 + options.precision) && left > 0 {
        left -= 1;
        // Rates are compared by their ratio, so the middle is the geometric one.
        let middle = libm::sqrt(low * high);
        *(if tried(middle)?.is_none() { &mut low } else { &mut high }) = middle;
    }
    Ok(Capacity::Found { rate_rps: low, overloaded_rps: high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::RequestRow;

    fn probed(capacity: f64, options: &CapacityOptions) -> CapacityReport {
        let probe = |rate_rps: f64| {
            let overload = (rate_rps > capacity).then_some(Overload::LongDelay);
            Ok::<_, ()>(Probe { rate_rps, num_requests: 1, p99_delay_ns: None, overload })
        };
        search(options, probe).expect("probes do not fail")
    }

    #[test]
    fn the_capacity_is_found_wherever_it_lies_and_both_bounds_were_tried() {
        let options = CapacityOptions::default();
        for capacity in [0.003, 0.49, 0.5, 1.0, 3.3, 7.9, 8.0, 8.1, 500.0] {
            let report = probed(capacity, &options);
            let Capacity::Found { rate_rps, overloaded_rps } = report.capacity else {
                panic!("{capacity}: {report:?}")
            };
            assert!(rate_rps <= capacity && capacity < overloaded_rps, "{capacity}: {report:?}");
            assert!(overloaded_rps <= rate_rps * 1.02 * 1.000_001, "{capacity}");
            let tried = |rate: f64| report.probes.iter().any(|probe| probe.rate_rps == rate);
            assert!(tried(rate_rps) && tried(overloaded_rps), "{capacity}: a bound was never probed");
        }
    }

    #[test]
    fn a_system_overloaded_at_the_minimum_has_no_capacity_and_an_idle_one_neither() {
        let options = CapacityOptions::default();
        assert!(matches!(probed(0.0, &options).capacity, Capacity::Overloaded { .. }));
        assert!(matches!(probed(f64::INFINITY, &options).capacity, Capacity::NotReached { .. }));
        assert_eq!(probed(0.0, &options).probes.len(), MOST_WIDENED as usize + 1);
    }

    /// `delay` by request, one second apart.
    fn run(delay: impl Fn(u64) -> u64) -> Run {
        let rows = (0..200u64).map(|id| {
            let arrival = Nanos(id * 1_000_000_000);
            let scheduled = Nanos(arrival.0 + delay(id));
            RequestRow {
                request_id: id as u32,
                arrival,
                scheduled: Some(scheduled),
                first_token: Some(scheduled),
                completion: Some(scheduled),
                num_decode_tokens: 1,
                num_decode_tokens_actual: 1,
                ..RequestRow::default()
            }
        });
        Run { requests: rows.collect(), ..Run::default() }
    }

    #[test]
    fn a_queue_that_grows_is_no_steady_state_though_nobody_waits_long_yet() {
        let options = CapacityOptions::default();
        let overload = |run: &Run| judge_probe(1.0, run, &options).overload;
        let jitter = |id: u64| (id * 7919) % 13 * 10_000_000;
        assert_eq!(overload(&run(|id| 1_000_000_000 + jitter(id))), None);
        assert!(matches!(overload(&run(|id| id * 10_000_000 + jitter(id))), Some(Overload::Growing { .. })));
        assert_eq!(overload(&run(|_| 6_000_000_000)), Some(Overload::LongDelay));
        let mut refused = run(jitter);
        refused.requests[7].status = crate::schema::RequestStatus::Rejected;
        assert_eq!(overload(&refused), Some(Overload::Unserved { num_requests: 1 }));
    }
}

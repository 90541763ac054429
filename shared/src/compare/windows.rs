//! Warm-up, steady part and drain of the real run, and both runs' percentiles over the requests of the steady part.

use crate::compare::attribution::num_in_system_at_arrival;
use crate::compare::pairs::Line;
use crate::metrics::Metric;
use crate::schema::Run;
use crate::schema::comparison::CompareOptions;
use crate::schema::windows::{Series, SteadyState, Unsteady, WindowedMetric, WindowedRow, Windows};
use crate::stats::{Sorted, mser5, trend};
use crate::time::Nanos;

/// Requests without which nothing is said: ten batches of five.
const MIN_REQUESTS: usize = 50;
/// Two-sided significance of a trend: one in a hundred.
const TREND_Z: f64 = 2.576;
/// A trend that moves less than this share of the mean over the window is no matter.
const TREND_RISE: f64 = 0.2;

/// The windows of `real`, from its compared requests, and what both runs say of the steady one.
pub(super) fn windows(real: &Run, sim: &Run, lines: &[Line<'_>], options: &CompareOptions) -> Option<Windows> {
    let mut order: Vec<&Line<'_>> = lines.iter().collect();
    crate::order::sort_by_key(&mut order, |(row, ..)| (row.arrival, row.request_id));
    let (first, last) = (order.first()?.0.arrival, order.last()?.0.arrival);
    let steady = steady_state(real, &order);
    let metrics = match steady {
        SteadyState::None { .. } => Vec::new(),
        SteadyState::Found { from_ns, to_ns, .. } => {
            let inside = |line: &&&Line<'_>| (from_ns..=to_ns).contains(&line.0.arrival.0);
            let steady: Vec<&Line<'_>> = order.iter().filter(inside).copied().collect();
            let headline = options.definition.metrics().iter().copied().filter(|metric| options.is_judged(*metric));
            headline.filter_map(|metric| windowed(metric, &steady, options)).collect()
        }
    };
    let end = |run: &Run| run.requests.iter().filter_map(|row| row.completion).max().unwrap_or(last).0;
    Some(Windows {
        steady,
        first_arrival_ns: first.0,
        last_arrival_ns: last.0,
        real_end_ns: end(real),
        sim_end_ns: end(sim),
        metrics,
    })
}

/// Looks at the requests of `order` (by arrival) with two series: how many were in the system when each arrived, and
/// TTFT. The later warm-up of the two counts; either may show that there is no steady state.
fn steady_state(real: &Run, order: &[&Line<'_>]) -> SteadyState {
    let none = |reason| SteadyState::None { reason };
    let arrival = |index: usize| order[index].0.arrival;
    if order.len() > 1 && arrival(0) == arrival(order.len() - 1) {
        return none(Unsteady::OneInstant);
    }
    if order.len() < MIN_REQUESTS {
        return none(Unsteady::TooFew { num_requests: order.len(), num_needed: MIN_REQUESTS });
    }
    let in_system = num_in_system_at_arrival(&real.requests);
    let count = |line: &&Line<'_>| in_system[line.0.request_id as usize] as f64;
    let ttft = |line: &&Line<'_>| line.1.value(Metric::Ttft).unwrap_or_default() as f64;
    let series: [(Series, Vec<f64>); 2] =
        [(Series::NumInSystem, order.iter().map(count).collect()), (Series::Ttft, order.iter().map(ttft).collect())];
    let mut warm_up = 0;
    for (name, values) in &series {
        let cut = mser5(values).unwrap_or_default();
        if cut > values.len() / 2 {
            return none(Unsteady::LongWarmUp { series: *name });
        }
        warm_up = warm_up.max(cut);
    }
    for (name, values) in &series {
        let moves = trend(&values[warm_up..])
            .filter(|trend| libm::fabs(trend.z) > TREND_Z && libm::fabs(trend.rise) > TREND_RISE);
        if let Some(trend) = moves {
            return none(Unsteady::Trend { series: *name, rise: trend.rise });
        }
    }
    // Requests that arrive together are in the window together.
    let from: Nanos = arrival(warm_up);
    let num_requests = order.iter().filter(|line| line.0.arrival >= from).count();
    SteadyState::Found { from_ns: from.0, to_ns: arrival(order.len() - 1).0, num_requests }
}

fn windowed(metric: Metric, steady: &[&Line<'_>], options: &CompareOptions) -> Option<WindowedMetric> {
    let (mut real, mut sim) = (Vec::new(), Vec::new());
    for (_, a, b) in steady {
        let [a, b] = [a, b].map(|line| options.definition.values(line, metric));
        if !a.is_empty() && !b.is_empty() {
            real.extend(a);
            sim.extend(b);
        }
    }
    let (real, sim) = (Sorted::new(real)?, Sorted::new(sim)?);
    let row = |percentile| {
        let [a, b] = [&real, &sim].map(|sample| options.definition.quantile(sample, percentile));
        let rel_error = (a.0 > 0).then(|| (b - a).0 as f64 / a.0 as f64);
        WindowedRow { percentile, real_ns: a, sim_ns: b, rel_error }
    };
    let percentiles = options.percentiles.iter().copied().map(row).collect();
    Some(WindowedMetric { metric, num_values: real.values().len(), percentiles })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::trial::{MS, Times, lines, random_workload, run, scheduler, workload};

    const TIMES: Times = Times { host: MS, device: 9 * MS, prefill: 0, prompt_token: MS / 10, decode: 0 };

    fn found(real: &Run) -> Windows {
        windows(real, real, &lines(real, real), &CompareOptions::default()).expect("requests")
    }

    #[test]
    fn an_engine_that_keeps_up_has_a_steady_part_after_it_filled() {
        // Long outputs and many places: the system fills for some hundred requests, then holds.
        let requests: Vec<(u64, u32, u32)> =
            (0..600).map(|id| (id * 20 * MS, 4 + id as u32 * 7 % 13, 60 + id as u32 * 11 % 17)).collect();
        let config =
            crate::serving::SchedulerConfig { max_num_seqs: 64, max_num_batched_tokens: 128, ..scheduler(4_000) };
        let windows = found(&run(&workload(&requests), &config, 1, &TIMES));
        let SteadyState::Found { from_ns, to_ns, num_requests } = windows.steady else {
            panic!("{:?}", windows.steady)
        };
        assert!((400 * MS..6_000 * MS).contains(&from_ns), "{from_ns}: a request stays for about 0.8 s");
        assert_eq!((to_ns, windows.last_arrival_ns), (599 * 20 * MS, to_ns));
        assert!(windows.real_end_ns > to_ns && (300..600).contains(&num_requests), "{windows:?}");
        assert_eq!(windows.metrics.len(), 4);
        assert_eq!(windows.metrics[0].num_values, num_requests, "TTFT is the first, one a request");
    }

    #[test]
    fn random_arrivals_at_half_load_are_steady_mostly() {
        let steady = (0..40).filter(|seed| {
            let asked = random_workload(*seed, 400, 90.0);
            matches!(found(&run(&asked, &scheduler(400), 1, &TIMES)).steady, SteadyState::Found { .. })
        });
        let steady = steady.count();
        println!("{steady} of 40 are called steady");
        assert!(steady >= 32, "{steady} of 40");
    }

    #[test]
    fn overload_bursts_and_a_handful_of_requests_have_no_steady_state() {
        let overload = (0..20).filter(|seed| {
            let asked = random_workload(*seed, 300, 25.0);
            matches!(found(&run(&asked, &scheduler(400), 1, &TIMES)).steady, SteadyState::None { .. })
        });
        assert_eq!(overload.count(), 20, "more than the engine can do");
        let burst: Vec<(u64, u32, u32)> = (0..60).map(|id| (0, 4 + id % 9, 20)).collect();
        let windows = found(&run(&workload(&burst), &scheduler(400), 1, &TIMES));
        assert_eq!(windows.steady, SteadyState::None { reason: Unsteady::OneInstant });
        assert!(windows.metrics.is_empty());
        let few: Vec<(u64, u32, u32)> = (0..8).map(|id| (id * 2_000 * MS, 9, 20)).collect();
        let windows = found(&run(&workload(&few), &scheduler(400), 1, &TIMES));
        assert_eq!(windows.steady, SteadyState::None { reason: Unsteady::TooFew { num_requests: 8, num_needed: 50 } });
    }
}

//! The load certificate: whether requests came as planned, whether the system kept up, and Little's law as a test.

use crate::compare::levels::Level;
use crate::metrics::throughput;
use crate::schema::certificate::{Little, LoadCertificate, LoadSide, Sends};
use crate::schema::windows::{SteadyState, Windows};
use crate::schema::{RequestRow, Run};
use crate::stats::{CentiNanos, Percentile, Sorted};
use crate::time::Nanos;

/// A send is late beyond this share of the mean gap between arrivals, or beyond [`LATE_FLOOR`] if that is more.
const LATE_SHARE: f64 = 0.1;
/// What a client on a busy machine cannot do better.
const LATE_FLOOR: Nanos = Nanos(1_000_000);
/// More late sends than this share fail the certificate.
const MAX_LATE_SENDS: f64 = 0.01;
/// An achieved rate may differ from the one asked for by this share.
const RATE_TOLERANCE: f64 = 0.02;
/// Overloaded: fewer completions than this share of arrivals, in the second half of the arrivals' time, ...
const KEPT_UP: f64 = 0.9;
/// ... and more missing than chance explains: standard deviations of a Poisson count of the arrivals.
const CHANCE: f64 = 2.0;
/// What the count in the steps may differ from that of the stamps, beside the steps' own coarseness.
const STEPS_TOLERANCE: f64 = 0.05;
/// How far Little's law may be off in a window that was found steady.
const LITTLE_TOLERANCE: f64 = 0.1;

/// The certificate of both runs, over the steady window where there is one.
pub(super) fn load(real: &Run, sim: &Run, windows: Option<&Windows>) -> Option<LoadCertificate> {
    let steady = match windows?.steady {
        SteadyState::Found { from_ns, to_ns, .. } => Some((Nanos(from_ns), Nanos(to_ns))),
        SteadyState::None { .. } => None,
    };
    let (real, sim) = (side(real, steady)?, side(sim, steady)?);
    let mut failures: Vec<String> = overload(&real, &sim).into_iter().collect();
    failures.extend(self::failures("real", &real, steady.is_some()));
    failures.extend(self::failures("simulated", &sim, steady.is_some()));
    Some(LoadCertificate { real, sim, failures })
}

fn side(run: &Run, steady: Option<(Nanos, Nanos)>) -> Option<LoadSide> {
    let rows: Vec<&RequestRow> = run.requests.iter().filter(|row| row.has_output()).collect();
    let arrivals = || rows.iter().map(|row| row.arrival);
    let (first, last) = (arrivals().min()?, arrivals().max()?);
    let span = last - first;
    let middle = first + Nanos(span.0 / 2);
    let is_late = |time: &Nanos| *time > middle && *time <= last;
    let num_arrived_late = arrivals().filter(is_late).count() as u64;
    let num_completed_late = rows.iter().filter_map(|row| row.completion).filter(is_late).count() as u64;
    let missing = num_arrived_late.saturating_sub(num_completed_late) as f64;
    let is_overloaded = (num_completed_late as f64) < KEPT_UP * num_arrived_late as f64
        && missing > CHANCE * libm::sqrt(num_arrived_late as f64);
    let tokens: u64 = rows.iter().map(|row| u64::from(row.num_prefill_tokens) + u64::from(row.num_decode_tokens)).sum();
    let in_system = Level::in_system(&run.requests);
    Some(LoadSide {
        asked_rps: rate(rows.len(), span),
        sends: sends(&rows, span),
        num_arrived_late,
        num_completed_late,
        is_overloaded: (span.0 > 0).then_some(is_overloaded),
        offered_tokens_per_s: (span.0 > 0).then(|| tokens as f64 / span.as_secs_f64()),
        served_tokens_per_s: throughput(run).total_tokens_per_s,
        peak_in_system: in_system.peak(),
        little: little(run, &rows, &in_system, steady.unwrap_or((first, last))),
    })
}

/// `count` instants over the time between the first and the last.
fn rate(count: usize, span: Nanos) -> Option<f64> {
    (span.0 > 0 && count > 1).then(|| (count - 1) as f64 / span.as_secs_f64())
}

fn sends(rows: &[&RequestRow], span: Nanos) -> Sends {
    let sent = || rows.iter().filter_map(|row| Some((row.arrival, row.sent?)));
    let Some(lateness) = Sorted::new(sent().map(|(planned, sent)| sent.saturating_sub(planned).0).collect()) else {
        return Sends::NotRecorded;
    };
    let gap = span.0 as f64 / rows.len().saturating_sub(1).max(1) as f64;
    let limit_ns = LATE_FLOOR.0.max((LATE_SHARE * gap) as u64);
    let times = || sent().map(|(_, sent)| sent);
    let sending = times().max().unwrap_or_default() - times().min().unwrap_or_default();
    Sends::Recorded {
        num_requests: lateness.values().len(),
        p50_ns: lateness.quantile(Percentile::P50),
        p99_ns: lateness.quantile(Percentile::P99),
        max_ns: CentiNanos::from_nanos(lateness.max()),
        limit_ns,
        num_late: lateness.values().len() - lateness.values().partition_point(|late| *late <= limit_ns),
        num_early: sent().filter(|(planned, sent)| sent < planned).count(),
        achieved_rps: rate(lateness.values().len(), sending),
    }
}

/// Little's law over `from..to`, and the engine's own count beside it: it comes from other code than the stamps, so
/// the two can disagree.
fn little(run: &Run, rows: &[&RequestRow], in_system: &Level, (from, to): (Nanos, Nanos)) -> Option<Little> {
    let mean_in_system = in_system.mean(from, to)?;
    let stays = || {
        let inside = rows.iter().filter(|row| (from..to).contains(&row.arrival));
        inside.filter_map(|row| row.completion?.checked_sub(row.arrival))
    };
    let count = stays().count();
    if count == 0 {
        return None;
    }
    let mean_e2e_ns = stays().map(|stay| u128::from(stay.0)).sum::<u128>() as f64 / count as f64;
    let arrival_rps = count as f64 / (to - from).as_secs_f64();
    // Rounded to what the doubles behind it can tell.
    let over = |value: f64| (mean_in_system > 0.0).then(|| libm::round((value / mean_in_system - 1.0) * 1e9) / 1e9);
    let steps = run.steps.as_deref().filter(|steps| !steps.is_empty());
    let mean_in_steps =
        steps.and_then(|steps| Level::of_steps(steps, |row| row.num_running + row.num_waiting).mean(from, to));
    let tolerance = |steps: &[crate::schema::StepRow]| {
        let busy: u128 = steps.iter().map(|row| u128::from((row.end - row.start).0)).sum();
        STEPS_TOLERANCE + busy as f64 / steps.len() as f64 / mean_e2e_ns.max(1.0)
    };
    Some(Little {
        from_ns: from.0,
        to_ns: to.0,
        mean_in_system,
        arrival_rps,
        mean_e2e_ns,
        residual: over(arrival_rps * mean_e2e_ns / 1e9),
        mean_in_steps,
        steps_residual: mean_in_steps.and_then(over),
        steps_tolerance: steps.map(tolerance),
    })
}

/// Which of the runs could not keep up.
fn overload(real: &LoadSide, sim: &LoadSide) -> Option<String> {
    let who = match (real.is_overloaded == Some(true), sim.is_overloaded == Some(true)) {
        (false, false) => return None,
        (true, true) => "both runs are overloaded",
        (true, false) => "the real run is overloaded, the simulated one is not",
        (false, true) => "the simulated run is overloaded, the real one is not",
    };
    Some(format!(
        "{who}: in the second half of the time in which requests arrive {} arrived, {} were completed in the real run \
         and {} in the simulated one; latencies of an overloaded run grow with the length of its workload",
        real.num_arrived_late, real.num_completed_late, sim.num_completed_late
    ))
}

fn failures(name: &str, side: &LoadSide, is_steady: bool) -> Vec<String> {
    let mut failures = Vec::new();
    if let Sends::Recorded { num_requests, num_late, limit_ns, achieved_rps, .. } = side.sends {
        if num_late as f64 > MAX_LATE_SENDS * num_requests as f64 {
            let limit = crate::charts::format_duration(limit_ns as f64);
            failures.push(format!(
                "{num_late} of {num_requests} requests of the {name} run were sent more than {limit} late"
            ));
        }
        if let (Some(asked), Some(achieved)) = (side.asked_rps, achieved_rps)
            && libm::fabs(achieved / asked - 1.0) > RATE_TOLERANCE
        {
            failures.push(format!("the {name} run sent {achieved:.3} requests a second, {asked:.3} were asked for"));
        }
    }
    let Some(little) = side.little else { return failures };
    if let (Some(residual), Some(tolerance)) = (little.steps_residual, little.steps_tolerance)
        && libm::fabs(residual) > tolerance
    {
        failures.push(format!(
            "the steps of the {name} run count {:.2} requests in the system where its stamps say {:.2}",
            little.mean_in_steps.unwrap_or_default(),
            little.mean_in_system
        ));
    }
    if let Some(residual) = little.residual.filter(|residual| is_steady && libm::fabs(*residual) > LITTLE_TOLERANCE) {
        failures.push(format!(
            "Little's law is off by {} in the steady window of the {name} run: it is too short for its requests",
            crate::report::percent(residual)
        ));
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::trial::{MS, Times, random_workload, run, scheduler, workload};

    const TIMES: Times = Times { host: MS, device: 9 * MS, prefill: 0, prompt_token: MS / 10, decode: 0 };

    fn certified(run: &Run) -> (LoadSide, Vec<String>) {
        let side = side(run, None).expect("requests");
        let failures = overload(&side, &side).into_iter().chain(failures("real", &side, false)).collect();
        (side, failures)
    }

    /// Requests sent `late(i)` after their time.
    fn sent(late: impl Fn(u64) -> u64) -> Run {
        let mut sent = run(&random_workload(9, 200, 90.0), &scheduler(400), 1, &TIMES);
        for row in &mut sent.requests {
            row.sent = Some(row.arrival + Nanos(late(u64::from(row.request_id))));
        }
        sent
    }

    #[test]
    fn an_engine_that_keeps_up_is_certified_and_an_overloaded_one_is_not() {
        for (mean_gap_ms, is_overloaded) in [(90.0, false), (15.0, true)] {
            for seed in 0..20 {
                let (side, failures) =
                    certified(&run(&random_workload(seed, 300, mean_gap_ms), &scheduler(400), 1, &TIMES));
                assert_eq!(side.is_overloaded, Some(is_overloaded), "seed {seed}, {side:?}");
                assert_eq!(failures.len(), usize::from(is_overloaded), "{failures:?}");
                assert_eq!(side.sends, Sends::NotRecorded);
                let little = side.little.expect("a window");
                let residual = little.steps_residual.expect("steps");
                assert!(residual.abs() < little.steps_tolerance.expect("steps"), "{little:?}");
                // Work that the window leaves behind is in W, not in L.
                let residual = little.residual.expect("not empty");
                assert!(if is_overloaded { residual > 0.15 } else { residual.abs() < 0.05 }, "{little:?}");
            }
        }
    }

    #[test]
    fn little_holds_to_the_digit_where_everything_ends_in_the_window() {
        let asked = workload(&[(0, 7, 5), (1_000 * MS, 7, 5), (2_000 * MS, 7, 5)]);
        let (side, failures) = certified(&run(&asked, &scheduler(400), 1, &TIMES));
        let little = side.little.expect("a window");
        // Two requests of 10.7 + 4 × 10 ms in two seconds.
        assert!((little.mean_in_system - 0.0507).abs() < 1e-12 && little.residual.expect("not empty").abs() < 1e-12);
        assert_eq!((side.asked_rps, side.peak_in_system, failures.len()), (Some(1.0), 1, 0));
        assert_eq!((little.arrival_rps, little.mean_e2e_ns, little.mean_in_steps), (1.0, 50.7e6, Some(0.0507)));
        assert_eq!(side.offered_tokens_per_s, Some(18.0));
    }

    #[test]
    fn steps_that_count_other_requests_than_the_stamps_are_found() {
        let mut run = run(&random_workload(2, 300, 90.0), &scheduler(400), 1, &TIMES);
        run.steps.iter_mut().flatten().for_each(|step| step.num_running += 1);
        let (_, failures) = certified(&run);
        assert!(failures[0].starts_with("the steps of the real run count"), "{failures:?}");
    }

    #[test]
    fn late_sends_are_counted_and_a_few_forgiven() {
        let (side, failures) = certified(&sent(|id| if id == 7 { 500 * MS } else { MS / 2 }));
        let Sends::Recorded { p50_ns, max_ns, num_late, num_early, limit_ns, .. } = side.sends else {
            panic!("recorded")
        };
        assert_eq!((p50_ns, max_ns), (CentiNanos::from_nanos(MS / 2), CentiNanos::from_nanos(500 * MS)));
        assert_eq!((num_late, num_early, failures.len()), (1, 0, 0), "{failures:?}");
        assert!((8 * MS..10 * MS).contains(&limit_ns), "a tenth of the mean gap of about 90 ms: {limit_ns}");
        // A client that falls behind by 5 ms a request.
        let (_, failures) = certified(&sent(|id| id * 5 * MS));
        assert!(failures[0].contains("requests of the real run were sent more than"), "{failures:?}");
        assert!(failures[1].starts_with("the real run sent"), "{failures:?}");
    }

    #[test]
    fn a_burst_has_no_rate_to_keep_up_with() {
        let burst: Vec<(u64, u32, u32)> = (0..60).map(|id| (0, 4 + id % 9, 20)).collect();
        let (side, failures) = certified(&run(&workload(&burst), &scheduler(400), 1, &TIMES));
        assert_eq!((side.asked_rps, side.is_overloaded, side.little.is_none()), (None, None, true));
        assert_eq!((side.peak_in_system, failures.len()), (60, 0));
    }
}

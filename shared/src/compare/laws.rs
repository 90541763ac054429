//! Laws of a comparison's statistics, on samples whose truth is known: coverage, false alarms, floors, noise, order.

use crate::compare::metric::compare_metric;
use crate::compare::noise::Repeats;
use crate::compare::pairs::Pairs;
use crate::metrics::Metric;
use crate::random::Stream;
use crate::schema::comparison::{CompareOptions, MetricComparison};
use crate::schema::{RequestRow, Run};
use crate::stats::{BootstrapOptions, Doubt, Percentile, Verdict};
use crate::time::Nanos;

/// How neighbouring requests depend on each other.
#[derive(Clone, Copy, Debug)]
enum Law {
    /// Not at all; the values are log-normal.
    Independent,
    /// The logarithms are an autoregressive series with this correlation.
    Autoregressive(f64),
}

/// A run whose TTFT are drawn from `law`, 100 ms in the median.
fn run(law: Law, num_requests: u32, seed: u64, name: &str) -> Run {
    let mut stream = Stream::new(seed, name);
    let mut state = stream.normal();
    let rows = (0..num_requests).map(|id| {
        state = match law {
            Law::Independent => stream.normal(),
            Law::Autoregressive(rho) => rho * state + libm::sqrt(1.0 - rho * rho) * stream.normal(),
        };
        request(id, (1e8 * libm::exp(state)) as u64)
    });
    Run { name: name.to_owned(), requests: rows.collect(), ..Run::default() }
}

fn request(id: u32, ttft: u64) -> RequestRow {
    let arrival = Nanos(u64::from(id) * 1_000_000);
    let first = Nanos(arrival.0 + ttft);
    RequestRow {
        request_id: id,
        arrival,
        first_token: Some(first),
        completion: Some(first),
        num_prefill_tokens: 1,
        num_decode_tokens: 1,
        num_decode_tokens_actual: 1,
        ..RequestRow::default()
    }
}

fn options(percentiles: &[Percentile], tolerance: f64) -> CompareOptions {
    CompareOptions {
        tolerance,
        percentiles: percentiles.to_vec(),
        bootstrap: BootstrapOptions { num_resamples: 300, ..BootstrapOptions::default() },
        ..CompareOptions::default()
    }
}

fn compared(real: &Run, sim: &Run, repeats: &[Run], options: &CompareOptions) -> MetricComparison {
    let noise = Repeats::of(repeats, Metric::Ttft, options.definition);
    compare_metric(Metric::Ttft, &Pairs::of(real, sim).lines, &noise, options).expect("both sides have values")
}

const TRIALS: u64 = 1_000;
const TOLERANCE: f64 = 0.1;

/// Of `TRIALS` pairs of runs of one law, in percent for each percentile: intervals that hold the true error, which is
/// zero, and verdicts *outside*.
fn shares(law: Law, num_requests: u32, percentiles: &[Percentile]) -> Vec<[f64; 2]> {
    let mut counts = vec![[0u64; 2]; percentiles.len()];
    for trial in 0..TRIALS {
        let (real, sim) = (run(law, num_requests, trial, "real"), run(law, num_requests, trial, "simulated"));
        let comparison = compared(&real, &sim, &[], &options(percentiles, TOLERANCE));
        for (row, [held, outside]) in comparison.percentiles.iter().zip(&mut counts) {
            let interval = row.interval.expect("enough pairs");
            *held += u64::from(interval.diff_low_ns.0 <= 0 && interval.diff_high_ns.0 >= 0);
            *outside += u64::from(row.verdict == Verdict::Outside);
        }
    }
    counts.into_iter().map(|both| both.map(|count| count as f64 * 100.0 / TRIALS as f64)).collect()
}

fn same_law(law: Law, num_requests: u32, percentiles: &[Percentile]) {
    for ([held, outside], percentile) in shares(law, num_requests, percentiles).into_iter().zip(percentiles) {
        println!("{law:?}, n = {num_requests}, {percentile}: coverage {held:.1} %, outside {outside:.1} %");
        assert!((93.0..=97.0).contains(&held), "{law:?} {percentile}: intervals hold the truth in {held} %");
        assert!(outside <= 5.0, "{law:?} {percentile}: {outside} % false alarms");
    }
}

#[test]
fn intervals_of_independent_medians_and_p90_hold_the_truth_as_often_as_they_say() {
    same_law(Law::Independent, 1_000, &[Percentile::P50, Percentile::P90]);
}

#[test]
fn intervals_of_dependent_medians_and_p90_hold_the_truth_as_often_as_they_say() {
    same_law(Law::Autoregressive(0.5), 1_000, &[Percentile::P50, Percentile::P90]);
}

#[test]
fn intervals_of_an_independent_p99_hold_the_truth_as_often_as_they_say() {
    same_law(Law::Independent, 5_000, &[Percentile::P99]);
}

#[test]
fn intervals_of_a_dependent_p99_hold_the_truth_as_often_as_they_say() {
    same_law(Law::Autoregressive(0.5), 5_000, &[Percentile::P99]);
}

#[test]
fn at_the_sample_floors_dependence_is_known_less_well_and_alarms_stay_few() {
    for (law, num_requests, percentile, least) in [
        (Law::Independent, 50, Percentile::P50, 93.0),
        (Law::Autoregressive(0.5), 50, Percentile::P50, 91.0),
        (Law::Autoregressive(0.5), 64, Percentile::P90, 91.0),
        (Law::Autoregressive(0.5), 130, Percentile::P95, 91.0),
    ] {
        let [held, outside] = shares(law, num_requests, &[percentile])[0];
        println!("{law:?}, n = {num_requests}, {percentile}: coverage {held:.1} %, outside {outside:.1} %");
        assert!(held >= least && outside <= 5.0, "{law:?} {percentile}: {held} {outside}");
    }
}

#[test]
fn a_p99_of_200_requests_is_never_within_and_says_how_many_are_missing() {
    for trial in 0..300 {
        let law = Law::Independent;
        let real = run(law, 200, trial, "real");
        // Even a simulation that is right to the nanosecond.
        for sim in [&run(law, 200, trial, "simulated"), &real] {
            let comparison = compared(&real, sim, &[], &options(&[Percentile::P99], 0.5));
            let row = &comparison.percentiles[0];
            assert_eq!((row.verdict, row.doubt), (Verdict::CannotTell, Some(Doubt::FewRequests)));
            assert_eq!(row.num_more_needed, Some(462));
        }
    }
}

#[test]
fn a_simulation_that_is_one_more_repeat_errs_by_as_much_as_the_repeats_do() {
    let (mut errors, mut noises) = (0.0, 0.0);
    for trial in 0..200 {
        let runs: Vec<Run> = (0..5).map(|repeat| run(Law::Independent, 300, trial * 5 + repeat, "repeat")).collect();
        // Any of them may be called the simulation.
        let chosen = Stream::new(trial, "label").below(5) as usize;
        let repeats: Vec<Run> =
            runs.iter().enumerate().filter(|(index, _)| *index != chosen).map(|(_, run)| run.clone()).collect();
        let comparison = compared(&repeats[0], &runs[chosen], &repeats, &options(&[Percentile::P90], TOLERANCE));
        let row = &comparison.percentiles[0];
        errors += row.rel_error.expect("times are positive").powi(2);
        noises += row.noise_rms.expect("four repeats").powi(2);
    }
    let ratio = (errors / noises).sqrt();
    println!("error over noise of shuffled labels: {ratio:.3}");
    assert!((0.85..1.15).contains(&ratio), "{ratio}");
}

#[test]
fn a_planted_change_of_order_is_found_and_named() {
    let real = run(Law::Independent, 50, 1, "real");
    let times: Vec<u64> = (0..50).map(|id| 60_000_000 - id * 500_000).collect();
    let in_order = |swapped: Option<(usize, usize)>| {
        let mut times = times.clone();
        if let Some((a, b)) = swapped {
            // Each gets its first token when the other should.
            let (first, second) = (times[a] + a as u64 * 1_000_000, times[b] + b as u64 * 1_000_000);
            (times[a], times[b]) = (second - a as u64 * 1_000_000, first - b as u64 * 1_000_000);
        }
        let rows = times.iter().enumerate().map(|(id, ttft)| request(id as u32, *ttft));
        Run { requests: rows.collect(), ..real.clone() }
    };
    let (straight, flipped) = (in_order(None), in_order(Some((7, 31))));
    let order = Pairs::of(&straight, &flipped).order().expect("times differ");
    let found: Vec<u32> = order.displaced.iter().map(|one| one.request_id).collect();
    assert_eq!((found, order.num_displaced), (vec![7, 31], 2));
    assert_eq!((order.displaced[0].real_place, order.displaced[0].sim_place), (8, 32));
    assert!(order.kendall_tau < 1.0);
    let same = Pairs::of(&straight, &straight).order().expect("times differ");
    assert_eq!((same.kendall_tau, same.num_displaced), (1.0, 0));
}

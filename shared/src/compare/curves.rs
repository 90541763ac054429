//! Queue, batch and KV curves of both runs over one clock.

use crate::compare::levels::Level;
use crate::schema::Run;
use crate::schema::curves::{CurveSource, Curves, SideCurves};
use crate::time::Nanos;

/// Bins of the longer run, at most: more than a figure has room for.
const MAX_BINS: u64 = 256;

/// The clock that both runs share: their own, which began with the workload's.
struct Bins {
    from: Nanos,
    width: Nanos,
    count: usize,
}

/// The curves of two runs; `None` when neither lasts.
pub(super) fn curves(real: &Run, sim: &Run) -> Option<Curves> {
    let rows = || real.requests.iter().chain(&sim.requests).filter(|row| row.has_output());
    let steps = || real.steps.iter().chain(&sim.steps).flatten();
    let from = rows().map(|row| row.arrival).chain(steps().map(|step| step.start)).min()?;
    let to = rows().filter_map(|row| row.completion).chain(steps().map(|step| step.end)).max()?;
    let span = to.checked_sub(from).filter(|span| span.0 > 0)?;
    let width = Nanos(span.0.div_ceil(MAX_BINS));
    let bins = Bins { from, width, count: span.0.div_ceil(width.0) as usize };
    Some(Curves { from_ns: from.0, bin_ns: width.0, real: side(real, &bins), sim: side(sim, &bins) })
}

fn side(run: &Run, bins: &Bins) -> SideCurves {
    let means = |level: Level| -> Vec<f64> {
        level.means(bins.from, bins.width, bins.count).into_iter().map(thousandths).collect()
    };
    let num_in_system = means(Level::in_system(&run.requests));
    match run.steps.as_deref() {
        Some(steps) if !steps.is_empty() => SideCurves {
            source: CurveSource::Steps,
            num_in_system,
            num_running: means(Level::of_steps(steps, |row| row.num_running)),
            num_waiting: means(Level::of_steps(steps, |row| row.num_waiting)),
            kv_blocks_used: means(Level::of_steps(steps, |row| row.kv_blocks_used)),
            step_tokens: means(Level::of_steps(steps, |row| row.num_prefill_tokens + row.num_decode_seqs)),
        },
        _ if run.requests.iter().any(|row| row.scheduled.is_some()) => SideCurves {
            num_in_system,
            num_running: means(Level::of_requests(&run.requests, |row| row.scheduled, |row| row.completion)),
            num_waiting: means(Level::of_requests(&run.requests, |row| Some(row.arrival), |row| row.scheduled)),
            ..SideCurves::default()
        },
        _ => SideCurves { num_in_system, ..SideCurves::default() },
    }
}

/// Rounded, so that the file stays small.
fn thousandths(value: f64) -> f64 {
    libm::round(value * 1_000.0) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::trial::{MS, Times, random_workload, run, scheduler};

    const TIMES: Times = Times { host: MS, device: 9 * MS, prefill: 0, prompt_token: MS / 10, decode: 0 };

    #[test]
    fn areas_under_the_curves_are_the_sums_of_stays() {
        let asked = random_workload(3, 120, 40.0);
        let (real, sim) = (run(&asked, &scheduler(60), 1, &TIMES), run(&asked, &scheduler(60), 2, &TIMES));
        let curves = curves(&real, &sim).expect("both last");
        for (run, side) in [(&real, &curves.real), (&sim, &curves.sim)] {
            assert_eq!((side.source, side.num_in_system.len()), (CurveSource::Steps, 256));
            let area = |values: &[f64]| values.iter().sum::<f64>() * curves.bin_ns as f64;
            let stays = crate::metrics::values(run, crate::metrics::Metric::E2e).iter().sum::<u64>() as f64;
            assert!((area(&side.num_in_system) / stays - 1.0).abs() < 1e-3);
            // An engine sees a request at its next step: never sooner, and one step later at most.
            let seen = area(&side.num_running) + area(&side.num_waiting);
            let step = run.steps.iter().flatten().map(|step| (step.end - step.start).0).max().expect("steps") as f64;
            assert!(seen <= stays * 1.001 && seen >= stays - 120.0 * step, "{seen} of {stays}");
            assert!(side.kv_blocks_used.iter().any(|blocks| *blocks > 40.0), "KV blocks ran short");
            assert_eq!(side.step_tokens.len(), 256);
        }
    }

    #[test]
    fn stamps_stand_in_for_steps_and_silence_stays_silent() {
        let asked = random_workload(4, 60, 40.0);
        let real = run(&asked, &scheduler(400), 1, &TIMES);
        let stamps = Run { steps: None, ..real.clone() };
        let mut silent = stamps.clone();
        silent.requests.iter_mut().for_each(|row| row.scheduled = None);
        let both = curves(&real, &stamps).expect("both last");
        assert_eq!(both.sim.source, CurveSource::Stamps);
        assert!(both.sim.kv_blocks_used.is_empty() && both.sim.step_tokens.is_empty());
        let differ =
            both.real.num_running.iter().zip(&both.sim.num_running).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(differ < 0.01, "without preemption both say who runs: {differ}");
        let both = curves(&real, &silent).expect("both last");
        assert!(both.sim.num_running.is_empty() && both.sim.num_in_system == both.real.num_in_system);
    }
}

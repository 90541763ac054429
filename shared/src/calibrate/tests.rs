//! A machine of known coefficients is served by the simulator; calibration must find them in its stamps.

use super::*;
use crate::latency::{BatchShape, StepTime};
use crate::random::Stream;
use crate::schema::{RequestRow, Workload, WorkloadRow};
use crate::serving::Policy;
use crate::simulate::{StepRows, simulate};
use crate::time::{Nanos, Ticks};
use terms::TermVector;

/// What the planted machine costs.
const PLANTED: [(Term, f64); 6] = [
    (Term::Step, 12e6),
    (Term::MixedStep, 1.5e6),
    (Term::DecodeSequence, 0.4e6),
    (Term::ContextToken, 250.0),
    (Term::PrefillPair, 18.0),
    (Term::Arrival, 4e6),
];

fn planted() -> CalibratedModel {
    let mut coefficients: TermVector = [0.0; Term::COUNT];
    PLANTED.iter().for_each(|(term, value)| coefficients[term.index()] = *value);
    let limits = BatchShape { num_prefill_tokens: u64::MAX, ..BatchShape::default() };
    CalibratedModel { coefficients, limits, base: NoBase }
}

fn sarathi() -> SchedulerConfig {
    SchedulerConfig {
        policy: Policy::Sarathi,
        max_num_seqs: 16,
        max_num_batched_tokens: 16,
        num_blocks: 100_000,
        ..SchedulerConfig::default()
    }
}

/// Requests of random lengths, on average `gap_ms` apart.
fn workload(num_requests: u32, gap_ms: u64, seed: u64) -> Workload {
    let mut random = Stream::new(seed, "calibration-test");
    let mut arrival = Nanos::ZERO;
    let rows = (0..num_requests).map(|id| {
        let inter_arrival =
            if id == 0 { Nanos::ZERO } else { Nanos::from_millis(2 * gap_ms * random.below(1_001) / 1_000) };
        arrival += inter_arrival;
        WorkloadRow {
            num_prefill_tokens: 100 + random.below(900) as u32,
            num_decode_tokens: 20 + random.below(180) as u32,
            inter_arrival,
            arrival,
            ..WorkloadRow::default()
        }
    });
    Workload { rows: rows.collect(), prefixes: None }
}

fn serve(workload: &Workload, scheduler: &SchedulerConfig, model: &impl LatencyModel) -> Run {
    let mut rows = StepRows::default();
    simulate(workload, scheduler, model, &mut rows).expect("possible settings");
    rows.into_run("")
}

fn without_steps(run: Run) -> Run {
    Run { steps: None, ..run }
}

/// Mean relative error of E2E, of a workload that nothing was fitted to. (One request may well be a step late.)
fn mean_error(calibration: &Calibration) -> f64 {
    let unseen = workload(60, 700, 99);
    let [real, simulated] =
        [serve(&unseen, &sarathi(), &planted()), serve(&unseen, &sarathi(), &calibration.latency_model(NoBase))];
    let e2e = |row: &RequestRow| (row.completion.expect("served") - row.arrival).as_secs_f64();
    let error = |(real, simulated): (&RequestRow, &RequestRow)| (e2e(simulated) / e2e(real) - 1.0).abs();
    real.requests.iter().zip(&simulated.requests).map(error).sum::<f64>() / unseen.rows.len() as f64
}

fn value(calibration: &Calibration, term: Term) -> f64 {
    calibration.term(term).map_or(0.0, |fitted| fitted.value)
}

#[test]
fn a_planted_machine_is_found_in_a_static_run() {
    let run = without_steps(serve(&workload(50, 0, 1), &sarathi(), &planted()));
    let calibration = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    assert!(calibration.residuals.has_converged);
    assert!(calibration.residuals.max_error < 1e-3, "{:?}", calibration.residuals);
    for (term, planted) in
        PLANTED.iter().filter(|(term, _)| matches!(term, Term::Step | Term::MixedStep | Term::Arrival))
    {
        let found = value(&calibration, *term);
        assert!((found / planted - 1.0).abs() < 5e-3, "{term:?}: {found} for {planted}");
    }
    assert!(mean_error(&calibration) < 5e-3, "{}", mean_error(&calibration));
}

#[test]
fn a_planted_machine_is_found_in_a_dynamic_run_whose_schedule_depends_on_it() {
    let run = without_steps(serve(&workload(50, 900, 2), &sarathi(), &planted()));
    let calibration = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    assert!(calibration.residuals.has_converged, "{:?}", calibration.residuals);
    assert!(mean_error(&calibration) < 5e-3, "{}", mean_error(&calibration));
}

#[test]
fn recorded_steps_are_fitted_to_one_by_one() {
    let run = serve(&workload(30, 900, 3), &sarathi(), &planted());
    let calibration = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    assert_eq!(calibration.fitted_to[0].evidence, Evidence::Steps);
    for (term, planted) in PLANTED {
        let found = value(&calibration, term)
            + if term == Term::Arrival { value(&calibration, Term::AdmissionStep) } else { 0.0 };
        assert!((found / planted - 1.0).abs() < 5e-3, "{term:?}: {found} for {planted}");
    }
    let otherwise = SchedulerConfig { max_num_batched_tokens: 32, ..sarathi() };
    let refused = calibrate(&[Source::whole(&run)], &otherwise, &NoBase).expect_err("other settings");
    assert!(matches!(&refused, CalibrationError::Settings(problem) if problem.contains("prefill tokens")), "{refused}");
}

/// A base that is a third too slow, with host time that nobody fits.
struct TooSlow;

impl LatencyModel for TooSlow {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        let device = planted().stage_time(shape, stage).device;
        StepTime { host: Ticks(300_000_000), device: Ticks(device.0 / 3 * 4), is_covered: true }
    }
}

#[test]
fn a_base_model_is_scaled_and_its_host_time_left_alone() {
    let mut machine = planted();
    machine.coefficients[Term::Arrival.index()] = 0.0;
    let host = SchedulerConfig::default();
    let real = serve(&workload(40, 300, 4), &host, &WithHost(machine));
    let run = without_steps(real);
    let calibration = calibrate(&[Source::whole(&run)], &host, &TooSlow).expect("a calibration");
    assert!((value(&calibration, Term::BaseDevice) - 0.75).abs() < 1e-3, "{:?}", calibration.terms);
    assert!(calibration.residuals.max_error < 2e-3, "{:?}", calibration.residuals);
}

/// The planted machine with the host time of [`TooSlow`].
struct WithHost(CalibratedModel);

impl LatencyModel for WithHost {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        StepTime { host: Ticks(300_000_000), ..self.0.stage_time(shape, stage) }
    }
}

#[test]
fn a_cold_first_step_is_told_from_the_others() {
    let mut machine = planted();
    machine.coefficients[Term::FirstStep.index()] = 4e8;
    let run = without_steps(serve(&workload(50, 900, 5), &sarathi(), &machine));
    let calibration = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    let found = value(&calibration, Term::FirstStep);
    assert!((found / 4e8 - 1.0).abs() < 0.02, "{found}: {:?}", calibration.terms);
}

#[test]
fn requests_outside_the_range_are_not_looked_at() {
    let run = without_steps(serve(&workload(60, 900, 6), &sarathi(), &planted()));
    let mut other = run.clone();
    for row in &mut other.requests[40..] {
        row.completion = row.completion.map(|time| time + Nanos::from_millis(5_000));
    }
    let fitted = |run: &Run| calibrate(&[Source { run, requests: 0..40 }], &sarathi(), &NoBase).expect("a calibration");
    let (a, b) = (fitted(&run), fitted(&other));
    assert_eq!(a.terms, b.terms);
    assert_eq!((a.fitted_to[0].first_request, a.fitted_to[0].last_request, a.fitted_to[0].num_requests), (0, 39, 60));
    assert_ne!(a.fitted_to[0].stamps_sha256, b.fitted_to[0].stamps_sha256, "another run has another identity");
}

#[test]
fn a_file_gives_back_the_model_it_was_written_from() {
    let run = without_steps(serve(&workload(50, 0, 1), &sarathi(), &planted()));
    let written = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    let again = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect("a calibration");
    assert_eq!(written, again, "the same runs give the same bits");
    let text = serde_json::to_string(&written).expect("JSON");
    let read: Calibration = serde_json::from_str(&text).expect("a calibration");
    assert_eq!(
        (&read.scheduler, &read.fitted_to, read.limits),
        (&written.scheduler, &written.fitted_to, written.limits)
    );
    for (read, written) in read.terms.iter().zip(&written.terms) {
        assert_eq!(read.term, written.term);
        assert!((read.value - written.value).abs() <= 1e-15 * written.value, "{read:?} {written:?}");
    }
}

#[test]
fn too_little_is_refused() {
    let run = without_steps(serve(&workload(5, 0, 7), &sarathi(), &planted()));
    let refused = calibrate(&[Source::whole(&run)], &sarathi(), &NoBase).expect_err("five requests");
    assert_eq!(refused, CalibrationError::TooFew(11));
}

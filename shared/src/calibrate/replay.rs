//! A run's schedule replayed, so that its stamps become sums of steps: what each observed span is made of.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;

use crate::calibrate::fit::Observation;
use crate::calibrate::model::CalibratedModel;
use crate::calibrate::terms::{StepFeatures, Term, TermVector, counts, dot};
use crate::latency::{BatchShape, LatencyModel, StepTime};
use crate::schema::{RequestRow, Workload};
use crate::serving::SchedulerConfig;
use crate::simulate::{SimulationError, StepRows, simulate};
use crate::time::{Nanos, Ticks};

/// A simulated run of the workload, with what the terms count in each step.
pub struct Replay {
    requests: Vec<RequestRow>,
    starts: Vec<Nanos>,
    ends: Vec<Nanos>,
    /// Sums over the steps before: `before[i]` is of steps `0..i`, admissions apart.
    steps_before: Vec<TermVector>,
    /// The same of admissions.
    admissions_before: Vec<TermVector>,
    coefficients: TermVector,
    /// Largest sums of the steps.
    pub limits: BatchShape,
}

impl Replay {
    /// Simulates `workload` with `model`.
    ///
    /// # Errors
    /// Impossible settings, or requests that nothing will ever serve.
    pub fn of<B: LatencyModel>(
        workload: &Workload,
        scheduler: &SchedulerConfig,
        model: &CalibratedModel<B>,
    ) -> Result<Self, SimulationError<Infallible>> {
        let listening = Listening { model, steps: RefCell::default(), num_arrived: Cell::new(0) };
        let mut rows = StepRows::default();
        simulate(workload, scheduler, &listening, &mut rows)?;
        let run = rows.into_run("replay");
        let steps = run.steps.unwrap_or_default();
        let mut replay = Replay {
            requests: run.requests,
            starts: steps.iter().map(|step| step.start).collect(),
            ends: steps.iter().map(|step| step.end).collect(),
            steps_before: vec![[0.0; Term::COUNT]],
            admissions_before: vec![[0.0; Term::COUNT]],
            coefficients: model.coefficients,
            limits: BatchShape::default(),
        };
        for step in listening.steps.into_inner() {
            crate::calibrate::model::grow(&mut replay.limits, &step.shape);
            replay.push(&counts(&step));
        }
        Ok(replay)
    }

    fn push(&mut self, counts: &TermVector) {
        let last = self.steps_before.len() - 1;
        let (mut steps, mut admissions) = (self.steps_before[last], self.admissions_before[last]);
        for term in Term::ALL {
            let sums = if term.is_admission() { &mut admissions } else { &mut steps };
            sums[term.index()] += counts[term.index()];
        }
        self.steps_before.push(steps);
        self.admissions_before.push(admissions);
    }

    /// Mean time of a step, ns.
    pub fn mean_step_ns(&self) -> f64 {
        let busy: u64 = self.starts.iter().zip(&self.ends).map(|(start, end)| (*end - *start).0).sum();
        busy as f64 / self.starts.len().max(1) as f64
    }

    /// Spans of `real` that this schedule explains, of requests numbered `requests`; positions count from `position`.
    pub fn observations(&self, real: &[RequestRow], requests: std::ops::Range<u32>, position: u32) -> Vec<Observation> {
        let mut observations = Vec::new();
        let chosen = real.iter().filter(|row| requests.contains(&row.request_id) && row.has_output());
        for row in chosen {
            let position = position + row.request_id - requests.start;
            let simulated = &self.requests[row.request_id as usize];
            observations
                .extend(self.spans(row, simulated).into_iter().flatten().map(|span| span.observe(self, position)));
        }
        observations
    }

    /// Arrival to schedule and schedule to first token (or, of a run that does not tell schedules, arrival to first
    /// token), then first to last token. What a request waits for others is in theirs: arrivals count only where the
    /// engine was idle.
    fn spans(&self, real: &RequestRow, simulated: &RequestRow) -> [Option<Span>; 3] {
        let found = || Some((simulated.scheduled?, simulated.first_token?, simulated.completion?));
        let Some((scheduled, first, completion)) = found() else { return [None, None, None] };
        let step = self.starts.partition_point(|start| *start <= scheduled).saturating_sub(1);
        let prefilled = self.ends.partition_point(|end| *end <= first);
        let completed = self.ends.partition_point(|end| *end <= completion);
        let was_idle = self.starts[step] == simulated.arrival;
        let span = |steps: std::ops::Range<usize>, admissions, real: Option<Nanos>, simulated: Nanos| {
            real.map(|real_ns| Span { steps, admissions, real: real_ns, simulated })
        };
        let between = |from: Option<Nanos>, to: Option<Nanos>| to?.checked_sub(from?);
        let (admission, prefill) = match real.scheduled {
            Some(_) => (
                span(
                    step..step,
                    step..step + 1,
                    between(Some(real.arrival), real.scheduled),
                    scheduled - simulated.arrival,
                )
                .filter(|_| was_idle),
                span(
                    step..prefilled,
                    step + 1..prefilled,
                    between(real.scheduled, real.first_token),
                    first - scheduled,
                ),
            ),
            None => (
                None,
                span(
                    step..prefilled,
                    step..prefilled,
                    between(Some(real.arrival), real.first_token),
                    first - simulated.arrival,
                )
                .filter(|_| was_idle),
            ),
        };
        let decode = span(
            prefilled..completed,
            prefilled..completed,
            between(real.first_token, real.completion),
            completion - first,
        );
        [admission, prefill, decode.filter(|_| completed > prefilled)]
    }
}

/// One span on both sides.
#[derive(Clone, Debug)]
struct Span {
    /// Steps whose batches it holds.
    steps: std::ops::Range<usize>,
    /// Steps whose admissions it holds.
    admissions: std::ops::Range<usize>,
    real: Nanos,
    simulated: Nanos,
}

impl Span {
    /// What of the simulated span is no term's (idle engines, exposed host time) is taken off the real one.
    fn observe(&self, replay: &Replay, position: u32) -> Observation {
        let difference = |sums: &[TermVector], range: &std::ops::Range<usize>, index: usize| {
            sums[range.end.max(range.start)][index] - sums[range.start][index]
        };
        let counts = std::array::from_fn(|index| {
            difference(&replay.steps_before, &self.steps, index)
                + difference(&replay.admissions_before, &self.admissions, index)
        });
        let unexplained = self.simulated.0 as f64 - dot(&counts, &replay.coefficients);
        let real = self.real.0 as f64;
        Observation { counts, target_ns: real - unexplained, scale_ns: real.max(replay.mean_step_ns()), position }
    }
}

/// A model that keeps what it was asked.
struct Listening<'a, B> {
    model: &'a CalibratedModel<B>,
    steps: RefCell<Vec<StepFeatures>>,
    num_arrived: Cell<u32>,
}

impl<B: LatencyModel> LatencyModel for Listening<'_, B> {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        let mut steps = self.steps.borrow_mut();
        let (num_arrived, is_first) = (self.num_arrived.take(), steps.is_empty());
        steps.push(StepFeatures { num_arrived, is_first, ..self.model.features(shape) });
        self.model.stage_time(shape, stage)
    }

    fn admission_time(&self, num_arrived: u32) -> Ticks {
        self.num_arrived.set(num_arrived);
        self.model.admission_time(num_arrived)
    }

    fn first_step_time(&self) -> Ticks {
        self.model.first_step_time()
    }
}

//! "What if": the run simulated again under other settings, from nothing but what a bundle holds.

use crate::compare::{curve_grid, workload_of};
use crate::explore::Explorer;
use crate::explore::answers::{WhatIfAnswer, WhatIfBasis, WhatIfMetric};
use crate::explore::overview::has_steps;
use crate::explore::questions::WhatIf;
use crate::explore::settings;
use crate::explore::step_fit::StepTimes;
use crate::metrics::{Metric, throughput};
use crate::schema::comparison::CompareOptions;
use crate::schema::{RequestRow, RequestStatus, Run, StepRow, Workload, WorkloadRow};
use crate::serving::{ClusterConfig, TokenEvent};
use crate::simulate::{Recorder, RunRows, Simulation, SimulationCounts, SimulationError};
use crate::time::Nanos;

/// Rates that can be asked for.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// Replicas, at most.
const MOST_REPLICAS: u32 = 64;
/// Output tokens, at most: each is kept.
const MOST_TOKENS: u64 = 1 << 25;
/// Steps, at most: each is kept.
const MOST_STEPS: u64 = 1 << 24;
/// Blocks of all prefix caches together, at most: each is kept.
const MOST_CACHED_BLOCKS: u64 = 1 << 24;
/// Simulated time, at most: a hundred days.
const LONGEST: Nanos = Nanos(100 * 86_400_000_000_000);

/// What does not change with what is asked.
pub(super) struct Basis {
    workload: Workload,
    times: StepTimes,
    /// What is told of it.
    pub told: WhatIfBasis,
}

impl Explorer {
    /// What a "what if" stands on: settings, step times, and what they give for the run as it was.
    ///
    /// # Errors
    /// One sentence: there are no steps to learn times from, or settings that cannot be simulated.
    pub fn what_if_basis(&mut self) -> Result<WhatIfBasis, String> {
        self.basis().map(|basis| basis.told.clone())
    }

    /// The run simulated under other settings.
    ///
    /// # Errors
    /// One sentence: what cannot be asked, or why it cannot be simulated.
    pub fn what_if(&mut self, question: &WhatIf) -> Result<WhatIfAnswer, String> {
        let options = self.options.clone();
        let basis = self.basis()?;
        simulated(&basis.workload, &basis.times, question, &options)
    }

    fn basis(&mut self) -> Result<&Basis, String> {
        if self.basis.is_none() {
            self.basis = Some(self.found_basis());
        }
        match &self.basis {
            Some(Ok(basis)) => Ok(basis),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err("nothing was prepared".to_owned()),
        }
    }

    fn found_basis(&self) -> Result<Basis, String> {
        let (real, sim) = (self.real(), &self.sim);
        let (source, run) = match (has_steps(real), has_steps(sim)) {
            (true, _) => ("real", real),
            (false, true) => ("sim", sim),
            (false, false) => {
                return Err(
                    "the bundle holds no engine steps (step_metrics.csv), so step times cannot be learnt".to_owned()
                );
            }
        };
        let workload = asked_again(real, self.workload.as_ref());
        let length = |row: &WorkloadRow| row.num_prefill_tokens.saturating_add(row.num_decode_tokens);
        let longest = workload.rows.iter().map(length).max().unwrap_or_default();
        let (settings, mut assumed) = settings::settings(&real.meta, &sim.meta, longest)?;
        let times = StepTimes::fit(run, &settings.scheduler)?;
        assumed.extend(times.assumed.clone());
        let unchanged = simulated(&workload, &times, &settings, &self.options)?;
        let told = WhatIfBasis { settings, source: source.to_owned(), assumed, step_error: times.error, unchanged };
        Ok(Basis { workload, times, told })
    }
}

/// The workload with outputs as long as they became in the real run; as long as asked, where there was none.
fn asked_again(real: &Run, workload: Option<&Workload>) -> Workload {
    let mut asked = workload.cloned().unwrap_or_else(|| workload_of(real));
    for (row, ran) in asked.rows.iter_mut().zip(&real.requests) {
        if ran.has_output() {
            row.num_decode_tokens = ran.num_decode_tokens_actual;
        }
    }
    asked
}

fn simulated(
    workload: &Workload,
    times: &StepTimes,
    question: &WhatIf,
    options: &CompareOptions,
) -> Result<WhatIfAnswer, String> {
    check(question, workload)?;
    let WhatIf { scheduler, rate, num_replicas } = question;
    let faster;
    let workload = if *rate == 1.0 {
        workload
    } else {
        faster = hastened(workload, *rate);
        &faster
    };
    let cluster = ClusterConfig { num_replicas: *num_replicas, ..ClusterConfig::default() };
    let mut rows = Bounded::default();
    let simulation = Simulation { scheduler, cluster: &cluster, seed: 0, model: times };
    let counts = simulation.run(workload, &mut rows).map_err(|error| match error {
        SimulationError::Settings(problem)
        | SimulationError::Stalled(problem)
        | SimulationError::Timeless(problem)
        | SimulationError::Recorder(problem) => problem,
    })?;
    Ok(answer(&rows.rows.into_run("what if"), counts, options))
}

fn check(question: &WhatIf, workload: &Workload) -> Result<(), String> {
    let WhatIf { scheduler, rate, num_replicas } = question;
    if !RATES.contains(rate) {
        return Err(format!("arrivals can come {} to {} times as fast, not {rate}", RATES.start(), RATES.end()));
    }
    if !(1..=MOST_REPLICAS).contains(num_replicas) {
        return Err(format!("there can be 1 to {MOST_REPLICAS} replicas, not {num_replicas}"));
    }
    settings::check(scheduler)?;
    let blocks = u64::from(scheduler.num_blocks) * u64::from(*num_replicas);
    if scheduler.enable_prefix_caching && blocks > MOST_CACHED_BLOCKS {
        return Err(format!("{blocks} cached KV blocks are more than the {MOST_CACHED_BLOCKS} that can be explored"));
    }
    let num_tokens: u64 = workload.rows.iter().map(|row| u64::from(row.num_decode_tokens)).sum();
    if num_tokens > MOST_TOKENS {
        return Err(format!("{num_tokens} output tokens are more than the {MOST_TOKENS} that can be explored"));
    }
    let last = workload.rows.iter().map(|row| row.arrival).max().unwrap_or_default();
    if last.0 as f64 / rate > LONGEST.0 as f64 {
        return Err("arrivals would be spread over more than a hundred days".to_owned());
    }
    Ok(())
}

/// The same requests, `rate` times as fast.
fn hastened(workload: &Workload, rate: f64) -> Workload {
    let mut before = Nanos::ZERO;
    let rows = workload.rows.iter().map(|row| {
        let arrival = Nanos(libm::round(row.arrival.0 as f64 / rate) as u64);
        let inter_arrival = arrival.saturating_sub(std::mem::replace(&mut before, arrival));
        WorkloadRow { arrival, inter_arrival, ..row.clone() }
    });
    Workload { rows: rows.collect(), prefixes: workload.prefixes.clone() }
}

/// A run in memory that ends when it gets too long: a page must not hang or run out of memory.
#[derive(Default)]
struct Bounded {
    rows: RunRows,
    num_steps: u64,
}

fn kept<T>(result: Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(kept) => kept,
        Err(never) => match never {},
    }
}

impl Recorder for Bounded {
    type Error = String;

    fn token(&mut self, event: TokenEvent, token_id: Option<u32>) -> Result<(), String> {
        kept(self.rows.token(event, token_id));
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), String> {
        kept(self.rows.finished(row));
        Ok(())
    }

    fn step(&mut self, row: StepRow) -> Result<(), String> {
        self.num_steps += 1;
        if self.num_steps > MOST_STEPS {
            return Err(format!("it takes more than the {MOST_STEPS} steps that can be explored"));
        }
        if row.end > LONGEST {
            return Err("it would take more than a hundred days".to_owned());
        }
        kept(self.rows.step(row));
        Ok(())
    }
}

fn answer(run: &Run, counts: SimulationCounts, options: &CompareOptions) -> WhatIfAnswer {
    let definition = options.definition;
    let metric = |metric: &Metric| {
        let sample = crate::stats::Sorted::new(definition.values_of_run(run, *metric))?;
        let grid = curve_grid(sample.values().len());
        let at = |percentile| (percentile, definition.quantile(&sample, percentile));
        Some(WhatIfMetric {
            metric: *metric,
            fractions: grid.iter().map(|(index, all)| *index as f64 / *all as f64).collect(),
            times_ns: grid.iter().map(|(index, all)| sample.quantile_at(*index, *all)).collect(),
            percentiles: options.percentiles.iter().copied().map(at).collect(),
        })
    };
    let throughput = throughput(run);
    let is_rejected = |row: &&RequestRow| row.status == RequestStatus::Rejected;
    WhatIfAnswer {
        metrics: definition.metrics().iter().filter_map(metric).collect(),
        throughput_tokens_per_s: throughput.output_tokens_per_s,
        throughput_rps: throughput.requests_per_s,
        num_preemptions: counts.num_preemptions,
        num_rejected: run.requests.iter().filter(is_rejected).count() as u64,
        num_steps: (counts.num_steps, counts.steps_out_of_profile),
    }
}

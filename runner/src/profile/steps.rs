//! Measuring whole engine steps: every shape several times in turn, host and device apart; then between them.

use fidelio_shared::latency::{LatencyModel, StepModel, StepProfile, StepProfileRow};
use fidelio_shared::serving::{Batch, Replica, Request, SchedulerConfig, StepOutcome};
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::synthetic_prompt;
use indicatif::ProgressBar;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::config::ProfileConfig;
use crate::engine::Executor;
use crate::error::Interrupted;
use crate::profile::{Doubts, PlannedStep};

/// What a few trial steps say about the cost of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pilot {
    /// Shapes that fit the budget, in order of need.
    pub steps: Vec<PlannedStep>,
    /// Shapes left out.
    pub num_left_out: usize,
    /// How long measuring will take, about.
    pub estimate: Nanos,
}

/// Runs the two extreme shapes once and keeps as much of `plan` as the budget allows.
///
/// # Errors
/// When the executor fails.
pub fn pilot(
    executor: &mut (impl Executor + ?Sized),
    plan: Vec<PlannedStep>,
    settings: &ProfileConfig,
) -> anyhow::Result<Pilot> {
    let times = settings.repeats + settings.warmup_repeats;
    let tokens = |step: &PlannedStep| step.shape().num_tokens();
    let (Some(small), Some(large)) =
        (plan.iter().min_by_key(|step| tokens(step)), plan.iter().max_by_key(|step| tokens(step)))
    else {
        return Ok(Pilot { steps: Vec::new(), num_left_out: 0, estimate: Nanos::ZERO });
    };
    let mut time = |step: &PlannedStep| -> anyhow::Result<f64> {
        execute(executor, step)?;
        let (host, device) = execute(executor, step)?;
        Ok((host + device).as_secs_f64())
    };
    let (least, most) = (time(small)?, time(large)?);
    let fewest = tokens(small);
    let span = (tokens(large) - fewest).max(1) as f64;
    let per_token = ((most - least) / span).max(0.0);
    let cost = |step: &PlannedStep| (least + per_token * (tokens(step) - fewest) as f64) * f64::from(times);
    let total = plan.len();
    let (mut steps, mut seconds) = (Vec::with_capacity(total), 0.0);
    for step in plan {
        let next = cost(&step);
        // The first shapes bound what the scheduler can produce: without them nothing is covered.
        if steps.len() < 8 || seconds + next <= settings.max_seconds {
            seconds += next;
            steps.push(step);
        }
    }
    let num_left_out = total - steps.len();
    Ok(Pilot { steps, num_left_out, estimate: Nanos::from_secs_f64(seconds).unwrap_or_default() })
}

/// Measures every shape `repeats` times, one round over all shapes after another, so that a slow
/// minute of the machine spreads over all of them. Medians are kept, with the range.
///
/// # Errors
/// When the executor fails or the user interrupts.
pub fn measure_steps(
    executor: &mut (impl Executor + ?Sized),
    steps: &[PlannedStep],
    config: &SchedulerConfig,
    settings: &ProfileConfig,
    bar: &ProgressBar,
    interrupted: &AtomicBool,
) -> anyhow::Result<StepProfile> {
    let mut samples = vec![(Vec::new(), Vec::new()); steps.len()];
    for round in 0..settings.warmup_repeats + settings.repeats {
        for (step, (hosts, devices)) in steps.iter().zip(&mut samples) {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Interrupted.into());
            }
            let (host, device) = execute(executor, step)?;
            if round >= settings.warmup_repeats {
                hosts.push(host);
                devices.push(device);
            }
            bar.inc(1);
        }
    }
    let rows = steps.iter().zip(samples).map(|(step, (mut hosts, mut devices))| {
        hosts.sort_unstable();
        devices.sort_unstable();
        let median = |sorted: &[Nanos]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        StepProfileRow {
            shape: step.shape(),
            num_repeats: settings.repeats,
            host: median(&hosts) + scheduling_cost(config, step.items.len() as u32),
            device: median(&devices),
            device_min: devices.first().copied().unwrap_or_default(),
            device_max: devices.last().copied().unwrap_or_default(),
            is_held_out: step.is_held_out,
        }
    });
    Ok(StepProfile { rows: rows.collect() })
}

/// What was added to a grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Refinement {
    /// Shapes added.
    pub num_added: usize,
    /// Largest error of the model at any of them before it was fitted to it; `None` when none was added.
    pub worst_error: Option<f64>,
}

/// More would make a profile slow to fit.
const MAX_ADDED: usize = 24;

/// Adds midpoints to `profile`, whose rows are those of `steps`, where its times are least foreseen, until they come as
/// foreseen or the budget `settings.refine_seconds` is spent.
///
/// # Errors
/// As [`measure_steps`].
pub fn refine(
    executor: &mut (impl Executor + ?Sized),
    steps: &[PlannedStep],
    profile: &mut StepProfile,
    config: &SchedulerConfig,
    settings: &ProfileConfig,
    interrupted: &AtomicBool,
) -> anyhow::Result<Refinement> {
    let began = Instant::now();
    let mut model = StepModel::fit(profile, true);
    let mut doubts = Doubts::of_grid(steps, profile.rows.iter().map(|row| row.device));
    let mut num_added = 0;
    loop {
        let mut left = settings.refine_seconds - began.elapsed().as_secs_f64();
        // Fewer rounds than shapes: the model is fitted after each.
        let mut round = doubts.midpoints((2 + num_added / 2).min(MAX_ADDED - num_added));
        round.retain(|midpoint| {
            left -= step_seconds(&model, &midpoint.step) * f64::from(settings.repeats + settings.warmup_repeats);
            left > 0.0
        });
        if round.is_empty() {
            return Ok(Refinement { num_added, worst_error: doubts.worst_surprise() });
        }
        let shapes: Vec<PlannedStep> = round.iter().map(|midpoint| midpoint.step.clone()).collect();
        let measured = measure_steps(executor, &shapes, config, settings, &ProgressBar::hidden(), interrupted)?;
        num_added += round.len();
        for (midpoint, row) in round.into_iter().zip(measured.rows) {
            doubts.add(midpoint, row.device, model.device_error(&row));
            profile.rows.push(row);
        }
        model = StepModel::fit(profile, true);
    }
}

fn step_seconds(model: &StepModel, step: &PlannedStep) -> f64 {
    let time = model.stage_time(&step.shape(), 0);
    (time.host + time.device).to_nanos().as_secs_f64()
}

/// One step outside any replica: contexts are taken as computed, which changes no time.
fn execute(executor: &mut (impl Executor + ?Sized), step: &PlannedStep) -> anyhow::Result<(Nanos, Nanos)> {
    let vocab_size = executor.vocab_size();
    for item in &step.items {
        let known = item.start + item.num_tokens;
        // Random tokens, or every look-up of an embedding would hit the same cache line.
        executor.register(item.request_id, &synthetic_prompt(7, item.request_id, known, vocab_size));
    }
    let batch = Batch::listed(0, step.items.clone(), Vec::new());
    let start = executor.now();
    let result = executor.execute(&batch)?;
    let total = executor.now() - start;
    step.items.iter().for_each(|item| executor.release(item.request_id));
    Ok((total.saturating_sub(result.device), result.device))
}

/// What choosing and ending a batch of `num_seqs` sequences costs the host, by doing just that.
fn scheduling_cost(config: &SchedulerConfig, num_seqs: u32) -> Nanos {
    const STEPS: u32 = 200;
    let roomy = SchedulerConfig {
        num_blocks: num_seqs * (STEPS + 2),
        block_size: 1,
        max_model_len: STEPS + 2,
        max_num_seqs: num_seqs.max(config.max_num_seqs),
        max_num_batched_tokens: config.max_num_batched_tokens.max(num_seqs),
        ..config.clone()
    };
    let Ok(mut replica) = Replica::new(&roomy) else { return Nanos::ZERO };
    for id in 0..num_seqs {
        replica.admit(Request { id, arrival: Nanos::ZERO, num_prefill_tokens: 1, num_decode_tokens: STEPS });
    }
    let mut outcome = StepOutcome::default();
    let start = Instant::now();
    let mut num_steps = 0;
    while let Some(batch) = replica.begin_step(Nanos::ZERO) {
        replica.end_step(&batch, Nanos::ZERO, &[], &mut outcome);
        num_steps += 1;
    }
    Nanos((start.elapsed().as_nanos() / u128::from(num_steps.max(1u32))) as u64)
}

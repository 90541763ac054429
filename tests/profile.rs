//! Profiling on a scripted device: the grid has what graph buckets need, and becomes finer where the step model errs.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use fidelio::config::ProfileConfig;
use fidelio::engine::{Executor, OperationGrid, StepResult};
use fidelio::profile::{PlannedStep, Refinement, measure_steps, plan, refine};
use fidelio_shared::latency::StepProfile;
use fidelio_shared::serving::{Batch, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use indicatif::ProgressBar;

/// A device whose decodes are padded to the next of a few graphs, so that time climbs in stairs.
struct Stairs {
    now: Nanos,
    buckets: &'static [u64],
}

impl Executor for Stairs {
    fn now(&mut self) -> Nanos {
        self.now
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.now = self.now.max(deadline);
    }

    fn vocab_size(&self) -> u32 {
        32_000
    }

    fn register(&mut self, _: RequestId, _: &[u32]) {}

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        let shape = batch.shape();
        let decodes = shape.num_decode_seqs;
        let padded = self.buckets.iter().copied().find(|bucket| *bucket >= decodes).unwrap_or(decodes);
        let padded = if shape.num_prefill_tokens == 0 { padded } else { decodes };
        let device = Nanos(200_000 + 20_000 * padded + 2_000 * shape.num_prefill_tokens + shape.context_tokens);
        self.now += device + Nanos(5_000);
        Ok(StepResult { device, ..StepResult::default() })
    }

    fn release(&mut self, _: RequestId) {}
}

fn scheduler() -> SchedulerConfig {
    SchedulerConfig {
        max_num_seqs: 200,
        max_num_batched_tokens: 512,
        max_model_len: 2_048,
        ..SchedulerConfig::default()
    }
}

fn profiled(buckets: &'static [u64], refine_seconds: f64) -> (Vec<PlannedStep>, StepProfile, Refinement) {
    let settings = ProfileConfig { repeats: 1, warmup_repeats: 0, refine_seconds, ..ProfileConfig::default() };
    let (mut device, steps) = (Stairs { now: Nanos::ZERO, buckets }, plan(&scheduler()));
    let interrupted = AtomicBool::new(false);
    let bar = ProgressBar::hidden();
    let measured = measure_steps(&mut device, &steps, &scheduler(), &settings, &bar, &interrupted);
    let mut profile = measured.expect("a scripted device never fails");
    let refined = refine(&mut device, &steps, &mut profile, &scheduler(), &settings, &interrupted).expect("the same");
    (steps, profile, refined)
}

#[test]
fn decodes_are_planned_at_every_power_of_two_and_between() {
    let decodes: BTreeSet<u32> =
        plan(&scheduler()).iter().map(PlannedStep::sizes).filter(|sizes| sizes[2] == 0).map(|sizes| sizes[0]).collect();
    for bucket in [1, 2, 4, 8, 16, 32, 64, 128, 200, 3, 6, 12, 24, 48, 96, 192] {
        assert!(decodes.contains(&bucket), "{bucket} sequences are not in {decodes:?}");
    }
    let grid = OperationGrid::of(&scheduler());
    assert!(decodes.iter().filter(|seqs| grid.tokens.contains(&(**seqs as usize))).count() >= 8, "both tables meet");
}

#[test]
fn stairs_surprise_the_model_and_are_looked_into() {
    let (steps, plain, smooth) = profiled(&[], 1e6);
    let (_, profile, stairs) = profiled(&[40, 200], 1e6);
    let worst = |refined: &Refinement| refined.worst_error.expect("midpoints were tried");
    assert!(worst(&stairs) > 0.1 && worst(&stairs) > 1.5 * worst(&smooth), "stairs surprise: {stairs:?} {smooth:?}");
    assert!(stairs.num_added > 0 && profile.rows.len() == steps.len() + stairs.num_added);
    let held_out = |profile: &StepProfile| profile.rows.iter().filter(|row| row.is_held_out).count();
    assert_eq!((held_out(&profile), held_out(&plain)), (4, 4), "shapes held out stay so, and none is added");
    // The stair is between 40 and 41 sequences: what was added lies closer to it than the grid did.
    let nearest = |rows: &[fidelio_shared::latency::StepProfileRow]| {
        let decodes = rows.iter().filter(|row| row.shape.num_prefill_tokens == 0 && !row.is_held_out);
        decodes.map(|row| row.shape.num_decode_seqs.abs_diff(40)).min()
    };
    assert!(nearest(&profile.rows) < nearest(&profile.rows[..steps.len()]), "{:?}", &profile.rows[steps.len()..]);
    let again = profiled(&[40, 200], 1e6).1;
    let shapes = |profile: &StepProfile| profile.rows.iter().map(|row| row.shape).collect::<Vec<_>>();
    assert_eq!(shapes(&again), shapes(&profile), "the same times, the same choice");
}

#[test]
fn no_budget_adds_nothing() {
    let (steps, profile, refined) = profiled(&[40, 200], 0.0);
    assert_eq!((profile.rows.len(), refined.num_added, refined.worst_error), (steps.len(), 0, None));
}

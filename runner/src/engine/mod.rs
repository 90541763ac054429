//! The real driver: replays a workload in open loop through the serving core, on an executor that computes.

mod build;
mod candle;
mod candle_tensors;
mod clock;
#[cfg(feature = "cuda")]
pub mod cuda;
mod executor;
mod operations;
pub mod qwen3;
mod recorder;
mod sequences;
pub mod telemetry;

pub use build::{check, load, model_config};
pub use candle::{CandleExecutor, CandleOptions};
pub use candle_tensors::{CandleTensors, TensorOptions};
pub use executor::{Engine, Executor, HostPhases, SampledToken, StepResult};
pub use operations::{AttentionRow, AttentionSize, OperationGrid, OperationRow, Samples};
pub use recorder::FileRecorder;

use std::sync::atomic::{AtomicBool, Ordering};

use fidelio_shared::schema::{StepPhases, StepRow, Workload};
use fidelio_shared::serving::{Batch, Replica, Request, RequestId, StepOutcome};
use fidelio_shared::simulate::{Recorder, step_row};
use fidelio_shared::time::Nanos;
use serde::Serialize;

/// How a real run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServeCounts {
    /// Steps executed.
    pub num_steps: u64,
    /// Sequences that lost their KV blocks.
    pub num_preemptions: u64,
    /// How late the latest request was admitted after its planned arrival because a wait overslept;
    /// lateness behind a running step is queueing, not oversleeping.
    pub worst_wakeup_ns: u64,
}

/// Serves the whole workload. Requests arrive when it says, whatever the engine is doing.
///
/// One step begins where the one before ended, as long as there is work: bookkeeping between steps
/// is host time of the next one, and no time is lost between rows of `step_metrics.csv`.
///
/// # Errors
/// When the executor or the recorder fails, or the user interrupts (as [`crate::error::Interrupted`]).
pub fn serve<R>(
    workload: &Workload,
    prompts: &[Vec<u32>],
    replica: &mut Replica,
    executor: &mut (impl Executor + ?Sized),
    recorder: &mut R,
    interrupted: &AtomicBool,
) -> anyhow::Result<ServeCounts>
where
    R: Recorder,
    R::Error: Into<anyhow::Error>,
{
    let mut counts = ServeCounts::default();
    let mut outcome = StepOutcome::default();
    let mut pending = workload.rows.iter().enumerate().peekable();
    let mut now = executor.now();
    loop {
        while let Some((id, row)) = pending.next_if(|(_, row)| row.arrival <= now) {
            let request = Request::from_row(id as RequestId, row);
            match replica.admit(request) {
                Some(unserved) => recorder.finished(unserved.row(&request)).map_err(Into::into)?,
                None => executor.register(request.id, prompts.get(id).map_or(&[], Vec::as_slice)),
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(crate::error::Interrupted.into());
        }
        if let Some(batch) = replica.begin_step(now) {
            let start = now;
            let load = replica.load();
            let scheduled = executor.now();
            let result = executor.execute(&batch)?;
            now = executor.now();
            replica.end_step(&batch, now, &stopped(&result), &mut outcome);
            record(recorder, &outcome, &result)?;
            let row = step_row(batch.id, &batch.shape(), load, start, now, result.device);
            let phases = result.phases.map(|phases| step_phases(scheduled - start, phases));
            recorder.step(StepRow { phases, ..row }).map_err(Into::into)?;
            outcome.finished.iter().for_each(|served| executor.release(served.request.id));
            count(&mut counts, &batch);
        } else if let Some((_, row)) = pending.peek() {
            executor.wait_until(row.arrival);
            now = executor.now();
            counts.worst_wakeup_ns = counts.worst_wakeup_ns.max(now.saturating_sub(row.arrival).0);
        } else {
            return Ok(counts);
        }
    }
}

fn step_phases(schedule: Nanos, phases: HostPhases) -> StepPhases {
    let HostPhases { prepare, launch, wait, sample } = phases;
    StepPhases { schedule, prepare, launch, wait, sample }
}

fn stopped(result: &StepResult) -> Vec<RequestId> {
    result.tokens.iter().filter(|token| token.is_stop).map(|token| token.request_id).collect()
}

fn count(counts: &mut ServeCounts, batch: &Batch) {
    counts.num_steps += 1;
    counts.num_preemptions += batch.preempted.len() as u64;
}

fn record<R>(recorder: &mut R, outcome: &StepOutcome, result: &StepResult) -> anyhow::Result<()>
where
    R: Recorder,
    R::Error: Into<anyhow::Error>,
{
    for (index, event) in outcome.tokens.iter().enumerate() {
        // Both lists follow the batch's items; a scripted executor may sample nothing.
        let token_id = result.tokens.get(index).map(|token| token.token_id);
        recorder.token(*event, token_id).map_err(Into::into)?;
    }
    for served in &outcome.finished {
        recorder.finished(served.row(|time| time)).map_err(Into::into)?;
    }
    Ok(())
}

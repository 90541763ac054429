//! A run that recorded its steps: each is an observation of its own, its batch found by serving the run again.

use crate::calibrate::fit::Observation;
use crate::calibrate::terms::{StepFeatures, Term, counts};
use crate::latency::{BatchShape, LatencyModel};
use crate::schema::{StepRow, Workload};
use crate::serving::{Replica, Request, SchedulerConfig, StepOutcome};
use crate::time::Nanos;

/// Observations of neighbouring steps are summed so that no more than this remain.
const MOST_OBSERVATIONS: usize = 2_000;

/// A recorded step and what it computed.
pub struct RecordedStep {
    /// What the terms count in it.
    pub features: StepFeatures,
    /// From its start to its tokens.
    pub time: Nanos,
    /// Of that, the host's.
    pub host: Nanos,
    /// When it began.
    pub start: Nanos,
}

/// Serves `workload` again at the recorded instants: the scheduler chooses every batch as it did then.
///
/// # Errors
/// Impossible settings, or the first step whose batch is not the one recorded: the settings are not the run's.
pub fn recorded(
    workload: &Workload,
    steps: &[StepRow],
    scheduler: &SchedulerConfig,
    base: &impl LatencyModel,
) -> Result<Vec<RecordedStep>, String> {
    if steps.iter().any(|step| step.replica_id > 0) {
        return Err("its steps are of more than one replica".to_owned());
    }
    let mut replica = Replica::new(scheduler)?;
    let mut outcome = StepOutcome::default();
    let mut arrivals = workload.rows.iter().enumerate().peekable();
    let mut found = Vec::with_capacity(steps.len());
    for row in StepRow::by_start(steps) {
        let mut num_arrived = 0;
        while let Some((id, asked)) = arrivals.next_if(|(_, asked)| asked.arrival <= row.start) {
            num_arrived += 1;
            // One that needs no serving leaves no step.
            let _ = replica.admit(Request::from_row(id as u32, asked));
        }
        let batch = replica.begin_step(row.start);
        let shape = batch.as_ref().map(|batch| batch.shape()).unwrap_or_default();
        if !is_of(row, &shape) {
            return Err(format!(
                "its step {} computed {} prefill tokens and {} decodes over {} tokens, these settings give {}, {} and {}",
                row.step_index,
                row.num_prefill_tokens,
                row.num_decode_seqs,
                row.context_tokens,
                shape.num_prefill_tokens,
                shape.num_decode_seqs,
                shape.context_tokens
            ));
        }
        let Some(batch) = batch else { continue };
        replica.end_step(&batch, row.end, &[], &mut outcome);
        let base_device_ns = base.stage_time(&shape, 0).device.to_nanos_f64();
        let features = StepFeatures { shape, base_device_ns, num_arrived, is_first: found.is_empty() };
        found.push(RecordedStep { features, time: row.end - row.start, host: row.host, start: row.start });
    }
    Ok(found)
}

fn is_of(row: &StepRow, shape: &BatchShape) -> bool {
    (row.num_prefill_tokens, row.num_decode_seqs, row.context_tokens)
        == (shape.num_prefill_tokens, shape.num_decode_seqs, shape.context_tokens)
}

/// The steps as observations, neighbours summed where there are many. Host time of the model calibrated upon is
/// taken off.
pub fn observations(steps: &[RecordedStep], base: &impl LatencyModel, position: u32) -> Vec<Observation> {
    let together = steps.len().div_ceil(MOST_OBSERVATIONS).max(1);
    let sum = |(index, chunk): (usize, &[RecordedStep])| {
        let mut sum = Observation { counts: [0.0; Term::COUNT], target_ns: 0.0, scale_ns: 0.0, position };
        sum.position += index as u32;
        for step in chunk {
            let time = step.time.0 as f64;
            counts(&step.features).iter().zip(&mut sum.counts).for_each(|(count, total)| *total += count);
            sum.target_ns += time - base.stage_time(&step.features.shape, 0).host.to_nanos_f64();
            sum.scale_ns += time;
        }
        sum
    };
    steps.chunks(together).enumerate().map(sum).collect()
}

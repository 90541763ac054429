//! The event-driven driver: the serving core on virtual time, step times from a latency model.
//!
//! Events are ordered by `(time, rank, sequence)`; all events of one instant are drained before the
//! next batch is chosen, exactly as the engine's loop sees them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Serialize;

use crate::latency::LatencyModel;
use crate::schema::{RequestRow, StepRow, Workload};
use crate::serving::{Batch, Load, Replica, Request, SchedulerConfig, StepOutcome, TokenEvent};
use crate::time::Nanos;

/// Where a driver puts what happens, as it happens.
pub trait Recorder {
    /// What a failing recorder says.
    type Error;

    /// A token was produced; `token_id` is known to engines that compute.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn token(&mut self, event: TokenEvent, token_id: Option<u32>) -> Result<(), Self::Error>;

    /// A request ended, well or not.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn finished(&mut self, row: RequestRow) -> Result<(), Self::Error>;

    /// A step ended.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn step(&mut self, row: StepRow) -> Result<(), Self::Error>;
}

/// The row of one step: both drivers call this.
pub fn step_row(batch: &Batch, load: Load, start: Nanos, end: Nanos, device: Nanos) -> StepRow {
    let shape = batch.shape();
    StepRow {
        step_index: batch.id,
        replica_id: 0,
        start,
        end,
        host: (end - start).saturating_sub(device),
        device,
        num_prefill_tokens: shape.num_prefill_tokens,
        num_decode_seqs: shape.num_decode_seqs,
        context_tokens: shape.context_tokens,
        kv_blocks_used: u64::from(load.kv_blocks_used),
        num_running: u64::from(load.num_running),
        num_waiting: u64::from(load.num_waiting),
    }
}

/// What a simulation says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SimulationCounts {
    /// Steps simulated.
    pub num_steps: u64,
    /// Of these, outside what the latency model's profile covers.
    pub steps_out_of_profile: u64,
    /// Sequences that lost their KV blocks.
    pub num_preemptions: u64,
}

/// Why a simulation stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulationError<E> {
    /// The scheduler settings cannot serve anything.
    Settings(String),
    /// The recorder failed.
    Recorder(E),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Arrival,
    StepEnd,
}

/// Runs `workload` through one replica.
///
/// # Errors
/// Impossible settings, or a recorder that fails.
pub fn simulate<R: Recorder>(
    workload: &Workload,
    config: &SchedulerConfig,
    model: &impl LatencyModel,
    recorder: &mut R,
) -> Result<SimulationCounts, SimulationError<R::Error>> {
    let mut replica = Replica::new(config).map_err(SimulationError::Settings)?;
    let mut counts = SimulationCounts::default();
    let mut outcome = StepOutcome::default();
    let mut out: Vec<Flight> = Vec::new();
    let mut events = BinaryHeap::new();
    let arrivals = workload.rows.iter().enumerate();
    events.extend(arrivals.map(|(id, row)| Reverse((row.arrival, Rank::Arrival, id as u64))));
    while let Some(&Reverse((now, ..))) = events.peek() {
        while let Some(&Reverse((time, rank, number))) = events.peek()
            && time == now
        {
            events.pop();
            match rank {
                Rank::Arrival => {
                    let row = &workload.rows[number as usize];
                    if let Some(row) = replica.admit(Request::from_row(number as u32, row)) {
                        recorder.finished(row).map_err(SimulationError::Recorder)?;
                    }
                }
                Rank::StepEnd => {
                    let flight = out.iter().position(|flight| flight.batch.id == number);
                    let flight = out.swap_remove(flight.expect("a step that ends has begun"));
                    replica.end_step(&flight.batch, now, &[], &mut outcome);
                    record(recorder, &outcome, flight.row).map_err(SimulationError::Recorder)?;
                }
            }
        }
        while let Some(batch) = replica.begin_step(now) {
            let shape = batch.shape();
            let time = model.stage_time(&shape, 0);
            counts.num_steps += 1;
            counts.steps_out_of_profile += u64::from(!model.covers(&shape));
            counts.num_preemptions += batch.preempted.len() as u64;
            let end = now + time.host + time.device;
            events.push(Reverse((end, Rank::StepEnd, batch.id)));
            let row = step_row(&batch, replica.load(), now, end, time.device);
            out.push(Flight { batch, row });
        }
    }
    assert!(replica.is_idle(), "every admitted request is served before the events run out");
    Ok(counts)
}

/// A batch on its way, with its row ready.
struct Flight {
    batch: Batch,
    row: StepRow,
}

fn record<R: Recorder>(recorder: &mut R, outcome: &StepOutcome, row: StepRow) -> Result<(), R::Error> {
    for event in &outcome.tokens {
        recorder.token(*event, None)?;
    }
    for row in &outcome.finished {
        recorder.finished(row.clone())?;
    }
    recorder.step(row)
}

//! What drivers leave: tokens, requests and steps as they happen, and counts at the end.

use serde::Serialize;

use crate::latency::BatchShape;
use crate::schema::{RequestRow, StepRow};
use crate::serving::{Load, TokenEvent};
use crate::time::Nanos;

/// Where a driver puts what happens, as it happens.
pub trait Recorder {
    /// What a failing recorder says.
    type Error;

    /// Tokens are recorded. A simulator that need not tell them is faster.
    fn wants_tokens(&self) -> bool {
        true
    }

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

/// The row of one step: every driver calls this. What of `end - start` is not the device's is the host's.
pub fn step_row(id: u64, shape: &BatchShape, load: Load, start: Nanos, end: Nanos, device: Nanos) -> StepRow {
    StepRow {
        step_index: id,
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
        phases: None,
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
    /// Requests wait and nothing will ever make room for them.
    Stalled(String),
    /// The latency model gives a step no time at all.
    Timeless(String),
    /// The recorder failed.
    Recorder(E),
}

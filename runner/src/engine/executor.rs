//! The seam between the serving loop and what computes: an executor owns the clock and the arithmetic, an
//! engine is an executor that can be profiled and says what it runs on.

use fidelio_shared::serving::{Batch, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use serde_json::Value;

use crate::engine::operations::{AttentionRow, OperationRow};
use crate::engine::telemetry::Sampler;

/// What one executed batch gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepResult {
    /// The sampled token of every item that emits one, in item order.
    pub tokens: Vec<SampledToken>,
    /// Time the device computed, a part of the time `execute` took; the rest is host time.
    pub device: Nanos,
    /// What the host did, of executors that tell.
    pub phases: Option<HostPhases>,
}

/// The host's phases while a batch is executed. `launch` and `wait` may pass while the device computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostPhases {
    /// Laying out the batch: blocks, positions, tokens.
    pub prepare: Nanos,
    /// Handing work to the device.
    pub launch: Nanos,
    /// Waiting for the device's result.
    pub wait: Nanos,
    /// From the result to tokens.
    pub sample: Nanos,
}

/// One sampled token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledToken {
    /// Whose token it is.
    pub request_id: RequestId,
    /// Its id in the vocabulary.
    pub token_id: u32,
    /// The model ended the sequence here (an end-of-sequence token, when stopping at it is on).
    pub is_stop: bool,
}

/// Something that can run a batch. It owns the clock, so that a real device is never paired with
/// virtual time by mistake.
pub trait Executor {
    /// Time since the run began.
    fn now(&mut self) -> Nanos;

    /// Returns at `deadline` or soon after (never earlier on a virtual clock), or earlier when the
    /// user interrupted the run.
    fn wait_until(&mut self, deadline: Nanos);

    /// Token ids it takes are below.
    fn vocab_size(&self) -> u32;

    /// Makes a request known before its first batch: its prompt, as token ids (the workload's length
    /// counts, not the text's, so the slice is exactly `num_prefill_tokens` long).
    fn register(&mut self, request_id: RequestId, prompt: &[u32]);

    /// Computes the batch and samples where an item asks for it. Blocks of `batch.preempted` are
    /// freed first. The executor remembers sampled tokens, so a recomputed sequence finds its own.
    ///
    /// # Errors
    /// When the device fails or has no memory left; the run is then incomplete.
    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult>;

    /// Forgets a finished request and frees its KV blocks.
    fn release(&mut self, request_id: RequestId);
}

/// A loaded model on a device: an executor that the commands can measure and profile.
pub trait Engine: Executor {
    /// Sets the clock to zero: the run begins now, after warm-up.
    fn start_clock(&mut self);

    /// Blocks of its KV cache: what the scheduler may count on.
    fn num_blocks(&self) -> u32;

    /// What `attention.csv` says computed it.
    fn attention_backend(&self) -> &'static str;

    /// What it runs on, for `hardware` of a run's metadata: an object with at least a `name`.
    fn hardware(&self) -> Value;

    /// What can be asked how the device is while it works: `None` of a device that tells nothing, an error where it
    /// would, but cannot be asked here.
    fn sampler(&self) -> Option<anyhow::Result<Box<dyn Sampler>>> {
        None
    }

    /// Times every operation of one layer over [`OperationGrid::of`](crate::engine::OperationGrid::of) the
    /// scheduler's limits, `repeats` times each. Contents of the KV cache are overwritten: only between runs.
    ///
    /// # Errors
    /// When the device fails or a size does not fit.
    fn operations(
        &mut self,
        config: &SchedulerConfig,
        repeats: u32,
    ) -> anyhow::Result<(Vec<OperationRow>, Vec<AttentionRow>)>;
}

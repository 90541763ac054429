//! What one engine step computes: which tokens of which sequences. Knows no tensors and no clock.

use serde::{Deserialize, Serialize};

use crate::latency::BatchShape;

/// A request's number in its workload, `0..N-1`.
pub type RequestId = u32;

/// One sequence's share of a step: tokens `start .. start + num_tokens` of it are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchItem {
    /// The request this share belongs to.
    pub request_id: RequestId,
    /// Tokens of the sequence already in the KV cache (its context before this step).
    pub start: u32,
    /// Tokens computed in this step, at least 1.
    pub num_tokens: u32,
    /// The share ends at the sequence's last known token, so the step samples its next one.
    pub emits_token: bool,
    /// A single token after the first output token: decode. Otherwise prefill (or its recomputation).
    pub is_decode: bool,
}

/// One step's work, made by [`crate::serving::Replica::begin_step`] and given back to `end_step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Position in the replica's sequence of steps, from 0.
    pub id: u64,
    /// What is computed, in scheduling order.
    pub items: Vec<BatchItem>,
    /// Sequences whose KV blocks were taken back while this batch was chosen, in that order. An
    /// executor frees its own copy of their blocks before it computes the items.
    pub preempted: Vec<RequestId>,
}

impl Batch {
    /// The sums a latency model works from.
    pub fn shape(&self) -> BatchShape {
        let mut shape = BatchShape::default();
        for item in &self.items {
            shape.add(item);
        }
        shape
    }
}

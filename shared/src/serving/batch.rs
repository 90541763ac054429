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

/// Decoding sequences that all get one token and are not listed one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CohortShare {
    /// How many.
    pub num_seqs: u32,
    /// Tokens they read, their own included.
    pub context_tokens: u64,
}

/// One step's work, made by [`crate::serving::Replica::begin_step`] and given back to `end_step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Position in the replica's sequence of steps, from 0.
    pub id: u64,
    /// What is computed, in scheduling order.
    pub items: Vec<BatchItem>,
    /// Decodes beside the items; always empty unless the replica was told to count
    /// ([`crate::serving::Replica::counting`]).
    pub cohort: CohortShare,
    /// Sequences whose KV blocks were taken back while this batch was chosen, in that order. An
    /// executor frees its own copy of their blocks before it computes the items.
    pub preempted: Vec<RequestId>,
}

impl Batch {
    /// A batch that lists everything it computes.
    pub fn listed(id: u64, items: Vec<BatchItem>, preempted: Vec<RequestId>) -> Self {
        Batch { id, items, cohort: CohortShare::default(), preempted }
    }

    /// The sums a latency model works from.
    pub fn shape(&self) -> BatchShape {
        let mut shape = BatchShape::default();
        for item in &self.items {
            shape.add(item);
        }
        shape.num_decode_seqs += u64::from(self.cohort.num_seqs);
        shape.num_sampled += u64::from(self.cohort.num_seqs);
        shape.context_tokens += self.cohort.context_tokens;
        shape
    }
}

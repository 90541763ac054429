//! The size of a step as latency models see it: a few sums over its items.

use serde::{Deserialize, Serialize};

use crate::latency::KV_GRANULARITY;
use crate::serving::BatchItem;

/// Sums over one batch. Attention work is counted in *pairs*: one query token reading one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchShape {
    /// Tokens of prefill items.
    pub num_prefill_tokens: u64,
    /// Prefill items.
    pub num_prefill_seqs: u64,
    /// Query-key pairs of the prefill items: `sum over items of n * start + n * (n + 1) / 2`.
    pub prefill_pairs: u64,
    /// Squares of the prefill items' tokens: `sum over items of n * n`.
    #[serde(default)]
    pub prefill_squares: u64,
    /// Contexts of the prefill items, each rounded up to a multiple of [`KV_GRANULARITY`], as Vidur merges them.
    #[serde(default)]
    pub prefill_context_rounded: u64,
    /// Decode items (one token each).
    pub num_decode_seqs: u64,
    /// Tokens the decode items read, their own included: `sum of start + 1`.
    pub context_tokens: u64,
    /// Items that sample a token (rows of the output head).
    pub num_sampled: u64,
}

impl BatchShape {
    /// Counts one more item.
    pub fn add(&mut self, item: &BatchItem) {
        let (start, tokens) = (u64::from(item.start), u64::from(item.num_tokens));
        if item.is_decode {
            self.num_decode_seqs += 1;
            self.context_tokens += start + 1;
        } else {
            self.num_prefill_seqs += 1;
            self.num_prefill_tokens += tokens;
            self.prefill_pairs += tokens * start + tokens * (tokens + 1) / 2;
            self.prefill_squares += tokens * tokens;
            self.prefill_context_rounded += start.next_multiple_of(KV_GRANULARITY as u64);
        }
        self.num_sampled += u64::from(item.emits_token);
    }

    /// All tokens computed in the step.
    pub fn num_tokens(&self) -> u64 {
        self.num_prefill_tokens + self.num_decode_seqs
    }

    /// All sequences in the step.
    pub fn num_seqs(&self) -> u64 {
        self.num_prefill_seqs + self.num_decode_seqs
    }
}

//! Single operations as engines time them: the grid of sizes, and a row of samples for each. Knows no engine.

use std::collections::BTreeMap;

use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::time::Nanos;

use crate::engine::qwen3::OpName;

/// Samples of one operation by name.
pub type Samples = BTreeMap<OpName, Vec<Nanos>>;

/// One row of `mlp.csv`: everything but attention, of one layer; and final norm and head where as many rows can want
/// logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Tokens computed.
    pub num_tokens: usize,
    /// Times of each operation.
    pub samples: Samples,
}

/// The size of one attention: sequences that each compute a chunk after a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSize {
    /// Sequences.
    pub batch_size: usize,
    /// Tokens each computes; 0 is a decode, which computes one.
    pub prefill_chunk_size: usize,
    /// Tokens each has in the cache already.
    pub kv_cache_size: usize,
}

/// One row of `attention.csv`: cache write and attention of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionRow {
    /// What was computed.
    pub size: AttentionSize,
    /// Times of each operation.
    pub samples: Samples,
}

/// Sizes worth timing under a scheduler's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationGrid {
    /// Tokens in one pass, descending.
    pub tokens: Vec<usize>,
    /// Rows that want logits, at most: final norm and head are timed for as many of `tokens`.
    pub max_sampled: usize,
    /// Attention sizes.
    pub attention: Vec<AttentionSize>,
}

impl OperationGrid {
    /// The sizes that batches of `config` can have, in a cache of its number of blocks.
    pub fn of(config: &SchedulerConfig) -> Self {
        let (block_size, room) = (config.block_size as usize, config.num_blocks as usize * config.block_size as usize);
        let longest = (config.max_model_len as usize).min(room);
        let tokens = halves((config.max_num_batched_tokens as usize).min(longest));
        let mut attention = Vec::new();
        // A chunk of one token is a decode.
        for chunk in tokens.iter().copied().filter(|chunk| *chunk > 1) {
            for kv_cache_size in [0, (longest - chunk) / 2] {
                attention.push(AttentionSize { batch_size: 1, prefill_chunk_size: chunk, kv_cache_size });
            }
        }
        for batch_size in halves(config.max_num_seqs as usize) {
            let fits = (room / batch_size).saturating_sub(block_size).min(longest - 1);
            for context in [fits / 8, fits] {
                attention.push(AttentionSize { batch_size, prefill_chunk_size: 0, kv_cache_size: context.max(1) });
            }
        }
        let mut tokens = [tokens, halves(config.max_num_seqs as usize)].concat();
        tokens.sort_unstable_by(|left, right| right.cmp(left));
        tokens.dedup();
        OperationGrid { tokens, max_sampled: config.max_num_seqs as usize, attention }
    }
}

/// `largest`, then half of it, … down to 1.
fn halves(largest: usize) -> Vec<usize> {
    std::iter::successors(Some(largest), |size| (*size > 1).then(|| size / 2)).collect()
}

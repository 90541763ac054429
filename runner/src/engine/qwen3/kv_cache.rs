//! Keys and values of all sequences, in blocks of a fixed number of tokens. Knows no sequences: whoever
//! calls the model decides which blocks belong to whom.

use rayon::prelude::*;

use super::weights::check_memory;
use super::{ModelError, Qwen3Config};

/// How a cache is cut: `num_blocks` blocks, numbered from 0, of `block_size` tokens each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Paging {
    pub(in crate::engine) num_blocks: usize,
    pub(in crate::engine) block_size: usize,
}

/// Paged keys and values of every layer, f32.
pub struct KvCache {
    paging: Paging,
    pub(super) layers: Vec<LayerCache>,
}

/// One layer's share, each `[block][key-value head][slot in block][head_dim]`, so that the keys of one
/// head in one block lie together.
pub(super) struct LayerCache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

impl KvCache {
    /// A cache of `num_blocks` blocks of `block_size` tokens each, filled with zeros.
    ///
    /// # Errors
    /// When a size is zero or the cache does not fit into free memory.
    pub fn new(config: &Qwen3Config, num_blocks: usize, block_size: usize) -> Result<Self, ModelError> {
        if num_blocks == 0 || block_size == 0 {
            return Err(ModelError::Batch(format!(
                "a KV cache of {num_blocks} blocks of {block_size} tokens holds nothing"
            )));
        }
        let tokens = (num_blocks as u64).saturating_mul(block_size as u64);
        check_memory("the KV blocks", tokens.saturating_mul(config.kv_bytes_per_token()))?;
        let values_per_layer = num_blocks * block_size * config.key_value_size();
        let new_layer =
            || LayerCache { keys: touched_zeros(values_per_layer), values: touched_zeros(values_per_layer) };
        let layers = (0..config.num_hidden_layers).map(|_| new_layer()).collect();
        Ok(KvCache { paging: Paging { num_blocks, block_size }, layers })
    }

    /// Tokens a block holds.
    pub fn block_size(&self) -> usize {
        self.paging.block_size
    }

    /// Blocks there are; their numbers are `0 .. num_blocks`.
    pub fn num_blocks(&self) -> usize {
        self.paging.num_blocks
    }

    /// How it is cut.
    pub(super) fn paging(&self) -> Paging {
        self.paging
    }
}

/// Zeros that are really in memory. Pages never written all show the same page of zeros, which stays in
/// the processor's cache: attention over a context that nobody computed would look far too quick.
fn touched_zeros(count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    values.par_chunks_mut(1 << 16).for_each(|piece| piece.fill(std::hint::black_box(0.0)));
    values
}

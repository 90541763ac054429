//! A batch as the layers see it: the tokens of all shares in one row after the other, checked once.

use super::kv_cache::Paging;
use super::{ModelError, Qwen3Config};

/// Which rows of logits a share gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None: a prompt's chunk before its last.
    None,
    /// The last token's only: what sampling needs.
    Last,
    /// Every token's.
    All,
}

/// The part of one sequence that a forward pass computes.
#[derive(Clone, Copy, Debug)]
pub struct SequenceShare<'a> {
    /// Token ids, at least one.
    pub tokens: &'a [u32],
    /// Tokens of the sequence before these; their keys and values are read from the cache.
    pub start: usize,
    /// Blocks of the sequence in order, enough for `start + tokens.len()` tokens.
    pub block_table: &'a [u32],
    /// Which logits to give.
    pub logits: LogitsWanted,
}

/// One row of the batch.
#[derive(Clone, Copy)]
pub(in crate::engine) struct PackedToken {
    pub(in crate::engine) id: u32,
    /// Index of its share.
    pub(in crate::engine) share: usize,
    /// Its place in its sequence, from 0.
    pub(in crate::engine) position: usize,
}

/// The rows of a batch, and what depends on their positions only.
pub(in crate::engine) struct Packed<'a> {
    pub(in crate::engine) tokens: Vec<PackedToken>,
    pub(in crate::engine) block_size: usize,
    pub(in crate::engine) shares: &'a [SequenceShare<'a>],
    /// Cosine and sine of every row's rotation, `[tokens, head_dim / 2]`.
    pub(in crate::engine) cosines: Vec<f32>,
    pub(in crate::engine) sines: Vec<f32>,
    num_pairs: usize,
}

impl<'a> Packed<'a> {
    pub(in crate::engine) fn new(
        config: &Qwen3Config,
        inverse_frequencies: &[f32],
        shares: &'a [SequenceShare<'a>],
        paging: Paging,
    ) -> Result<Self, ModelError> {
        let mut tokens = Vec::new();
        for (index, share) in shares.iter().enumerate() {
            share.check(config, paging)?;
            let rows = share.tokens.iter().zip(share.start..);
            tokens.extend(rows.map(|(&id, position)| PackedToken { id, share: index, position }));
        }
        let angles = tokens.iter().flat_map(|token| inverse_frequencies.iter().map(|f| token.position as f32 * f));
        let (sines, cosines) = angles.map(f32::sin_cos).unzip();
        let num_pairs = inverse_frequencies.len();
        Ok(Packed { tokens, block_size: paging.block_size, shares, cosines, sines, num_pairs })
    }

    /// Block and slot in it of one position of a share's sequence.
    pub(in crate::engine) fn place(&self, share: usize, position: usize) -> (usize, usize) {
        (self.shares[share].block_table[position / self.block_size] as usize, position % self.block_size)
    }

    /// Cosines and sines of one row's rotation.
    pub(super) fn rotation(&self, row: usize) -> (&[f32], &[f32]) {
        let range = row * self.num_pairs..(row + 1) * self.num_pairs;
        (&self.cosines[range.clone()], &self.sines[range])
    }

    /// Every share is a single token.
    pub(super) fn is_decode(&self) -> bool {
        self.tokens.len() == self.shares.len()
    }

    /// Rows whose logits are wanted, in order.
    pub(in crate::engine) fn wanted_rows(&self) -> Vec<usize> {
        let mut rows = Vec::new();
        let mut end = 0;
        for share in self.shares {
            let start = end;
            end += share.tokens.len();
            match share.logits {
                LogitsWanted::None => {}
                LogitsWanted::Last => rows.push(end - 1),
                LogitsWanted::All => rows.extend(start..end),
            }
        }
        rows
    }
}

impl SequenceShare<'_> {
    fn check(&self, config: &Qwen3Config, paging: Paging) -> Result<(), ModelError> {
        let end = self.start.saturating_add(self.tokens.len());
        let capacity = self.block_table.len().saturating_mul(paging.block_size);
        let problem = if self.tokens.is_empty() {
            "a share without tokens".to_owned()
        } else if end > config.max_position_embeddings {
            format!("a sequence of {end} tokens, the model's longest is {}", config.max_position_embeddings)
        } else if end > capacity {
            format!("a sequence of {end} tokens in {} blocks of {}", self.block_table.len(), paging.block_size)
        } else if let Some(id) = self.tokens.iter().find(|id| **id as usize >= config.vocab_size) {
            format!("token {id}, the vocabulary ends at {}", config.vocab_size)
        } else if let Some(block) = self.block_table.iter().find(|block| **block as usize >= paging.num_blocks) {
            format!("block {block}, the cache has {}", paging.num_blocks)
        } else {
            return Ok(());
        };
        Err(ModelError::Batch(format!("the batch has {problem}")))
    }
}

//! Causal attention with grouped heads over the paged cache, and the writes into it.

use rayon::prelude::*;

use super::kernels;
use super::kv_cache::LayerCache;
use super::packed::Packed;

/// Sizes attention needs.
#[derive(Clone, Copy)]
pub(super) struct HeadShape {
    pub(super) num_query_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) head_dim: usize,
}

impl HeadShape {
    /// Width of a row of queries, keys and values together.
    pub(super) fn packed_width(self) -> usize {
        (self.num_query_heads + 2 * self.num_key_value_heads) * self.head_dim
    }

    fn values_per_block(self, block_size: usize) -> usize {
        self.num_key_value_heads * block_size * self.head_dim
    }
}

/// Copies the keys and values of every row of `qkv` (`[tokens, packed_width]`) into their blocks.
pub(super) fn save_keys_and_values(shape: HeadShape, batch: &Packed<'_>, qkv: &[f32], cache: &mut LayerCache) {
    let HeadShape { num_query_heads, num_key_value_heads, head_dim } = shape;
    for (token, row) in batch.tokens.iter().zip(qkv.chunks_exact(shape.packed_width())) {
        let (keys, values) = row[num_query_heads * head_dim..].split_at(num_key_value_heads * head_dim);
        let (block, slot) = batch.place(token.share, token.position);
        for head in 0..num_key_value_heads {
            let to = block * shape.values_per_block(batch.block_size) + (head * batch.block_size + slot) * head_dim;
            let from = head * head_dim..(head + 1) * head_dim;
            cache.keys[to..to + head_dim].copy_from_slice(&keys[from.clone()]);
            cache.values[to..to + head_dim].copy_from_slice(&values[from]);
        }
    }
}

/// Attention of every query row of `qkv` over its sequence's cache up to and with itself; `context` is
/// `[tokens, query heads * head_dim]`. One task is one token with one group of heads.
pub(super) fn attend(shape: HeadShape, batch: &Packed<'_>, qkv: &[f32], cache: &LayerCache, context: &mut [f32]) {
    let group = shape.num_query_heads / shape.num_key_value_heads * shape.head_dim;
    context.par_chunks_mut(group).enumerate().for_each_init(Vec::new, |scores, (task, output)| {
        let (row, head) = (task / shape.num_key_value_heads, task % shape.num_key_value_heads);
        let start = row * shape.packed_width() + head * group;
        let token = batch.tokens[row];
        let sequence = HeadBlocks { shape, batch, share: token.share, head, num_keys: token.position + 1 };
        sequence.attend(&qkv[start..start + group], cache, scores, output);
    });
}

/// The cached keys and values of one head of one sequence.
struct HeadBlocks<'a> {
    shape: HeadShape,
    batch: &'a Packed<'a>,
    share: usize,
    head: usize,
    num_keys: usize,
}

impl HeadBlocks<'_> {
    /// Two passes: all scores, then the weighted sum of values, for the query heads of one group.
    fn attend(&self, queries: &[f32], cache: &LayerCache, scores: &mut Vec<f32>, output: &mut [f32]) {
        let head_dim = self.shape.head_dim;
        let scale = 1.0 / (head_dim as f32).sqrt();
        scores.resize((queries.len() / head_dim) * self.num_keys, 0.0);
        for (first_key, slab) in self.slabs() {
            let keys = &cache.keys[slab];
            let in_block = first_key..first_key + keys.len() / head_dim;
            for (query, scores) in queries.chunks_exact(head_dim).zip(scores.chunks_exact_mut(self.num_keys)) {
                kernels::score_keys(query, keys, scale, &mut scores[in_block.clone()]);
            }
        }
        scores.chunks_exact_mut(self.num_keys).for_each(kernels::softmax);
        output.fill(0.0);
        for (first_key, slab) in self.slabs() {
            let values = &cache.values[slab];
            let in_block = first_key..first_key + values.len() / head_dim;
            for (output, scores) in output.chunks_exact_mut(head_dim).zip(scores.chunks_exact(self.num_keys)) {
                kernels::add_values(&scores[in_block.clone()], values, output);
            }
        }
    }

    /// For each block in sequence order: its first key's position and where its values lie.
    fn slabs(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
        let (block_size, head_dim) = (self.batch.block_size, self.shape.head_dim);
        (0..self.num_keys).step_by(block_size).map(move |first_key| {
            let (block, _) = self.batch.place(self.share, first_key);
            let start = block * self.shape.values_per_block(block_size) + self.head * block_size * head_dim;
            (first_key, start..start + block_size.min(self.num_keys - first_key) * head_dim)
        })
    }
}

//! A batch on the device: what all layers need to know of its tokens, uploaded once a step.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::engine::qwen3::{ModelError, Packed, Qwen3Config};

/// Most sequences of single tokens that attend together: their contexts are padded to the longest.
const MAX_TOGETHER: usize = 64;

/// A batch's tokens, row by row.
pub(super) struct DeviceBatch {
    /// Token ids, `[tokens]`.
    pub(super) ids: Tensor,
    /// Cosines and sines of every row's rotation, `[tokens, 1, head_dim / 2]`.
    pub(super) cosines: Tensor,
    pub(super) sines: Tensor,
    /// The cache's row of every value of a token's keys, `[tokens, key-value heads * head_dim]`.
    pub(super) slots: Tensor,
    /// Which rows attend together.
    pub(super) groups: Vec<AttentionGroup>,
    /// Where each row of the batch lies in the groups' rows one after the other.
    pub(super) order: Tensor,
    /// Rows whose logits are wanted; none when there is no such row.
    pub(super) wanted: Option<Tensor>,
}

/// Sequences that compute equally many tokens each, and so attend as one tensor.
pub(super) struct AttentionGroup {
    /// Rows of the batch, sequence after sequence.
    pub(super) rows: Tensor,
    pub(super) num_sequences: usize,
    /// Tokens each sequence computes.
    pub(super) num_queries: usize,
    /// Keys of the longest sequence; the others repeat their last.
    pub(super) num_keys: usize,
    /// The cache's row of every key, `[sequences * keys]`.
    pub(super) slots: Tensor,
    /// Added to scores: 0 where a token may look, −∞ after itself; `[sequences, 1, 1, queries, keys]`.
    pub(super) mask: Tensor,
}

impl DeviceBatch {
    pub(super) fn new(packed: &Packed<'_>, config: &Qwen3Config, device: &Device) -> Result<Self, ModelError> {
        let num_tokens = packed.tokens.len();
        let rotation = (num_tokens, 1, config.head_dim / 2);
        let slots: Vec<u32> = packed.tokens.iter().map(|token| slot(packed, token.share, token.position)).collect();
        let slots = Tensor::from_vec(slots, (num_tokens, 1), device)?;
        let sets = sets(packed);
        let places: Vec<usize> = sets.iter().flatten().flat_map(|(_, rows)| rows.clone()).collect();
        let mut order = vec![0_u32; num_tokens];
        places.iter().zip(0..).for_each(|(row, place)| order[*row] = place);
        let wanted: Vec<u32> = packed.wanted_rows().into_iter().map(|row| row as u32).collect();
        Ok(DeviceBatch {
            ids: vector(packed.tokens.iter().map(|token| token.id), device)?,
            cosines: Tensor::from_slice(&packed.cosines, rotation, device)?,
            sines: Tensor::from_slice(&packed.sines, rotation, device)?,
            slots: slots.broadcast_as((num_tokens, config.key_value_size()))?.contiguous()?,
            groups: sets.iter().map(|set| AttentionGroup::new(packed, set, device)).collect::<Result<_, _>>()?,
            order: vector(order.into_iter(), device)?,
            wanted: if wanted.is_empty() { None } else { Some(vector(wanted.into_iter(), device)?) },
        })
    }
}

impl AttentionGroup {
    fn new(packed: &Packed<'_>, set: &[(usize, Range<usize>)], device: &Device) -> Result<Self, ModelError> {
        let last_key = |rows: &Range<usize>| packed.tokens[rows.end - 1].position;
        let num_keys = set.iter().map(|(_, rows)| last_key(rows) + 1).max().unwrap_or(0);
        let (num_sequences, num_queries) = (set.len(), set.first().map_or(0, |(_, rows)| rows.len()));
        let slots = set.iter().flat_map(|(share, rows)| {
            let last = last_key(rows);
            (0..num_keys).map(move |key| slot(packed, *share, key.min(last)))
        });
        let rows = || set.iter().flat_map(|(_, rows)| rows.clone());
        // No padding needs a mask of its own: it comes after every token of its sequence.
        let positions = vector(rows().map(|row| packed.tokens[row].position as u32), device)?;
        let positions = positions.reshape((num_sequences, 1, 1, num_queries, 1))?;
        let keys = Tensor::arange(0, num_keys as u32, device)?.reshape((1, 1, 1, 1, num_keys))?;
        let is_seen = keys.broadcast_le(&positions)?;
        let zeros = Tensor::zeros(is_seen.shape(), DType::F32, device)?;
        let unseen = Tensor::full(f32::NEG_INFINITY, is_seen.shape(), device)?;
        Ok(AttentionGroup {
            rows: vector(rows().map(|row| row as u32), device)?,
            num_sequences,
            num_queries,
            num_keys,
            slots: vector(slots, device)?,
            mask: is_seen.where_cond(&zeros, &unseen)?,
        })
    }
}

/// Shares that attend together, as (share, its rows): single tokens by the dozen, longer shares each alone.
fn sets(packed: &Packed<'_>) -> Vec<Vec<(usize, Range<usize>)>> {
    let starts = packed.shares.iter().scan(0, |next, share| {
        let start = *next;
        *next += share.tokens.len();
        Some(start..*next)
    });
    let (single, longer): (Vec<_>, Vec<_>) = starts.enumerate().partition(|(_, rows)| rows.len() == 1);
    single.chunks(MAX_TOGETHER).chain(longer.chunks(1)).map(<[_]>::to_vec).collect()
}

/// The cache's row of a position of a share's sequence.
fn slot(packed: &Packed<'_>, share: usize, position: usize) -> u32 {
    let (block, slot) = packed.place(share, position);
    (block * packed.block_size + slot) as u32
}

fn vector(values: impl Iterator<Item = u32>, device: &Device) -> Result<Tensor, ModelError> {
    let values: Vec<u32> = values.collect();
    let len = values.len();
    Ok(Tensor::from_vec(values, len, device)?)
}

//! Closure: do single operations add up to whole steps? The difference is what the operations' tables do not see.

use fidelio_shared::latency::{BatchShape, StepProfile};
use fidelio_shared::time::Nanos;
use serde::Serialize;

use crate::engine::qwen3::OpName;
use crate::engine::{AttentionRow, OperationRow, Samples};

/// Operations of every layer but attention; [`OpName::Add`] is there twice.
const LAYER: [OpName; 8] = [
    OpName::InputLayernorm,
    OpName::AttnPreProj,
    OpName::AttnRope,
    OpName::AttnPostProj,
    OpName::PostAttentionLayernorm,
    OpName::MlpUpProj,
    OpName::MlpAct,
    OpName::MlpDownProj,
];

/// How far sums of operations are from measured steps, as fractions of the steps' device time; a sum that is too small
/// has a negative error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Closure {
    /// Shapes that both tables cover.
    pub num_shapes: usize,
    /// Mean error, signs kept.
    pub mean_error: f64,
    /// Mean of the errors' sizes.
    pub mean_absolute_error: f64,
    /// The error of largest size.
    pub worst_error: f64,
    /// Where that is.
    pub worst_shape: BatchShape,
}

/// Compares every measured step of one prompt, or of decodes alike, with embedding + layers + head. Attention between
/// two measured contexts is interpolated: it is linear in them. `None` when the tables share no shape.
pub fn closure(
    num_layers: usize,
    mlp: &[OperationRow],
    attention: &[AttentionRow],
    steps: &StepProfile,
) -> Option<Closure> {
    let tables = Tables { num_layers, mlp, attention };
    let errors: Vec<(f64, BatchShape)> = steps
        .rows
        .iter()
        .filter_map(|row| Some((tables.sum(&row.shape)? / row.device.0 as f64 - 1.0, row.shape)))
        .collect();
    let (worst_error, worst_shape) =
        errors.iter().copied().reduce(|worst, next| if next.0.abs() > worst.0.abs() { next } else { worst })?;
    let mean = |size: fn(f64) -> f64| errors.iter().map(|(error, _)| size(*error)).sum::<f64>() / errors.len() as f64;
    Some(Closure {
        num_shapes: errors.len(),
        mean_error: mean(|error| error),
        mean_absolute_error: mean(f64::abs),
        worst_error,
        worst_shape,
    })
}

struct Tables<'a> {
    num_layers: usize,
    mlp: &'a [OperationRow],
    attention: &'a [AttentionRow],
}

impl Tables<'_> {
    /// The operations of a step in ns, when all of them were timed.
    fn sum(&self, shape: &BatchShape) -> Option<f64> {
        let (batch_size, chunk, context) = uniform(shape)?;
        let dense = self.dense(shape.num_tokens())?;
        let head = self.dense(shape.num_sampled)?;
        let layer = LAYER.iter().filter_map(|name| median(dense, *name)).sum::<f64>()
            + 2.0 * median(dense, OpName::Add).unwrap_or(0.0)
            + self.attention(batch_size, chunk, context)?;
        // An engine may fuse norms and additions into others; a product it cannot do without.
        median(dense, OpName::MlpDownProj)?;
        let ends = median(dense, OpName::Emb).unwrap_or(0.0)
            + median(head, OpName::FinalNorm).unwrap_or(0.0)
            + median(head, OpName::LmHead)?;
        Some(ends + layer * self.num_layers as f64)
    }

    fn dense(&self, num_tokens: u64) -> Option<&Samples> {
        self.mlp.iter().find(|row| row.num_tokens as u64 == num_tokens).map(|row| &row.samples)
    }

    fn attention(&self, batch_size: u64, chunk: u64, context: u64) -> Option<f64> {
        let alike = self
            .attention
            .iter()
            .filter(|row| (row.size.batch_size as u64, row.size.prefill_chunk_size as u64) == (batch_size, chunk));
        let mut known: Vec<(u64, f64)> = alike
            .map(|row| {
                let time: f64 = row.samples.keys().filter_map(|name| median(&row.samples, *name)).sum();
                (row.size.kv_cache_size as u64, time)
            })
            .collect();
        known.sort_by_key(|(context, _)| *context);
        let upper = known.iter().position(|(at, _)| *at >= context)?;
        let (high, high_time) = known[upper];
        if high == context {
            return Some(high_time);
        }
        let (low, low_time) = *known.get(upper.checked_sub(1)?)?;
        Some(low_time + (high_time - low_time) * (context - low) as f64 / (high - low) as f64)
    }
}

/// (sequences, chunk or 0 of a decode, context of each), when all sequences are alike.
fn uniform(shape: &BatchShape) -> Option<(u64, u64, u64)> {
    match (shape.num_prefill_seqs, shape.num_decode_seqs) {
        (1, 0) => {
            let tokens = shape.num_prefill_tokens;
            let start = (shape.prefill_pairs - tokens * (tokens + 1) / 2) / tokens;
            // A prompt's last token alone is timed as a decode.
            Some((1, if tokens > 1 { tokens } else { 0 }, start))
        }
        (0, seqs) if seqs > 0 => Some((seqs, 0, shape.context_tokens / seqs - 1)),
        _ => None,
    }
}

fn median(samples: &Samples, name: OpName) -> Option<f64> {
    let mut sorted: Vec<Nanos> = samples.get(&name)?.clone();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map(|time| time.0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::AttentionSize;
    use crate::profile::PlannedStep;
    use fidelio_shared::latency::StepProfileRow;

    fn samples(times: &[(OpName, u64)]) -> Samples {
        // The median of three, whatever the outlier.
        times.iter().map(|(name, time)| (*name, vec![Nanos(*time), Nanos(*time), Nanos(9_999)])).collect()
    }

    fn dense(num_tokens: usize) -> OperationRow {
        let times = [
            (OpName::Emb, 100),
            (OpName::MlpUpProj, 20),
            (OpName::MlpDownProj, 10),
            (OpName::Add, 5),
            (OpName::FinalNorm, 7),
            (OpName::LmHead, 300),
        ];
        OperationRow { num_tokens, samples: samples(&times) }
    }

    fn attention(batch_size: usize, prefill_chunk_size: usize, kv_cache_size: usize, time: u64) -> AttentionRow {
        let size = AttentionSize { batch_size, prefill_chunk_size, kv_cache_size };
        AttentionRow { size, samples: samples(&[(OpName::AttnDecode, time), (OpName::AttnKvCacheSave, 1)]) }
    }

    fn step(sizes: [u32; 4], device: u64) -> StepProfileRow {
        let device = Nanos(device);
        StepProfileRow {
            shape: PlannedStep::of_sizes(sizes, false).shape(),
            num_repeats: 3,
            host: Nanos(1),
            device,
            device_min: device,
            device_max: device,
            is_held_out: false,
        }
    }

    #[test]
    fn layers_count_each_the_ends_once_and_contexts_between_are_interpolated() {
        let mlp = [dense(1), dense(4)];
        let table = [attention(4, 0, 10, 99), attention(4, 0, 30, 199), attention(1, 4, 0, 49)];
        // 100 + 7 + 300 at the ends; of ten layers each 20 + 10 + 2 × 5 and the attention.
        let decode = 407 + 10 * (40 + 150);
        let prefill = 407 + 10 * (40 + 50);
        let rows = vec![
            step([4, 20, 0, 0], decode * 2),
            step([0, 0, 4, 0], prefill),
            step([4, 31, 0, 0], 1),
            step([2, 20, 0, 0], 1),
            step([4, 20, 4, 0], 1),
        ];
        let found = closure(10, &mlp, &table, &StepProfile { rows: rows.clone() }).expect("two shapes");
        assert_eq!((found.num_shapes, found.worst_error, found.worst_shape), (2, -0.5, rows[0].shape));
        assert_eq!((found.mean_error, found.mean_absolute_error), (-0.25, 0.25));
        assert_eq!(closure(10, &mlp, &table, &StepProfile { rows: rows[2..].to_vec() }), None, "beyond both tables");
    }
}

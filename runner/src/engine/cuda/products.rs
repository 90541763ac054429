//! The model's matrix products: their shapes, their operands, and choosing an algorithm for each before the first step.

use super::buckets::row_buckets;
use super::device::Gpu;
use super::error::GpuError;
use super::gemm::{GemmOutput, GemmShape, Gemms, Operands};
use super::memory::{Activations, Limits};
use super::weights::{LayerWeights, Weights};
use crate::engine::qwen3::Qwen3Config;

/// A matrix product of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    QueryKeyValue,
    AttentionOutput,
    GateUp,
    Down,
}

impl Product {
    const ALL: [Product; 4] = [Product::QueryKeyValue, Product::AttentionOutput, Product::GateUp, Product::Down];

    pub(super) fn shape(self, config: &Qwen3Config, rows: usize) -> GemmShape {
        let (hidden, query, intermediate) = (config.hidden_size, config.query_size(), config.intermediate_size);
        let (inputs, outputs, output) = match self {
            Product::QueryKeyValue => (hidden, query + 2 * config.key_value_size(), GemmOutput::Bf16),
            Product::AttentionOutput => (query, hidden, GemmOutput::AddF32),
            Product::GateUp => (hidden, 2 * intermediate, GemmOutput::Bf16),
            Product::Down => (intermediate, hidden, GemmOutput::AddF32),
        };
        GemmShape { rows, inputs, outputs, output }
    }

    pub(super) fn operands(self, act: &Activations, weights: &LayerWeights) -> Operands {
        let (x, w, y) = match self {
            Product::QueryKeyValue => (&act.normed, weights.query_key_value, &act.query_key_value),
            Product::AttentionOutput => (&act.context, weights.attention_output, &act.residual),
            Product::GateUp => (&act.normed, weights.gate_up, &act.gate_up),
            Product::Down => (&act.gated, weights.down, &act.residual),
        };
        Operands { x: x.address(), w, y: y.address() }
    }
}

/// The head's product for `rows` rows of logits.
pub(super) fn head_shape(config: &Qwen3Config, rows: usize) -> GemmShape {
    GemmShape { rows, inputs: config.hidden_size, outputs: config.vocab_size, output: GemmOutput::F32 }
}

/// The head reads normed rows and gives logits.
pub(super) fn head_operands(act: &Activations, weights: &Weights) -> Operands {
    Operands { x: act.normed.address(), w: weights.head, y: act.logits.address() }
}

/// Chooses an algorithm for every product a step can need.
pub(super) fn prepare_products(
    gpu: &Gpu,
    gemms: &mut Gemms,
    config: &Qwen3Config,
    limits: Limits,
    weights: &Weights,
    act: &Activations,
) -> Result<(), GpuError> {
    // Zeros would be multiplied faster than what real steps hold.
    for buffer in [&act.normed, &act.context, &act.gated] {
        gpu.upload(&noise(buffer.num_bytes() / size_of::<u16>()), buffer, 0)?;
    }
    for rows in row_buckets(limits.rows) {
        for product in Product::ALL {
            let shape = product.shape(config, rows);
            // As many layers as are surely not in the cache together.
            let enough = (2 * gpu.properties.l2_bytes as usize).div_ceil(2 * shape.inputs * shape.outputs);
            let layers = weights.layers.iter().take(enough.max(1));
            let operands: Vec<Operands> = layers.map(|layer| product.operands(act, layer)).collect();
            gemms.prepare(gpu, shape, &operands)?;
        }
    }
    for rows in row_buckets(limits.seqs) {
        gemms.prepare(gpu, head_shape(config, rows), &[head_operands(act, weights)])?;
    }
    Ok(())
}

/// bfloat16 numbers between -1 and 1 that follow no pattern.
pub(super) fn noise(count: usize) -> Vec<u16> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        half::bf16::from_f32(state as i32 as f32 / i32::MAX as f32).to_bits()
    };
    (0..count).map(|_| next()).collect()
}

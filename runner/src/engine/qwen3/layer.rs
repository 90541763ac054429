//! One decoder layer over packed rows of several sequences.

use rayon::prelude::*;

use super::attention::{HeadShape, attend, save_keys_and_values};
use super::kernels;
use super::kv_cache::LayerCache;
use super::linear::Linear;
use super::packed::Packed;
use super::weights::WeightSource;
use super::{ModelError, OpName, OpTimes, Qwen3Config};

/// Below this many values a loop over rows stays on one thread: waking the others would cost more.
const MIN_VALUES_FOR_THREADS: usize = 1 << 15;

/// Weights of one layer. Projections of the same input are stacked into one matrix.
pub(super) struct Layer {
    heads: HeadShape,
    norm_eps: f32,
    input_norm: Vec<f32>,
    query_key_value: Linear,
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
    attention_output: Linear,
    post_attention_norm: Vec<f32>,
    gate_up: Linear,
    down: Linear,
}

/// Buffers of one forward pass, `[tokens, width]` each, shared by all layers.
pub(super) struct Activations {
    pub(super) residual: Vec<f32>,
    normed: Vec<f32>,
    query_key_value: Vec<f32>,
    context: Vec<f32>,
    branch: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
}

impl Activations {
    pub(super) fn new(config: &Qwen3Config, num_tokens: usize) -> Self {
        let rows = |width: usize| vec![0.0; num_tokens * width];
        Activations {
            residual: rows(config.hidden_size),
            normed: rows(config.hidden_size),
            query_key_value: rows(HeadShape::of(config).packed_width()),
            context: rows(config.query_size()),
            branch: rows(config.hidden_size),
            gate_up: rows(2 * config.intermediate_size),
            gated: rows(config.intermediate_size),
        }
    }
}

impl Layer {
    pub(super) fn load(config: &Qwen3Config, source: &WeightSource, index: usize) -> Result<Self, ModelError> {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let (hidden, query, key_value) = (config.hidden_size, config.query_size(), config.key_value_size());
        let linear = |parts: &[(&str, usize)], inputs: usize, has_bias: bool| {
            let named = |kind: &str| -> Vec<(String, usize)> {
                parts.iter().map(|(part, rows)| (name(&format!("{part}.{kind}")), *rows)).collect()
            };
            let bias = has_bias.then(|| source.bias(&named("bias"))).transpose()?;
            Linear::new(source.stacked(&named("weight"), inputs)?, bias)
        };
        let projections =
            [("self_attn.q_proj", query), ("self_attn.k_proj", key_value), ("self_attn.v_proj", key_value)];
        let gate_up = [("mlp.gate_proj", config.intermediate_size), ("mlp.up_proj", config.intermediate_size)];
        Ok(Layer {
            heads: HeadShape::of(config),
            norm_eps: config.rms_norm_eps,
            input_norm: source.norm(&name("input_layernorm.weight"), hidden)?,
            query_key_value: linear(&projections, hidden, config.attention_bias)?,
            query_norm: source.norm(&name("self_attn.q_norm.weight"), config.head_dim)?,
            key_norm: source.norm(&name("self_attn.k_norm.weight"), config.head_dim)?,
            attention_output: linear(&[("self_attn.o_proj", hidden)], query, config.attention_bias)?,
            post_attention_norm: source.norm(&name("post_attention_layernorm.weight"), hidden)?,
            gate_up: linear(&gate_up, hidden, false)?,
            down: linear(&[("mlp.down_proj", hidden)], config.intermediate_size, false)?,
        })
    }

    /// Adds this layer's two branches to `act.residual`.
    pub(super) fn forward(
        &self,
        batch: &Packed<'_>,
        cache: &mut LayerCache,
        act: &mut Activations,
        times: &mut OpTimes,
    ) -> Result<(), ModelError> {
        times.time(OpName::InputLayernorm, || {
            rms_norm(&act.residual, &self.input_norm, self.norm_eps, &mut act.normed);
        });
        times.time(OpName::AttnPreProj, || self.query_key_value.forward(&act.normed, &mut act.query_key_value))?;
        times.time(OpName::AttnRope, || self.norm_and_rotate(batch, &mut act.query_key_value));
        self.attention(batch, cache, act, times);
        times.time(OpName::AttnPostProj, || self.attention_output.forward(&act.context, &mut act.branch))?;
        times.time(OpName::Add, || add(&mut act.residual, &act.branch));
        times.time(OpName::PostAttentionLayernorm, || {
            rms_norm(&act.residual, &self.post_attention_norm, self.norm_eps, &mut act.normed);
        });
        times.time(OpName::MlpUpProj, || self.gate_up.forward(&act.normed, &mut act.gate_up))?;
        times.time(OpName::MlpAct, || silu_and_multiply(&act.gate_up, self.down.num_inputs(), &mut act.gated));
        times.time(OpName::MlpDownProj, || self.down.forward(&act.gated, &mut act.branch))?;
        times.time(OpName::Add, || add(&mut act.residual, &act.branch));
        Ok(())
    }

    /// Writes the rows' keys and values into the cache, then attends: `act.query_key_value` to `act.context`.
    pub(super) fn attention(
        &self,
        batch: &Packed<'_>,
        cache: &mut LayerCache,
        act: &mut Activations,
        times: &mut OpTimes,
    ) {
        times.time(OpName::AttnKvCacheSave, || save_keys_and_values(self.heads, batch, &act.query_key_value, cache));
        let name = if batch.is_decode() { OpName::AttnDecode } else { OpName::AttnPrefill };
        times.time(name, || attend(self.heads, batch, &act.query_key_value, cache, &mut act.context));
    }

    /// Norms every query and key head on its own, then rotates it by its position.
    fn norm_and_rotate(&self, batch: &Packed<'_>, query_key_value: &mut [f32]) {
        let HeadShape { num_query_heads, num_key_value_heads, head_dim } = self.heads;
        for_rows(query_key_value, self.heads.packed_width(), |row, values| {
            let (cosines, sines) = batch.rotation(row);
            let heads = values.chunks_exact_mut(head_dim).take(num_query_heads + num_key_value_heads);
            for (head, values) in heads.enumerate() {
                let weight = if head < num_query_heads { &self.query_norm } else { &self.key_norm };
                let scale = inverse_rms(values, self.norm_eps);
                values.iter_mut().zip(weight).for_each(|(value, weight)| *value = *value * scale * weight);
                rotate(values, cosines, sines);
            }
        });
    }
}

impl HeadShape {
    fn of(config: &Qwen3Config) -> Self {
        HeadShape {
            num_query_heads: config.num_attention_heads,
            num_key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }
}

/// `output = input / rms(input) * weight` for every row of `weight.len()` values.
pub(super) fn rms_norm(input: &[f32], weight: &[f32], eps: f32, output: &mut [f32]) {
    let width = weight.len();
    for_rows(output, width, |row, output| {
        let input = &input[row * width..(row + 1) * width];
        let scale = inverse_rms(input, eps);
        for ((output, input), weight) in output.iter_mut().zip(input).zip(weight) {
            *output = input * scale * weight;
        }
    });
}

fn inverse_rms(values: &[f32], eps: f32) -> f32 {
    let mut squares = [0.0; 8];
    for chunk in values.chunks(8) {
        chunk.iter().zip(&mut squares).for_each(|(value, sum)| *sum += value * value);
    }
    let mean = squares.iter().sum::<f32>() / values.len() as f32;
    1.0 / (mean + eps).sqrt()
}

/// Turns the pairs (i, i + half) of one head by the position's angles.
fn rotate(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (low, high) = head.split_at_mut(cosines.len());
    for (((low, high), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
        (*low, *high) = (*low * cosine - *high * sine, *high * cosine + *low * sine);
    }
}

/// Rows of `[gate, up]` to rows of `silu(gate) * up`, `width` values each.
fn silu_and_multiply(gate_up: &[f32], width: usize, gated: &mut [f32]) {
    for_rows(gated, width, |row, output| {
        let (gate, up) = gate_up[2 * row * width..2 * (row + 1) * width].split_at(width);
        kernels::silu_times(gate, up, output);
    });
}

fn add(residual: &mut [f32], branch: &[f32]) {
    residual.iter_mut().zip(branch).for_each(|(sum, value)| *sum += value);
}

/// Calls `each(row, values)` for every row of `width` values, on all threads when there is much to do.
fn for_rows(values: &mut [f32], width: usize, each: impl Fn(usize, &mut [f32]) + Sync) {
    if values.len() < MIN_VALUES_FOR_THREADS {
        values.chunks_exact_mut(width).enumerate().for_each(|(row, values)| each(row, values));
    } else {
        values.par_chunks_exact_mut(width).enumerate().for_each(|(row, values)| each(row, values));
    }
}

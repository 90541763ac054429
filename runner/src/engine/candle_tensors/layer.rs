//! One decoder layer over packed rows of several sequences. Products with weights are in the weights' type; norms,
//! rotation and attention are in f32.

use candle_core::{D, DType, Tensor};

use super::batch::{AttentionGroup, DeviceBatch};
use super::cache::LayerCache;
use super::weights::{Loader, Projection};
use crate::engine::qwen3::{ModelError, Qwen3Config};

/// Weights of one layer.
pub(super) struct Layer {
    heads: HeadShape,
    eps: f64,
    input_norm: Tensor,
    query: Projection,
    key: Projection,
    value: Projection,
    query_norm: Tensor,
    key_norm: Tensor,
    attention_output: Projection,
    post_attention_norm: Tensor,
    gate: Projection,
    up: Projection,
    down: Projection,
}

/// Heads of one layer: `group` query heads share each key-value head.
#[derive(Clone, Copy)]
struct HeadShape {
    key_value: usize,
    group: usize,
    head_dim: usize,
}

impl Layer {
    pub(super) fn load(config: &Qwen3Config, loader: &Loader<'_>, index: usize) -> Result<Self, ModelError> {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let norm = |part: &str, length: usize| loader.norm(&name(&format!("{part}.weight")), length);
        let attention = |part: &str, outputs: usize, inputs: usize| {
            loader.projection(&name(&format!("self_attn.{part}")), outputs, inputs, config.attention_bias)
        };
        let mlp = |part: &str, outputs: usize, inputs: usize| {
            loader.projection(&name(&format!("mlp.{part}")), outputs, inputs, false)
        };
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let (query, key_value) = (config.query_size(), config.key_value_size());
        Ok(Layer {
            heads: HeadShape {
                key_value: config.num_key_value_heads,
                group: config.num_attention_heads / config.num_key_value_heads,
                head_dim: config.head_dim,
            },
            eps: f64::from(config.rms_norm_eps),
            input_norm: norm("input_layernorm", hidden)?,
            query: attention("q_proj", query, hidden)?,
            key: attention("k_proj", key_value, hidden)?,
            value: attention("v_proj", key_value, hidden)?,
            query_norm: norm("self_attn.q_norm", config.head_dim)?,
            key_norm: norm("self_attn.k_norm", config.head_dim)?,
            attention_output: attention("o_proj", hidden, query)?,
            post_attention_norm: norm("post_attention_layernorm", hidden)?,
            gate: mlp("gate_proj", intermediate, hidden)?,
            up: mlp("up_proj", intermediate, hidden)?,
            down: mlp("down_proj", hidden, intermediate)?,
        })
    }

    /// The rows with this layer's two branches added.
    pub(super) fn forward(&self, rows: &Tensor, batch: &DeviceBatch, cache: &LayerCache) -> Result<Tensor, ModelError> {
        let normed = rms_norm(rows, &self.input_norm, self.eps)?;
        let queries = self.rotated(&self.query.forward(&normed)?, &self.query_norm, batch)?;
        let keys = self.rotated(&self.key.forward(&normed)?, &self.key_norm, batch)?;
        cache.write(&batch.slots, &keys, &self.value.forward(&normed)?)?;
        let attended = batch.groups.iter().map(|group| self.attend(&queries, group, cache));
        let context = Tensor::cat(&attended.collect::<Result<Vec<_>, _>>()?, 0)?.index_select(&batch.order, 0)?;
        let rows = (rows + self.attention_output.forward(&context)?)?;
        let normed = rms_norm(&rows, &self.post_attention_norm, self.eps)?;
        let gated = (self.gate.forward(&normed)?.silu()? * self.up.forward(&normed)?)?;
        Ok((rows + self.down.forward(&gated)?)?)
    }

    /// Norms every head on its own, then turns its pairs (i, i + half) by the row's position.
    fn rotated(&self, rows: &Tensor, norm: &Tensor, batch: &DeviceBatch) -> Result<Tensor, ModelError> {
        let (head_dim, half) = (self.heads.head_dim, self.heads.head_dim / 2);
        let heads = rows.reshape((rows.dim(0)?, rows.dim(1)? / head_dim, head_dim))?;
        let heads = rms_norm(&heads, norm, self.eps)?.to_dtype(DType::F32)?;
        let (low, high) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let turned = |by_cosine: &Tensor, by_sine: &Tensor| -> Result<(Tensor, Tensor), ModelError> {
            Ok((by_cosine.broadcast_mul(&batch.cosines)?, by_sine.broadcast_mul(&batch.sines)?))
        };
        let ((low_cosine, high_sine), (high_cosine, low_sine)) = (turned(&low, &high)?, turned(&high, &low)?);
        let turned = Tensor::cat(&[(low_cosine - high_sine)?, (high_cosine + low_sine)?], 2)?;
        Ok(turned.reshape(rows.shape())?.to_dtype(rows.dtype())?)
    }

    /// Attention of one group's rows over their sequences' cached keys, themselves included.
    fn attend(&self, queries: &Tensor, group: &AttentionGroup, cache: &LayerCache) -> Result<Tensor, ModelError> {
        let HeadShape { key_value, group: shared, head_dim } = self.heads;
        let AttentionGroup { num_sequences, num_queries, num_keys, .. } = *group;
        // Rows as [sequences, key-value heads, the queries of its group, head_dim].
        let apart = (num_sequences, num_queries, key_value, shared, head_dim);
        let together = (num_sequences, key_value, shared * num_queries, head_dim);
        let wide = queries.index_select(&group.rows, 0)?.to_dtype(DType::F32)?;
        let wide = wide.reshape(apart)?.permute((0, 2, 3, 1, 4))?.contiguous()?.reshape(together)?;
        let (keys, values) = cache.read(&group.slots)?;
        let by_head = |cached: Tensor| -> Result<Tensor, ModelError> {
            let cached = cached.reshape((num_sequences, num_keys, key_value, head_dim))?;
            Ok(cached.transpose(1, 2)?.to_dtype(DType::F32)?.contiguous()?)
        };
        let scores = (wide.matmul(&by_head(keys)?.t()?)? / (head_dim as f64).sqrt())?;
        let scores = scores.reshape((num_sequences, key_value, shared, num_queries, num_keys))?;
        let weights = softmax(&scores.broadcast_add(&group.mask)?)?;
        let weights = weights.reshape((num_sequences, key_value, shared * num_queries, num_keys))?;
        let context = weights.matmul(&by_head(values)?)?;
        let context = context.reshape((num_sequences, key_value, shared, num_queries, head_dim))?;
        let context = context.permute((0, 3, 1, 2, 4))?.contiguous()?;
        let rows = context.reshape((num_sequences * num_queries, key_value * shared * head_dim))?;
        Ok(rows.to_dtype(queries.dtype())?)
    }
}

/// `rows / rms(rows) * weight` over the last dimension; the quotient is rounded to the weight's type first.
pub(super) fn rms_norm(rows: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, ModelError> {
    let wide = rows.to_dtype(DType::F32)?;
    let mean_square = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = wide.broadcast_div(&(mean_square + eps)?.sqrt()?)?;
    Ok(normed.to_dtype(rows.dtype())?.broadcast_mul(weight)?)
}

/// Softmax over the last dimension.
fn softmax(scores: &Tensor) -> Result<Tensor, ModelError> {
    let largest = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&largest)?.exp()?;
    Ok(weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?)
}

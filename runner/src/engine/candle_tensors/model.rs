//! The whole model: embedding, layers, head, and the best token of a row of logits.

use candle_core::{DType, Tensor};

use super::batch::DeviceBatch;
use super::cache::TensorCache;
use super::layer::{Layer, rms_norm};
use super::weights::{Loader, Projection};
use crate::engine::qwen3::{ModelError, Qwen3Config};

/// One Qwen3 dense model on one device.
pub(super) struct TensorModel {
    pub(super) config: Qwen3Config,
    pub(super) inverse_frequencies: Vec<f32>,
    embedding: Tensor,
    layers: Vec<Layer>,
    final_norm: Tensor,
    head: Projection,
}

impl TensorModel {
    pub(super) fn load(config: Qwen3Config, loader: &Loader<'_>) -> Result<Self, ModelError> {
        loader.progress.set_length(config.num_parameters() * loader.dtype.size_in_bytes() as u64);
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let embedding = loader.matrix("model.embed_tokens.weight", vocab, hidden)?;
        let layers = (0..config.num_hidden_layers).map(|index| Layer::load(&config, loader, index));
        Ok(TensorModel {
            inverse_frequencies: config.inverse_frequencies(),
            layers: layers.collect::<Result<_, _>>()?,
            final_norm: loader.norm("model.norm.weight", hidden)?,
            head: match config.tie_word_embeddings {
                true => Projection::of(embedding.clone()),
                false => loader.projection("lm_head", vocab, hidden, false)?,
            },
            embedding,
            config,
        })
    }

    /// Computes the batch, writing its keys and values into `cache`: `[wanted rows, vocabulary]` logits, none when
    /// no row is wanted.
    pub(super) fn forward(&self, batch: &DeviceBatch, cache: &TensorCache) -> Result<Option<Tensor>, ModelError> {
        let mut rows = self.embedding.index_select(&batch.ids, 0)?;
        for (layer, cache) in self.layers.iter().zip(&cache.layers) {
            rows = layer.forward(&rows, batch, cache)?;
        }
        let Some(wanted) = &batch.wanted else { return Ok(None) };
        let eps = f64::from(self.config.rms_norm_eps);
        let normed = rms_norm(&rows.index_select(wanted, 0)?, &self.final_norm, eps)?;
        self.head.forward(&normed).map(Some)
    }
}

/// The id of the largest of the first `num_sampled` logits of every row, the lowest of equals; none where no logit
/// is a finite number.
pub(super) fn best_tokens(logits: &Tensor, num_sampled: usize) -> Result<Vec<Option<u32>>, ModelError> {
    let logits = logits.narrow(1, 0, num_sampled)?.contiguous()?;
    let largest = logits.max_keepdim(1)?;
    let ids = Tensor::arange(0, num_sampled as u32, logits.device())?.broadcast_as(logits.shape())?.contiguous()?;
    let none = Tensor::full(u32::MAX, logits.shape(), logits.device())?;
    let ids = logits.broadcast_eq(&largest)?.where_cond(&ids, &none)?.min(1)?.to_vec1::<u32>()?;
    let largest = largest.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let token = |(id, largest): (u32, f32)| (id != u32::MAX && largest.is_finite()).then_some(id);
    Ok(ids.into_iter().zip(largest).map(token).collect())
}

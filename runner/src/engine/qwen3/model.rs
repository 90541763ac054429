//! The whole model: embedding, layers, head, over a packed batch of shares of sequences.

use candle_core::Tensor;

use super::layer::{Activations, Layer, rms_norm};
use super::linear::{Linear, with_values};
use super::packed::{Packed, SequenceShare};
use super::weights::{WeightSource, check_weights_fit};
use super::{KvCache, LoadFormat, ModelError, OpName, OpTimes, Qwen3Config};

/// One Qwen3 dense model in f32. Uses the rayon thread pool it is called in.
pub struct Qwen3 {
    pub(super) config: Qwen3Config,
    embedding: Tensor,
    pub(super) layers: Vec<Layer>,
    final_norm: Vec<f32>,
    head: Linear,
    pub(super) inverse_frequencies: Vec<f32>,
}

impl Qwen3 {
    /// Loads or makes up the weights, on the rayon thread pool this is called in.
    ///
    /// # Errors
    /// Too little free memory (asked before anything is loaded), or a file or tensor that is missing
    /// or wrong.
    pub fn load(config: Qwen3Config, format: &LoadFormat) -> Result<Self, ModelError> {
        check_weights_fit(&config)?;
        let source = WeightSource::open(format)?;
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let embedding = source.matrix("model.embed_tokens.weight", vocab, hidden)?;
        let layers = (0..config.num_hidden_layers).map(|index| Layer::load(&config, &source, index));
        let layers = layers.collect::<Result<_, _>>()?;
        let final_norm = source.norm("model.norm.weight", hidden)?;
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => source.matrix("lm_head.weight", vocab, hidden)?,
        };
        let inverse_frequencies = config.inverse_frequencies();
        Ok(Qwen3 { head: Linear::new(head, None)?, config, embedding, layers, final_norm, inverse_frequencies })
    }

    /// The model's shape.
    pub fn config(&self) -> &Qwen3Config {
        &self.config
    }

    /// Computes the shares, writing their keys and values into `cache`. `logits` becomes one row of
    /// `vocab_size` values for every wanted token, in share order; its memory is reused.
    ///
    /// # Errors
    /// A share without tokens, with a token outside the vocabulary, longer than the model's longest
    /// sequence or than its blocks; or a failed tensor operation.
    pub fn forward(
        &self,
        shares: &[SequenceShare<'_>],
        cache: &mut KvCache,
        logits: &mut Vec<f32>,
        times: &mut OpTimes,
    ) -> Result<(), ModelError> {
        let batch = Packed::new(&self.config, &self.inverse_frequencies, shares, cache.paging())?;
        let mut act = Activations::new(&self.config, batch.tokens.len());
        times.time(OpName::Emb, || self.embed(&batch, &mut act.residual))?;
        for (layer, cache) in self.layers.iter().zip(&mut cache.layers) {
            layer.forward(&batch, cache, &mut act, times)?;
        }
        let wanted = batch.wanted_rows();
        let hidden = self.config.hidden_size;
        let rows: Vec<f32> =
            wanted.iter().flat_map(|row| &act.residual[row * hidden..(row + 1) * hidden]).copied().collect();
        self.head(&rows, logits, times)
    }

    /// The logits of rows of the residual stream.
    pub(super) fn head(&self, rows: &[f32], logits: &mut Vec<f32>, times: &mut OpTimes) -> Result<(), ModelError> {
        let mut normed = vec![0.0; rows.len()];
        times.time(OpName::FinalNorm, || {
            rms_norm(rows, &self.final_norm, self.config.rms_norm_eps, &mut normed);
        });
        logits.resize(rows.len() / self.config.hidden_size * self.config.vocab_size, 0.0);
        times.time(OpName::LmHead, || self.head.forward(&normed, logits))
    }

    pub(super) fn embed(&self, batch: &Packed<'_>, residual: &mut [f32]) -> Result<(), ModelError> {
        let hidden = self.config.hidden_size;
        with_values(&self.embedding, |embedding| {
            for (row, token) in residual.chunks_exact_mut(hidden).zip(&batch.tokens) {
                let from = token.id as usize * hidden;
                row.copy_from_slice(&embedding[from..from + hidden]);
            }
        })
    }
}

//! Single operations of one layer under a stopwatch, on the code path of a real forward pass.

use fidelio_shared::time::Nanos;

use super::kv_cache::LayerCache;
use super::layer::{Activations, Layer};
use super::packed::{LogitsWanted, Packed, SequenceShare};
use super::{KvCache, ModelError, OpName, OpTimes, Qwen3};

/// A share's size, for timing attention alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionWork {
    /// Tokens already in the cache.
    pub start: usize,
    /// Tokens computed.
    pub num_tokens: usize,
}

impl Qwen3 {
    /// One pass of `num_tokens` tokens through the embedding and layer `layer` modulo the number of
    /// layers: the spans of every operation but attention, which [`Qwen3::time_attention`] times.
    /// Repeat over different layers, or the weights stay in the processor's cache.
    ///
    /// # Errors
    /// When `num_tokens` is zero or their blocks do not fit into `cache`.
    pub fn time_operations(
        &self,
        num_tokens: usize,
        layer: usize,
        cache: &mut KvCache,
    ) -> Result<Vec<(OpName, Nanos)>, ModelError> {
        // Many short sequences of one block each: attention, timed apart, stays a small part.
        let share_tokens = cache.block_size().min(self.config.max_position_embeddings);
        let mut work = vec![AttentionWork { start: 0, num_tokens: share_tokens }; num_tokens / share_tokens];
        let rest = num_tokens % share_tokens;
        work.extend((rest > 0).then_some(AttentionWork { start: 0, num_tokens: rest }));
        let spans = self.time_layer(&work, layer, cache, |layer, batch, cache, act, times| {
            times.time(OpName::Emb, || self.embed(batch, &mut act.residual))?;
            layer.forward(batch, cache, act, times)
        })?;
        let is_attention = |name| matches!(name, OpName::AttnPrefill | OpName::AttnDecode | OpName::AttnKvCacheSave);
        Ok(spans.into_iter().filter(|(name, _)| !is_attention(*name)).collect())
    }

    /// Final norm and output head of `num_rows` rows.
    ///
    /// # Errors
    /// When the product fails.
    pub fn time_head(&self, num_rows: usize) -> Result<Vec<(OpName, Nanos)>, ModelError> {
        let mut times = OpTimes::on();
        // The memory of the logits is touched before it is written under the stopwatch, as in a run.
        let mut logits = vec![1.0; num_rows * self.config.vocab_size];
        self.head(&vec![0.5; num_rows * self.config.hidden_size], &mut logits, &mut times)?;
        Ok(times.into_spans())
    }

    /// Cache write and attention of one layer (modulo the number of layers) for shares of these sizes,
    /// without computing their contexts first: the cache's contents do not change the time.
    ///
    /// # Errors
    /// When a share is empty or too long, or their blocks do not fit into `cache`.
    pub fn time_attention(
        &self,
        work: &[AttentionWork],
        layer: usize,
        cache: &mut KvCache,
    ) -> Result<Vec<(OpName, Nanos)>, ModelError> {
        self.time_layer(work, layer, cache, |layer, batch, cache, act, times| {
            layer.attention(batch, cache, act, times);
            Ok(())
        })
    }

    /// Lays the shares out in consecutive blocks and runs `run` on one layer under a stopwatch.
    fn time_layer(
        &self,
        work: &[AttentionWork],
        layer: usize,
        cache: &mut KvCache,
        run: impl Fn(&Layer, &Packed<'_>, &mut LayerCache, &mut Activations, &mut OpTimes) -> Result<(), ModelError>,
    ) -> Result<Vec<(OpName, Nanos)>, ModelError> {
        let index = layer % self.layers.len();
        let mut next_block = 0;
        let mut layouts = Vec::with_capacity(work.len());
        for share in work {
            let num_blocks = (share.start + share.num_tokens).div_ceil(cache.block_size());
            let first_block = next_block;
            next_block += num_blocks;
            let blocks: Vec<u32> = (first_block..next_block).map(|block| block as u32).collect();
            layouts.push((vec![0_u32; share.num_tokens], share.start, blocks));
        }
        let shares = layouts.iter().map(|(tokens, start, block_table)| SequenceShare {
            tokens,
            start: *start,
            block_table,
            logits: LogitsWanted::None,
        });
        let shares: Vec<SequenceShare<'_>> = shares.collect();
        let batch = Packed::new(&self.config, &self.inverse_frequencies, &shares, cache.paging())?;
        let mut act = Activations::new(&self.config, batch.tokens.len());
        let mut times = OpTimes::on();
        if let (Some(layer), Some(cache)) = (self.layers.get(index), cache.layers.get_mut(index)) {
            run(layer, &batch, cache, &mut act, &mut times)?;
        }
        Ok(times.into_spans())
    }
}

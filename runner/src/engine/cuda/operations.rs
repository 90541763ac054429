//! Single operations of a layer on the device: replays of a graph that runs one operation on every layer's
//! weights and on several places of the KV cache, so that together they are larger than the L2 cache.

use cudarc::driver::CudaGraph;
use fidelio_shared::time::Nanos;

use super::device::Buffer;
use super::error::{Doing, GpuError};
use super::model::{Model, Pass};
use super::products::Product;
use super::step::{Share, StepShape, pack};
use crate::engine::operations::{AttentionRow, AttentionSize, OperationGrid, OperationRow, Samples};
use crate::engine::qwen3::OpName;

/// Most places of the cache one attention is timed on.
const MAX_PLACES: usize = 16;

/// Times every operation over the grid, `repeats` times each.
pub(super) fn operations(
    model: &Model,
    grid: &OperationGrid,
    repeats: u32,
) -> Result<(Vec<OperationRow>, Vec<AttentionRow>), GpuError> {
    let rows = grid.tokens.iter().map(|tokens| {
        Ok(OperationRow {
            num_tokens: *tokens,
            samples: time_dense(model, *tokens, *tokens <= grid.max_sampled, repeats)?,
        })
    });
    let rows = rows.collect::<Result<_, GpuError>>()?;
    let attention = grid
        .attention
        .iter()
        .map(|size| Ok(AttentionRow { size: *size, samples: time_attention(model, *size, repeats)? }));
    Ok((rows, attention.collect::<Result<_, GpuError>>()?))
}

/// Everything but attention, of `num_tokens` rows; the head and the choice of a token, when as many rows can be
/// sampled. What other operations contain takes no time of its own: rotation is with the write into the cache or
/// with a decode's attention, additions to the residual stream are with the projections before them.
fn time_dense(model: &Model, num_tokens: usize, is_sampled: bool, repeats: u32) -> Result<Samples, GpuError> {
    let block_size = model.limits.block_size;
    let chunk = block_size.max(2);
    // Shares of one block each, as rows of a prefill: operations but attention see rows only.
    let mut sizes = vec![chunk; num_tokens / chunk];
    sizes.extend((!num_tokens.is_multiple_of(chunk)).then_some(num_tokens % chunk));
    let steps = Steps::new(model, &sizes.iter().map(|size| (0, *size)).collect::<Vec<_>>(), 1)?;
    let pass = steps.pass(model, 0);
    let mut samples = Samples::new();
    let mut time = |name: OpName, enqueue: &dyn Fn(usize) -> Result<(), GpuError>| -> Result<(), GpuError> {
        samples.insert(name, time_layers(model, repeats, 1, &|_, layer| enqueue(layer))?);
        Ok(())
    };
    let product = |product: Product| move |layer| model.enqueue_product(product, num_tokens, layer);
    time(OpName::Emb, &|_| model.enqueue_embedding(&pass))?;
    time(OpName::InputLayernorm, &|layer| model.enqueue_norm(num_tokens, model.layer(layer).input_norm))?;
    time(OpName::AttnPreProj, &product(Product::QueryKeyValue))?;
    time(OpName::AttnPostProj, &product(Product::AttentionOutput))?;
    time(OpName::PostAttentionLayernorm, &|layer| {
        model.enqueue_norm(num_tokens, model.layer(layer).post_attention_norm)
    })?;
    time(OpName::MlpUpProj, &product(Product::GateUp))?;
    time(OpName::MlpAct, &|_| model.enqueue_activation(num_tokens))?;
    time(OpName::MlpDownProj, &product(Product::Down))?;
    if is_sampled {
        time(OpName::FinalNorm, &|_| model.enqueue_final_norm(num_tokens))?;
        time(OpName::LmHead, &|_| {
            model.enqueue_logits(num_tokens)?;
            model.enqueue_argmax(num_tokens)
        })?;
    }
    samples.extend([OpName::AttnRope, OpName::Add].map(|name| (name, vec![Nanos::ZERO])));
    Ok(samples)
}

/// Attention of one size. Norms of the heads, rotation and the write into the cache are a prefill's cache write, and
/// part of a decode's attention.
fn time_attention(model: &Model, size: AttentionSize, repeats: u32) -> Result<Samples, GpuError> {
    let AttentionSize { batch_size, prefill_chunk_size, kv_cache_size } = size;
    let sizes = vec![(kv_cache_size, prefill_chunk_size.max(1)); batch_size];
    let config = &model.config;
    let tokens = batch_size * (kv_cache_size + prefill_chunk_size.max(1));
    let bytes = tokens * 2 * config.num_hidden_layers * config.key_value_size() * size_of::<u16>();
    let num_places = (2 * model.gpu.properties.l2_bytes as usize).div_ceil(bytes.max(1)).clamp(1, MAX_PLACES);
    let steps = Steps::new(model, &sizes, num_places)?;
    let time = |enqueue: &dyn Fn(&Pass, usize) -> Result<(), GpuError>| {
        time_layers(model, repeats, num_places, &|place, layer| enqueue(&steps.pass(model, place), layer))
    };
    Ok(match prefill_chunk_size {
        0 => Samples::from([
            (OpName::AttnKvCacheSave, vec![Nanos::ZERO]),
            (OpName::AttnDecode, time(&|pass, layer| model.enqueue_decode_attention(pass, layer))?),
        ]),
        _ => Samples::from([
            (OpName::AttnKvCacheSave, time(&|pass, layer| model.enqueue_prefill_qkv(pass, layer))?),
            (OpName::AttnPrefill, time(&|pass, layer| model.enqueue_prefill_attention(pass, layer))?),
        ]),
    })
}

/// Time of one run of `enqueue(place, layer)`: replays of a graph over all places and layers, divided.
fn time_layers(
    model: &Model,
    repeats: u32,
    num_places: usize,
    enqueue: &dyn Fn(usize, usize) -> Result<(), GpuError>,
) -> Result<Vec<Nanos>, GpuError> {
    let num_layers = model.config.num_hidden_layers;
    let all = || (0..num_places).try_for_each(|place| (0..num_layers).try_for_each(|layer| enqueue(place, layer)));
    // Kernels are loaded when they first run, which a capture does not allow.
    all()?;
    model.gpu.synchronize()?;
    let graph: CudaGraph = model.gpu.capture(all)?;
    let replay = || graph.launch().doing("launching a graph");
    replay()?;
    let runs = (num_places * num_layers) as f64;
    (0..repeats.max(1))
        .map(|_| {
            let millis = model.gpu.time(replay)?;
            Ok(Nanos((f64::from(millis) * 1e6 / runs).round().max(0.0) as u64))
        })
        .collect()
}

/// The words of one step at several places of the KV cache.
struct Steps {
    shape: StepShape,
    words: Buffer,
    words_each: usize,
}

impl Steps {
    /// Shares of (start, tokens) in consecutive blocks; each place begins where the one before ended, and
    /// begins again at the first block where the cache ends.
    fn new(model: &Model, sizes: &[(usize, usize)], num_places: usize) -> Result<Self, GpuError> {
        let block_size = model.limits.block_size;
        let num_blocks: usize = sizes.iter().map(|(start, tokens)| (start + tokens).div_ceil(block_size)).sum();
        let cache_blocks = model.cache.num_blocks;
        if num_blocks > cache_blocks {
            return Err(GpuError::Step(format!("{num_blocks} blocks, the cache has {cache_blocks}")));
        }
        let mut all_words = Vec::new();
        let mut shape = StepShape::default();
        for place in 0..num_places {
            let mut next = place * num_blocks;
            let tables: Vec<Vec<u32>> = sizes
                .iter()
                .map(|(start, tokens)| {
                    let first = next;
                    next += (start + tokens).div_ceil(block_size);
                    (first..next).map(|block| (block % cache_blocks) as u32).collect()
                })
                .collect();
            let shares = sizes.iter().zip(&tables).map(|((start, tokens), table)| Share {
                tokens: (0..*tokens).map(|index| (index * 7919 % model.config.vocab_size) as u32).collect(),
                start: *start,
                block_table: table,
                emits_token: false,
            });
            let shares: Vec<Share<'_>> = shares.collect();
            shape = StepShape::of(&shares);
            let mut words = vec![0; super::step::Layout::of(shape).block_ids + num_blocks];
            pack(&shares, shape, block_size, &mut words)?;
            // Tiles are read 16 bytes at a time, wherever a place begins.
            words.resize(words.len().next_multiple_of(4), 0);
            all_words.extend(words);
        }
        let words = model.gpu.allocate::<i32>(all_words.len(), "a profile's inputs", "lower scheduler.num_blocks")?;
        model.gpu.upload(&all_words, &words, 0)?;
        Ok(Steps { shape, words, words_each: all_words.len() / num_places.max(1) })
    }

    fn pass(&self, model: &Model, place: usize) -> Pass {
        model.pass(self.shape, &self.words, place * self.words_each)
    }
}

//! The executor of candle's tensors: places blocks, runs the model, samples greedily. Knows no scheduler.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::{DType, Device, Tensor};
use fidelio_shared::serving::{Batch, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::batch::DeviceBatch;
use super::cache::TensorCache;
use super::model::{TensorModel, best_tokens};
use super::weights::Loader;
use crate::engine::clock::{RunClock, since};
use crate::engine::executor::{Engine, Executor, HostPhases, StepResult};
use crate::engine::operations::{AttentionRow, OperationRow};
use crate::engine::qwen3::{
    LoadFormat, LogitsWanted, ModelError, Packed, Paging, Qwen3Config, SequenceShare, WeightSource,
};
use crate::engine::sequences::Sequences;
use crate::error::Hinted;
use crate::machine;

/// Settings of [`CandleTensors`].
#[derive(Clone, Debug)]
pub struct TensorOptions {
    /// Where everything is computed.
    pub device: Device,
    /// Type of weights, cache and products: bf16 on a GPU, f32 on the processor.
    pub dtype: DType,
    /// Blocks of the KV cache.
    pub num_blocks: usize,
    /// Tokens a block holds.
    pub block_size: usize,
    /// Ids at or above are never sampled: a model's vocabulary may be padded beyond its tokenizer's.
    pub sampled_vocab_size: usize,
    /// Tokens that end a sequence; none to generate every requested token.
    pub stop_token_ids: Vec<u32>,
}

/// Runs batches in candle's tensor operations and owns the monotonic clock of the run.
///
/// Device time of a step is the time from its first operation to the end of its last, the device's waits for
/// launches included. As with the other engines, an item may start after tokens that were never computed and reach
/// beyond those known.
pub struct CandleTensors {
    model: TensorModel,
    cache: TensorCache,
    device: Device,
    sampled_vocab_size: usize,
    stop_token_ids: Vec<u32>,
    sequences: Sequences,
    /// Of the last step, for checks.
    logits: Option<Tensor>,
    clock: RunClock,
}

impl CandleTensors {
    /// Loads the model onto the device and starts the clock. `progress` counts bytes of weights.
    ///
    /// # Errors
    /// Broken weights, a setting of zero, or too little memory on the device.
    pub fn load(
        config: Qwen3Config,
        format: &LoadFormat,
        options: TensorOptions,
        interrupted: Arc<AtomicBool>,
        progress: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let TensorOptions { device, dtype, num_blocks, block_size, sampled_vocab_size, stop_token_ids } = options;
        let paging = Paging { num_blocks, block_size };
        ensure!(num_blocks > 0 && block_size > 0, "a KV cache of {num_blocks} blocks of {block_size} tokens");
        ensure!(sampled_vocab_size > 0, "the executor needs at least one token to sample");
        // Rows of the cache are indexed by 32 bits.
        let num_slots = num_blocks.checked_mul(block_size).and_then(|slots| u32::try_from(slots).ok());
        num_slots.with_context(|| format!("{num_blocks} KV blocks of {block_size} tokens are too many"))?;
        let loader = Loader { source: WeightSource::open(format)?, dtype, device: &device, progress };
        let model = TensorModel::load(config, &loader)
            .map_err(|error| explained(error, "the weights", "choose a smaller model, or free the GPU"))?;
        let num_bytes = TensorCache::num_bytes(&model.config, paging, dtype);
        let cache = TensorCache::new(&model.config, paging, dtype, &device).map_err(|error| {
            explained(error, &format!("{num_blocks} KV blocks, {num_bytes} bytes"), "lower scheduler.num_blocks")
        })?;
        Ok(CandleTensors {
            sampled_vocab_size: sampled_vocab_size.min(model.config.vocab_size),
            sequences: Sequences::new(num_blocks as u32, block_size),
            clock: RunClock::new(interrupted),
            logits: None,
            model,
            cache,
            device,
            stop_token_ids,
        })
    }

    /// Blocks no sequence holds.
    pub fn num_free_blocks(&self) -> usize {
        self.sequences.num_free_blocks()
    }

    /// Logits of the last step's wanted rows in f32, one row of `vocab_size` values for each item that emitted a
    /// token, in item order: for checks.
    ///
    /// # Errors
    /// When the copy fails.
    pub fn logits(&self) -> anyhow::Result<Vec<f32>> {
        let Some(logits) = &self.logits else { return Ok(Vec::new()) };
        Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    fn prepare(&self, batch: &Batch) -> anyhow::Result<DeviceBatch> {
        let tokens: Vec<Vec<u32>> =
            batch.items.iter().map(|item| self.sequences.tokens_of(item)).collect::<anyhow::Result<_>>()?;
        let shares = batch.items.iter().zip(&tokens).map(|(item, tokens)| SequenceShare {
            tokens,
            start: item.start as usize,
            block_table: self.sequences.table(item.request_id),
            logits: if item.emits_token { LogitsWanted::Last } else { LogitsWanted::None },
        });
        let shares: Vec<SequenceShare<'_>> = shares.collect();
        let TensorModel { config, inverse_frequencies, .. } = &self.model;
        let packed = Packed::new(config, inverse_frequencies, &shares, self.cache.paging)?;
        DeviceBatch::new(&packed, config, &self.device).map_err(too_large)
    }

    /// Computes a batch; its logits are then in `self.logits`.
    fn compute(&mut self, batch: &Batch) -> anyhow::Result<(Nanos, HostPhases)> {
        self.logits = None;
        let start = Instant::now();
        let prepared = self.prepare(batch)?;
        let prepare = since(start);
        let start = Instant::now();
        self.logits = self.model.forward(&prepared, &self.cache).map_err(too_large)?;
        let launch = since(start);
        self.device.synchronize().context("waiting for the device")?;
        let device = since(start);
        Ok((device, HostPhases { prepare, launch, wait: device - launch, sample: Nanos::ZERO }))
    }
}

impl Executor for CandleTensors {
    fn now(&mut self) -> Nanos {
        self.clock.now()
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.clock.wait_until(deadline);
    }

    fn vocab_size(&self) -> u32 {
        self.model.config.vocab_size as u32
    }

    fn register(&mut self, request_id: RequestId, prompt: &[u32]) {
        self.sequences.register(request_id, prompt);
    }

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        self.sequences.place(batch)?;
        let (device, mut phases) = self.compute(batch).with_context(|| format!("computing batch {}", batch.id))?;
        let start = Instant::now();
        let best = match &self.logits {
            Some(logits) => best_tokens(logits, self.sampled_vocab_size).context("choosing tokens")?,
            None => Vec::new(),
        };
        let tokens = self.sequences.take(batch, best, &self.stop_token_ids)?;
        phases.sample = since(start);
        Ok(StepResult { tokens, device, phases: Some(phases) })
    }

    fn release(&mut self, request_id: RequestId) {
        self.sequences.release(request_id);
    }
}

impl Engine for CandleTensors {
    fn start_clock(&mut self) {
        self.clock.restart();
    }

    fn num_blocks(&self) -> u32 {
        // Checked when the executor was loaded.
        self.cache.paging.num_blocks as u32
    }

    fn attention_backend(&self) -> &'static str {
        "candle-tensors"
    }

    fn hardware(&self) -> Value {
        let name = gpu_name(&self.device).unwrap_or_else(machine::processor);
        json!({ "name": name, "host": machine::processor() })
    }

    fn operations(&mut self, _: &SchedulerConfig, _: u32) -> anyhow::Result<(Vec<OperationRow>, Vec<AttentionRow>)> {
        Err(Hinted::new(
            "single operations are not timed with candle's tensors",
            "profile with `backend=cuda`; `backend=candle-cuda` is there to `measure`, as a cross-check",
        )
        .into())
    }
}

/// What the driver calls the GPU; none of other devices.
#[cfg(feature = "candle-cuda")]
fn gpu_name(device: &Device) -> Option<String> {
    device.as_cuda_device().ok()?.cuda_stream().context().name().ok()
}

/// Without candle's CUDA there is no GPU to name.
#[cfg(not(feature = "candle-cuda"))]
fn gpu_name(_: &Device) -> Option<String> {
    None
}

/// Out of the device's memory: what did not fit, and what to do. Anything else as it is.
fn explained(error: ModelError, what: &str, hint: &str) -> anyhow::Error {
    match format!("{error:?}").contains("OUT_OF_MEMORY") {
        true => Hinted::new(format!("the GPU is out of memory: {what} do not fit"), hint).into(),
        false => error.into(),
    }
}

fn too_large(error: ModelError) -> anyhow::Error {
    explained(error, "the step's tensors", "lower scheduler.max_num_batched_tokens or scheduler.max_num_seqs")
}

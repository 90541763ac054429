//! The executor of the GPU: a batch becomes words, the words become one graph launch, tokens come back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context;
use fidelio_shared::serving::{Batch, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::buckets::{Buckets, PREFILL_SEQS};
use super::device::{Gpu, Pinned};
use super::error::GpuError;
use super::graphs::{Graphs, StepTimes, ways};
use super::libraries::{CudaDevice, require};
use super::memory::Limits;
use super::model::{Model, ModelOptions, Path};
use super::operations::operations;
use super::step::{Share, StepShape, pack};
use super::telemetry::NvmlSampler;
use crate::engine::clock::{RunClock, since};
use crate::engine::executor::{Engine, Executor, HostPhases, StepResult};
use crate::engine::operations::{AttentionRow, OperationGrid, OperationRow};
use crate::engine::qwen3::{LoadFormat, Qwen3Config};
use crate::engine::sequences::Sequences;
use crate::engine::telemetry::Sampler;
use crate::machine;

/// Settings of a [`CudaExecutor`].
#[derive(Clone, Debug, PartialEq)]
pub struct CudaOptions {
    /// Blocks of the KV cache; none to take what memory is left.
    pub num_blocks: Option<usize>,
    /// Tokens a block holds.
    pub block_size: usize,
    /// Sequences of the largest step.
    pub max_num_seqs: usize,
    /// Most sequences of a step with a graph; none for all there can be.
    pub max_captured_seqs: Option<usize>,
    /// Tokens of the largest step.
    pub max_num_batched_tokens: usize,
    /// Tokens of the longest sequence.
    pub max_model_len: usize,
    /// Share of the device's memory the engine may use.
    pub gpu_memory_utilization: f64,
    /// Launch captured graphs; without, every kernel of every step by itself.
    pub cuda_graphs: bool,
    /// Let a kernel start while the one before it ends, where the device can.
    pub programmatic_launch: bool,
    /// Ids at or above are never sampled: a model's vocabulary may be padded beyond its tokenizer's.
    pub sampled_vocab_size: usize,
    /// Tokens that end a sequence; none to generate every requested token.
    pub stop_token_ids: Vec<u32>,
    /// Folder where compiled kernels are kept; none to compile anew.
    pub kernel_cache: Option<PathBuf>,
}

/// Runs batches on the GPU and owns the monotonic clock of the run.
///
/// Device time of a step is the time from its first kernel to its last, by events; without graphs it
/// holds the device's waits for launches too.
///
/// As on the CPU, an item may start after tokens that were never computed and reach beyond those known.
pub struct CudaExecutor {
    // Dropped first: a graph keeps addresses of the model's.
    graphs: Option<Graphs>,
    model: Model,
    sequences: Sequences,
    stop_token_ids: Vec<u32>,
    clock: RunClock,
    words: Pinned<i32>,
    best: Pinned<u64>,
    times: StepTimes,
}

impl CudaExecutor {
    /// Loads the model onto the first device, captures graphs and starts the clock. `progress` shows bytes
    /// of weights, then graphs.
    ///
    /// # Errors
    /// What is missing on this machine, a model the kernels do not compute, broken weights, or too
    /// little device memory.
    pub fn load(
        config: Qwen3Config,
        format: &LoadFormat,
        options: CudaOptions,
        interrupted: Arc<AtomicBool>,
        progress: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let gpu = Gpu::open(require()?)?;
        // Padding adds to a step, not to what may be asked.
        let limits = Limits {
            rows: options.max_num_batched_tokens + options.max_num_seqs.max(PREFILL_SEQS),
            seqs: options.max_num_seqs + PREFILL_SEQS,
            model_len: options.max_model_len,
            block_size: options.block_size,
        };
        let model_options = ModelOptions {
            config,
            format,
            limits,
            num_blocks: options.num_blocks,
            gpu_memory_utilization: options.gpu_memory_utilization,
            programmatic_launch: options.programmatic_launch,
            sampled_vocab_size: options.sampled_vocab_size,
            kernel_cache: options.kernel_cache.as_deref(),
        };
        let model = Model::load(gpu, model_options, progress)?;
        let num_blocks = u32::try_from(model.cache.num_blocks).context("counting KV blocks")?;
        let times = StepTimes::new(&model.gpu)?;
        let graphs = match options.cuda_graphs {
            true => {
                let captured =
                    options.max_captured_seqs.map_or(options.max_num_seqs, |most| most.min(options.max_num_seqs));
                let buckets = Buckets::new(captured, options.max_num_batched_tokens);
                Some(Graphs::capture(&model, &times, buckets, progress).context("capturing CUDA graphs")?)
            }
            false => None,
        };
        Ok(CudaExecutor {
            words: model.gpu.pinned(model.max_words())?,
            best: model.gpu.pinned(limits.seqs)?,
            times,
            graphs,
            sequences: Sequences::new(num_blocks, options.block_size),
            stop_token_ids: options.stop_token_ids,
            clock: RunClock::new(interrupted),
            model,
        })
    }

    /// The device it runs on, as it was before anything was allocated.
    pub fn device(&self) -> &CudaDevice {
        &self.model.gpu.properties
    }

    /// Blocks no sequence holds.
    pub fn num_free_blocks(&self) -> usize {
        self.sequences.num_free_blocks()
    }

    /// The model's shape.
    pub fn config(&self) -> &Qwen3Config {
        &self.model.config
    }

    /// How each captured shape is computed; empty without graphs.
    pub fn paths(&self) -> Vec<(StepShape, Path)> {
        self.graphs.as_ref().map(Graphs::paths).unwrap_or_default()
    }

    /// Logits of the last step's wanted rows, one row of `vocab_size` values for each of `count` items that
    /// emitted a token, in item order: for checks.
    ///
    /// # Errors
    /// When `count` is more than a step gives, or the copy fails.
    pub fn logits(&self, count: usize) -> anyhow::Result<Vec<f32>> {
        let width = self.model.config.vocab_size;
        let mut logits = vec![0.0f32; count * width];
        self.model.gpu.download(&self.model.act.logits, 0, &mut logits)?;
        Ok(logits)
    }

    /// Computes a batch; the best token of each wanted row is then in `self.best`.
    fn compute(&mut self, batch: &Batch, started: Instant) -> anyhow::Result<(usize, Nanos, HostPhases)> {
        let shares = batch.items.iter().map(|item| {
            Ok(Share {
                tokens: self.sequences.tokens_of(item)?,
                start: item.start as usize,
                block_table: self.sequences.table(item.request_id),
                emits_token: item.emits_token,
            })
        });
        let shares: Vec<Share<'_>> = shares.collect::<anyhow::Result<_>>()?;
        self.check(&shares)?;
        let exact = StepShape::of(&shares);
        let padded = self.graphs.as_ref().and_then(|graphs| graphs.padded(exact));
        let shape = padded.unwrap_or(exact);
        let used = pack(&shares, shape, self.model.limits.block_size, self.words.as_mut_slice())?;
        let prepared = Instant::now();
        let gpu = &self.model.gpu;
        gpu.enqueue_upload(&self.words, used, &self.model.inputs)?;
        match (&self.graphs, padded) {
            (Some(graphs), Some(shape)) => graphs.launch(shape)?,
            _ => self.times.around(gpu, || self.model.enqueue(shape, ways(shape)[0]))?,
        }
        if exact.logit_rows > 0 {
            gpu.enqueue_download(&self.model.act.best, exact.logit_rows, &mut self.best)?;
        }
        let launched = Instant::now();
        gpu.synchronize()?;
        let waited = Instant::now();
        let device = self.times.last()?;
        let between = |from: Instant, to: Instant| Nanos(to.duration_since(from).as_nanos() as u64);
        let phases = HostPhases {
            prepare: between(started, prepared),
            launch: between(prepared, launched),
            wait: between(launched, waited),
            sample: Nanos::ZERO,
        };
        Ok((exact.logit_rows, device, phases))
    }

    /// Refuses what would read or write outside the model's tables.
    fn check(&self, shares: &[Share<'_>]) -> Result<(), GpuError> {
        let limits = &self.model.limits;
        for share in shares {
            let end = share.start.saturating_add(share.tokens.len());
            if end > limits.model_len {
                let longest = limits.model_len;
                return Err(GpuError::Step(format!("a sequence of {end} tokens, the engine is set up for {longest}")));
            }
            let vocab_size = self.model.config.vocab_size;
            if let Some(id) = share.tokens.iter().find(|id| **id as usize >= vocab_size) {
                return Err(GpuError::Step(format!("token {id}, the vocabulary ends at {vocab_size}")));
            }
        }
        let rows: usize = shares.iter().map(|share| share.tokens.len()).sum();
        if rows > limits.rows || shares.len() > limits.seqs {
            let seqs = shares.len();
            return Err(GpuError::Step(format!(
                "a step of {rows} tokens of {seqs} sequences, more than it is set up for"
            )));
        }
        Ok(())
    }
}

impl Executor for CudaExecutor {
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
        let started = Instant::now();
        self.sequences.place(batch)?;
        let computed = self.compute(batch, started).with_context(|| format!("computing batch {}", batch.id))?;
        let (num_rows, device, mut phases) = computed;
        let sampling = Instant::now();
        let sampled = self.best.as_slice()[..num_rows].iter().map(|key| token_of(*key));
        let tokens = self.sequences.take(batch, sampled, &self.stop_token_ids)?;
        phases.sample = since(sampling);
        Ok(StepResult { tokens, device, phases: Some(phases) })
    }

    fn release(&mut self, request_id: RequestId) {
        self.sequences.release(request_id);
    }
}

impl Engine for CudaExecutor {
    fn start_clock(&mut self) {
        self.clock.restart();
    }

    fn num_blocks(&self) -> u32 {
        // Checked when the executor was loaded.
        self.model.cache.num_blocks as u32
    }

    fn attention_backend(&self) -> &'static str {
        "fidelio-cuda"
    }

    fn sampler(&self) -> Option<anyhow::Result<Box<dyn Sampler>>> {
        Some(NvmlSampler::open(&self.model.gpu.context).map(|sampler| Box::new(sampler) as Box<dyn Sampler>))
    }

    fn hardware(&self) -> Value {
        let CudaDevice { name, compute_capability: (major, minor), driver_cuda_version, .. } = self.device();
        json!({
            "name": name,
            "memory_bytes": self.device().memory_bytes,
            "compute_capability": format!("{major}.{minor}"),
            "driver_cuda_version": format!("{}.{}", driver_cuda_version / 1000, driver_cuda_version % 1000 / 10),
            "num_multiprocessors": self.device().num_multiprocessors,
            "l2_bytes": self.device().l2_bytes,
            "host": machine::processor(),
        })
    }

    fn operations(
        &mut self,
        config: &SchedulerConfig,
        repeats: u32,
    ) -> anyhow::Result<(Vec<OperationRow>, Vec<AttentionRow>)> {
        Ok(operations(&self.model, &OperationGrid::of(config), repeats)?)
    }
}

/// The token in a key of the `argmax` kernel: above the logit's bits, below how far its id is from the
/// largest number, so that the lowest id of equals wins. None where no logit was a number.
fn token_of(key: u64) -> Option<u32> {
    (key != 0).then_some(u32::MAX - key as u32)
}

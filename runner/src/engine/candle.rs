//! The executor of the CPU: places the blocks the serving core counts, runs the model, samples greedily.
//! Knows no scheduler: which tokens of which sequence are computed is the batch's word.

mod operations;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, ensure};
use fidelio_shared::serving::{Batch, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};

use super::clock::{RunClock, since};
use super::executor::{Engine, Executor, StepResult};
use super::operations::{AttentionRow, OperationRow};
use super::qwen3::{KvCache, LogitsWanted, OpTimes, Qwen3, SequenceShare};
use super::sequences::Sequences;
use crate::machine;

/// Settings of a [`CandleExecutor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandleOptions {
    /// Blocks of the KV cache.
    pub num_blocks: usize,
    /// Tokens a block holds.
    pub block_size: usize,
    /// Threads that compute, at least 1. candle's GEMM takes its number from `RAYON_NUM_THREADS` (else
    /// the number of cores) but runs on these threads, so the smaller of the two holds for it.
    pub num_threads: usize,
    /// Ids at or above are never sampled: a model's vocabulary may be padded beyond its tokenizer's.
    pub sampled_vocab_size: usize,
    /// Tokens that end a sequence; none to generate every requested token.
    pub stop_token_ids: Vec<u32>,
}

/// Runs batches on the CPU, on its own threads, and owns the monotonic clock of the run.
///
/// An item may start after tokens that were never computed, and reach beyond the tokens known: the
/// profiler times long contexts that way. The cache then holds whatever it held (zeros at first), and
/// unknown tokens are token 0.
pub struct CandleExecutor {
    model: Qwen3,
    cache: KvCache,
    threads: ThreadPool,
    sampled_vocab_size: usize,
    stop_token_ids: Vec<u32>,
    sequences: Sequences,
    /// Logits of the last step, kept so that its memory is touched once.
    logits: Vec<f32>,
    clock: RunClock,
}

impl CandleExecutor {
    /// Allocates the cache and starts the threads; the clock starts too, until [`Engine::start_clock`]
    /// sets it to zero again. `interrupted` ends waits early once it is true.
    ///
    /// # Errors
    /// When the cache does not fit into free memory, a setting is zero, or threads cannot be started.
    pub fn new(model: Qwen3, options: CandleOptions, interrupted: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let CandleOptions { num_blocks, block_size, num_threads, sampled_vocab_size, stop_token_ids } = options;
        ensure!(num_threads > 0, "the executor needs at least one thread");
        ensure!(sampled_vocab_size > 0, "the executor needs at least one token to sample");
        let num_blocks_u32 =
            u32::try_from(num_blocks).with_context(|| format!("{num_blocks} KV blocks are too many"))?;
        let name = |index| format!("compute-{index}");
        let threads = ThreadPoolBuilder::new().num_threads(num_threads).thread_name(name).build();
        let threads = threads.context("starting the compute threads")?;
        let cache = threads.install(|| KvCache::new(model.config(), num_blocks, block_size));
        Ok(CandleExecutor {
            sampled_vocab_size: sampled_vocab_size.min(model.config().vocab_size),
            cache: cache.context("allocating the KV cache")?,
            model,
            threads,
            stop_token_ids,
            sequences: Sequences::new(num_blocks_u32, block_size),
            logits: Vec::new(),
            clock: RunClock::new(interrupted),
        })
    }

    /// Blocks no sequence holds.
    pub fn num_free_blocks(&self) -> usize {
        self.sequences.num_free_blocks()
    }

    /// The model it runs.
    pub fn model(&self) -> &Qwen3 {
        &self.model
    }

    /// Runs `timed` on the compute threads with the model and its cache, to time single operations.
    /// Contents of the cache are overwritten: only between runs.
    pub fn with_model<R: Send>(&mut self, timed: impl FnOnce(&Qwen3, &mut KvCache) -> R + Send) -> R {
        let (model, cache) = (&self.model, &mut self.cache);
        self.threads.install(|| timed(model, cache))
    }

    fn compute(&mut self, batch: &Batch) -> anyhow::Result<Nanos> {
        let tokens: Vec<Vec<u32>> =
            batch.items.iter().map(|item| self.sequences.tokens_of(item)).collect::<anyhow::Result<_>>()?;
        let shares = batch.items.iter().zip(&tokens).map(|(item, tokens)| SequenceShare {
            tokens,
            start: item.start as usize,
            block_table: self.sequences.table(item.request_id),
            logits: if item.emits_token { LogitsWanted::Last } else { LogitsWanted::None },
        });
        let shares: Vec<SequenceShare<'_>> = shares.collect();
        let (model, cache, logits) = (&self.model, &mut self.cache, &mut self.logits);
        let start = Instant::now();
        self.threads.install(|| model.forward(&shares, cache, logits, &mut OpTimes::off()))?;
        Ok(since(start))
    }

    /// The best token of every row of logits.
    fn sample(&self) -> Vec<Option<u32>> {
        let vocab_size = self.model.config().vocab_size;
        let rows = self.logits.par_chunks_exact(vocab_size);
        self.threads.install(|| rows.map(|row| argmax(&row[..self.sampled_vocab_size])).collect())
    }
}

impl Executor for CandleExecutor {
    fn now(&mut self) -> Nanos {
        self.clock.now()
    }

    fn wait_until(&mut self, deadline: Nanos) {
        self.clock.wait_until(deadline);
    }

    fn vocab_size(&self) -> u32 {
        self.model.config().vocab_size as u32
    }

    fn register(&mut self, request_id: RequestId, prompt: &[u32]) {
        self.sequences.register(request_id, prompt);
    }

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        self.sequences.place(batch)?;
        let device = self.compute(batch).with_context(|| format!("computing batch {}", batch.id))?;
        let tokens = self.sequences.take(batch, self.sample(), &self.stop_token_ids)?;
        Ok(StepResult { tokens, device, ..StepResult::default() })
    }

    fn release(&mut self, request_id: RequestId) {
        self.sequences.release(request_id);
    }
}

impl Engine for CandleExecutor {
    fn start_clock(&mut self) {
        self.clock.restart();
    }

    fn num_blocks(&self) -> u32 {
        self.cache.num_blocks() as u32
    }

    fn attention_backend(&self) -> &'static str {
        "fidelio-cpu"
    }

    fn hardware(&self) -> Value {
        json!({
            "name": format!("{} ({} threads)", machine::processor(), self.threads.current_num_threads()),
            "memory_bytes": machine::memory_bytes(),
        })
    }

    fn operations(
        &mut self,
        config: &SchedulerConfig,
        repeats: u32,
    ) -> anyhow::Result<(Vec<OperationRow>, Vec<AttentionRow>)> {
        Ok(operations::operations(self, config, repeats)?)
    }
}

/// Index of the largest value, the lowest of equals; none without a finite one.
fn argmax(values: &[f32]) -> Option<u32> {
    let mut best = None;
    let mut largest = f32::NEG_INFINITY;
    for (index, value) in values.iter().enumerate() {
        if *value > largest {
            (best, largest) = (Some(index as u32), *value);
        }
    }
    best.filter(|_| largest.is_finite())
}

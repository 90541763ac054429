//! The executor of the CPU: places the blocks the serving core counts, runs the model, samples greedily.
//! Knows no scheduler: which tokens of which sequence are computed is the batch's word.

mod operations;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use fidelio_shared::serving::{Batch, BatchItem, RequestId, SchedulerConfig};
use fidelio_shared::time::Nanos;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};

use super::executor::{Engine, Executor, SampledToken, StepResult};
use super::operations::{AttentionRow, OperationRow};
use super::qwen3::{KvCache, LogitsWanted, OpTimes, Qwen3, SequenceShare};
use crate::machine;

/// Longest sleep between two looks at the interrupt flag.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// The end of a wait is spun: a sleeping thread wakes up to about this much late.
const SPIN: Duration = Duration::from_micros(150);

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
    interrupted: Arc<AtomicBool>,
    pool: KvPool,
    tokens: HashMap<RequestId, Vec<u32>>,
    /// Logits of the last step, kept so that its memory is touched once.
    logits: Vec<f32>,
    zero: Instant,
}

/// Hands out physical blocks. The serving core counts blocks, this says which.
struct KvPool {
    block_size: usize,
    free: Vec<u32>,
    tables: HashMap<RequestId, Vec<u32>>,
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
            interrupted,
            pool: KvPool { block_size, free: (0..num_blocks_u32).rev().collect(), tables: HashMap::new() },
            tokens: HashMap::new(),
            logits: Vec::new(),
            zero: Instant::now(),
        })
    }

    /// Blocks no sequence holds.
    pub fn num_free_blocks(&self) -> usize {
        self.pool.free.len()
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

    /// The tokens an item computes, those unknown as token 0.
    fn tokens_of(&self, item: &BatchItem) -> anyhow::Result<Vec<u32>> {
        let known = self.tokens.get(&item.request_id);
        let known = known.ok_or_else(|| anyhow!("request {} was never registered", item.request_id))?;
        let positions = (item.start as usize)..(item.start as usize).saturating_add(item.num_tokens as usize);
        Ok(positions.map(|position| known.get(position).copied().unwrap_or(0)).collect())
    }

    fn compute(&mut self, batch: &Batch) -> anyhow::Result<Nanos> {
        let mut tokens = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            ensure!(item.num_tokens > 0, "request {} has no token in the batch", item.request_id);
            tokens.push(self.tokens_of(item)?);
        }
        let shares = batch.items.iter().zip(&tokens).map(|(item, tokens)| SequenceShare {
            tokens,
            start: item.start as usize,
            block_table: self.pool.table(item.request_id),
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

    /// Remembers that `token_id` follows the item's last token.
    fn append(&mut self, item: &BatchItem, token_id: u32) {
        let end = item.start as usize + item.num_tokens as usize;
        if let Some(tokens) = self.tokens.get_mut(&item.request_id) {
            if tokens.len() <= end {
                tokens.resize(end + 1, 0);
            }
            tokens[end] = token_id;
        }
    }
}

impl Executor for CandleExecutor {
    fn now(&mut self) -> Nanos {
        since(self.zero)
    }

    fn wait_until(&mut self, deadline: Nanos) {
        while !self.interrupted.load(Ordering::Relaxed) {
            let left = Duration::from_nanos(deadline.saturating_sub(self.now()).0);
            if left.is_zero() {
                return;
            }
            match left.checked_sub(SPIN) {
                Some(sleep) if !sleep.is_zero() => std::thread::sleep(sleep.min(LONGEST_SLEEP)),
                _ => std::hint::spin_loop(),
            }
        }
    }

    fn register(&mut self, request_id: RequestId, prompt: &[u32]) {
        self.tokens.insert(request_id, prompt.to_vec());
    }

    fn execute(&mut self, batch: &Batch) -> anyhow::Result<StepResult> {
        for request_id in &batch.preempted {
            self.pool.free(*request_id);
        }
        for item in &batch.items {
            self.pool.grow(item)?;
        }
        let device = self.compute(batch).with_context(|| format!("computing batch {}", batch.id))?;
        let mut result = StepResult { device, ..StepResult::default() };
        let emitting = batch.items.iter().filter(|item| item.emits_token);
        for (item, token_id) in emitting.zip(self.sample()) {
            let request_id = item.request_id;
            let token_id = token_id.ok_or_else(|| anyhow!("the logits of request {request_id} are not numbers"))?;
            self.append(item, token_id);
            let is_stop = self.stop_token_ids.contains(&token_id);
            result.tokens.push(SampledToken { request_id, token_id, is_stop });
        }
        Ok(result)
    }

    fn release(&mut self, request_id: RequestId) {
        self.pool.free(request_id);
        self.tokens.remove(&request_id);
    }
}

impl Engine for CandleExecutor {
    fn start_clock(&mut self) {
        self.zero = Instant::now();
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

impl KvPool {
    /// The blocks of a request in order; empty when it has none.
    fn table(&self, request_id: RequestId) -> &[u32] {
        self.tables.get(&request_id).map_or(&[], Vec::as_slice)
    }

    /// Gives the item's request the blocks it needs up to the item's last token.
    fn grow(&mut self, item: &BatchItem) -> anyhow::Result<()> {
        let tokens = (item.start as usize).saturating_add(item.num_tokens as usize);
        let table = self.tables.entry(item.request_id).or_default();
        let missing = tokens.div_ceil(self.block_size).saturating_sub(table.len());
        if missing > self.free.len() {
            let (request_id, free) = (item.request_id, self.free.len());
            bail!("request {request_id} needs {missing} more KV blocks, {free} are free");
        }
        table.extend(self.free.drain(self.free.len() - missing..).rev());
        Ok(())
    }

    fn free(&mut self, request_id: RequestId) {
        self.free.extend(self.tables.remove(&request_id).into_iter().flatten());
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

fn since(start: Instant) -> Nanos {
    Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

//! Which batch shapes are measured: what the scheduler can produce, within a time budget.

use fidelio_shared::latency::BatchShape;
use fidelio_shared::serving::{BatchItem, SchedulerConfig};

/// One shape to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// Its items; request ids are `0..n`.
    pub items: Vec<BatchItem>,
    /// Measured to test the fit, not to make it.
    pub is_held_out: bool,
}

impl PlannedStep {
    /// Decodes that are alike, and one prefill, from `[sequences, context, prefill tokens, prefill start]`.
    pub fn of_sizes([num_seqs, context, tokens, start]: [u32; 4], is_held_out: bool) -> Self {
        let decode =
            |request_id| BatchItem { request_id, start: context, num_tokens: 1, emits_token: true, is_decode: true };
        let mut items: Vec<BatchItem> = (0..num_seqs).map(decode).collect();
        if tokens > 0 {
            items.push(BatchItem {
                request_id: num_seqs,
                start,
                num_tokens: tokens,
                emits_token: true,
                is_decode: false,
            });
        }
        PlannedStep { items, is_held_out }
    }

    /// What [`PlannedStep::of_sizes`] makes it from.
    pub fn sizes(&self) -> [u32; 4] {
        let num_seqs = self.items.iter().filter(|item| item.is_decode).count() as u32;
        let context = self.items.iter().find(|item| item.is_decode).map_or(0, |item| item.start);
        let prefill = self.items.iter().find(|item| !item.is_decode);
        let (tokens, start) = prefill.map_or((0, 0), |item| (item.num_tokens, item.start));
        [num_seqs, context, tokens, start]
    }

    /// The sums over its items.
    pub fn shape(&self) -> BatchShape {
        self.items.iter().fold(BatchShape::default(), |mut shape, item| {
            shape.add(item);
            shape
        })
    }
}

/// All shapes worth measuring, the most needed first: the corners that bound what the scheduler can
/// produce, then a grid that halves, then shapes between for testing the fit.
pub fn plan(config: &SchedulerConfig) -> Vec<PlannedStep> {
    let cache = u64::from(config.num_blocks) * u64::from(config.block_size);
    let longest = u64::from(config.max_model_len).min(cache) as u32;
    let chunk = config.max_num_batched_tokens.min(longest);
    let mut plan = Plan { steps: Vec::new(), cache, block: config.block_size };

    plan.prefill(chunk, 0, false);
    plan.prefill(chunk, longest - chunk, false);
    for num_seqs in [1, config.max_num_seqs] {
        plan.decode(num_seqs, 1, false);
        plan.decode(num_seqs, longest - 1, false);
    }
    plan.mixed(config.max_num_seqs, longest / 4, config.max_num_batched_tokens - config.max_num_seqs, false);
    for tokens in halves(chunk) {
        plan.prefill(tokens, 0, false);
    }
    for num_seqs in halves(config.max_num_seqs) {
        plan.decode(num_seqs, longest / 8, false);
    }
    // Graphs are captured for some batch sizes and others padded to them: time climbs in stairs.
    for bucket in (0..32).map(|power| 1u32 << power).take_while(|bucket| *bucket <= config.max_num_seqs) {
        plan.decode(bucket, longest / 8, false);
        plan.decode((bucket + bucket / 2).min(config.max_num_seqs), longest / 8, false);
    }
    for num_seqs in halves(config.max_num_seqs).skip(1) {
        plan.decode(num_seqs, longest / 2, false);
        plan.mixed(num_seqs, longest / 8, chunk / 4, false);
    }
    for tokens in halves(chunk).skip(1) {
        plan.prefill(tokens, (longest - tokens) / 2, false);
        // One and a half times a knot: linear interpolation is worst between knots.
        plan.prefill(tokens + tokens / 2, 0, false);
    }
    let seqs = config.max_num_seqs;
    plan.prefill(chunk * 5 / 8, longest / 5, true);
    plan.decode(seqs.div_ceil(3), longest / 5, true);
    plan.decode((seqs * 3).div_ceil(4), longest / 3, true);
    plan.mixed(seqs.div_ceil(3), longest / 6, chunk * 3 / 8, true);
    plan.steps
}

/// `largest`, then half of it, … down to 1.
fn halves(largest: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(largest), |tokens| (*tokens > 1).then(|| tokens / 2))
}

struct Plan {
    steps: Vec<PlannedStep>,
    /// Tokens the KV cache holds.
    cache: u64,
    block: u32,
}

impl Plan {
    fn prefill(&mut self, tokens: u32, start: u32, is_held_out: bool) {
        self.mixed_at((0, 0), (tokens, start), is_held_out);
    }

    fn decode(&mut self, num_seqs: u32, context: u32, is_held_out: bool) {
        self.mixed_at((num_seqs, context), (0, 0), is_held_out);
    }

    fn mixed(&mut self, num_seqs: u32, context: u32, tokens: u32, is_held_out: bool) {
        self.mixed_at((num_seqs, context), (tokens, 0), is_held_out);
    }

    /// Adds `num_seqs` decodes at `context` and one prefill of `tokens` after `start`, the context cut to
    /// what the cache holds; empty shapes and those already there are left out.
    fn mixed_at(&mut self, (num_seqs, context): (u32, u32), (tokens, start): (u32, u32), is_held_out: bool) {
        let left = self.cache.saturating_sub(u64::from(tokens + start) + u64::from(self.block));
        // Every sequence ends in a block it does not fill.
        let fits = (left / u64::from(num_seqs.max(1))).saturating_sub(u64::from(self.block));
        let context = u64::from(context).min(fits).max(1) as u32;
        let context = if num_seqs > 0 { context } else { 0 };
        let step = PlannedStep::of_sizes([num_seqs, context, tokens, start], is_held_out);
        let is_known = self.steps.iter().any(|other| other.items == step.items);
        if !step.items.is_empty() && !is_known {
            self.steps.push(step);
        }
    }
}

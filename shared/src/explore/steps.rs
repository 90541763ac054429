//! Engine steps over a window of time, one by one where they are few, else in bins.

use crate::explore::Explorer;
use crate::explore::answers::{StepLane, StepView};
use crate::schema::{Run, StepRow};

/// Bins, at most: more than any screen has columns.
const MOST_BINS: usize = 8_192;

impl Explorer {
    /// The steps of both runs over `window` (from, before; ns), or from the first step of either to the last, in at
    /// most `num_bins` bins a run.
    pub fn steps(&self, window: Option<(u64, u64)>, num_bins: usize) -> StepView {
        let all = || [self.real(), &self.sim].into_iter().flat_map(|run| run.steps.iter().flatten());
        let whole = || {
            let from = all().map(|step| step.start.0).min().unwrap_or_default();
            (from, all().map(|step| step.end.0).max().unwrap_or(from))
        };
        let (from_ns, to_ns) = window.unwrap_or_else(whole);
        let to_ns = to_ns.max(from_ns.saturating_add(1));
        let num_bins = num_bins.clamp(1, MOST_BINS);
        let lane = |run: &Run| Some(lane(run.steps.as_ref()?, (from_ns, to_ns), num_bins));
        StepView { from_ns, to_ns, real: lane(self.real()), sim: lane(&self.sim) }
    }
}

fn lane(steps: &[StepRow], (from, to): (u64, u64), num_bins: usize) -> StepLane {
    let is_inside = |step: &&StepRow| step.start.0 < to && (step.end.0 > from || step.start.0 >= from);
    let mut inside: Vec<&StepRow> = steps.iter().filter(is_inside).collect();
    crate::order::sort_by_key(&mut inside, |step| (step.start, step.end, step.replica_id, step.step_index));
    let is_exact = inside.len() <= num_bins;
    let mut bins = match is_exact {
        true => inside.iter().map(|step| Bin::new(step.start.0, step.end.0)).collect(),
        false => even_bins(from, to, num_bins),
    };
    for (place, step) in inside.iter().enumerate() {
        match is_exact {
            true => bins[place].add(step, 1.0),
            false => spread(step, &mut bins),
        }
    }
    let of = |value: fn(&Bin) -> f64| bins.iter().map(value).collect();
    let mean = |sum: fn(&Bin) -> f64| bins.iter().map(|bin| sum(bin) / bin.weight.max(f64::MIN_POSITIVE)).collect();
    StepLane {
        num_steps: inside.len(),
        is_exact,
        starts_ns: bins.iter().map(|bin| bin.start).collect(),
        ends_ns: bins.iter().map(|bin| bin.end).collect(),
        weights: of(|bin| bin.weight),
        prefill_tokens: mean(|bin| bin.prefill_tokens),
        decode_seqs: mean(|bin| bin.decode_seqs),
        duration_ns: mean(|bin| bin.duration),
        host_ns: mean(|bin| bin.host),
        kv_blocks: of(|bin| bin.kv_blocks),
        running: mean(|bin| bin.running),
        waiting: mean(|bin| bin.waiting),
    }
}

/// What a run did in a window, over its bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepTotals {
    /// Steps that touch it.
    pub num_steps: usize,
    /// Prefill tokens computed.
    pub prefill_tokens: f64,
    /// Tokens decoded.
    pub decode_tokens: f64,
    /// Time in steps, ns.
    pub duration_ns: f64,
    /// Host time in them, ns.
    pub host_ns: f64,
    /// Mean duration of a step, ns; 0 without steps.
    pub mean_ns: f64,
    /// KV blocks in use, most.
    pub most_kv_blocks: f64,
    /// Sequences waiting, most: of means, where bins hold several steps.
    pub most_waiting: f64,
}

impl StepLane {
    /// The sums.
    pub fn totals(&self) -> StepTotals {
        let sum = |means: &[f64]| self.weights.iter().zip(means).map(|(weight, mean)| weight * mean).sum::<f64>();
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let (weight, duration_ns) = (self.weights.iter().sum::<f64>(), sum(&self.duration_ns));
        StepTotals {
            num_steps: self.num_steps,
            prefill_tokens: sum(&self.prefill_tokens),
            decode_tokens: sum(&self.decode_seqs),
            duration_ns,
            host_ns: sum(&self.host_ns),
            mean_ns: if weight > 0.0 { duration_ns / weight } else { 0.0 },
            most_kv_blocks: most(&self.kv_blocks),
            most_waiting: most(&self.waiting),
        }
    }
}

/// Sums over steps, each times its weight; of KV blocks the largest.
#[derive(Default)]
struct Bin {
    start: u64,
    end: u64,
    weight: f64,
    prefill_tokens: f64,
    decode_seqs: f64,
    duration: f64,
    host: f64,
    kv_blocks: f64,
    running: f64,
    waiting: f64,
}

impl Bin {
    fn new(start: u64, end: u64) -> Self {
        Bin { start, end, ..Bin::default() }
    }

    fn add(&mut self, step: &StepRow, weight: f64) {
        self.weight += weight;
        self.prefill_tokens += weight * step.num_prefill_tokens as f64;
        self.decode_seqs += weight * step.num_decode_seqs as f64;
        self.duration += weight * (step.end.0 - step.start.0) as f64;
        self.host += weight * step.host.0 as f64;
        self.kv_blocks = self.kv_blocks.max(step.kv_blocks_used as f64);
        self.running += weight * step.num_running as f64;
        self.waiting += weight * step.num_waiting as f64;
    }
}

/// Bins of equal width, to the nanosecond.
fn even_bins(from: u64, to: u64, num_bins: usize) -> Vec<Bin> {
    let edge = |index: usize| from + (u128::from(to - from) * index as u128 / num_bins as u128) as u64;
    (0..num_bins).map(|index| Bin::new(edge(index), edge(index + 1))).collect()
}

/// Adds a step to the bins it lies in, to each by the share of its time that is there; one without time to the bin of
/// its instant.
fn spread(step: &StepRow, bins: &mut [Bin]) {
    let (start, end) = (step.start.0, step.end.0);
    let first = bins.partition_point(|bin| bin.end <= start);
    for bin in bins[first..].iter_mut().take_while(|bin| bin.start <= start || bin.start < end) {
        match (end.min(bin.end).saturating_sub(start.max(bin.start)), end - start) {
            (_, 0) => return bin.add(step, 1.0),
            (0, _) => {}
            (inside, whole) => bin.add(step, inside as f64 / whole as f64),
        }
    }
}

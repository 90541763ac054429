//! Paired block bootstrap: the same requests drawn on both sides, in blocks of neighbours, and every quantile again.
//!
//! Künsch (1989) and Liu and Singh (1992) for blocks, Politis and Romano (1992) for blocks on a circle. A
//! request is drawn with all its tokens, because they are not independent.

mod bins;
mod walk;

use serde::{Deserialize, Serialize};

use crate::random::Stream;
use crate::stats::block_length::{block_length, density, influence};
use crate::stats::{Clusters, Sorted};
use bins::Bins;
pub(super) use walk::Walk;

/// Samples of at most this many values are resampled exactly; larger ones through a histogram of ranks.
const MOST_WALKED: usize = 1 << 14;
/// Blocks drawn, at most: more add nothing but time.
const MOST_BLOCKS: usize = 4096;
/// Blocks of a histogram, at most.
const MOST_BINNED_BLOCKS: usize = 512;
/// Fewer pairs than this say nothing about their own spread.
const FEWEST_PAIRS: usize = 5;

/// How intervals are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BootstrapOptions {
    /// Times the requests are drawn again.
    pub num_resamples: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Coverage of the intervals, as a fraction.
    pub confidence: f64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        BootstrapOptions { num_resamples: 1000, seed: 42, confidence: 0.95 }
    }
}

/// How a sample was drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocks {
    /// Requests drawn together.
    pub block_length: usize,
    /// Whole and broken blocks in the sample: the independent observations, roughly.
    pub num_blocks: f64,
    /// Times drawn.
    pub num_resamples: u32,
    /// Coverage of the intervals.
    pub confidence: f64,
}

/// The quantiles of both sides in every resample, ns.
#[derive(Clone, Debug, PartialEq)]
pub struct Resamples {
    /// How they were drawn.
    pub blocks: Blocks,
    /// `real[fraction][resample]`.
    pub real: Vec<Vec<f64>>,
    /// `sim[fraction][resample]`.
    pub sim: Vec<Vec<f64>>,
    /// Means of the real side.
    pub real_means: Vec<f64>,
    /// Means of the simulated side.
    pub sim_means: Vec<f64>,
}

/// One side, ready to be drawn from.
enum Side<'a> {
    Walked(Walk),
    Binned(Bins<'a>),
}

impl Side<'_> {
    fn resample(&mut self, weights: &[u32], fractions: &[f64], quantiles: &mut [Vec<f64>]) -> f64 {
        match self {
            Side::Walked(walk) => walk.resample(weights, fractions, quantiles),
            Side::Binned(bins) => bins.resample(weights, fractions, quantiles),
        }
    }
}

/// Draws the pairs again and again and takes the quantiles at `fractions` (ascending) of both sides.
/// `real` and `sim` hold the same requests in the same order, `judged` are the fractions whose
/// dependence decides the length of the blocks. `None` with fewer than five pairs.
pub fn resample(
    (real, real_sorted): (&Clusters, &Sorted),
    (sim, sim_sorted): (&Clusters, &Sorted),
    fractions: &[f64],
    judged: &[f64],
    options: &BootstrapOptions,
    stream: &str,
) -> Option<Resamples> {
    let n = real.num_requests();
    assert_eq!(n, sim.num_requests(), "pairs have two sides");
    assert!(fractions.is_sorted(), "quantiles are taken in one walk upwards");
    if n < FEWEST_PAIRS || options.num_resamples == 0 {
        return None;
    }
    let needed = judged.iter().map(|p| block_length(&influences((real, real_sorted), (sim, sim_sorted), *p)));
    let needed = needed.max().unwrap_or(1);
    let is_walked = real.values().len().max(sim.values().len()) <= MOST_WALKED;
    let most_blocks = if is_walked { MOST_BLOCKS } else { MOST_BINNED_BLOCKS };
    let length = needed.max(n.div_ceil(most_blocks));
    let mut sides = match is_walked {
        true => [Side::Walked(Walk::new(real)), Side::Walked(Walk::new(sim))],
        false => [Side::Binned(Bins::new(real, real_sorted, length)), Side::Binned(Bins::new(sim, sim_sorted, length))],
    };
    let count = options.num_resamples as usize;
    let empty = || vec![Vec::with_capacity(count); fractions.len()];
    let mut drawn = Resamples {
        blocks: Blocks {
            block_length: length,
            num_blocks: n as f64 / length as f64,
            num_resamples: options.num_resamples,
            confidence: options.confidence,
        },
        real: empty(),
        sim: empty(),
        real_means: Vec::with_capacity(count),
        sim_means: Vec::with_capacity(count),
    };
    let stream = Stream::new(options.seed, &format!("bootstrap {stream}"));
    let mut draw = Draw::new(stream, n, length, is_walked);
    for _ in 0..count {
        let weights = draw.next_weights();
        let [a, b] = &mut sides;
        drawn.real_means.push(a.resample(weights, fractions, &mut drawn.real));
        drawn.sim_means.push(b.resample(weights, fractions, &mut drawn.sim));
    }
    Some(drawn)
}

/// How much each pair moves the difference of the quantiles at `p`, in order of arrival.
fn influences((real, real_sorted): (&Clusters, &Sorted), (sim, sim_sorted): (&Clusters, &Sorted), p: f64) -> Vec<f64> {
    let of = |side: &Clusters, sorted: &Sorted| -> Vec<f64> {
        let quantile = sorted.values()[((sorted.values().len() - 1) as f64 * p) as usize];
        let count = |values: &[u64]| (values.len(), values.iter().filter(|value| **value <= quantile).count());
        let counts: Vec<(usize, usize)> = side.requests().map(count).collect();
        influence(&counts, p, density(sorted.values(), p)).collect()
    };
    of(sim, sim_sorted).into_iter().zip(of(real, real_sorted)).map(|(sim, real)| sim - real).collect()
}

/// Draws blocks and counts how often each unit came: a request, or a whole block of a histogram.
struct Draw {
    stream: Stream,
    weights: Vec<u32>,
    length: usize,
    is_by_request: bool,
}

impl Draw {
    fn new(stream: Stream, num_requests: usize, length: usize, is_by_request: bool) -> Self {
        let units = if is_by_request { num_requests } else { num_requests.div_ceil(length) };
        Draw { stream, weights: vec![0; units], length, is_by_request }
    }

    fn next_weights(&mut self) -> &[u32] {
        let n = self.weights.len();
        self.weights.fill(0);
        if !self.is_by_request {
            for _ in 0..n {
                self.weights[self.stream.below(n as u64) as usize] += 1;
            }
            return &self.weights;
        }
        let mut left = n;
        while left > 0 {
            let start = self.stream.below(n as u64) as usize;
            let take = self.length.min(left);
            for offset in 0..take {
                // Blocks lie on a circle, so that the first and last requests are drawn as often as any.
                self.weights[(start + offset) % n] += 1;
            }
            left -= take;
        }
        &self.weights
    }
}

#[cfg(test)]
mod tests;

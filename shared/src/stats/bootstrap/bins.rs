//! Quantiles of a resample of millions of values: histograms of whole blocks over the sample's own ranks.
//!
//! Within a cell the drawn values are taken to lie as the sample's do, which loses the spread inside that cell: with half
//! a percent of the values in each and far less in the tails, at most 3 % of a quantile's variance.

use crate::stats::{Clusters, Sorted};

/// Cells of equal share between the tails.
const EVEN_CELLS: usize = 192;
/// Share of the values in each tail, where cells become narrower, eight to a halving.
const TAIL: f64 = 0.04;
const TAIL_CELLS: usize = 64;
const TAIL_CELLS_TO_A_HALVING: f64 = 8.0;

/// A side cut into blocks that do not overlap.
pub(super) struct Bins<'a> {
    sorted: &'a [u64],
    /// Values of the sample up to and with each cell.
    ends: Vec<usize>,
    /// `counts[block * cells + cell]`.
    counts: Vec<u32>,
    /// Sum of each block's values.
    sums: Vec<f64>,
    drawn: Vec<u64>,
}

impl<'a> Bins<'a> {
    pub(super) fn new(side: &Clusters, sorted: &'a Sorted, block_length: usize) -> Self {
        let sorted = sorted.values();
        let highest = cells(sorted);
        let ends = highest.iter().map(|value| sorted.partition_point(|other| other <= value)).collect();
        let mut counts = vec![0u32; side.num_requests().div_ceil(block_length) * highest.len()];
        let mut sums = vec![0.0; side.num_requests().div_ceil(block_length)];
        for (request, values) in side.requests().enumerate() {
            let block = request / block_length;
            for value in values {
                let cell = highest.partition_point(|highest| highest < value);
                counts[block * highest.len() + cell] += 1;
                sums[block] += *value as f64;
            }
        }
        Bins { sorted, drawn: vec![0; highest.len()], ends, counts, sums }
    }

    /// Appends the quantiles of the resample in which block `i` came `weights[i]` times, and returns its mean.
    pub(super) fn resample(&mut self, weights: &[u32], fractions: &[f64], quantiles: &mut [Vec<f64>]) -> f64 {
        self.drawn.fill(0);
        let mut sum = 0.0;
        for ((block, weight), total) in self.counts.chunks_exact(self.ends.len()).zip(weights).zip(&self.sums) {
            if *weight == 0 {
                continue;
            }
            sum += total * f64::from(*weight);
            for (drawn, count) in self.drawn.iter_mut().zip(block) {
                *drawn += u64::from(count * weight);
            }
        }
        let count: u64 = self.drawn.iter().sum();
        let (mut cell, mut before) = (0, 0u64);
        for (fraction, values) in fractions.iter().zip(quantiles) {
            let position = fraction * count.saturating_sub(1) as f64;
            while cell + 1 < self.drawn.len() && (before + self.drawn[cell]) as f64 <= position {
                before += self.drawn[cell];
                cell += 1;
            }
            values.push(self.value(cell, (position - before as f64 + 0.5) / self.drawn[cell].max(1) as f64));
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    }

    /// The sample's value at the share `part` of a cell.
    fn value(&self, cell: usize, part: f64) -> f64 {
        let start = if cell == 0 { 0 } else { self.ends[cell - 1] };
        let position = start as f64 + part.clamp(0.0, 1.0) * (self.ends[cell] - start) as f64 - 0.5;
        let position = position.clamp(0.0, (self.sorted.len() - 1) as f64);
        let index = position as usize;
        let low = self.sorted[index] as f64;
        let high = self.sorted[(index + 1).min(self.sorted.len() - 1)] as f64;
        low + (high - low) * (position - index as f64)
    }
}

/// The largest value of each cell, ascending; equal values share a cell.
fn cells(sorted: &[u64]) -> Vec<u64> {
    let part = |cell: usize| TAIL * libm::exp2(-(cell as f64) / TAIL_CELLS_TO_A_HALVING);
    let low = (1..=TAIL_CELLS).rev().map(part);
    let even = (0..EVEN_CELLS).map(|cell| TAIL + (1.0 - 2.0 * TAIL) * cell as f64 / EVEN_CELLS as f64);
    let high = (0..=TAIL_CELLS).map(|cell| 1.0 - part(cell));
    let last = sorted.len() - 1;
    let fractions = low.chain(even).chain(high);
    let mut cells: Vec<u64> =
        fractions.map(|fraction| sorted[(fraction * last as f64) as usize]).chain([sorted[last]]).collect();
    cells.dedup();
    cells
}

//! The physical floor of an operation: launch, bytes, arithmetic, and waves of blocks over the multiprocessors.
//!
//! A kernel's blocks run in waves of as many as the multiprocessors hold, so its time rises in steps:
//! `ceil(blocks / multiprocessors)` of them. Which tile a library picks is not known, so every usual one is
//! a term, and non-negative least squares on relative errors says which terms the measured times have.

use super::{Axes, Operation, OperationContext};
use crate::latency::nonnegative;

/// Tiles (rows, columns) matrix multiplications are cut into.
const TILES: [(f64, f64); 7] =
    [(64.0, 64.0), (64.0, 128.0), (128.0, 64.0), (128.0, 128.0), (256.0, 64.0), (256.0, 128.0), (128.0, 256.0)];

/// Rows a multiprocessor takes at once in operations that treat each token alone.
const ROWS_AT_ONCE: [f64; NUM_WAVES] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0];

/// Wave counts of a one-dimensional operation.
pub(super) const NUM_WAVES: usize = TILES.len();

const MAX_TERMS: usize = 13;

/// What the floor and the predictor's coordinates are computed from.
#[derive(Clone, Debug)]
pub(super) struct Physics {
    pub axes: Axes,
    output_width: Option<f64>,
    num_multiprocessors: Option<f64>,
    q_heads: f64,
    kv_heads: f64,
}

impl Physics {
    pub fn new(operation: Operation, context: &OperationContext) -> Self {
        Physics {
            axes: operation.axes(),
            output_width: context.output_width(operation),
            num_multiprocessors: context.num_multiprocessors.map(f64::from),
            q_heads: context.q_heads(),
            kv_heads: context.kv_heads(),
        }
    }

    /// Waves of `blocks`; 0 where the device is unknown.
    fn waves(&self, blocks: f64) -> f64 {
        self.num_multiprocessors.map_or(0.0, |count| libm::ceil(blocks / count))
    }

    /// Waves of a one-dimensional operation for every usual cut.
    pub fn token_waves(&self, tokens: f64) -> [f64; NUM_WAVES] {
        let blocks = |index: usize| match self.output_width {
            Some(width) => libm::ceil(tokens / TILES[index].0) * libm::ceil(width / TILES[index].1),
            None => tokens / ROWS_AT_ONCE[index],
        };
        std::array::from_fn(|index| if self.axes == Axes::Tokens { self.waves(blocks(index)) } else { 0.0 })
    }

    /// Waves of prompt attention with `rows` query rows a block, one block a head.
    pub fn chunk_waves(&self, chunk: f64, rows: f64) -> f64 {
        self.waves(libm::ceil(chunk / rows) * self.q_heads)
    }

    /// Waves of decode attention: a block a key head, half a block, a block a query head.
    pub fn decode_waves(&self, batch: f64) -> [f64; 3] {
        [batch * self.kv_heads, batch * self.kv_heads / 2.0, batch * self.q_heads].map(|blocks| self.waves(blocks))
    }

    fn terms(&self, [a, b]: [f64; 2]) -> [f64; MAX_TERMS] {
        let mut terms = [0.0; MAX_TERMS];
        terms[0] = 1.0;
        match self.axes {
            Axes::Tokens | Axes::BatchSize => {
                terms[1] = a;
                terms[2..2 + NUM_WAVES].copy_from_slice(&self.token_waves(a));
            }
            Axes::BatchAndCache => {
                let [groups, _, queries] = self.decode_waves(a);
                terms[1..8].copy_from_slice(&[a, b, a * b, groups * b, queries * b, groups, queries]);
            }
            Axes::CacheAndChunk => {
                let (pairs, last) = (a + b / 2.0, a + b);
                let (narrow, wide) = (self.chunk_waves(b, 64.0), self.chunk_waves(b, 128.0));
                terms[1..7].copy_from_slice(&[b, a, last, b * pairs, libm::ceil(b / 64.0), libm::ceil(last / 64.0)]);
                terms[7] = libm::ceil(b / 128.0) * pairs;
                terms[8..13].copy_from_slice(&[narrow * pairs, wide * pairs, narrow, wide, wide * last]);
            }
        }
        terms
    }
}

/// A fitted floor.
#[derive(Clone, Debug)]
pub(super) struct Floor {
    physics: Physics,
    coefficients: [f64; MAX_TERMS],
}

impl Floor {
    /// Fits the terms to the samples `(x, ms)`, minimising squared relative errors.
    pub fn fit(physics: Physics, samples: impl Iterator<Item = ([f64; 2], f64)>) -> Self {
        let mut rows: Vec<Vec<f64>> =
            samples.map(|(x, time)| physics.terms(x).iter().map(|term| term / time).collect()).collect();
        let size = |column: usize| libm::sqrt(rows.iter().map(|row| row[column] * row[column]).sum::<f64>());
        let scale: Vec<f64> = (0..MAX_TERMS).map(size).map(|size| if size > 0.0 { size } else { 1.0 }).collect();
        for row in &mut rows {
            row.iter_mut().zip(&scale).for_each(|(term, size)| *term /= size);
        }
        let solution = nonnegative::solve(&rows, &vec![1.0; rows.len()]);
        let coefficients = std::array::from_fn(|index| solution[index] / scale[index]);
        Floor { physics, coefficients }
    }

    /// Floor at `x`, ms; positive wherever a sample was.
    pub fn at(&self, x: [f64; 2]) -> f64 {
        self.physics.terms(x).iter().zip(&self.coefficients).map(|(term, value)| term * value).sum()
    }

    pub fn physics(&self) -> &Physics {
        &self.physics
    }
}

//! Coordinates in which near means alike: logarithms of sizes, and counts of tile and wave edges between.
//!
//! The time of 384 tokens says more about 376 than about 385, where a new tile begins. Counting edges as
//! distance, weighted as the samples themselves ask, lets one interpolation be smooth and stepped at once.

use super::Axes;
use super::floor::Physics;

/// Coordinates of one point; unused ones are 0.
pub(super) const NUM_COORDINATES: usize = 16;
pub(super) type Coordinates = [f32; NUM_COORDINATES];

/// Columns the trees may split on.
pub(super) const NUM_TREE_COLUMNS: usize = 7;

impl Physics {
    /// Where `x` lies for interpolation.
    pub fn coordinates(&self, [a, b]: [f64; 2]) -> Coordinates {
        let log = libm::log;
        let edges = |value: f64, tile: f64| libm::ceil(value / tile);
        let values: [f64; NUM_COORDINATES] = match self.axes {
            Axes::Tokens | Axes::BatchSize => {
                let mut values = [0.0; NUM_COORDINATES];
                values[0] = log(8.0 + a);
                values[1] = a / 256.0;
                for (value, tile) in values[2..8].iter_mut().zip([32.0, 64.0, 128.0, 192.0, 256.0, 512.0]) {
                    *value = edges(a, tile);
                }
                values[8..15].copy_from_slice(&self.token_waves(a));
                values
            }
            Axes::BatchAndCache => {
                let [groups, half_groups, queries] = self.decode_waves(a);
                let cache = [64.0, 128.0, 256.0, 512.0].map(|tile| edges(b, tile));
                let batch = [4.0, 8.0, 16.0, 32.0].map(|tile| edges(a, tile));
                let mut values = [0.0; NUM_COORDINATES];
                values[..5].copy_from_slice(&[
                    log(1.0 + a),
                    log(16.0 + b),
                    log(a * (b + 64.0)),
                    // Long caches are split over idle multiprocessors the more, the fewer sequences there are.
                    log((b + 1.0) / a),
                    edges(b, 64.0 * a),
                ]);
                values[5..9].copy_from_slice(&cache);
                values[9..13].copy_from_slice(&batch);
                values[13..].copy_from_slice(&[groups, half_groups, queries]);
                values
            }
            Axes::CacheAndChunk => {
                let last = a + b;
                [
                    log(16.0 + b),
                    log(64.0 + a),
                    log(b * (a + b / 2.0)),
                    log(last),
                    if a > 0.0 { 1.0 } else { 0.0 },
                    edges(b, 64.0),
                    edges(b, 128.0),
                    edges(b, 256.0),
                    edges(a, 64.0),
                    edges(a, 128.0),
                    edges(a, 256.0),
                    edges(last, 64.0),
                    edges(last, 128.0),
                    self.chunk_waves(b, 64.0),
                    self.chunk_waves(b, 128.0),
                    0.0,
                ]
            }
        };
        values.map(|value| value as f32)
    }

    /// Distance a unit of each coordinate is worth before the samples have their say.
    pub fn first_weights(&self) -> Coordinates {
        match self.axes {
            Axes::Tokens | Axes::BatchSize => {
                [0.3, 0.1, 0.02, 0.02, 0.1, 0.01, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.0]
            }
            Axes::BatchAndCache => {
                [0.3, 0.3, 0.1, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]
            }
            Axes::CacheAndChunk => {
                [0.3, 0.3, 0.1, 0.1, 0.1, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02, 0.0]
            }
        }
    }

    /// What the trees see of `x`; only two-dimensional operations have trees.
    pub fn tree_columns(&self, [a, b]: [f64; 2]) -> [f64; NUM_TREE_COLUMNS] {
        match self.axes {
            Axes::CacheAndChunk => {
                let last = a + b;
                let within = |value: f64| value - 128.0 * libm::floor(value / 128.0);
                [a, b, b * (a + b / 2.0), last, within(b), within(last), self.chunk_waves(b, 128.0)]
            }
            _ => {
                let [groups, _, queries] = self.decode_waves(a);
                [a, b, a * b, b / a, groups, queries, 0.0]
            }
        }
    }
}

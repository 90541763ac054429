//! Interpolation between measured points: ordinary kriging from the nearest of them, weights from the samples.
//!
//! The covariance of two points is `1 / (1 + distance)`, a mixture of exponentials over all scales, so it is
//! positive definite for a distance that is a weighted sum of coordinate differences (Rasmussen and Williams
//! 2006, "Gaussian Processes for Machine Learning", 4.2.1, the rational quadratic family).

use super::Axes;
use super::coordinates::{Coordinates, NUM_COORDINATES};
use super::floor::Physics;

/// Neighbours in two dimensions, and the most there can be.
const MAX_NEIGHBOURS: usize = 16;

/// Neighbours on one axis, half on each side.
const NEIGHBOURS_ON_A_LINE: usize = 8;

/// Points kept in view while weights are fitted.
const MAX_CANDIDATES: usize = 32;

/// With fewer points than this every one is looked at; above, only rows and columns nearby.
const SCAN_ALL: usize = 1000;

/// What is fitted: worth of each coordinate, and the variance of a measurement relative to the field's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights {
    pub coordinates: Coordinates,
    pub noise: f64,
}

/// One measured point: where, and log of its mean time over the floor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub x: [f64; 2],
    pub value: f64,
    pub num_samples: f64,
}

/// Points ready to be interpolated between.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Ascending by `x`.
    pub points: Vec<Point>,
    coordinates: Vec<Coordinates>,
    /// Spans of points with one first coordinate.
    rows: Vec<(f64, usize, usize)>,
    physics: Physics,
    /// The operation is a function of one size.
    pub is_line: bool,
}

impl Field {
    pub fn new(points: Vec<Point>, physics: &Physics) -> Self {
        let coordinates = points.iter().map(|point| physics.coordinates(point.x)).collect();
        let mut rows: Vec<(f64, usize, usize)> = Vec::new();
        for (index, point) in points.iter().enumerate() {
            match rows.last_mut() {
                Some(row) if row.0 == point.x[0] => row.2 = index + 1,
                _ => rows.push((point.x[0], index, index + 1)),
            }
        }
        let is_line = matches!(physics.axes, Axes::Tokens | Axes::BatchSize);
        Field { points, coordinates, rows, physics: physics.clone(), is_line }
    }

    /// Estimate at `x` from the points that `keep` lets stand.
    pub fn estimate(&self, x: [f64; 2], weights: &Weights, keep: impl Fn(usize) -> bool) -> f64 {
        let here = self.physics.coordinates(x);
        self.krige(&mut self.near(x, &here, weights, keep), weights)
    }

    /// Points that may matter to an estimate at point `at` under any weights not too far from `weights`.
    pub fn candidates(&self, at: usize, weights: &Weights, keep: impl Fn(usize) -> bool) -> Vec<u32> {
        let mut near = self.near(self.points[at].x, &self.coordinates[at], weights, keep);
        keep_nearest(&mut near, MAX_CANDIDATES);
        near.iter().map(|(_, index)| *index).collect()
    }

    /// Estimate at point `at` from its candidates.
    pub fn estimate_among(&self, at: usize, candidates: &[u32], weights: &Weights) -> f64 {
        let here = &self.coordinates[at];
        let place = |index: &u32| (distance(here, &self.coordinates[*index as usize], weights), *index);
        self.krige(&mut candidates.iter().map(place).collect(), weights)
    }

    /// Distances of the points around `x`.
    fn near(
        &self,
        x: [f64; 2],
        here: &Coordinates,
        weights: &Weights,
        keep: impl Fn(usize) -> bool,
    ) -> Vec<(f32, u32)> {
        let mut near: Vec<(f32, u32)> = Vec::with_capacity(64);
        let mut add = |index: usize| near.push((distance(here, &self.coordinates[index], weights), index as u32));
        if self.is_line {
            let at = self.points.partition_point(|point| point.x[0] < x[0]);
            let half = NEIGHBOURS_ON_A_LINE / 2;
            (at..self.points.len()).filter(|index| keep(*index)).take(half).for_each(&mut add);
            (0..at).rev().filter(|index| keep(*index)).take(half).for_each(&mut add);
        } else if self.points.len() < SCAN_ALL {
            (0..self.points.len()).filter(|index| keep(*index)).for_each(add);
        } else {
            self.visit_window(x, &keep, add);
        }
        near
    }

    /// The nearest points of the nearest rows: three below and four at or above, three on each side in each.
    fn visit_window(&self, x: [f64; 2], keep: &impl Fn(usize) -> bool, mut add: impl FnMut(usize)) {
        let mut visit = |row: &(f64, usize, usize)| {
            let at = row.1 + self.points[row.1..row.2].partition_point(|point| point.x[1] < x[1]);
            let mut any = false;
            let mut take = |index: usize| {
                any = true;
                add(index);
            };
            (at..row.2).filter(|index| keep(*index)).take(3).for_each(&mut take);
            (row.1..at).rev().filter(|index| keep(*index)).take(3).for_each(&mut take);
            any
        };
        let at = self.rows.partition_point(|row| row.0 < x[0]);
        self.rows[at..].iter().filter(|row| visit(row)).take(4).for_each(drop);
        self.rows[..at].iter().rev().filter(|row| visit(row)).take(3).for_each(drop);
    }

    /// Best linear unbiased estimate with an unknown mean, from the nearest of `near`.
    fn krige(&self, near: &mut Vec<(f32, u32)>, weights: &Weights) -> f64 {
        keep_nearest(near, MAX_NEIGHBOURS);
        match near.len() {
            0 => 0.0,
            1..=NEIGHBOURS_ON_A_LINE => self.solve::<NEIGHBOURS_ON_A_LINE>(near, weights),
            _ => self.solve::<MAX_NEIGHBOURS>(near, weights),
        }
    }

    fn solve<const N: usize>(&self, near: &[(f32, u32)], weights: &Weights) -> f64 {
        let count = near.len();
        let mut matrix = [[0.0f64; N]; N];
        for i in 0..count {
            let here = &self.coordinates[near[i].1 as usize];
            for j in 0..i {
                matrix[i][j] = covariance(distance(here, &self.coordinates[near[j].1 as usize], weights));
            }
            matrix[i][i] = 1.0 + weights.noise / self.points[near[i].1 as usize].num_samples;
        }
        cholesky(&mut matrix, count);
        // Both right sides at once: covariances with the place asked for, and ones.
        let mut right = [[0.0, 1.0]; N];
        for i in 0..count {
            right[i][0] = covariance(near[i].0);
        }
        substitute(&matrix, &mut right, count);
        let sum = |side: usize| right[..count].iter().map(|pair| pair[side]).sum::<f64>();
        let missing = (1.0 - sum(0)) / sum(1);
        let share = |pair: &[f64; 2]| pair[0] + missing * pair[1];
        near.iter().zip(&right).map(|((_, index), pair)| share(pair) * self.points[*index as usize].value).sum()
    }
}

fn keep_nearest(near: &mut Vec<(f32, u32)>, count: usize) {
    if near.len() > count {
        near.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near.truncate(count);
        // The order of summation must not depend on how the selection was made.
        near.sort_unstable_by_key(|(_, index)| *index);
    }
}

/// Weighted sum of differences, in four lanes whose order of addition is fixed.
fn distance(a: &Coordinates, b: &Coordinates, weights: &Weights) -> f32 {
    let mut lanes = [0.0f32; 4];
    for start in (0..NUM_COORDINATES).step_by(4) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            let index = start + lane;
            *sum += (a[index] - b[index]).abs() * weights.coordinates[index];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

fn covariance(distance: f32) -> f64 {
    1.0 / (1.0 + f64::from(distance))
}

/// Lower factor in place; the diagonal holds reciprocals, so that nothing later divides.
fn cholesky<const N: usize>(matrix: &mut [[f64; N]; N], count: usize) {
    for i in 0..count {
        for j in 0..=i {
            let known: f64 = matrix[i][..j].iter().zip(&matrix[j][..j]).map(|(a, b)| a * b).sum();
            let value = matrix[i][j] - known;
            // The square root of a float is exact to the last bit on every machine.
            matrix[i][j] = if i == j { 1.0 / value.max(1e-12).sqrt() } else { value * matrix[j][j] };
        }
    }
}

fn substitute<const N: usize>(factor: &[[f64; N]; N], right: &mut [[f64; 2]; N], count: usize) {
    for i in 0..count {
        for k in 0..i {
            let (known, weight) = (right[k], factor[i][k]);
            right[i][0] -= weight * known[0];
            right[i][1] -= weight * known[1];
        }
        right[i] = right[i].map(|value| value * factor[i][i]);
    }
    for i in (0..count).rev() {
        right[i] = right[i].map(|value| value * factor[i][i]);
        let known = right[i];
        for k in 0..i {
            right[k][0] -= factor[i][k] * known[0];
            right[k][1] -= factor[i][k] * known[1];
        }
    }
}

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
    is_line: bool,
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
        let mut near: Vec<(f32, usize)> = Vec::with_capacity(64);
        let mut add = |index: usize| near.push((distance(&here, &self.coordinates[index], weights), index));
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
        if near.len() > MAX_NEIGHBOURS {
            near.select_nth_unstable_by(MAX_NEIGHBOURS - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near.truncate(MAX_NEIGHBOURS);
        }
        self.krige(&near, weights)
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

    /// Best linear unbiased estimate with an unknown mean.
    fn krige(&self, near: &[(f32, usize)], weights: &Weights) -> f64 {
        const N: usize = MAX_NEIGHBOURS;
        let count = near.len();
        if count == 0 {
            return 0.0;
        }
        let mut matrix = [[0.0f64; N]; N];
        for i in 0..count {
            for j in 0..i {
                let between = distance(&self.coordinates[near[i].1], &self.coordinates[near[j].1], weights);
                matrix[i][j] = covariance(between);
            }
            matrix[i][i] = 1.0 + weights.noise / self.points[near[i].1].num_samples;
        }
        cholesky(&mut matrix, count);
        let mut share = [0.0; N];
        let mut ones = [0.0; N];
        for i in 0..count {
            share[i] = covariance(near[i].0);
            ones[i] = 1.0;
        }
        substitute(&matrix, &mut share, count);
        substitute(&matrix, &mut ones, count);
        let missing = (1.0 - share[..count].iter().sum::<f64>()) / ones[..count].iter().sum::<f64>();
        (0..count).map(|i| (share[i] + missing * ones[i]) * self.points[near[i].1].value).sum()
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

fn cholesky<const N: usize>(matrix: &mut [[f64; N]; N], count: usize) {
    for j in 0..count {
        for i in j..count {
            let mut value = matrix[i][j];
            for k in 0..j {
                value -= matrix[i][k] * matrix[j][k];
            }
            matrix[i][j] = if i == j { libm::sqrt(value.max(1e-12)) } else { value / matrix[j][j] };
        }
    }
}

fn substitute<const N: usize>(factor: &[[f64; N]; N], right: &mut [f64; N], count: usize) {
    for i in 0..count {
        for k in 0..i {
            right[i] -= factor[i][k] * right[k];
        }
        right[i] /= factor[i][i];
    }
    for i in (0..count).rev() {
        for k in i + 1..count {
            right[i] -= factor[k][i] * right[k];
        }
        right[i] /= factor[i][i];
    }
}

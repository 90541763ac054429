//! Our predictor of one operation: log of time over a physical floor, interpolated, and tabulated once.
//!
//! One-dimensional operations are kriged; the two attention operations blend that with boosted trees, in the
//! share that did best on samples left out of both. The result is kept as a table of times on a grid fine
//! enough to hold every measured point and the usual tile edges, so a query is two searches and a blend.

use super::coordinates::NUM_TREE_COLUMNS;
use super::floor::{Floor, Physics};
use super::grid::{Grid, axis};
use super::kriging::{Field, Point, Weights};
use super::trees::Trees;
use super::tuning::{relative_error, tune};
use super::{Axes, Operation, OperationContext, Sample};

/// With fewer points trees have nothing to learn from.
const FEWEST_FOR_TREES: usize = 100;

/// Shares of the trees that are tried.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// A fitted predictor.
#[derive(Clone, Debug)]
pub struct Predictor {
    operation: Operation,
    floor: Floor,
    grid: Grid,
    limits: Limits,
    tree_share: f64,
}

impl Predictor {
    /// Fits the samples of `operation`. Everything that is chosen is chosen by leaving samples out, nothing
    /// by chance: the same samples in any order give the same predictor.
    ///
    /// # Panics
    /// Without samples, or with a time that is not positive and finite: reading a profile refuses both.
    pub fn fit(operation: Operation, samples: &[Sample], context: &OperationContext) -> Self {
        assert!(!samples.is_empty(), "{} has no samples to fit", operation.name());
        assert!(samples.iter().all(|sample| sample.time > 0.0 && sample.time.is_finite()), "times are positive");
        let physics = Physics::new(operation, context);
        let mut sorted: Vec<&Sample> = samples.iter().collect();
        let place = |sample: &Sample| (sample.x[0], sample.x[1], sample.time);
        sorted.sort_by(|a, b| {
            let ((a0, a1, a2), (b0, b1, b2)) = (place(a), place(b));
            a0.total_cmp(&b0).then(a1.total_cmp(&b1)).then(a2.total_cmp(&b2))
        });
        let floor = Floor::fit(physics, sorted.iter().map(|sample| (sample.x, sample.time)));
        let field = Field::new(points(&sorted, &floor), floor.physics());
        let first = Weights { coordinates: floor.physics().first_weights(), noise: 0.005 };
        let weights = tune(&field, first);
        let (trees, tree_share) = blend(&field, &weights, floor.physics());
        let limits = Limits::new(&field.points, floor.physics().axes);
        let grid = tabulate(&field, &weights, trees.as_ref().map(|trees| (trees, tree_share)), &floor);
        Predictor { operation, floor, grid, limits, tree_share }
    }

    /// Predicted time, ms, of `[tokens, 0]`, `[batch size, 0]`, `[cached tokens, chunk]` or
    /// `[batch size, cached tokens]`, as [`Operation::axes`] says. Below the smallest measured size it is the
    /// time of that; beyond the largest the floor goes on, times what the edge took over it.
    pub fn predict(&self, x: [u32; 2]) -> f64 {
        self.predict_at([f64::from(x[0]), f64::from(x[1])])
    }

    /// As [`Predictor::predict`], for sizes that are no whole numbers, as collectives measured in bytes have.
    pub fn predict_at(&self, x: [f64; 2]) -> f64 {
        let inside = self.grid.clamp(x);
        let time = self.grid.at(inside);
        let beyond = [x[0].max(inside[0]), x[1].max(inside[1])];
        if beyond == inside { time } else { time * (self.floor.at(beyond) / self.floor.at(inside)).max(1.0) }
    }

    /// `x` lies within what was measured; elsewhere [`Predictor::predict`] extrapolates.
    pub fn covers(&self, x: [u32; 2]) -> bool {
        self.limits.cover([f64::from(x[0]), f64::from(x[1])])
    }

    /// What it predicts.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Share of the trees in the blend, 0 to 1.
    pub fn tree_share(&self) -> f64 {
        self.tree_share
    }

    /// Bytes the table holds, most of the predictor's size.
    pub fn table_bytes(&self) -> usize {
        self.grid.bytes()
    }
}

/// One point a place: mean of the logs of its times over the floor.
fn points(sorted: &[&Sample], floor: &Floor) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for sample in sorted {
        let value = libm::log(sample.time / floor.at(sample.x));
        match points.last_mut() {
            Some(point) if point.x == sample.x => {
                point.num_samples += 1.0;
                point.value += (value - point.value) / point.num_samples;
            }
            _ => points.push(Point { x: sample.x, value, num_samples: 1.0 }),
        }
    }
    points
}

/// Trees on all points, and the share that did best on points left out: every seventh, and three gaps.
fn blend(field: &Field, weights: &Weights, physics: &Physics) -> (Option<Trees>, f64) {
    let num_points = field.points.len();
    if matches!(physics.axes, Axes::Tokens | Axes::BatchSize) || num_points < FEWEST_FOR_TREES {
        return (None, 0.0);
    }
    let in_gap = |index: usize| (index * 25 / num_points) % 8 == 5;
    let is_left_out = |index: usize| index % 7 == 3 || in_gap(index);
    let columns: Vec<[f64; NUM_TREE_COLUMNS]> =
        field.points.iter().map(|point| physics.tree_columns(point.x)).collect();
    let fit = |keep: &dyn Fn(usize) -> bool| {
        let kept: Vec<usize> = (0..num_points).filter(|index| keep(*index)).collect();
        let rows: Vec<_> = kept.iter().map(|index| columns[*index]).collect();
        let values: Vec<f64> = kept.iter().map(|index| field.points[*index].value).collect();
        let counts: Vec<f64> = kept.iter().map(|index| field.points[*index].num_samples).collect();
        Trees::fit(&rows, &values, &counts)
    };
    let trial = fit(&|index| !is_left_out(index));
    // Summed relative errors of each share, of single points and of points in gaps.
    let mut errors = [[0.0; 2]; SHARES.len()];
    for index in (0..num_points).filter(|index| is_left_out(*index)) {
        let point = &field.points[index];
        let kriged = field.estimate(point.x, weights, |other| !is_left_out(other));
        let grown = trial.predict(&columns[index]);
        for (error, share) in errors.iter_mut().zip(SHARES) {
            error[usize::from(in_gap(index))] += relative_error(kriged + share * (grown - kriged), point.value);
        }
    }
    let lowest = [0, 1].map(|kind| errors.iter().map(|error| error[kind]).fold(f64::MAX, f64::min).max(1e-9));
    let score = |error: &[f64; 2]| error[0] / lowest[0] + error[1] / lowest[1];
    let best = (0..SHARES.len()).min_by(|a, b| score(&errors[*a]).total_cmp(&score(&errors[*b])));
    match SHARES[best.unwrap_or(0)] {
        0.0 => (None, 0.0),
        share => (Some(fit(&|_| true)), share),
    }
}

/// Times on the grid. At a measured point the measurement speaks, smoothed by its own noise alone.
fn tabulate(field: &Field, weights: &Weights, trees: Option<(&Trees, f64)>, floor: &Floor) -> Grid {
    let physics = floor.physics();
    let line = matches!(physics.axes, Axes::Tokens | Axes::BatchSize);
    let first: Vec<f64> = field.points.iter().map(|point| point.x[0]).collect();
    let second: Vec<f64> = field.points.iter().map(|point| point.x[1]).collect();
    let axes = match physics.axes {
        Axes::Tokens | Axes::BatchSize => [axis(first, 512.0, 8.0), vec![0.0]],
        Axes::BatchAndCache => [axis(first, 256.0, 8.0), axis(second, 0.0, 64.0)],
        Axes::CacheAndChunk => [axis(first, 0.0, 64.0), axis(second, 0.0, 32.0)],
    };
    let measured = |x: [f64; 2]| {
        let order = |point: &Point| point.x[0].total_cmp(&x[0]).then(point.x[1].total_cmp(&x[1]));
        field.points.binary_search_by(order).is_ok()
    };
    Grid::new(axes, |x| {
        let mut value = field.estimate(x, weights, |_| true);
        if let (false, Some((trees, share))) = (line || measured(x), trees) {
            value += share * (trees.predict(&physics.tree_columns(x)) - value);
        }
        libm::exp(value) * floor.at(x)
    })
}

/// The measured region: points that have a measured one at or above them in both sizes, and one at or below.
#[derive(Clone, Debug)]
struct Limits {
    /// First sizes, ascending; lowest second size up to each; highest second size from each on.
    rows: Vec<(f64, f64, f64)>,
    is_line: bool,
}

impl Limits {
    fn new(points: &[Point], axes: Axes) -> Self {
        let mut rows: Vec<(f64, f64, f64)> = Vec::new();
        for Point { x, .. } in points {
            match rows.last_mut() {
                Some(row) if row.0 == x[0] => (row.1, row.2) = (row.1.min(x[1]), row.2.max(x[1])),
                _ => rows.push((x[0], x[1], x[1])),
            }
        }
        for index in 1..rows.len() {
            rows[index].1 = rows[index].1.min(rows[index - 1].1);
        }
        for index in (1..rows.len()).rev() {
            rows[index - 1].2 = rows[index - 1].2.max(rows[index].2);
        }
        Limits { rows, is_line: matches!(axes, Axes::Tokens | Axes::BatchSize) }
    }

    fn cover(&self, x: [f64; 2]) -> bool {
        let at_or_above = self.rows.partition_point(|row| row.0 < x[0]);
        let above = self.rows.partition_point(|row| row.0 <= x[0]);
        let (Some(upper), Some(lower)) = (self.rows.get(at_or_above), above.checked_sub(1)) else {
            return false;
        };
        self.is_line || (self.rows[lower].1 <= x[1] && x[1] <= upper.2)
    }
}

//! Gradient-boosted regression trees on binned columns: they find steps that nobody put into the floor.
//!
//! Squared error, shrinkage and histograms as in Friedman 2001, "Greedy function approximation", and
//! Ke et al. 2017, "LightGBM"; ties go to the first column and the lowest cut, so the fit is deterministic.

use super::coordinates::NUM_TREE_COLUMNS as WIDTH;

const NUM_ROUNDS: usize = 150;
const RATE: f64 = 0.12;
const MAX_DEPTH: usize = 6;
const MIN_WEIGHT: f64 = 2.0;
const SHRINK: f64 = 0.5;
const MAX_BINS: usize = 128;

#[derive(Clone, Debug)]
enum Node {
    Leaf(f64),
    /// Values up to the cut go to `child`, others to the node after it.
    Split {
        column: usize,
        cut: f64,
        child: usize,
    },
}

/// A fitted ensemble.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    base: f64,
    trees: Vec<Vec<Node>>,
}

/// Weight and weighted sum of what falls into one bin.
type Histogram = [[(f64, f64); MAX_BINS]; WIDTH];

struct Builder<'a> {
    bins: &'a [[u8; WIDTH]],
    cuts: &'a [Vec<f64>; WIDTH],
    weights: &'a [f64],
    residuals: Vec<f64>,
}

/// A node still to be split: its index, its span of row numbers, its depth.
struct Open {
    node: usize,
    begin: usize,
    end: usize,
    depth: usize,
    /// Absent where the depth allows no split.
    histogram: Option<Box<Histogram>>,
}

impl Trees {
    /// Fits `values` at `rows`, weighted.
    pub fn fit(rows: &[[f64; WIDTH]], values: &[f64], weights: &[f64]) -> Self {
        let cuts: [Vec<f64>; WIDTH] = std::array::from_fn(|column| cuts_of(rows, column));
        let bin = |row: &[f64; WIDTH]| -> [u8; WIDTH] {
            std::array::from_fn(|column| cuts[column].partition_point(|cut| *cut < row[column]) as u8)
        };
        let bins: Vec<[u8; WIDTH]> = rows.iter().map(bin).collect();
        let total: f64 = weights.iter().sum();
        let base = values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total;
        let residuals = values.iter().map(|value| value - base).collect();
        let mut builder = Builder { bins: &bins, cuts: &cuts, weights, residuals };
        let trees = (0..NUM_ROUNDS).map(|_| builder.grow()).collect();
        Trees { base, trees }
    }

    /// The ensemble's value at `row`.
    pub fn predict(&self, row: &[f64; WIDTH]) -> f64 {
        let leaf = |tree: &Vec<Node>| {
            let mut at = 0;
            loop {
                match &tree[at] {
                    Node::Leaf(value) => return *value,
                    Node::Split { column, cut, child } => at = child + usize::from(row[*column] > *cut),
                }
            }
        };
        self.base + self.trees.iter().map(leaf).sum::<f64>()
    }
}

/// Cuts midway between distinct values, thinned to as many as there are bins.
fn cuts_of(rows: &[[f64; WIDTH]], column: usize) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    let middle = |index: usize| 0.5 * (values[index - 1] + values[index]);
    match values.len() {
        count if count <= MAX_BINS => (1..count).map(middle).collect(),
        count => (1..MAX_BINS).map(|bin| middle(bin * count / MAX_BINS)).collect(),
    }
}

impl Builder<'_> {
    /// Grows one tree on the residuals and takes it from them.
    fn grow(&mut self) -> Vec<Node> {
        let mut order: Vec<u32> = (0..self.bins.len() as u32).collect();
        let mut nodes = vec![Node::Leaf(0.0)];
        let histogram = Some(self.histogram(&order));
        let mut open = vec![Open { node: 0, begin: 0, end: order.len(), depth: 0, histogram }];
        let mut right = Vec::new();
        while let Some(parent) = open.pop() {
            let span = &mut order[parent.begin..parent.end];
            let total = self.total(span);
            let found = parent.histogram.and_then(|histogram| Some((self.best_split(&histogram, total)?, histogram)));
            let Some(((column, bin), mut histogram)) = found else {
                let value = RATE * total.1 / (total.0 + SHRINK);
                nodes[parent.node] = Node::Leaf(value);
                span.iter().for_each(|row| self.residuals[*row as usize] -= value);
                continue;
            };
            let left = partition(span, &mut right, |row| usize::from(self.bins[row as usize][column]) <= bin);
            let depth = parent.depth + 1;
            let (mut of_left, mut of_right) = (None, None);
            if depth < MAX_DEPTH {
                let is_left_smaller = 2 * left < span.len();
                let smaller = self.histogram(if is_left_smaller { &span[..left] } else { &span[left..] });
                subtract(&mut histogram, &smaller);
                (of_left, of_right) = (Some(smaller), Some(histogram));
                if !is_left_smaller {
                    std::mem::swap(&mut of_left, &mut of_right);
                }
            }
            let (child, middle) = (nodes.len(), parent.begin + left);
            nodes[parent.node] = Node::Split { column, cut: self.cuts[column][bin], child };
            nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
            open.push(Open { node: child, begin: parent.begin, end: middle, depth, histogram: of_left });
            open.push(Open { node: child + 1, begin: middle, end: parent.end, depth, histogram: of_right });
        }
        nodes
    }

    fn total(&self, rows: &[u32]) -> (f64, f64) {
        rows.iter().fold((0.0, 0.0), |sum, row| {
            let weight = self.weights[*row as usize];
            (sum.0 + weight, sum.1 + weight * self.residuals[*row as usize])
        })
    }

    fn histogram(&self, rows: &[u32]) -> Box<Histogram> {
        let mut histogram = Box::new([[(0.0, 0.0); MAX_BINS]; WIDTH]);
        for row in rows {
            let row = *row as usize;
            let (weight, sum) = (self.weights[row], self.weights[row] * self.residuals[row]);
            for (column, bin) in self.bins[row].iter().enumerate() {
                let cell = &mut histogram[column][usize::from(*bin)];
                cell.0 += weight;
                cell.1 += sum;
            }
        }
        histogram
    }

    /// The column and bin after which to split, by the largest fall of squared error.
    fn best_split(&self, histogram: &Histogram, (weight, sum): (f64, f64)) -> Option<(usize, usize)> {
        let gain = |weight: f64, sum: f64| sum * sum / (weight + SHRINK);
        let mut best = (gain(weight, sum) + 1e-12, None);
        for (column, bins) in histogram.iter().enumerate() {
            let (mut left_weight, mut left_sum) = (0.0, 0.0);
            for (bin, cell) in bins[..self.cuts[column].len()].iter().enumerate() {
                // Weights are counts, so what subtraction leaves of an empty bin is exactly nothing.
                if cell.0 == 0.0 {
                    continue;
                }
                left_weight += cell.0;
                left_sum += cell.1;
                if left_weight < MIN_WEIGHT {
                    continue;
                }
                if weight - left_weight < MIN_WEIGHT {
                    break;
                }
                let found = gain(left_weight, left_sum) + gain(weight - left_weight, sum - left_sum);
                if found > best.0 {
                    best = (found, Some((column, bin)));
                }
            }
        }
        best.1
    }
}

/// Puts rows that pass first, keeping the order in both parts; how many passed.
fn partition(span: &mut [u32], right: &mut Vec<u32>, passes: impl Fn(u32) -> bool) -> usize {
    right.clear();
    let mut left = 0;
    for index in 0..span.len() {
        let row = span[index];
        if passes(row) {
            span[left] = row;
            left += 1;
        } else {
            right.push(row);
        }
    }
    span[left..].copy_from_slice(right);
    left
}

fn subtract(from: &mut Histogram, part: &Histogram) {
    for (bins, others) in from.iter_mut().zip(part) {
        for (cell, other) in bins.iter_mut().zip(others) {
            cell.0 -= other.0;
            cell.1 -= other.1;
        }
    }
}

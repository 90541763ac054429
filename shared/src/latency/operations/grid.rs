//! A table of times on a rectangular grid, read by linear interpolation.

/// Above this size an axis gets four times coarser, so that long contexts do not fill memory.
const FINE_UP_TO: f64 = 4096.0;

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    axes: [Axis; 2],
    /// Row by row of the first axis, ms.
    times: Vec<f32>,
}

impl Grid {
    /// Computes every node.
    pub fn new(axes: [Vec<f64>; 2], time: impl Fn([f64; 2]) -> f64) -> Self {
        let second = &axes[1];
        let times = axes[0].iter().flat_map(|a| second.iter().map(|b| time([*a, *b]) as f32)).collect();
        Grid { axes: axes.map(Axis::new), times }
    }

    /// The nearest place on the grid.
    pub fn clamp(&self, x: [f64; 2]) -> [f64; 2] {
        let clamp = |axis: &Axis, value: f64| value.clamp(axis.nodes[0], axis.nodes[axis.nodes.len() - 1]);
        [clamp(&self.axes[0], x[0]), clamp(&self.axes[1], x[1])]
    }

    /// Time at a place on the grid, ms.
    pub fn at(&self, x: [f64; 2]) -> f64 {
        let (i, u) = self.axes[0].locate(x[0]);
        let (j, v) = self.axes[1].locate(x[1]);
        let width = self.axes[1].nodes.len();
        let along = |row: usize| {
            let at = row * width + j;
            let time = f64::from(self.times[at]);
            if v > 0.0 { time + v * (f64::from(self.times[at + 1]) - time) } else { time }
        };
        let time = along(i);
        if u > 0.0 { time + u * (along(i + 1) - time) } else { time }
    }

    pub fn bytes(&self) -> usize {
        4 * self.times.len() + self.axes.iter().map(|axis| 8 * axis.nodes.len() + 4 * axis.first.len()).sum::<usize>()
    }
}

/// Nodes, and for every 1/8192 of their span the node at or below its begin, so that finding a node is
/// a look and a few steps instead of a search.
#[derive(Clone, Debug)]
struct Axis {
    nodes: Vec<f64>,
    first: Vec<u32>,
    per_unit: f64,
}

impl Axis {
    fn new(nodes: Vec<f64>) -> Self {
        let span = nodes[nodes.len() - 1] - nodes[0];
        let count = libm::ceil(span).clamp(1.0, 8192.0);
        let per_unit = if span > 0.0 { count / span } else { 0.0 };
        let first = (0..count as usize + 1)
            .map(|part| {
                let begin = if per_unit > 0.0 { nodes[0] + part as f64 / per_unit } else { nodes[0] };
                // One node early, as rounding may put a value into the part before its own.
                nodes.partition_point(|node| *node <= begin).saturating_sub(2) as u32
            })
            .collect();
        Axis { nodes, first, per_unit }
    }

    /// The node at or below `value`, and how far it is to the next, from 0 to below 1.
    fn locate(&self, value: f64) -> (usize, f64) {
        let mut below = self.first[((value - self.nodes[0]) * self.per_unit) as usize] as usize;
        while self.nodes.get(below + 1).is_some_and(|next| *next <= value) {
            below += 1;
        }
        match self.nodes.get(below + 1) {
            Some(next) => (below, (value - self.nodes[below]) / (next - self.nodes[below])),
            None => (below, 0.0),
        }
    }
}

/// Nodes of an axis: the measured values, every whole number up to `dense`, multiples of `step` above, and
/// where lines of tiles are queried (`dense > 0`) the first size of each tile of 64.
pub(super) fn axis(mut measured: Vec<f64>, dense: f64, step: f64) -> Vec<f64> {
    let lowest = measured.iter().copied().fold(f64::MAX, f64::min);
    let highest = measured.iter().copied().fold(0.0, f64::max);
    let (mut node, mut added) = (libm::ceil(lowest), Vec::new());
    while node < highest {
        added.push(node);
        if dense > 0.0 && node > dense && node == 64.0 * libm::floor(node / 64.0) {
            added.push(node + 1.0);
        }
        let step = if node >= FINE_UP_TO { 4.0 * step } else { step };
        node = if node < dense { node + 1.0 } else { step * (libm::floor(node / step) + 1.0) };
    }
    measured.extend(added.into_iter().filter(|node| *node < highest));
    measured.sort_unstable_by(f64::total_cmp);
    measured.dedup();
    measured
}

//! Real against simulated, thinned to what a screen can show.

use crate::explore::Explorer;
use crate::explore::answers::Scatter;
use crate::explore::questions::Selection;
use crate::explore::sides::rel_error;
use crate::metrics::Metric;

/// The finest grid has two to the power of this cells a side.
const FINEST: u32 = 12;
/// One point in so many is kept for being among the worst.
const WORST_SHARE: usize = 8;

/// One request.
#[derive(Clone, Copy)]
struct Point {
    id: u32,
    real: u64,
    sim: u64,
}

impl Explorer {
    /// A point a compared request, in order of arrival: all of them, or `max_points` at most. Then one is kept of each
    /// cell of a grid that is even in logarithms, as fine as fits, and of each extreme and the worst themselves.
    /// Empty for a metric without one value a request.
    pub fn scatter(&self, metric: Metric, selection: &Selection, max_points: usize) -> Scatter {
        let rows = &self.real().requests;
        let chosen = self.pairs.iter().filter(|index| selection.holds(&rows[**index as usize]));
        let point = |index: &u32| {
            let (real, sim) = self.sides(*index as usize).value(metric);
            Some(Point { id: rows[*index as usize].request_id, real: real?, sim: sim? })
        };
        let points: Vec<Point> = chosen.filter_map(point).collect();
        let kept = thin(&points, max_points);
        Scatter {
            num_requests: points.len(),
            ids: kept.iter().map(|point| point.id).collect(),
            real_ns: kept.iter().map(|point| point.real).collect(),
            sim_ns: kept.iter().map(|point| point.sim).collect(),
        }
    }
}

impl Scatter {
    /// (simulated - real) / real of the point at a place; `None` where the real time is zero.
    pub fn rel_error(&self, place: usize) -> Option<f64> {
        rel_error(*self.real_ns.get(place)?, *self.sim_ns.get(place)?)
    }

    /// Places of the points, the largest relative error first, equal ones as they are; those without one last.
    pub fn by_error(&self) -> Vec<usize> {
        let size = |place: usize| self.rel_error(place).map_or(-1.0, f64::abs);
        let mut keys: Vec<(f64, usize)> = (0..self.ids.len()).map(|place| (size(place), place)).collect();
        crate::order::sort_by(&mut keys, |a, b| b.0.total_cmp(&a.0));
        keys.into_iter().map(|(_, place)| place).collect()
    }
}

fn thin(points: &[Point], max_points: usize) -> Vec<Point> {
    if points.len() <= max_points {
        return points.to_vec();
    }
    let mut is_kept = vec![false; points.len()];
    let mut left = max_points;
    let mut keep = |place: usize| {
        if left > 0 && !std::mem::replace(&mut is_kept[place], true) {
            left -= 1;
        }
    };
    extremes(points).into_iter().for_each(&mut keep);
    worst(points, max_points / WORST_SHARE).into_iter().for_each(&mut keep);
    one_a_cell(points, left).into_iter().for_each(|place| is_kept[place] = true);
    points.iter().zip(is_kept).filter(|(_, is_kept)| *is_kept).map(|(point, _)| *point).collect()
}

/// Places of the smallest and the largest on both axes.
fn extremes(points: &[Point]) -> Vec<usize> {
    let places = || 0..points.len();
    let axes: [fn(&Point) -> u64; 2] = [|point| point.real, |point| point.sim];
    let of = |axis: fn(&Point) -> u64| {
        [places().min_by_key(|place| axis(&points[*place])), places().max_by_key(|place| axis(&points[*place]))]
    };
    axes.into_iter().flat_map(of).flatten().collect()
}

/// Places of the `count` points that are farthest from the diagonal, in ratio; of equal ones the earlier.
fn worst(points: &[Point], count: usize) -> Vec<usize> {
    let far = |point: &Point| {
        let (real, sim) = (point.real.max(1), point.sim.max(1));
        let ratio = if real > sim { real as f64 / sim as f64 } else { sim as f64 / real as f64 };
        std::cmp::Reverse(ratio.to_bits())
    };
    let mut keys: Vec<_> = points.iter().enumerate().map(|(place, point)| (far(point), place)).collect();
    if count > 0 && count < keys.len() {
        keys.select_nth_unstable(count - 1);
        keys.truncate(count);
    }
    if count == 0 { Vec::new() } else { keys.into_iter().map(|(_, place)| place).collect() }
}

/// Places of the first point of each occupied cell, of the finest grid that has at most `most` such.
fn one_a_cell(points: &[Point], most: usize) -> Vec<usize> {
    let (x, y) = (cells(points.iter().map(|point| point.real)), cells(points.iter().map(|point| point.sim)));
    // A cell's number has the bits of both axes in turn: that of the coarser cell around it is its beginning.
    let mut numbered: Vec<(u32, usize)> =
        x.iter().zip(&y).enumerate().map(|(place, (x, y))| (interleave(*x) << 1 | interleave(*y), place)).collect();
    crate::order::sort_by_key(&mut numbered, |one| one.0);
    // For each depth, how many neighbours first part there.
    let mut parted = [0usize; FINEST as usize + 1];
    let depth_of = |a: u32, b: u32| match a ^ b {
        0 => None,
        differ => Some((FINEST - (31 - differ.leading_zeros()) / 2) as usize),
    };
    for pair in numbered.windows(2) {
        if let Some(depth) = depth_of(pair[0].0, pair[1].0) {
            parted[depth] += 1;
        }
    }
    let mut num_cells = 1;
    let mut depth = 0;
    while depth < FINEST && num_cells + parted[depth as usize + 1] <= most {
        depth += 1;
        num_cells += parted[depth as usize];
    }
    if most == 0 {
        return Vec::new();
    }
    let coarse = |number: u32| number >> (2 * (FINEST - depth));
    numbered.dedup_by_key(|(number, _)| coarse(*number));
    numbered.into_iter().map(|(_, place)| place).collect()
}

/// Places of values on an axis that is even in logarithms, `0..1 << FINEST`.
fn cells(values: impl Iterator<Item = u64>) -> Vec<u32> {
    let logs: Vec<f64> = values.map(|value| libm::log2(value.max(1) as f64)).collect();
    let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logs.iter().copied().fold(0.0, f64::max);
    let scale = f64::from(1u32 << FINEST) / (high - low).max(1e-9);
    logs.iter().map(|log| (((log - low) * scale) as u32).min((1 << FINEST) - 1)).collect()
}

/// Puts a zero before each of the lowest sixteen bits.
fn interleave(bits: u32) -> u32 {
    let mut bits = bits & 0xffff;
    for (shift, mask) in [(8, 0x00ff_00ff), (4, 0x0f0f_0f0f), (2, 0x3333_3333), (1, 0x5555_5555)] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn cloud(count: u32) -> Vec<Point> {
        let mut stream = Stream::new(3, "cloud");
        let point = |id| {
            let real = 1e8 * libm::exp(stream.normal());
            Point { id, real: real as u64, sim: (real * libm::exp(0.1 * stream.normal())) as u64 }
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn thinning_keeps_extremes_the_worst_and_the_shape() {
        let mut points = cloud(50_000);
        points[777].sim = points[777].real * 40;
        let kept = thin(&points, 2_000);
        assert!((1_000..=2_000).contains(&kept.len()), "{}", kept.len());
        let has = |id: u32| kept.iter().any(|point| point.id == id);
        assert!(has(777), "the worst");
        for place in extremes(&points) {
            assert!(has(points[place].id));
        }
        // Few cells, of which the extremes are not the first.
        let few = thin(&points, 16);
        assert!(extremes(&points).iter().all(|place| few.iter().any(|point| point.id == points[*place].id)));
        assert!(kept.windows(2).all(|pair| pair[0].id < pair[1].id), "in the order they came");
        // Every point has a kept one near it.
        let far = points.iter().step_by(97).map(|point| {
            let ratio = |a: u64, b: u64| (a as f64 / b as f64).ln().abs();
            kept.iter()
                .map(|one| ratio(one.real, point.real).max(ratio(one.sim, point.sim)))
                .fold(f64::INFINITY, f64::min)
        });
        let farthest = far.fold(0.0, f64::max);
        assert!(farthest < 0.2, "{farthest}");
    }

    #[test]
    fn few_points_are_all_there_and_none_is_asked_for_in_vain() {
        let points = cloud(100);
        assert_eq!(thin(&points, 100).len(), 100);
        for most in [0, 1, 2, 5, 99] {
            assert!(thin(&points, most).len() <= most, "{most}");
        }
        let equal = vec![Point { id: 0, real: 5, sim: 5 }; 1_000];
        assert!(thin(&equal, 10).len() <= 10);
    }

    #[test]
    fn points_are_walked_from_the_worst() {
        let scatter = Scatter {
            num_requests: 4,
            ids: vec![7, 8, 9, 10],
            real_ns: vec![100, 0, 200, 100],
            sim_ns: vec![110, 5, 50, 190],
        };
        assert_eq!(scatter.by_error(), [3, 2, 0, 1]);
        assert_eq!([scatter.rel_error(2), scatter.rel_error(1), scatter.rel_error(9)], [Some(-0.75), None, None]);
    }

    #[test]
    fn bits_are_put_in_turn() {
        assert_eq!(interleave(0b1011), 0b0100_0101);
        assert_eq!(interleave(0xfff), 0x0055_5555);
    }
}

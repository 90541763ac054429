//! Where a grid of batch shapes is made finer: midpoints of neighbours, the ones most in doubt first. Measures nothing.

use std::collections::BTreeMap;

use fidelio_shared::time::Nanos;

use crate::profile::PlannedStep;

/// An interval in which a time is foreseen this well is left alone.
const BELIEVED: f64 = 0.03;

/// Shapes of a grid with their times, and what of the intervals between them is in doubt.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    steps: Vec<PlannedStep>,
    times: Vec<f64>,
    /// Of the shapes from `first_added` on, which were added as midpoints: how far off the better of two forecasts was,
    /// the model's and the straight line between the ends. More points help where both fail.
    doubts: Vec<f64>,
    first_added: usize,
    worst_surprise: Option<f64>,
}

/// A shape halfway between two others.
#[derive(Clone, Debug, PartialEq)]
pub struct Midpoint {
    /// The shape.
    pub step: PlannedStep,
    /// What the straight line between its ends foresees.
    foreseen: f64,
    doubt: f64,
}

impl Doubts {
    /// A grid just measured: its shapes with their device times.
    pub fn of_grid(steps: &[PlannedStep], times: impl IntoIterator<Item = Nanos>) -> Self {
        let times: Vec<f64> = times.into_iter().map(|time| time.0 as f64).collect();
        Doubts { steps: steps.to_vec(), times, first_added: steps.len(), ..Doubts::default() }
    }

    /// Adds a midpoint that was measured; `model_error` is that of the model that had not seen it, as a fraction.
    pub fn add(&mut self, midpoint: Midpoint, time: Nanos, model_error: f64) {
        let time = time.0 as f64;
        let line_error = (midpoint.foreseen - time).abs() / time;
        self.steps.push(midpoint.step);
        self.times.push(time);
        self.doubts.push(line_error.min(model_error));
        self.worst_surprise = Some(self.worst_surprise.map_or(model_error, |worst| worst.max(model_error)));
    }

    /// The model's largest error at any midpoint before it was seen.
    pub fn worst_surprise(&self) -> Option<f64> {
        self.worst_surprise
    }

    /// At most `count` new shapes halfway between neighbours that differ in one thing only (sequences, context, prefill
    /// tokens, prefill start), the most doubted first; none once every interval is believed. Shapes held out are no
    /// neighbours, and are not chosen.
    pub fn midpoints(&self, count: usize) -> Vec<Midpoint> {
        let mut found: Vec<Midpoint> = Vec::new();
        for axis in 0..4 {
            for line in self.lines(axis) {
                for left in 0..line.len() - 1 {
                    let Some(midpoint) = self.midpoint(axis, &line, left) else { continue };
                    let is_known = self.steps.iter().any(|step| step.sizes() == midpoint.step.sizes());
                    if midpoint.doubt >= BELIEVED && !is_known && !found.iter().any(|one| one.step == midpoint.step) {
                        found.push(midpoint);
                    }
                }
            }
        }
        // Stable: of equals, the first found.
        found.sort_by(|left, right| right.doubt.total_cmp(&left.doubt));
        found.truncate(count);
        found
    }

    /// Indices of fitted shapes that differ along `axis` only, ascending on it.
    fn lines(&self, axis: usize) -> Vec<Vec<usize>> {
        let mut lines: BTreeMap<[u32; 4], Vec<usize>> = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate().filter(|(_, step)| !step.is_held_out) {
            let mut others = step.sizes();
            others[axis] = 0;
            lines.entry(others).or_default().push(index);
        }
        let mut lines: Vec<Vec<usize>> = lines.into_values().collect();
        lines.iter_mut().for_each(|line| line.sort_by_key(|index| self.size(*index, axis)));
        lines
    }

    fn size(&self, index: usize, axis: usize) -> u32 {
        self.steps[index].sizes()[axis]
    }

    /// Between the shapes at `left` and `left + 1` of a line. An interval that was split is judged by its split, the
    /// latest of its ends; one of the first grid by how the line bends at its ends, and it is never believed untried.
    fn midpoint(&self, axis: usize, line: &[usize], left: usize) -> Option<Midpoint> {
        let ends = [line[left], line[left + 1]];
        let mut sizes = self.steps[ends[0]].sizes();
        let middle = self.size(ends[0], axis).midpoint(self.size(ends[1], axis));
        if middle == sizes[axis] {
            return None;
        }
        let latest = ends[0].max(ends[1]);
        let doubt = match latest.checked_sub(self.first_added) {
            Some(added) => self.doubts[added],
            None => self.bend(axis, line, left).max(self.bend(axis, line, left + 1)).max(BELIEVED),
        };
        sizes[axis] = middle;
        let foreseen = self.between(axis, ends, middle);
        Some(Midpoint { step: PlannedStep::of_sizes(sizes, false), foreseen, doubt })
    }

    /// How far a shape lies from the straight line between its neighbours, as a fraction of its time; 0 at the ends.
    fn bend(&self, axis: usize, line: &[usize], at: usize) -> f64 {
        match (at.checked_sub(1).and_then(|before| line.get(before)), line.get(at + 1)) {
            (Some(before), Some(after)) => {
                let time = self.times[line[at]];
                (self.between(axis, [*before, *after], self.size(line[at], axis)) - time).abs() / time
            }
            _ => 0.0,
        }
    }

    /// The time at `size` on the straight line between two shapes.
    fn between(&self, axis: usize, [low, high]: [usize; 2], size: u32) -> f64 {
        let (from, to) = (f64::from(self.size(low, axis)), f64::from(self.size(high, axis)));
        self.times[low] + (self.times[high] - self.times[low]) * (f64::from(size) - from) / (to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(num_seqs: u32) -> PlannedStep {
        PlannedStep::of_sizes([num_seqs, 10, 0, 0], false)
    }

    /// The sequences of decodes chosen.
    fn seqs(midpoints: &[Midpoint]) -> Vec<u32> {
        midpoints.iter().map(|midpoint| midpoint.step.sizes()[0]).collect()
    }

    fn grid(times: [u64; 4]) -> Doubts {
        let prefill = PlannedStep::of_sizes([0, 0, 16, 0], false);
        Doubts::of_grid(&[decode(8), decode(16), decode(32), prefill], times.map(Nanos))
    }

    #[test]
    fn where_the_line_bends_is_tried_first_and_every_interval_once() {
        let line = grid([100, 200, 400, 900]);
        assert_eq!(seqs(&line.midpoints(9)), [12, 24], "untried, and a prefill is no neighbour of a decode");
        assert_eq!(seqs(&line.midpoints(1)), [12]);
        assert_eq!(line.worst_surprise(), None);
        let steps = [decode(4), decode(8), decode(16), decode(32), decode(64)];
        let bent = Doubts::of_grid(&steps, [100, 100, 100, 500, 900].map(Nanos));
        assert_eq!(seqs(&bent.midpoints(9)), [12, 24, 48, 6], "16 lies lowest below its neighbours, then 32");
    }

    #[test]
    fn a_split_that_was_foreseen_ends_the_search_there_and_a_surprise_goes_on() {
        let mut doubts = grid([100, 200, 400, 900]);
        let [first, second] = doubts.midpoints(2).try_into().expect("two");
        // The straight line foresees 150 and 300.
        doubts.add(first, Nanos(150), 0.4);
        doubts.add(second, Nanos(400), 0.3);
        assert_eq!(seqs(&doubts.midpoints(9)), [20, 28], "what lies on the line is believed, whatever the model says");
        assert_eq!(doubts.worst_surprise(), Some(0.4));
        let [third, fourth] = doubts.midpoints(2).try_into().expect("two");
        doubts.add(third, Nanos(900), 0.01);
        doubts.add(fourth, Nanos(400), 0.2);
        assert_eq!(seqs(&doubts.midpoints(9)), Vec::<u32>::new(), "what the model foresaw is believed, too");
    }

    #[test]
    fn shapes_held_out_stay_held_out() {
        let held_out = PlannedStep::of_sizes([6, 10, 0, 0], true);
        let doubts = Doubts::of_grid(&[decode(4), decode(8), held_out], [100, 200, 900].map(Nanos));
        assert_eq!(seqs(&doubts.midpoints(9)), Vec::<u32>::new(), "the midpoint is the held-out shape itself");
    }
}

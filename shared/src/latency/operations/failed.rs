//! Finds measurements that failed: kernels that did nothing took next to no time, and would be believed.

use std::fmt;

use super::{Axes, Operation, ProfileFile, Sample};

/// A sample is failed when it took less than this part of what *every* smaller one took. More of
/// everything may be faster than some smaller sizes, as kernels switch algorithms and split work over idle
/// multiprocessors, but not than all of them: the fastest of those is launch and little else.
const SMALLEST_PART: f64 = 0.6;

/// So many smaller ones must say so: a clock that ticks in microseconds tells little of two or three.
const FEWEST_WITNESSES: usize = 8;

/// A sample left out of the fit, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetAside {
    /// What was measured.
    pub operation: Operation,
    /// The sample.
    pub sample: Sample,
    /// Shortest time of all smaller samples, ms.
    pub smaller_took: f64,
}

impl fmt::Display for SetAside {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.sample.x;
        write!(out, "{} at ", self.operation.name())?;
        match self.operation.axes() {
            Axes::Tokens => write!(out, "num_tokens {a}")?,
            Axes::BatchSize => write!(out, "batch_size {a}")?,
            Axes::CacheAndChunk => write!(out, "kv_cache_size {a}, prefill_chunk_size {b}")?,
            Axes::BatchAndCache => write!(out, "batch_size {a}, kv_cache_size {b}")?,
        }
        let (line, time, smaller) = (self.sample.line, self.sample.time, self.smaller_took);
        write!(out, " (line {line}): {time} ms, where every smaller size took {smaller} ms or more")
    }
}

/// Takes failed measurements out of `samples` and returns them in order of size. Only what one device
/// computes is judged: workers of a collective wait for each other, so all small ones may have been slow.
pub fn set_failed_aside(operation: Operation, samples: &mut Vec<Sample>) -> Vec<SetAside> {
    if !matches!(operation.file(), ProfileFile::Mlp | ProfileFile::Attention) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&samples[*a].x, &samples[*b].x);
        a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
    });
    let mut columns: Vec<f64> = samples.iter().map(|sample| sample.x[1]).collect();
    columns.sort_unstable_by(f64::total_cmp);
    columns.dedup();
    // What the rows before took, by second size.
    let mut before = vec![Witnesses::default(); columns.len()];
    let mut failed: Vec<(usize, f64)> = Vec::new();
    for row in order.chunk_by(|a, b| samples[*a].x[0] == samples[*b].x[0]) {
        let (mut smaller, mut next) = (Witnesses::default(), 0);
        let mut here = vec![Witnesses::default(); columns.len()];
        for cell in row.chunk_by(|a, b| samples[*a].x[1] == samples[*b].x[1]) {
            let column = columns.partition_point(|value| *value < samples[cell[0]].x[1]);
            before[next..=column].iter().for_each(|earlier| smaller.merge(earlier));
            next = column + 1;
            for index in cell {
                let time = samples[*index].time;
                if smaller.count >= FEWEST_WITNESSES && time < SMALLEST_PART * smaller.least {
                    failed.push((*index, smaller.least));
                } else {
                    here[column].merge(&Witnesses { count: 1, least: time });
                }
            }
            smaller.merge(&here[column]);
        }
        before.iter_mut().zip(&here).for_each(|(all, new)| all.merge(new));
    }
    let name = |(index, smaller_took): &(usize, f64)| SetAside {
        operation,
        sample: samples[*index],
        smaller_took: *smaller_took,
    };
    let set_aside = failed.iter().map(name).collect();
    let mut is_failed = vec![false; samples.len()];
    failed.iter().for_each(|(index, _)| is_failed[*index] = true);
    let mut flags = is_failed.into_iter();
    samples.retain(|_| flags.next() == Some(false));
    set_aside
}

/// Samples that did not fail, and the shortest time of them.
#[derive(Clone, Copy, Debug)]
struct Witnesses {
    count: usize,
    least: f64,
}

impl Default for Witnesses {
    fn default() -> Self {
        Witnesses { count: 0, least: f64::MAX }
    }
}

impl Witnesses {
    fn merge(&mut self, other: &Witnesses) {
        self.count += other.count;
        self.least = self.least.min(other.least);
    }
}

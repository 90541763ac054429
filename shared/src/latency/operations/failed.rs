//! Finds measurements that failed: kernels that did nothing took next to no time, and would be believed.

use std::fmt;

use super::{Axes, Operation, ProfileFile, Sample};

/// A sample is failed when it took less than this part of what smaller ones took. Kernels switch
/// algorithms as they grow, so a larger one may be faster: by up to 2.3 times in the profiles at hand.
const SMALLEST_PART: f64 = 0.25;

/// So many smaller ones must say so, that one slow outlier condemns nothing.
const NUM_WITNESSES: usize = 3;

/// A sample left out of the fit, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetAside {
    /// What was measured.
    pub operation: Operation,
    /// The sample.
    pub sample: Sample,
    /// Time that at least three samples of no more work took or exceeded, ms.
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
        write!(out, " (line {line}): {time} ms, where smaller sizes took {smaller} ms or more")
    }
}

/// Takes failed measurements out of `samples` and returns them in order of size. Only what one device
/// computes is judged: collectives wait for each other, so a small one may rightly take long, and
/// `attn_kv_cache_save` counts tokens of prompts and of decoding, which differ, on one axis.
pub fn set_failed_aside(operation: Operation, samples: &mut Vec<Sample>) -> Vec<SetAside> {
    let is_judged = match operation.file() {
        ProfileFile::Mlp => true,
        ProfileFile::Attention => operation != Operation::AttnKvCacheSave,
        _ => false,
    };
    if !is_judged {
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
    // Longest times of the rows before, by second size.
    let mut before = vec![Longest::default(); columns.len()];
    let mut failed: Vec<(usize, f64)> = Vec::new();
    for row in order.chunk_by(|a, b| samples[*a].x[0] == samples[*b].x[0]) {
        let (mut smaller, mut next) = (Longest::default(), 0);
        let mut here = vec![Longest::default(); columns.len()];
        for cell in row.chunk_by(|a, b| samples[*a].x[1] == samples[*b].x[1]) {
            let column = columns.partition_point(|value| *value < samples[cell[0]].x[1]);
            for earlier in &before[next..=column] {
                smaller.merge(earlier);
            }
            next = column + 1;
            for index in cell {
                let (time, least) = (samples[*index].time, smaller.0[NUM_WITNESSES - 1]);
                if time < SMALLEST_PART * least {
                    failed.push((*index, least));
                }
                here[column].add(time);
            }
            smaller.merge(&here[column]);
        }
        before.iter_mut().zip(&here).for_each(|(longest, new)| longest.merge(new));
    }
    let aside =
        failed.iter().map(|(index, least)| SetAside { operation, sample: samples[*index], smaller_took: *least });
    let aside: Vec<SetAside> = aside.collect();
    let mut is_failed = vec![false; samples.len()];
    failed.iter().for_each(|(index, _)| is_failed[*index] = true);
    let mut index = 0;
    samples.retain(|_| {
        index += 1;
        !is_failed[index - 1]
    });
    aside
}

/// The longest times seen, longest first.
#[derive(Clone, Copy, Debug, Default)]
struct Longest([f64; NUM_WITNESSES]);

impl Longest {
    fn add(&mut self, time: f64) {
        let at = self.0.partition_point(|longer| *longer >= time);
        if at < NUM_WITNESSES {
            self.0[at..].rotate_right(1);
            self.0[at] = time;
        }
    }

    fn merge(&mut self, other: &Longest) {
        other.0.iter().filter(|time| **time > 0.0).for_each(|time| self.add(*time));
    }
}

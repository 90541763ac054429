//! What the rows hold, told once when they are read.

use crate::explore::Explorer;
use crate::explore::answers::{Histogram, Overview};
use crate::metrics::Metric;
use crate::schema::Run;

/// Bins of the arrivals: as many as a strip under a chart can show.
const ARRIVAL_BINS: usize = 64;
/// Bins of the prompt lengths, at most.
const PROMPT_BINS: usize = 24;

impl Explorer {
    /// What the rows hold.
    pub fn overview(&self) -> Overview {
        let has_values = |metric: &Metric| {
            let mut pairs = self.pairs.iter().map(|index| self.sides(*index as usize));
            pairs.any(|sides| sides.value(*metric).0.zip(sides.value(*metric).1).is_some())
        };
        let request_metrics = self.options.definition.metrics().iter().copied().filter(has_values).collect();
        let (real, sim) = (self.real(), &self.sim);
        let arrivals: Vec<u64> = real.requests.iter().map(|row| row.arrival.0).collect();
        let prompts = real.requests.iter().map(|row| row.num_prefill_tokens).collect();
        let ends = [real, sim].into_iter().flat_map(|run| &run.requests).filter_map(|row| row.completion);
        let first = arrivals.iter().copied().min().unwrap_or_default();
        let last = ends.map(|end| end.0).chain(arrivals.iter().copied()).max().unwrap_or_default();
        Overview {
            num_requests: self.workload.as_ref().map_or(real.requests.len(), |workload| workload.rows.len()),
            num_tokens: (num_tokens(real), num_tokens(sim)),
            span_ns: (first, last),
            arrivals: even_bins(&arrivals),
            prompts: count_bins(prompts),
            has_tokens: real.tokens.is_some() && sim.tokens.is_some(),
            has_steps: (has_steps(real), has_steps(sim)),
            request_metrics,
            repeats: self.real.iter().map(|run| run.name.clone()).collect(),
        }
    }
}

fn num_tokens(run: &Run) -> u64 {
    run.requests.iter().filter(|row| row.has_output()).map(|row| u64::from(row.num_decode_tokens_actual)).sum()
}

pub(super) fn has_steps(run: &Run) -> bool {
    run.steps.as_ref().is_some_and(|steps| !steps.is_empty())
}

/// Bins of equal width from the first value to the last; empty without values, one bin for values that are all equal.
fn even_bins(values: &[u64]) -> Histogram {
    let (Some(first), Some(last)) = (values.iter().min(), values.iter().max()) else { return Histogram::default() };
    let span = last - first;
    let num_bins = if span == 0 { 1 } else { ARRIVAL_BINS };
    let width = span.max(1) as f64 / num_bins as f64;
    let mut counts = vec![0; num_bins];
    for value in values {
        counts[(((value - first) as f64 / width) as usize).min(num_bins - 1)] += 1;
    }
    let edges = (0..=num_bins).map(|index| *first as f64 + width * index as f64).collect();
    Histogram { edges, counts }
}

/// Bins of about equal count; equal values are never parted, so there may be fewer.
fn count_bins(mut values: Vec<u32>) -> Histogram {
    values.sort_unstable();
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return Histogram::default() };
    let inner = (1..PROMPT_BINS).map(|bin| values[values.len() * bin / PROMPT_BINS]);
    let mut edges: Vec<u64> = std::iter::once(*first).chain(inner).chain([*last]).map(u64::from).collect();
    edges.dedup();
    if edges.len() == 1 {
        edges.push(u64::from(*first) + 1);
    }
    let below = |edge: u64| values.partition_point(|value| u64::from(*value) < edge);
    let bins = edges.windows(2).enumerate().map(|(index, pair)| {
        let end = if index + 2 == edges.len() { values.len() } else { below(pair[1]) };
        (end - below(pair[0])) as u32
    });
    Histogram { counts: bins.collect(), edges: edges.iter().map(|edge| *edge as f64).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin_and_edges_ascend() {
        let values: Vec<u32> = (0..1_000).map(|index| index * index % 701).collect();
        for histogram in
            [count_bins(values.clone()), even_bins(&values.iter().map(|one| u64::from(*one)).collect::<Vec<_>>())]
        {
            assert_eq!(histogram.counts.iter().sum::<u32>(), 1_000);
            assert_eq!(histogram.edges.len(), histogram.counts.len() + 1);
            assert!(histogram.edges.windows(2).all(|pair| pair[0] < pair[1]), "{histogram:?}");
        }
    }

    #[test]
    fn equal_values_are_one_bin_and_none_are_none() {
        assert_eq!(count_bins(vec![7; 5]), Histogram { edges: vec![7.0, 8.0], counts: vec![5] });
        assert_eq!(even_bins(&[9; 3]), Histogram { edges: vec![9.0, 10.0], counts: vec![3] });
        assert_eq!(count_bins(vec![u32::MAX]).edges, [4_294_967_295.0, 4_294_967_296.0]);
        assert_eq!((count_bins(Vec::new()), even_bins(&[])), (Histogram::default(), Histogram::default()));
    }
}

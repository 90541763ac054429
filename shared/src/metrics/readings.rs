//! One run, every tool: what each would print for the same requests.

use serde::Serialize;

use crate::metrics::{Definition, Metric};
use crate::schema::Run;
use crate::stats::{CentiNanos, Percentile, Sorted};

/// What one tool would print of one metric, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Whose definition.
    pub definition: Definition,
    /// Which metric, in our word for it.
    pub metric: Metric,
    /// Values behind it, as the tool counts and weighs them.
    pub num_values: usize,
    /// Mean of them.
    pub mean_ns: CentiNanos,
    /// Median, by the tool's rule.
    pub p50_ns: CentiNanos,
    /// 90th percentile, by the tool's rule.
    pub p90_ns: CentiNanos,
    /// 99th percentile, by the tool's rule.
    pub p99_ns: CentiNanos,
}

/// Readings of a run by `definitions`, metric by metric, in the order of [`Metric::ALL`]; a metric that a
/// tool does not have, or the run does not tell, is left out.
pub fn readings(run: &Run, definitions: &[Definition]) -> Vec<Reading> {
    let tools: Vec<Definition> = definitions.iter().copied().filter(|tool| tool.check(run).is_ok()).collect();
    let pairs = Metric::ALL.into_iter().flat_map(|metric| tools.iter().map(move |tool| (metric, *tool)));
    pairs.filter_map(|(metric, definition)| reading(run, definition, metric)).collect()
}

fn reading(run: &Run, definition: Definition, metric: Metric) -> Option<Reading> {
    let sample = Sorted::new(definition.values_of_run(run, metric))?;
    let at = |percentile| definition.quantile(&sample, percentile);
    Some(Reading {
        definition,
        metric,
        num_values: sample.values().len(),
        mean_ns: sample.mean(),
        p50_ns: at(Percentile::P50),
        p90_ns: at(Percentile::P90),
        p99_ns: at(Percentile::P99),
    })
}

//! Looking into an open comparison: any part of it reduced again, request by request, step by step, and "what if".
//!
//! Knows runs and what is asked of them; not where the bytes came from or how answers are shown. A part is reduced by
//! the functions that made the comparison, so the whole gives its very numbers.

pub mod answers;
pub mod beside;
mod columns;
pub mod data_link;
mod filter;
mod overview;
pub mod questions;
mod scatter;
mod settings;
mod sides;
mod step_fit;
mod steps;
mod table;
#[cfg(test)]
mod tests;
mod timeline;
mod what_if;
#[cfg(test)]
mod what_if_tests;

pub use steps::StepTotals;

use std::collections::BTreeMap;

use crate::compare::{Line, Repeats, attribute, compare_metric, line};
use crate::explore::answers::{Reduced, RunStrip};
use crate::explore::columns::Columns;
use crate::explore::questions::Selection;
use crate::explore::table::TableOrder;
use crate::explore::what_if::Basis;
use crate::metrics::Metric;
use crate::schema::attribution::Attribution;
use crate::schema::comparison::{CompareOptions, MetricComparison};
use crate::schema::{DataError, RequestRow, Run, Workload};
use crate::stats::{Percentile, Sorted};

/// The runs of one comparison. What is dear to prepare is prepared when it is first asked for, and kept.
pub struct Explorer {
    /// The compared run, then its repeats; never empty.
    real: Vec<Run>,
    sim: Run,
    workload: Option<Workload>,
    options: CompareOptions,
    /// Compared requests in order of arrival, by their place in the runs.
    pairs: Vec<u32>,
    columns: BTreeMap<Metric, Option<Columns>>,
    table: Option<TableOrder>,
    basis: Option<Result<Basis, String>>,
}

impl Explorer {
    /// Takes the runs of a comparison: of `real`, the first is the compared one and the rest are its repeats.
    ///
    /// # Errors
    /// No real run, or runs that are too large for the definition of `options`.
    pub fn new(
        real: Vec<Run>,
        sim: Run,
        workload: Option<Workload>,
        options: &CompareOptions,
    ) -> Result<Self, DataError> {
        let Some(first) = real.first() else {
            return Err(DataError::new("real_run", "is missing: there is nothing to look into"));
        };
        for run in real.iter().chain([&sim]) {
            options.definition.check(run)?;
        }
        let is_pair = |index: &u32| line(first, &sim, *index as usize).is_some();
        let mut pairs: Vec<u32> = (0..first.requests.len() as u32).filter(is_pair).collect();
        crate::order::sort_by_key(&mut pairs, |index| (first.requests[*index as usize].arrival, *index));
        let options = options.clone();
        Ok(Explorer { pairs, real, sim, workload, options, columns: BTreeMap::new(), table: None, basis: None })
    }

    /// One metric over a part of the requests, without intervals: at once. `None` where a side has no value of it.
    pub fn reduce(&mut self, metric: Metric, selection: &Selection, percentiles: &[Percentile]) -> Option<Reduced> {
        let definition = self.options.definition;
        let mask = self.mask(selection);
        self.columns(metric)?.reduce(metric, mask.as_deref(), percentiles, definition)
    }

    /// The same with intervals, bands and verdicts, as in a comparison: seconds, where there are many values.
    pub fn with_intervals(&self, metric: Metric, selection: &Selection) -> Option<MetricComparison> {
        let rows = &self.real().requests;
        let is_part = |index: usize| rows.get(index).is_some_and(|row| selection.holds(row));
        let noise = Repeats::of_part(&self.real, metric, self.options.definition, is_part);
        compare_metric(metric, &self.lines(selection), &noise, &self.options)
    }

    /// Where the difference over a part of the requests comes from; `None` without requests.
    pub fn attribution(&self, selection: &Selection) -> Option<Attribution> {
        attribute(self.real(), &self.sim, &self.lines(selection))
    }

    /// Percentiles of every real run and of the simulation, each of all that run's values: outputs are not cut to
    /// those of another run. `None` where the compared run has no value.
    pub fn strip(&self, metric: Metric, percentiles: &[Percentile]) -> Option<RunStrip> {
        let definition = self.options.definition;
        let of = |run: &Run| {
            let sample = Sorted::new(definition.values_of_run(run, metric))?;
            Some(percentiles.iter().map(|percentile| definition.quantile(&sample, *percentile)).collect())
        };
        let first = (self.real().name.clone(), of(self.real())?);
        let repeats = self.real[1..].iter().filter_map(|run| Some((run.name.clone(), of(run)?)));
        Some(RunStrip {
            labels: percentiles.iter().map(Percentile::to_string).collect(),
            real: std::iter::once(first).chain(repeats).collect(),
            sim: of(&self.sim).unwrap_or_default(),
        })
    }

    fn real(&self) -> &Run {
        &self.real[0]
    }

    /// The compared requests of a part, in order of arrival.
    fn lines(&self, selection: &Selection) -> Vec<Line<'_>> {
        let lines = self.pairs.iter().filter_map(|index| line(self.real(), &self.sim, *index as usize));
        lines.filter(|(row, ..)| selection.holds(row)).collect()
    }

    /// For each pair, whether it is in the selection; `None` when all are.
    fn mask(&self, selection: &Selection) -> Option<Vec<bool>> {
        let rows = &self.real().requests;
        let mask = || self.pairs.iter().map(|index| selection.holds(&rows[*index as usize])).collect();
        (*selection != Selection::default()).then(mask)
    }

    fn columns(&mut self, metric: Metric) -> Option<&Columns> {
        if !self.columns.contains_key(&metric) {
            let columns = Columns::of(&self.lines(&Selection::default()), metric, self.options.definition);
            self.columns.insert(metric, columns);
        }
        self.columns.get(&metric)?.as_ref()
    }
}

impl Selection {
    /// The request is in it.
    pub fn holds(&self, row: &RequestRow) -> bool {
        self.arrivals.is_none_or(|(from, before)| (from..before).contains(&row.arrival.0))
            && self.prompt_tokens.is_none_or(|(from, to)| (from..=to).contains(&row.num_prefill_tokens))
    }
}

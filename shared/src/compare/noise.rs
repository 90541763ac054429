//! The noise floor: how much several real runs of one workload differ among themselves.

use crate::metrics::{Definition, Metric};
use crate::stats::{Percentile, Sorted};

/// Samples of one metric in every repeat of the real run.
pub struct Repeats {
    samples: Vec<Sorted>,
    definition: Definition,
}

impl Repeats {
    /// Takes the metric from every run; runs without it are left out.
    pub fn of(runs: &[crate::schema::Run], metric: Metric, definition: Definition) -> Self {
        let samples = runs.iter().filter_map(|run| Sorted::new(definition.values_of_run(run, metric))).collect();
        Repeats { samples, definition }
    }

    /// Largest relative difference between two repeats at `percentile`; `None` with fewer than two,
    /// or where the smaller value is zero.
    pub fn largest(&self, percentile: Percentile) -> Option<f64> {
        let values = self.values(percentile)?;
        let (low, high) = (values.iter().min()?, values.iter().max()?);
        Some((high - low) as f64 / *low as f64)
    }

    /// Root mean square of the relative differences of each repeat to each other: what the error of a simulation would be
    /// if it were one more repeat.
    pub fn rms(&self, percentile: Percentile) -> Option<f64> {
        let values = self.values(percentile)?;
        let apart = |a: &i64, b: &i64| (*b - *a) as f64 / *a as f64;
        let pairs = values.iter().enumerate().flat_map(|(index, a)| {
            let others = values.iter().enumerate().filter(move |(other, _)| *other != index);
            others.map(move |(_, b)| apart(a, b))
        });
        let squares: f64 = pairs.map(|error| error * error).sum();
        Some(libm::sqrt(squares / (values.len() * (values.len() - 1)) as f64))
    }

    fn values(&self, percentile: Percentile) -> Option<Vec<i64>> {
        let values: Vec<i64> =
            self.samples.iter().map(|sample| self.definition.quantile(sample, percentile).0).collect();
        (values.len() >= 2 && values.iter().all(|value| *value > 0)).then_some(values)
    }
}

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
    pub fn noise(&self, percentile: Percentile) -> Option<f64> {
        if self.samples.len() < 2 {
            return None;
        }
        let values = self.samples.iter().map(|sample| self.definition.quantile(sample, percentile).0);
        let (low, high) = (values.clone().min()?, values.max()?);
        (low > 0).then(|| (high - low) as f64 / low as f64)
    }
}

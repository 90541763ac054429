//! The noise floor: how much several real runs of one workload differ among themselves.

use crate::metrics::Metric;
use crate::stats::{Percentile, Sorted};

/// Samples of one metric in every repeat of the real run.
pub struct Repeats {
    samples: Vec<Sorted>,
}

impl Repeats {
    /// Takes the metric from every run; runs without it are left out.
    pub fn of(runs: &[crate::schema::Run], metric: Metric) -> Self {
        let samples = runs.iter().filter_map(|run| Sorted::new(crate::metrics::values(run, metric))).collect();
        Repeats { samples }
    }

    /// Largest relative difference between two repeats at `percentile`; `None` with fewer than two,
    /// or where the smaller value is zero.
    pub fn noise(&self, percentile: Percentile) -> Option<f64> {
        if self.samples.len() < 2 {
            return None;
        }
        let values = self.samples.iter().map(|sample| sample.quantile(percentile).0);
        let (low, high) = (values.clone().min()?, values.max()?);
        (low > 0).then(|| (high - low) as f64 / low as f64)
    }
}

//! The noise floor: how much several real runs of one workload differ among themselves.

use crate::metrics::{Definition, Metric, Timeline};
use crate::schema::Run;
use crate::stats::{Percentile, Sorted};

/// Samples of one metric in every repeat of the real run.
pub struct Repeats {
    samples: Vec<Sorted>,
    definition: Definition,
}

impl Repeats {
    /// Takes the metric from every run; runs without it are left out.
    pub fn of(runs: &[Run], metric: Metric, definition: Definition) -> Self {
        Repeats::of_part(runs, metric, definition, |_| true)
    }

    /// The same of the requests that `is_part` takes, by their place.
    pub fn of_part(runs: &[Run], metric: Metric, definition: Definition, is_part: impl Fn(usize) -> bool) -> Self {
        let sample = |run: &Run| {
            let requests = (0..run.requests.len()).filter(|index| is_part(*index));
            let lines = requests.filter_map(|index| Timeline::of(run, index));
            Sorted::new(lines.flat_map(|line| definition.values(&line, metric)).collect())
        };
        Repeats { samples: runs.iter().filter_map(sample).collect(), definition }
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

//! Tables as CSV: exact numbers in nanoseconds, under one line of comment that says where they are from.

use std::fmt::Write;

use fidelio_shared::report;
use fidelio_shared::schema::comparison::{Curve, MetricComparison};

/// Percentiles of metrics: `metric,percentile,real_ns,sim_ns,…`, as in the tables of a comparison.
pub fn percentiles(metrics: &[MetricComparison], provenance: &str) -> String {
    let mut text = comment(provenance);
    for (place, metric) in metrics.iter().enumerate() {
        let table = report::percentiles_csv(metric);
        let mut rows = table.lines();
        let head = rows.next().unwrap_or_default().replacen("metric,", "percentile,", 1);
        if place == 0 {
            let _ = writeln!(text, "metric,{head}");
        }
        rows.for_each(|row| {
            let _ = writeln!(text, "{},{row}", metric.metric.key());
        });
    }
    text
}

/// The points of a metric's distributions: `fraction,real_ns,sim_ns`.
pub fn distribution(metric: &MetricComparison, curve: &Curve, provenance: &str) -> String {
    let shown = MetricComparison { curve: curve.clone(), ..metric.clone() };
    comment(provenance) + &report::cdf_csv(&shown)
}

fn comment(provenance: &str) -> String {
    format!("# {}\n", provenance.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::sample::comparison;

    #[test]
    fn every_percentile_is_a_row_with_the_exact_numbers() {
        let comparison = comparison();
        let text = percentiles(&comparison.metrics, "where\nfrom");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# where from");
        assert!(lines[1].starts_with("metric,percentile,real_ns,sim_ns,diff_ns,"), "{}", lines[1]);
        let rows: usize = comparison.metrics.iter().map(|metric| metric.percentiles.len()).sum();
        assert_eq!(lines.len(), 2 + rows);
        let first = &comparison.metrics[0].percentiles[0];
        assert!(lines[2].starts_with(&format!("ttft,p50,{},{},", first.real_ns, first.sim_ns)), "{}", lines[2]);
        assert!(lines[6].starts_with("itl,p50,"), "{}", lines[6]);
        let columns = lines[1].matches(',').count();
        assert!(lines[2..].iter().all(|line| line.matches(',').count() == columns));
    }

    #[test]
    fn a_distribution_is_that_of_the_curve_shown() {
        let metric = &comparison().metrics[0];
        let mut part = metric.curve.clone();
        part.fractions.truncate(2);
        let text = distribution(metric, &part, "part");
        assert_eq!(text.lines().count(), 4);
        assert_eq!(text.lines().nth(1), Some("fraction,real_ns,sim_ns"));
    }
}

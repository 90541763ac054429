//! What stands in a CDF or under it: one comparison, several side by side, a part of a run over the whole of it, a
//! "what if". Borrows the curves; knows no pixels.

use crate::charts::cdf::MARKED;
use crate::charts::format_duration;
use crate::explore::answers::{Reduced, WhatIfMetric};
use crate::metrics::Metric;
use crate::report::thousands;
use crate::schema::comparison::{Curve, MetricComparison};
use crate::stats::{CentiNanos, Percentile};

/// What a series is to the reader: decides how loud it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The one looked at: full accents, the gap shaded, percentiles marked.
    #[default]
    Focus,
    /// Another bundle: thinner and lighter, with its letter.
    Other,
    /// The whole run behind a part of it: a ghost.
    Whole,
    /// A simulation with other settings: the simulated accent, dotted.
    WhatIf,
}

/// The quantile curves of one bundle, selection or "what if".
#[derive(Clone, Debug, PartialEq)]
pub struct CdfSeries<'a> {
    /// Its letter, or a word or two: stands at the end of its curves where there are several series.
    pub label: String,
    /// How it is drawn.
    pub role: Role,
    /// Values behind it; 0 where that is not told.
    pub num_values: usize,
    /// Fractions of both curves, ascending from 0 to 1.
    pub fractions: &'a [f64],
    /// Real times at them, ns; empty without a real side.
    pub real_ns: &'a [CentiNanos],
    /// Simulated times at them, ns; empty without a simulated side.
    pub sim_ns: &'a [CentiNanos],
    /// Percentiles that may be marked, real and simulated, ns.
    pub percentiles: Vec<(Percentile, CentiNanos, CentiNanos)>,
}

impl<'a> CdfSeries<'a> {
    /// The curves of a comparison.
    pub fn of_comparison(label: &str, role: Role, metric: &'a MetricComparison) -> Self {
        let rows = metric.percentiles.iter();
        let percentiles = rows.map(|row| (row.percentile, row.real_ns, row.sim_ns)).collect();
        CdfSeries::of_curve(label, role, &metric.curve, metric.num_values, percentiles)
    }

    /// The curves of a part of a run.
    pub fn of_selection(label: &str, role: Role, reduced: &'a Reduced) -> Self {
        let rows = reduced.percentiles.iter();
        let percentiles = rows.map(|row| (row.percentile, row.real_ns, row.sim_ns)).collect();
        CdfSeries::of_curve(label, role, &reduced.curve, reduced.num_values, percentiles)
    }

    /// The curve of a "what if".
    pub fn of_what_if(label: &str, metric: &'a WhatIfMetric) -> Self {
        CdfSeries {
            label: label.to_owned(),
            role: Role::WhatIf,
            num_values: 0,
            fractions: &metric.fractions,
            real_ns: &[],
            sim_ns: &metric.times_ns,
            percentiles: Vec::new(),
        }
    }

    fn of_curve(
        label: &str,
        role: Role,
        curve: &'a Curve,
        num_values: usize,
        percentiles: Vec<(Percentile, CentiNanos, CentiNanos)>,
    ) -> Self {
        let (fractions, real_ns, sim_ns) = (&curve.fractions, &curve.real_ns, &curve.sim_ns);
        CdfSeries { label: label.to_owned(), role, num_values, fractions, real_ns, sim_ns, percentiles }
    }
}

/// Everything one CDF shows.
#[derive(Clone, Debug, PartialEq)]
pub struct CdfFigure<'a> {
    /// Which metric.
    pub metric: Metric,
    /// The series, in order of their letters.
    pub series: Vec<CdfSeries<'a>>,
}

impl<'a> CdfFigure<'a> {
    /// The figure of one comparison.
    pub fn of(metric: &'a MetricComparison) -> Self {
        CdfFigure { metric: metric.metric, series: vec![CdfSeries::of_comparison("", Role::Focus, metric)] }
    }

    /// What is counted: requests, or gaps between tokens.
    pub(super) fn noun(&self) -> &'static str {
        if self.metric == Metric::Itl { "gaps" } else { "requests" }
    }

    /// Smallest and largest time of all curves, ns.
    pub(super) fn range(&self) -> (f64, f64) {
        let all = || self.series.iter().flat_map(|series| series.real_ns.iter().chain(series.sim_ns));
        let (smallest, largest) = (all().min(), all().max());
        let nanos = |time: Option<&CentiNanos>| time.map_or(0.0, |time| time.as_f64());
        (nanos(smallest), nanos(largest))
    }

    /// Values behind the largest of the series.
    pub(super) fn num_values(&self) -> usize {
        self.series.iter().map(|series| series.num_values).max().unwrap_or(0)
    }
}

/// What a CDF shows, in words: for those who cannot see it.
pub fn cdf_figure_summary(figure: &CdfFigure) -> String {
    let num_values = figure.series.iter().find(|series| series.role == Role::Focus).map(|series| series.num_values);
    let mut text = format!(
        "Cumulative distribution of {} over {} {}, real as a solid line and simulated as a dashed one.",
        figure.metric.label(),
        thousands(num_values.unwrap_or(figure.num_values()) as u64),
        figure.noun()
    );
    let is_one = figure.series.len() == 1;
    for series in &figure.series {
        let name = if is_one || series.label.is_empty() { String::new() } else { format!("{}, ", series.label) };
        if series.role == Role::WhatIf {
            let middle = at_half(series.fractions, series.sim_ns);
            let middle = middle.map_or("no values".to_owned(), |time| format!("P50 {}", format_duration(time)));
            text.push_str(&format!(" {name}dotted: {middle}."));
        }
        for (percentile, label) in MARKED {
            let row = series.percentiles.iter().find(|row| row.0 == percentile);
            if let Some((_, real, sim)) = row {
                let (real, sim) = (format_duration(real.as_f64()), format_duration(sim.as_f64()));
                text.push_str(&format!(" {name}{label}: real {real}, simulated {sim}."));
            }
        }
    }
    text
}

fn at_half(fractions: &[f64], times: &[CentiNanos]) -> Option<f64> {
    (!fractions.is_empty() && fractions.len() == times.len()).then(|| time_at(fractions, times, 0.5))
}

/// Time at `fraction` of a quantile curve, along straight lines between its points; both lists have the same length,
/// which is not 0.
pub(super) fn time_at(fractions: &[f64], times: &[CentiNanos], fraction: f64) -> f64 {
    let next = fractions.partition_point(|known| *known < fraction).min(fractions.len() - 1);
    let before = next.saturating_sub(1);
    let (from, to) = (times[before].as_f64(), times[next].as_f64());
    let width = fractions[next] - fractions[before];
    if width > 0.0 { from + ((fraction - fractions[before]) / width).clamp(0.0, 1.0) * (to - from) } else { to }
}

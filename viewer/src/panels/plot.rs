//! What the distribution of one metric shows now: the bundle in focus, a brushed part of it over the whole, other
//! bundles, a "what if". Owns the curves that `shared::charts` borrows.

use fidelio_shared::charts::{CdfFigure, CdfSeries, Role, ShiftFigure, ShiftSeries};
use fidelio_shared::explore::answers::{Reduced, WhatIfMetric};
use fidelio_shared::schema::comparison::{Curve, MetricComparison};
use fidelio_shared::stats::CentiNanos;

use crate::panels::cursor::Stops;

/// Everything in the two figures of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The bundle in focus, over the whole run.
    pub whole: MetricComparison,
    /// Its letter; empty when it is alone.
    pub letter: String,
    /// The brushed part, when one is and has values.
    pub part: Option<Reduced>,
    /// The same with a band, once it is there.
    pub judged: Option<MetricComparison>,
    /// Other bundles, with their letters.
    pub others: Vec<(String, MetricComparison)>,
    /// Other settings.
    pub what_if: Option<WhatIfMetric>,
}

impl Plot {
    /// The CDF.
    pub fn cdf(&self) -> CdfFigure<'_> {
        let mut series = Vec::new();
        let role = if self.part.is_some() { Role::Whole } else { Role::Focus };
        let label = if self.part.is_some() { "whole run" } else { &self.letter };
        series.push(CdfSeries::of_comparison(label, role, &self.whole));
        series.extend(self.others.iter().map(|(letter, metric)| CdfSeries::of_comparison(letter, Role::Other, metric)));
        series.extend(self.what_if.as_ref().map(|metric| CdfSeries::of_what_if("what if", metric)));
        series.extend(self.part.as_ref().map(|part| CdfSeries::of_selection(&self.letter, Role::Focus, part)));
        CdfFigure { metric: self.whole.metric, series }
    }

    /// The shift curves; `None` with too few requests for any.
    pub fn shift(&self) -> Option<ShiftFigure<'_>> {
        let mut series = Vec::new();
        let role = if self.part.is_some() { Role::Whole } else { Role::Focus };
        let label = if self.part.is_some() { "whole run" } else { &self.letter };
        series.extend(ShiftSeries::of_comparison(label, role, &self.whole));
        series.extend(
            self.others.iter().filter_map(|(letter, metric)| ShiftSeries::of_comparison(letter, Role::Other, metric)),
        );
        let (curve, count) = (&self.whole.curve, self.whole.num_values);
        series.extend(self.what_if.as_ref().map(|metric| ShiftSeries::of_what_if("what if", curve, count, metric)));
        if let Some(part) = &self.part {
            let judged = self.judged.as_ref();
            let banded = judged.and_then(|judged| ShiftSeries::of_comparison(&self.letter, Role::Focus, judged));
            series.push(banded.unwrap_or_else(|| ShiftSeries::of_selection(&self.letter, Role::Focus, part)));
        }
        let confidence = self.judged.as_ref().unwrap_or(&self.whole).bootstrap.map(|blocks| blocks.confidence);
        (!series.is_empty()).then_some(ShiftFigure { metric: self.whole.metric, confidence, series })
    }

    /// Where the cursor can stop: on the curves in front.
    pub fn stops(&self) -> Stops {
        match &self.part {
            Some(part) => {
                let rows = part.percentiles.iter();
                of(&part.curve, rows.map(|row| (row.percentile.fraction(), row.real_ns, row.sim_ns)))
            }
            None => {
                let rows = self.whole.percentiles.iter();
                of(&self.whole.curve, rows.map(|row| (row.percentile.fraction(), row.real_ns, row.sim_ns)))
            }
        }
    }
}

fn of(curve: &Curve, rows: impl Iterator<Item = (f64, CentiNanos, CentiNanos)>) -> Stops {
    let points = curve.fractions.iter().zip(curve.real_ns.iter().zip(&curve.sim_ns));
    Stops::new(points.map(|(fraction, (real, sim))| (*fraction, *real, *sim)), rows)
}

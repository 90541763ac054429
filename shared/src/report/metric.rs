//! One metric of a comparison as text: its section of `summary.md` and its CSV tables.

use std::fmt::Write;

use crate::charts::{format_duration, format_signed_duration};
use crate::report::{interval_words, magnitude, percent, verdict_words};
use crate::schema::comparison::{MetricComparison, PairErrors, PercentileRow, ShiftCurve};

/// `metric,real_ns,sim_ns` and what we know beyond, one row a percentile.
pub fn percentiles_csv(metric: &MetricComparison) -> String {
    let mut text = "metric,real_ns,sim_ns,diff_ns,diff_low_ns,diff_high_ns,rel_error,rel_low,rel_high,\
                    noise_rel,noise_rms,sample_floor,verdict\n"
        .to_owned();
    let blank = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    for row in &metric.percentiles {
        let interval = row.interval;
        let time = |pick: fn(&crate::schema::comparison::ErrorInterval) -> crate::stats::CentiNanos| {
            interval.as_ref().map_or(String::new(), |interval| pick(interval).to_string())
        };
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{}",
            row.label,
            row.real_ns,
            row.sim_ns,
            row.diff_ns,
            time(|interval| interval.diff_low_ns),
            time(|interval| interval.diff_high_ns),
            blank(row.rel_error),
            blank(interval.and_then(|interval| interval.rel_low)),
            blank(interval.and_then(|interval| interval.rel_high)),
            blank(row.noise_rel),
            blank(row.noise_rms),
            row.sample_floor,
            row.verdict.words()
        );
    }
    text
}

/// `fraction,real_ns,sim_ns`: the quantile curves behind the CDF figure.
pub fn cdf_csv(metric: &MetricComparison) -> String {
    let mut text = "fraction,real_ns,sim_ns\n".to_owned();
    let curve = &metric.curve;
    for ((fraction, real), sim) in curve.fractions.iter().zip(&curve.real_ns).zip(&curve.sim_ns) {
        let _ = writeln!(text, "{fraction},{real},{sim}");
    }
    text
}

/// `fraction,shift_ns,low_ns,high_ns`: the shift curve and its simultaneous band.
pub(super) fn shift_csv(shift: &ShiftCurve) -> String {
    let mut text = "fraction,shift_ns,low_ns,high_ns\n".to_owned();
    let band = shift.low_ns.iter().zip(&shift.high_ns);
    for ((fraction, value), (low, high)) in shift.fractions.iter().zip(&shift.shift_ns).zip(band) {
        let _ = writeln!(text, "{fraction},{value},{low},{high}");
    }
    text
}

/// The metric's section of `summary.md`.
pub(super) fn metric_section(out: &mut String, metric: &MetricComparison) -> std::fmt::Result {
    let name = metric.metric;
    writeln!(
        out,
        "## {}\n\n{}; {} requests, {} values.\n",
        name.label(),
        name.meaning(),
        metric.num_requests,
        metric.num_values
    )?;
    writeln!(out, "![CDF of {}](figs/{}_cdf.svg)\n", name.label(), name.file_stem())?;
    if metric.shift.is_some() {
        writeln!(out, "![Shift of {}](figs/{}_shift.svg)\n", name.label(), name.file_stem())?;
    }
    writeln!(out, "| | real | simulated | error | interval | noise | verdict |")?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---|")?;
    metric.percentiles.iter().try_for_each(|row| percentile_row(out, row))?;
    mean_row(out, metric)?;
    distances(out, metric)?;
    match &metric.pairs {
        Some(pairs) => pairs_paragraph(out, pairs),
        None => Ok(()),
    }
}

fn percentile_row(out: &mut String, row: &PercentileRow) -> std::fmt::Result {
    let noise = match (row.noise_rel, row.noise_multiple) {
        (Some(noise), Some(times)) => format!("{} (error is {times:.1} ×)", magnitude(noise)),
        (Some(noise), None) => magnitude(noise),
        (None, _) => "one run: unknown".to_owned(),
    };
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {noise} | {} |",
        row.label.to_ascii_uppercase(),
        format_duration(row.real_ns.as_f64()),
        format_duration(row.sim_ns.as_f64()),
        row.rel_error.map_or("–".to_owned(), percent),
        interval_words(row.interval.as_ref()),
        verdict_words(row)
    )
}

fn mean_row(out: &mut String, metric: &MetricComparison) -> std::fmt::Result {
    let Some(mean) = &metric.mean else { return Ok(()) };
    writeln!(
        out,
        "| mean | {} | {} | {} | {} | | |",
        format_duration(metric.real.mean.as_f64()),
        format_duration(metric.sim.mean.as_f64()),
        mean.rel_error.map_or("–".to_owned(), percent),
        interval_words(mean.interval.as_ref())
    )
}

fn distances(out: &mut String, metric: &MetricComparison) -> std::fmt::Result {
    let relative =
        metric.wasserstein_rel.map_or(String::new(), |share| format!(" ({} of the real mean)", magnitude(share)));
    writeln!(
        out,
        "\nKolmogorov–Smirnov D {:.3}; Wasserstein-1 {}{relative}: the simulation is slower by {} and faster by {}.\n",
        metric.ks,
        format_duration(metric.wasserstein_ns),
        format_duration(metric.wasserstein_slower_ns),
        format_duration(metric.wasserstein_faster_ns)
    )
}

fn pairs_paragraph(out: &mut String, pairs: &PairErrors) -> std::fmt::Result {
    let at = |fraction: f64| {
        let last = pairs.rel_errors.len() - 1;
        percent(pairs.rel_errors[libm::round(fraction * last as f64) as usize])
    };
    let agreement = &pairs.bland_altman;
    writeln!(
        out,
        "Request by request: {} of {} are within the tolerance; errors {} at P5, {} at P50, {} at P95. \
         Differences average {}, 95 % of them would lie in {} … {} were they normal (Bland–Altman){}.\n",
        magnitude(pairs.share_within),
        pairs.num_pairs,
        at(0.05),
        at(0.5),
        at(0.95),
        format_signed_duration(agreement.bias_ns),
        format_signed_duration(agreement.low_ns),
        format_signed_duration(agreement.high_ns),
        agreement.slope.map_or(String::new(), |slope| format!("; they change by {} of the value", percent(slope)))
    )
}

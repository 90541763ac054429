//! A comparison as text: `summary.md` and the CSV tables, all from the one [`Comparison`].

use std::fmt::Write;

use crate::charts::format_duration;
use crate::report::attribution::{attribution_csv, attribution_section};
use crate::report::load::{curves_csv, load_csv, load_section};
use crate::report::windows::windows_section;
use crate::report::{definition_line, magnitude, percent, said, verdict_words};
use crate::schema::comparison::{Comparison, MetricComparison, ParityState, RunIdentity};

/// Every table of a comparison: (path inside its directory, bytes).
pub fn tables(comparison: &Comparison) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for metric in &comparison.metrics {
        let stem = metric.metric.file_stem();
        files.push((format!("tables/{stem}_percentiles.csv"), percentiles_csv(metric).into_bytes()));
        files.push((format!("tables/{stem}_cdf.csv"), cdf_csv(metric).into_bytes()));
    }
    if let Some(attribution) = &comparison.attribution {
        files.push(("tables/attribution.csv".to_owned(), attribution_csv(attribution).into_bytes()));
    }
    if let Some(load) = &comparison.load {
        files.push(("tables/load.csv".to_owned(), load_csv(load).into_bytes()));
    }
    if let Some(curves) = &comparison.curves {
        files.push(("tables/curves.csv".to_owned(), curves_csv(curves).into_bytes()));
    }
    files
}

/// `metric,real_ns,sim_ns` and what we know beyond, one row a percentile.
pub fn percentiles_csv(metric: &MetricComparison) -> String {
    let mut text = "metric,real_ns,sim_ns,diff_ns,rel_error,noise_rel,sample_floor,verdict\n".to_owned();
    let blank = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    for row in &metric.percentiles {
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{}",
            row.label,
            row.real_ns,
            row.sim_ns,
            row.diff_ns,
            blank(row.rel_error),
            blank(row.noise_rel),
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

/// `summary.md` of a comparison.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut text = String::new();
    let written = sections(&mut text, comparison);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    text
}

fn sections(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    writeln!(out, "# Real against simulated\n\n**{}**\n", comparison.verdict.sentence)?;
    for notice in &comparison.notices {
        writeln!(out, "> ⚠ {}\n", notice.text)?;
    }
    if let Some(text) = definition_line(comparison.options.definition) {
        writeln!(out, "{text}\n")?;
    }
    let counts = &comparison.counts;
    writeln!(
        out,
        "{} of {} requests compared, {} output tokens. Tolerance {} {}. Errors are (simulated − real) / real.\n",
        counts.num_compared,
        counts.num_requests,
        counts.num_tokens,
        magnitude(comparison.options.tolerance),
        if comparison.options.is_tolerance_declared { "as declared" } else { "by default: none was declared" },
    )?;
    for metric in &comparison.metrics {
        metric_section(out, metric)?;
    }
    if let Some(attribution) = &comparison.attribution {
        attribution_section(out, attribution)?;
    }
    if let Some(windows) = &comparison.windows {
        windows_section(out, windows, comparison)?;
    }
    if let Some(load) = &comparison.load {
        load_section(out, load)?;
    }
    if let (Some(service), Some(slo)) = (&comparison.service, &comparison.options.slo) {
        service.write_markdown(out, slo)?;
    }
    writeln!(out, "## Runs\n\n| | engine | model | hardware | written by | tokens/s |\n|---|---|---|---|---|---:|")?;
    for (index, run) in comparison.real.iter().enumerate() {
        let role = if index == 0 { "real".to_owned() } else { format!("real, repeat {}", index + 1) };
        run_row(out, &role, run)?;
    }
    run_row(out, "simulated", &comparison.sim)?;
    writeln!(
        out,
        "\nWorkload: {} requests, sha256 {}.\n",
        comparison.workload.num_requests, comparison.workload.sha256
    )?;
    writeln!(out, "## Settings\n\n| setting | real | simulated | |\n|---|---|---|---|")?;
    for row in &comparison.parity {
        let state = match row.state {
            ParityState::Matched => "matched",
            ParityState::Differs => "**differs**",
            ParityState::Unknown => "unknown",
        };
        writeln!(out, "| {} | {} | {} | {state} |", row.setting, said(&row.real), said(&row.sim))?;
    }
    writeln!(out, "\n## Worst requests\n\n| request | prompt | output | real E2E | simulated E2E | error |")?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|")?;
    for request in &comparison.worst_requests {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            request.request_id,
            request.num_prefill_tokens,
            request.num_decode_tokens,
            format_duration(request.real_e2e_ns as f64),
            format_duration(request.sim_e2e_ns as f64),
            request.rel_error.map_or("–".to_owned(), percent),
        )?;
    }
    Ok(())
}

fn metric_section(out: &mut String, metric: &MetricComparison) -> std::fmt::Result {
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
    writeln!(out, "| | real | simulated | error | noise | verdict |\n|---|---:|---:|---:|---:|---|")?;
    for row in &metric.percentiles {
        let verdict = verdict_words(row);
        let noise = match (row.noise_rel, row.noise_multiple) {
            (Some(noise), Some(times)) => format!("{} (error is {times:.1} ×)", magnitude(noise)),
            (Some(noise), None) => magnitude(noise),
            (None, _) => "one run: unknown".to_owned(),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {noise} | {verdict} |",
            row.label.to_uppercase(),
            format_duration(row.real_ns.as_f64()),
            format_duration(row.sim_ns.as_f64()),
            row.rel_error.map_or("–".to_owned(), percent),
        )?;
    }
    let relative =
        metric.wasserstein_rel.map_or(String::new(), |share| format!(" ({} of the real mean)", magnitude(share)));
    writeln!(
        out,
        "\nKolmogorov–Smirnov D {:.3}; Wasserstein-1 {}{relative}.\n",
        metric.ks,
        format_duration(metric.wasserstein_ns)
    )
}

fn run_row(out: &mut String, role: &str, run: &RunIdentity) -> std::fmt::Result {
    let rate = run.throughput_tokens_per_s.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
    let (engine, model) = (said(&run.engine), said(&run.model));
    let (hardware, writer) = (said(&run.hardware), said(&run.writer));
    writeln!(out, "| {role} | {engine} | {model} | {hardware} | {writer} | {rate} |")
}

//! A comparison as text: `summary.md` and the CSV tables, all from the one [`Comparison`].

use std::fmt::Write;

use crate::charts::format_duration;
use crate::report::attribution::{attribution_csv, attribution_section};
use crate::report::load::{curves_csv, load_csv, load_section};
use crate::report::metric::{cdf_csv, metric_section, percentiles_csv, shift_csv};
use crate::report::windows::windows_section;
use crate::report::{definition_line, magnitude, percent, said, thousands};
use crate::schema::comparison::{Comparison, OrderReport, ParityState, RunIdentity};

/// Every table of a comparison: (path inside its directory, bytes).
pub fn tables(comparison: &Comparison) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for metric in &comparison.metrics {
        let stem = metric.metric.file_stem();
        files.push((format!("tables/{stem}_percentiles.csv"), percentiles_csv(metric).into_bytes()));
        files.push((format!("tables/{stem}_cdf.csv"), cdf_csv(metric).into_bytes()));
        if let Some(shift) = &metric.shift {
            files.push((format!("tables/{stem}_shift.csv"), shift_csv(shift).into_bytes()));
        }
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
    writeln!(out, "{}\n", how_intervals(comparison))?;
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
            ParityState::Defaulted => "matched by default",
            ParityState::Differs => "**differs**",
            ParityState::Unknown => "unknown",
        };
        writeln!(out, "| {} | {} | {} | {state} |", row.setting, said(&row.real), said(&row.sim))?;
    }
    if let Some(order) = &comparison.order {
        order_section(out, order)?;
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

/// What an interval is here, and how it was made.
fn how_intervals(comparison: &Comparison) -> String {
    let bootstrap = &comparison.options.bootstrap;
    let mut lengths = comparison.metrics.iter().filter_map(|metric| metric.bootstrap).map(|blocks| blocks.block_length);
    let Some(first) = lengths.next() else {
        return "Too few requests for intervals.".to_owned();
    };
    let (shortest, longest) = lengths.fold((first, first), |(low, high), length| (low.min(length), high.max(length)));
    let blocks = match (shortest, longest) {
        (1, 1) => "one by one".to_owned(),
        (shortest, longest) if shortest == longest => format!("in blocks of {shortest} neighbours"),
        (shortest, longest) => format!("in blocks of {shortest} to {longest} neighbours, by metric"),
    };
    format!(
        "Intervals hold the error with {} confidence: the requests were drawn again {} times on both sides at once, {blocks}.",
        magnitude(bootstrap.confidence),
        thousands(bootstrap.num_resamples.into())
    )
}

fn order_section(out: &mut String, order: &OrderReport) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Order of first tokens\n\nKendall's tau {:.4}; {} requests have another place than predicted.\n",
        order.kendall_tau,
        thousands(order.num_displaced as u64)
    )?;
    if order.displaced.is_empty() {
        return Ok(());
    }
    writeln!(out, "| request | real place | simulated place |\n|---:|---:|---:|")?;
    order
        .displaced
        .iter()
        .try_for_each(|one| writeln!(out, "| {} | {} | {} |", one.request_id, one.real_place, one.sim_place))
}

fn run_row(out: &mut String, role: &str, run: &RunIdentity) -> std::fmt::Result {
    let rate = run.throughput_tokens_per_s.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
    let (engine, model) = (said(&run.engine), said(&run.model));
    let (hardware, writer) = (said(&run.hardware), said(&run.writer));
    writeln!(out, "| {role} | {engine} | {model} | {hardware} | {writer} | {rate} |")
}

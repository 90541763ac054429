//! The summary of one run: overview, environment, key results, how to read the files, every request.

use std::fmt::Write;

use serde::Serialize;

use crate::charts::format_duration;
use crate::compare::summary;
use crate::metrics::{self, Metric, Timeline, throughput};
use crate::report::steps::steps_section;
use crate::report::{StepResults, cell, identity, said, step_results, thousands};
use crate::schema::comparison::Summary;
use crate::schema::{Origin, RequestStatus, Run};
use crate::stats::Sorted;

/// Rows of the per-request table; longer runs say how many were left out.
const MAX_REQUEST_ROWS: usize = 200;

/// The numbers a reader asks for first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyResults {
    /// Requests of the run.
    pub num_requests: usize,
    /// Requests with output.
    pub num_completed: usize,
    /// Prompt tokens of all requests.
    pub num_prefill_tokens: u64,
    /// Output tokens produced.
    pub num_decode_tokens: u64,
    /// First arrival to last completion, ns.
    pub span_ns: u64,
    /// Completed requests per second of that span.
    pub throughput_rps: Option<f64>,
    /// Output tokens per second of that span.
    pub throughput_tokens_per_s: Option<f64>,
    /// TTFT, ns.
    pub ttft: Option<Summary>,
    /// E2E, ns.
    pub e2e: Option<Summary>,
    /// ITL, ns.
    pub itl: Option<Summary>,
    /// Preemptions, where the engine counts them.
    pub num_preemptions: Option<u64>,
    /// What `step_metrics.csv` tells, where there is one.
    pub steps: Option<StepResults>,
}

/// Computes the key results of a run.
pub fn key_results(run: &Run) -> KeyResults {
    let completed: Vec<_> = (0..run.requests.len()).filter_map(|index| Timeline::of(run, index)).collect();
    let throughput = throughput(run);
    let num_decode_tokens = run.requests.iter().map(|row| u64::from(row.num_decode_tokens_actual)).sum::<u64>();
    let of = |metric| Sorted::new(metrics::values(run, metric)).map(|sample| summary(&sample));
    KeyResults {
        num_requests: run.requests.len(),
        num_completed: completed.len(),
        num_prefill_tokens: run.requests.iter().map(|row| u64::from(row.num_prefill_tokens)).sum(),
        num_decode_tokens,
        span_ns: throughput.span_ns,
        throughput_rps: throughput.requests_per_s,
        throughput_tokens_per_s: throughput.output_tokens_per_s,
        ttft: of(Metric::Ttft),
        e2e: of(Metric::E2e),
        itl: of(Metric::Itl),
        num_preemptions: run.requests.iter().map(|row| row.num_preemptions.map(u64::from)).sum(),
        steps: run.steps.as_deref().and_then(step_results),
    }
}

/// `summary.md` of a run.
pub fn run_markdown(run: &Run) -> String {
    let mut text = String::new();
    let results = key_results(run);
    // Writing to a String cannot fail; `sections` keeps the one `?` chain in one place.
    let written = sections(&mut text, run, &results);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    text
}

fn sections(out: &mut String, run: &Run, results: &KeyResults) -> std::fmt::Result {
    let origin = match run.meta.origin() {
        Some(Origin::Real) => "measured: every time was read from a clock while an engine ran",
        Some(Origin::Simulated) => "predicted: no engine ran, every time comes from a latency model",
        None => "of unknown origin: the run does not say whether it was measured or predicted",
    };
    writeln!(out, "# Run {}\n\nAll times below are {origin}.\n", run.name)?;
    let who = identity(run);
    writeln!(out, "## Overview\n\n| | |\n|---|---|")?;
    writeln!(out, "| model | {} |\n| engine | {} |", said(&who.model), said(&who.engine))?;
    writeln!(out, "| hardware | {} |\n| written by | {} |", said(&who.hardware), said(&who.writer))?;
    for (role, hash) in &run.meta.inputs {
        writeln!(out, "| {} | sha256 {} |", cell(role), cell(hash))?;
    }
    if !run.meta.env.is_empty() {
        writeln!(out, "\n## Environment\n\n| | |\n|---|---|")?;
        for (key, value) in &run.meta.env {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "| {} | {} |", cell(key), cell(&value))?;
        }
    }
    key_results_section(out, results)?;
    if let Some(steps) = &results.steps {
        steps_section(out, steps)?;
    }
    writeln!(out, "\n## Files\n\n| file | rows |\n|---|---|")?;
    writeln!(
        out,
        "| `request_metrics.csv` | one a request: arrival, first token, completion; ns since the run began |"
    )?;
    writeln!(out, "| `token_metrics.csv` | one an output token: when it was there, and the gap to the one before |")?;
    writeln!(
        out,
        "| `step_metrics.csv` | one an engine step: what it computed, host and device time, host phases where the engine tells |"
    )?;
    writeln!(
        out,
        "| `run_meta.json` | who ran what, where and when; the resolved configuration; hashes of the inputs |"
    )?;
    request_table(out, run)
}

fn key_results_section(out: &mut String, results: &KeyResults) -> std::fmt::Result {
    writeln!(out, "\n## Key results\n\n| | |\n|---|---|")?;
    writeln!(out, "| requests | {} ({} with output) |", results.num_requests, results.num_completed)?;
    writeln!(out, "| prefill tokens | {} |", thousands(results.num_prefill_tokens))?;
    writeln!(out, "| decode tokens | {} |", thousands(results.num_decode_tokens))?;
    if let Some(rate) = results.throughput_tokens_per_s {
        writeln!(out, "| decode throughput | {rate:.1} tokens/s |")?;
    }
    if let Some(rate) = results.throughput_rps {
        writeln!(out, "| request throughput | {rate:.3} requests/s |")?;
    }
    if let Some(count) = results.num_preemptions {
        writeln!(out, "| preemptions | {count} |")?;
    }
    writeln!(out, "\n| metric | mean | median | min | max |\n|---|---:|---:|---:|---:|")?;
    for (name, summary) in [("TTFT", &results.ttft), ("E2E", &results.e2e), ("ITL", &results.itl)] {
        let Some(summary) = summary else { continue };
        let cells = [summary.mean, summary.median, summary.min, summary.max]
            .map(|time| format!("{} ({time} ns)", format_duration(time.as_f64())));
        writeln!(out, "| {name} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn request_table(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "\n## Requests\n\n| request | arrival | prompt | output | TTFT | E2E | status |")?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|---|")?;
    for (index, row) in run.requests.iter().enumerate().take(MAX_REQUEST_ROWS) {
        let line = Timeline::of(run, index);
        let time = |metric| {
            let value = line.and_then(|line| line.value(metric));
            value.map_or_else(|| "–".to_owned(), |value| format_duration(value as f64))
        };
        let status = match row.status {
            RequestStatus::Ok => "ok".to_owned(),
            other => format!("{}: {}", other.as_str(), cell(row.error_msg.as_deref().unwrap_or("no reason given"))),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} of {} | {} | {} | {status} |",
            row.request_id,
            format_duration(row.arrival.0 as f64),
            row.num_prefill_tokens,
            row.num_decode_tokens_actual,
            row.num_decode_tokens,
            time(Metric::Ttft),
            time(Metric::E2e),
        )?;
    }
    if let Some(left) = run.requests.len().checked_sub(MAX_REQUEST_ROWS + 1) {
        writeln!(out, "\n{} more requests are in `request_metrics.csv`.", left + 1)?;
    }
    Ok(())
}

//! Reports as text: run summaries, comparison summaries and tables. Pure, so `verify` can write them again.

mod comparison;
mod run;

pub use comparison::{cdf_csv, comparison_markdown, percentiles_csv, tables};
pub use run::{KeyResults, key_results, run_markdown};

use serde_json::Value;

use crate::schema::comparison::{PercentileRow, RunIdentity};
use crate::schema::{Origin, Run};
use crate::stats::Verdict;

/// A fraction as a signed percentage with one decimal, two below one percent: `-2.4 %`, `+0.31 %`.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let decimals = if libm::fabs(percent) < 1.0 { 2 } else { 1 };
    format!("{percent:+.decimals$} %")
}

/// A row's verdict with the reason where there is none: `cannot tell (598 more requests needed)`.
pub fn verdict_words(row: &PercentileRow) -> String {
    match (row.verdict, row.num_more_needed, row.noise_rel) {
        (Verdict::Within, ..) | (Verdict::Outside, 0, _) => row.verdict.words().to_owned(),
        (Verdict::Outside, ..) => "outside (every request is)".to_owned(),
        (Verdict::CannotTell, 0, Some(_)) => "cannot tell (the real runs differ too much)".to_owned(),
        (Verdict::CannotTell, 0, None) => "cannot tell".to_owned(),
        (Verdict::CannotTell, more, _) => format!("cannot tell ({more} more requests needed)"),
    }
}

/// A whole number with thousands separated by commas.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Who a run is, for reports and the viewer.
pub fn identity(run: &Run) -> RunIdentity {
    let meta = &run.meta;
    let results = key_results(run);
    RunIdentity {
        name: run.name.clone(),
        run_id: meta.run_id.clone(),
        model: meta.model.clone(),
        engine: engine(run),
        hardware: hardware(run),
        started_at: meta.started_at.clone(),
        git_commit: meta.git_commit.clone(),
        writer: meta.writer.as_ref().map(|writer| format!("{} {}", writer.name, writer.version)),
        params: meta.params.clone(),
        throughput_rps: results.throughput_rps,
        throughput_tokens_per_s: results.throughput_tokens_per_s,
    }
}

fn engine(run: &Run) -> Option<String> {
    if let Some(backend) = &run.meta.backend {
        return Some(backend.clone());
    }
    let text = |key: &str| run.meta.simulator.as_ref()?.get(key)?.as_str().map(str::to_owned);
    match (text("name"), text("latency_model")) {
        (Some(name), Some(model)) => Some(format!("{name}, {model} latency model")),
        (Some(name), None) => Some(name),
        _ if run.meta.origin() == Some(Origin::Simulated) && !run.meta.is_ours() => Some("vidur".to_owned()),
        _ => None,
    }
}

fn hardware(run: &Run) -> Option<String> {
    let hardware = run.meta.hardware.as_ref();
    let named = ["name", "device_name"].iter().find_map(|key| hardware?.get(*key)?.as_str());
    let device = named.or_else(|| run.meta.env.get("cuda_device").and_then(Value::as_str));
    device.or_else(|| hardware?.get("hardware_id")?.as_str()).map(str::to_owned)
}

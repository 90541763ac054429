//! Reports as text: run summaries, comparison summaries and tables. Pure, so `verify` can write them again.

mod attribution;
mod comparison;
mod definitions;
mod load;
mod metric;
mod run;
mod steps;
mod windows;

pub use comparison::{comparison_markdown, tables};
pub use definitions::{definitions_markdown, service_markdown};
pub use load::load_rows;
pub use metric::{cdf_csv, percentiles_csv};
pub use run::{KeyResults, key_results, run_markdown};
pub use steps::{Level, MeanPhases, ReplicaResults, StepResults, step_results};
pub use windows::steady_words;

use serde_json::Value;

use crate::schema::comparison::{ErrorInterval, PercentileRow, RunIdentity};
use crate::schema::{Origin, Run};
use crate::stats::{Doubt, Verdict};

/// A fraction as a percentage with its sign, one decimal, two below one percent: `-2.4 %`, `+0.31 %`.
/// Beyond ten times there is nothing to compare, and it says only that: `+ > 999 %`.
pub fn percent(fraction: f64) -> String {
    let sign = if fraction < 0.0 { "-" } else { "+" };
    let size = magnitude(libm::fabs(fraction));
    if size.starts_with('>') { format!("{sign} {size}") } else { format!("{sign}{size}") }
}

/// The same without a sign, for tolerances, noise and distances.
pub fn magnitude(fraction: f64) -> String {
    let percent = fraction * 100.0;
    match percent {
        percent if percent >= 1000.0 => "> 999 %".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// A row's verdict with the reason where there is none: `cannot tell (P99 needs 662 requests, 598 more)`.
pub fn verdict_words(row: &PercentileRow) -> String {
    let more = row.num_more_needed.filter(|more| *more > 0).map(|more| thousands(more.into()));
    match (row.verdict, row.doubt, more) {
        (Verdict::Outside, ..) if row.is_below_floor => "outside (every request is)".to_owned(),
        (Verdict::CannotTell, Some(Doubt::FewRequests), Some(more)) => {
            let (name, floor) = (row.label.to_ascii_uppercase(), thousands(row.sample_floor.into()));
            format!("cannot tell ({name} needs {floor} requests, {more} more)")
        }
        (Verdict::CannotTell, Some(Doubt::WideInterval), Some(more)) => {
            format!("cannot tell (interval too wide: about {more} more requests)")
        }
        (Verdict::CannotTell, Some(Doubt::WideInterval), None) => {
            "cannot tell (interval reaches over the tolerance)".to_owned()
        }
        (Verdict::CannotTell, Some(Doubt::NoInterval), _) => "cannot tell (no interval)".to_owned(),
        (Verdict::CannotTell, Some(Doubt::NoisyEngine), _) => "cannot tell (the real runs differ too much)".to_owned(),
        (verdict, ..) => verdict.words().to_owned(),
    }
}

/// The interval of a relative error as a person reads it: `-3.1 … +2.4 %`; blank without one.
pub fn interval_words(interval: Option<&ErrorInterval>) -> String {
    let ends = interval.and_then(|interval| interval.rel_low.zip(interval.rel_high));
    ends.map_or(String::new(), |(low, high)| {
        let (low, high) = (percent(low), percent(high));
        format!("{} … {high}", low.trim_end_matches(" %"))
    })
}

/// What a run says of itself as one cell of a Markdown table: foreign metadata may hold anything.
fn cell(text: &str) -> String {
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    plain.collect::<String>().replace('|', "\\|").replace('<', "&lt;")
}

/// A value as a cell, or that it is not said.
fn said(value: &Option<String>) -> String {
    value.as_deref().map_or_else(|| "not said".to_owned(), cell)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_read_the_same_everywhere() {
        let shown = [0.0, 0.0031, -0.024, 0.1, -0.985, 9.99, 138.0, -12.0].map(percent);
        let expected = ["+0.00 %", "+0.31 %", "-2.4 %", "+10.0 %", "-98.5 %", "+999.0 %", "+ > 999 %", "- > 999 %"];
        assert_eq!(shown, expected);
        assert_eq!([0.1, 0.001, 20.0].map(magnitude), ["10.0 %", "0.10 %", "> 999 %"]);
    }

    #[test]
    fn thousands_are_grouped_from_the_right() {
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}

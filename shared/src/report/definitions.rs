//! Tables of what other tools would print of a run, and of what it served.

use std::fmt::Write;

use crate::charts::format_duration;
use crate::compare::slo_words;
use crate::metrics::{Definition, Goodput, Reading, Slo, Throughput};

/// One table a metric, one row a tool, and in what each tool differs.
pub fn definitions_markdown(readings: &[Reading]) -> String {
    let mut text = "## The same run, as each tool would print it\n".to_owned();
    let written = sections(&mut text, readings);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    text
}

fn sections(out: &mut String, readings: &[Reading]) -> std::fmt::Result {
    for group in readings.chunk_by(|a, b| a.metric == b.metric) {
        let metric = group[0].metric.label();
        writeln!(out, "\n| {metric} | values | mean | P50 | P90 | P99 |\n|---|---:|---:|---:|---:|---:|")?;
        for reading in group {
            let [mean, p50, p90, p99] = [reading.mean_ns, reading.p50_ns, reading.p90_ns, reading.p99_ns]
                .map(|time| format_duration(time.as_f64()));
            let (tool, values) = (reading.definition.key(), reading.num_values);
            writeln!(out, "| {tool} | {values} | {mean} | {p50} | {p90} | {p99} |")?;
        }
    }
    let mut tools: Vec<Definition> = readings.iter().map(|reading| reading.definition).collect();
    crate::order::sort_by(&mut tools, Ord::cmp);
    tools.dedup();
    writeln!(out)?;
    for tool in tools {
        writeln!(out, "- `{}`: {}; {}", tool.key(), tool.words(), tool.quantile_rule().words())?;
    }
    Ok(())
}

/// Throughput of a run, and its goodput under an objective by a definition; `None` is one that cannot be judged.
pub fn service_markdown(
    throughput: &Throughput,
    slo: &Slo,
    definition: Definition,
    goodput: Option<&Goodput>,
) -> String {
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.3}"));
    let mut text = format!("## Service under {}, as `{}` counts\n\n", slo_words(slo), definition.key());
    text.push_str("| | |\n|---|---:|\n");
    let mut row = |name: &str, value: String| text.push_str(&format!("| {name} | {value} |\n"));
    row("requests/s", rate(throughput.requests_per_s));
    row("output tokens/s", rate(throughput.output_tokens_per_s));
    row("tokens/s, prompts included", rate(throughput.total_tokens_per_s));
    let Some(goodput) = goodput else {
        row("goodput", "cannot be told: the run has no token times to judge ITL by".to_owned());
        return text;
    };
    let share = |kept: usize| format!("{kept} of {}", goodput.num_requests);
    row("goodput, requests/s", rate(goodput.requests_per_s));
    row("requests that kept it", format!("{} ({:.1} %)", share(goodput.num_good), 100.0 * goodput.attained));
    for (metric, kept) in &goodput.parts {
        row(&format!("kept {}", metric.label()), share(*kept));
    }
    text
}

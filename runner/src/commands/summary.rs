//! `fidelio summary`: the key results of one run directory, and how comparisons look on a terminal.

use std::path::Path;

use anyhow::Context as _;
use fidelio_shared::charts::format_duration;
use fidelio_shared::metrics::{Definition, Slo, goodput, readings, throughput};
use fidelio_shared::report::{
    definitions_markdown, interval_words, key_results, magnitude, percent, run_markdown, service_markdown,
    verdict_words,
};
use fidelio_shared::schema::Run;
use fidelio_shared::schema::comparison::Comparison;
use serde_json::json;

use crate::commands::Outcome;
use crate::store::load_run_dir;

/// Summarises a run of ours or of another tool; adds what `definitions` would print of it, and what it
/// served under `slo`.
///
/// # Errors
/// When the directory is not a run, or a file is broken.
pub fn summary(dir: &Path, definitions: &[Definition], slo: Option<&Slo>) -> anyhow::Result<Outcome> {
    let run = load(dir)?;
    let mut text = run_markdown(&run);
    let mut json = json!(key_results(&run));
    if !definitions.is_empty() {
        definitions.iter().try_for_each(|definition| definition.check(&run))?;
        let readings = readings(&run, definitions);
        text.push_str(&format!("\n{}", definitions_markdown(&readings)));
        json["definitions"] = json!(readings);
    }
    if let Some(slo) = slo {
        let definition = definitions.first().copied().unwrap_or_default();
        let (throughput, goodput) = (throughput(&run), goodput(&run, slo, definition));
        text.push_str(&format!("\n{}", service_markdown(&throughput, slo, definition, goodput.as_ref())));
        json["service"] = json!({ "slo": slo, "definition": definition, "throughput": throughput, "goodput": goodput });
    }
    Ok(Outcome::new(text.trim_end(), json))
}

/// Reads a run, called by its directory's name.
pub(super) fn load(dir: &Path) -> anyhow::Result<Run> {
    let mut run = load_run_dir(dir).with_context(|| format!("reading the run `{}`", dir.display()))?;
    run.name = dir.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(run)
}

/// The verdict, the banners and one line a percentile.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n", comparison.verdict.sentence);
    for notice in &comparison.notices {
        text.push_str(&format!("! {}\n", notice.text));
    }
    let has_noise = comparison.real.len() > 1;
    let labels = comparison.metrics.iter().map(|metric| metric.metric.label().len());
    let width = labels.fold(16, usize::max);
    text.push_str(&format!(
        "\n{:<width$} {:>5} {:>12} {:>12} {:>10} {:>20}{}  {}\n",
        "metric",
        "",
        "real",
        "simulated",
        "error",
        format!("{} interval", magnitude(comparison.options.bootstrap.confidence)),
        if has_noise { format!(" {:>10}", "noise") } else { String::new() },
        "verdict"
    ));
    let (judged, beside): (Vec<_>, Vec<_>) =
        comparison.metrics.iter().partition(|metric| comparison.options.is_judged(metric.metric));
    let first_beside = beside.first().map(|metric| metric.metric);
    for metric in judged.into_iter().chain(beside) {
        if Some(metric.metric) == first_beside {
            text.push_str("not in the verdict:\n");
        }
        for (index, row) in metric.percentiles.iter().enumerate() {
            let noise = match (has_noise, row.noise_rel) {
                (false, _) => String::new(),
                (true, Some(noise)) => format!(" {:>10}", format!("±{}", magnitude(noise)).replace("±>", ">")),
                (true, None) => format!(" {:>10}", "–"),
            };
            text.push_str(&format!(
                "{:<width$} {:>5} {:>12} {:>12} {:>10} {:>20}{noise}  {}\n",
                if index == 0 { metric.metric.label() } else { "" },
                row.label.to_uppercase(),
                format_duration(row.real_ns.as_f64()),
                format_duration(row.sim_ns.as_f64()),
                row.rel_error.map_or("–".to_owned(), percent),
                interval_words(row.interval.as_ref()),
                verdict_words(row),
            ));
        }
    }
    if let Some(service) = &comparison.service
        && let [Some(real), Some(sim)] = &service.goodput
        && let (Some(real), Some(sim)) = (real.requests_per_s, sim.requests_per_s)
    {
        let error = if real > 0.0 { percent((sim - real) / real) } else { "–".to_owned() };
        text.push_str(&format!("goodput: {real:.3} requests/s real, {sim:.3} simulated ({error})\n"));
    }
    text
}

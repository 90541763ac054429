//! Throughput and goodput of both sides under one objective.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::charts::format_duration;
use crate::metrics::{Goodput, Slo, Throughput, goodput, throughput};
use crate::report::percent;
use crate::schema::Run;
use crate::schema::comparison::CompareOptions;

/// What both runs served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceComparison {
    /// Throughput of the real run, and of the simulated one.
    pub throughput: [Throughput; 2],
    /// Goodput of the real run, and of the simulated one; `None` where it cannot be judged.
    pub goodput: [Option<Goodput>; 2],
}

/// Both sides, when `options` declares an objective.
pub(super) fn compare(real: &Run, sim: &Run, options: &CompareOptions) -> Option<ServiceComparison> {
    let slo = options.slo.as_ref()?;
    let sides = [real, sim];
    Some(ServiceComparison {
        throughput: sides.map(throughput),
        goodput: sides.map(|run| goodput(run, slo, options.definition)),
    })
}

/// The objective in words: `TTFT ≤ 200.0 ms, TPOT ≤ 50.00 ms`.
pub fn slo_words(slo: &Slo) -> String {
    let limit = |(metric, limit): (crate::metrics::Metric, crate::time::Nanos)| {
        format!("{} ≤ {}", metric.label(), format_duration(limit.0 as f64))
    };
    slo.limits().map(limit).collect::<Vec<_>>().join(", ")
}

impl ServiceComparison {
    /// A section of `summary.md`.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_markdown(&self, out: &mut String, slo: &Slo) -> std::fmt::Result {
        writeln!(out, "## Service\n\nGoodput under {}.\n", slo_words(slo))?;
        writeln!(out, "| | real | simulated | error |\n|---|---:|---:|---:|")?;
        let mut row = |name: &str, values: [Option<f64>; 2]| {
            let error = match values {
                [Some(real), Some(sim)] if real > 0.0 => percent((sim - real) / real),
                _ => "–".to_owned(),
            };
            let [real, sim] = values.map(|value| value.map_or("–".to_owned(), |value| format!("{value:.3}")));
            writeln!(out, "| {name} | {real} | {sim} | {error} |")
        };
        let [real, sim] = &self.throughput;
        row("requests/s", [real.requests_per_s, sim.requests_per_s])?;
        row("output tokens/s", [real.output_tokens_per_s, sim.output_tokens_per_s])?;
        row("tokens/s, prompts included", [real.total_tokens_per_s, sim.total_tokens_per_s])?;
        let of =
            |value: fn(&Goodput) -> Option<f64>| [0, 1].map(|side: usize| self.goodput[side].as_ref().and_then(value));
        row("goodput, requests/s", of(|side| side.requests_per_s))?;
        row("requests that kept it, %", of(|side| Some(100.0 * side.attained)))?;
        writeln!(out)
    }
}

//! The attribution as text: its section of `summary.md` and `tables/attribution.csv`.

use std::fmt::Write;

use crate::charts::{format_duration, format_signed_duration};
use crate::report::percent;
use crate::schema::attribution::{Attribution, Bin, Breakdown, PartRow, Split};
use crate::stats::CentiNanos;

/// The section of `summary.md`.
pub(super) fn attribution_section(out: &mut String, attribution: &Attribution) -> std::fmt::Result {
    writeln!(out, "## Where the difference comes from\n\n{}\n", attribution.sentence)?;
    writeln!(
        out,
        "Means over {} requests; the parts of each request sum to its E2E exactly. `of E2E` is the difference over the \
         real mean E2E: these sum to its error.\n",
        attribution.e2e.num_requests
    )?;
    if attribution.split == Split::Steps {
        writeln!(
            out,
            "Host is the time of the steps in which no device computed. Preemption is the time between two tokens in \
             which no step held the request, and the recomputation after it.\n"
        )?;
    } else {
        writeln!(out, "Not split further, because {}.\n", attribution.limits.join("; "))?;
    }
    writeln!(out, "![Attribution of E2E](figs/attribution.svg)\n")?;
    writeln!(out, "| | real | simulated | difference | error | of E2E |\n|---|---:|---:|---:|---:|---:|")?;
    rows(out, "E2E", &attribution.e2e)?;
    if attribution.ttft.parts.len() > 1 {
        writeln!(
            out,
            "\n| of TTFT | real | simulated | difference | error | of TTFT |\n|---|---:|---:|---:|---:|---:|"
        )?;
        rows(out, "TTFT", &attribution.ttft)?;
    }
    bins(out, "prompt tokens", &attribution.by_prompt_tokens)?;
    bins(out, "in the system at arrival", &attribution.by_num_in_system)?;
    writeln!(out)
}

fn rows(out: &mut String, whole: &str, breakdown: &Breakdown) -> std::fmt::Result {
    for row in &breakdown.parts {
        let cells =
            [means(breakdown, row.real_ns, row.sim_ns, row.diff_ns), error(row.rel_error), error(row.contribution)];
        writeln!(out, "| {} | {} |", row.part.label(), cells.join(" | "))?;
    }
    let total = means(breakdown, breakdown.real_ns, breakdown.sim_ns, breakdown.diff_ns);
    let share = error(breakdown.rel_error);
    writeln!(out, "| **{whole}** | {total} | {share} | {share} |")
}

/// One row a bin: what it holds, and the difference of each part.
fn bins(out: &mut String, what: &str, bins: &[Bin]) -> std::fmt::Result {
    let Some(first) = bins.first() else { return Ok(()) };
    let parts: Vec<&str> = first.e2e.parts.iter().map(|row| row.part.label()).collect();
    writeln!(out, "\n| {what} | requests | {} | E2E | error |", parts.join(" | "))?;
    writeln!(out, "|---:|---:|{}---:|---:|", "---:|".repeat(parts.len()))?;
    for bin in bins {
        let range = if bin.from == bin.to { bin.from.to_string() } else { format!("{}–{}", bin.from, bin.to) };
        let differences: Vec<String> = bin.e2e.parts.iter().map(|row| signed(bin.e2e.mean(row.diff_ns))).collect();
        writeln!(
            out,
            "| {range} | {} | {} | {} | {} |",
            bin.e2e.num_requests,
            differences.join(" | "),
            signed(bin.e2e.mean(bin.e2e.diff_ns)),
            error(bin.e2e.rel_error)
        )?;
    }
    Ok(())
}

/// Real, simulated and difference as cells.
fn means(breakdown: &Breakdown, real: u64, sim: u64, diff: i64) -> String {
    let mean = |total: u64| format_duration(breakdown.mean(total as i64).as_f64());
    format!("{} | {} | {}", mean(real), mean(sim), signed(breakdown.mean(diff)))
}

fn signed(time: CentiNanos) -> String {
    format_signed_duration(time.as_f64())
}

fn error(fraction: Option<f64>) -> String {
    fraction.map_or("–".to_owned(), percent)
}

/// `tables/attribution.csv`: sums over requests in ns, one row a part of each whole and each bin.
pub(super) fn attribution_csv(attribution: &Attribution) -> String {
    let mut text = "whole,by,from,to,num_requests,part,real_ns,sim_ns,diff_ns,rel_error,contribution\n".to_owned();
    let mut write = |scope: &str, breakdown: &Breakdown| {
        let blank = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        let mut line = |part: &str, real: u64, sim: u64, diff: i64, error: Option<f64>, contribution: Option<f64>| {
            let (error, contribution) = (blank(error), blank(contribution));
            let num = breakdown.num_requests;
            let _ = writeln!(text, "{scope},{num},{part},{real},{sim},{diff},{error},{contribution}");
        };
        for PartRow { part, real_ns, sim_ns, diff_ns, rel_error, contribution } in &breakdown.parts {
            line(part.key(), *real_ns, *sim_ns, *diff_ns, *rel_error, *contribution);
        }
        let Breakdown { real_ns, sim_ns, diff_ns, rel_error, .. } = breakdown;
        line("whole", *real_ns, *sim_ns, *diff_ns, *rel_error, *rel_error);
    };
    write("e2e,,,", &attribution.e2e);
    write("ttft,,,", &attribution.ttft);
    let by = [("prompt_tokens", &attribution.by_prompt_tokens), ("num_in_system", &attribution.by_num_in_system)];
    for (name, bins) in by {
        for bin in bins {
            write(&format!("e2e,{name},{},{}", bin.from, bin.to), &bin.e2e);
        }
    }
    text
}

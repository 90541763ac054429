//! A comparison as GitHub-flavoured Markdown: verdict, banners, percentiles, and where they are from.

use std::fmt::Write;

use fidelio_shared::charts::{format_duration, format_signed_duration};
use fidelio_shared::explore::answers::Reduced;
use fidelio_shared::report::{interval_words, magnitude, percent, thousands, verdict_words};
use fidelio_shared::schema::comparison::{Comparison, MetricComparison, NoticeKind, PercentileRow};

/// What a table shows.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Every metric over the whole run.
    All,
    /// One metric over the whole run.
    One(&'a MetricComparison),
    /// One metric over a part of the run, with intervals; the words say which part.
    Part(&'a MetricComparison, &'a str),
    /// The same while the intervals are not there.
    Quick(&'a Reduced, &'a str),
}

/// All of it. Ends in a line break.
pub fn report(comparison: &Comparison, told: Told<'_>, provenance: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, comparison, told, provenance);
    out
}

fn write(out: &mut String, comparison: &Comparison, told: Told<'_>, provenance: &str) -> std::fmt::Result {
    writeln!(out, "**{}: {}**\n", comparison.verdict.verdict.words(), text(&comparison.verdict.sentence))?;
    for notice in &comparison.notices {
        writeln!(out, "> {}: {}\n", kind(notice.kind), text(&notice.text))?;
    }
    let confidence = thousands((comparison.options.bootstrap.confidence * 100.0).round() as u64);
    let head = |out: &mut String| {
        writeln!(out, "| | real | simulated | difference | error | {confidence} % interval | noise | verdict |")?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---|")
    };
    match told {
        Told::All => {
            head(out)?;
            comparison.metrics.iter().try_for_each(|metric| rows(out, metric))?;
        }
        Told::One(metric) => {
            head(out)?;
            rows(out, metric)?;
        }
        Told::Part(metric, part) => {
            writeln!(out, "Of the {}, {} requests:\n", text(part), thousands(metric.num_requests as u64))?;
            head(out)?;
            rows(out, metric)?;
        }
        Told::Quick(reduced, part) => quick_rows(out, reduced, part)?,
    }
    writeln!(out, "\n<sub>{}</sub>", text(provenance))
}

fn rows(out: &mut String, metric: &MetricComparison) -> std::fmt::Result {
    metric.percentiles.iter().try_for_each(|row| percentile_row(out, metric, row))
}

fn percentile_row(out: &mut String, metric: &MetricComparison, row: &PercentileRow) -> std::fmt::Result {
    writeln!(
        out,
        "| {} {} | {} | {} | {} | {} | {} | {} | {} |",
        metric.metric.label(),
        row.percentile.to_string().to_ascii_uppercase(),
        format_duration(row.real_ns.as_f64()),
        format_duration(row.sim_ns.as_f64()),
        format_signed_duration(row.diff_ns.as_f64()),
        row.rel_error.map_or("–".to_owned(), percent),
        interval_words(row.interval.as_ref()),
        row.noise_rel.map_or("–".to_owned(), magnitude),
        text(&verdict_words(row))
    )
}

fn quick_rows(out: &mut String, reduced: &Reduced, part: &str) -> std::fmt::Result {
    writeln!(out, "Of the {}, {} requests:\n", text(part), thousands(reduced.num_requests as u64))?;
    writeln!(out, "| | real | simulated | difference | error |\n|---|---:|---:|---:|---:|")?;
    for row in &reduced.percentiles {
        writeln!(
            out,
            "| {} {} | {} | {} | {} | {} |",
            reduced.metric.label(),
            row.percentile.to_string().to_ascii_uppercase(),
            format_duration(row.real_ns.as_f64()),
            format_duration(row.sim_ns.as_f64()),
            format_signed_duration((row.sim_ns - row.real_ns).as_f64()),
            row.rel_error.map_or("–".to_owned(), percent),
        )?;
    }
    Ok(())
}

/// The word of a banner's kind.
fn kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Parity => "Not known to be the same experiment",
        NoticeKind::Load => "Doubtful load",
        NoticeKind::Fitted => "Fitted, not predicted",
        _ => "Note",
    }
}

/// A text of a file's inside Markdown: it stays one line, and makes no table, tag, link or picture.
fn text(words: &str) -> String {
    let mut plain = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            letter if letter.is_control() => plain.push(' '),
            '<' => plain.push_str("&lt;"),
            '|' | '[' | ']' | '\\' => plain.extend(['\\', letter]),
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::sample::comparison;

    #[test]
    fn a_report_has_verdict_banners_every_row_and_its_provenance() {
        let comparison = comparison();
        let report = report(&comparison, Told::All, "fidelio 9 · a.zip, SHA-256 00");
        let lines: Vec<&str> = report.lines().collect();
        assert!(lines[0].starts_with("**outside: Do not trust this simulation to 10.0 %"), "{}", lines[0]);
        assert!(report.contains("> Not known to be the same experiment: settings differ: `model`"), "{report}");
        assert!(report.contains("| | real | simulated | difference | error | 95 % interval | noise | verdict |"));
        let rows: Vec<&&str> =
            lines.iter().filter(|line| line.starts_with("| TTFT") || line.starts_with("| ITL")).collect();
        assert_eq!(rows.len(), comparison.metrics.iter().map(|metric| metric.percentiles.len()).sum::<usize>());
        assert!(rows.iter().all(|row| row.matches(" |").count() == 8), "{rows:?}");
        assert_eq!(lines.last(), Some(&"<sub>fidelio 9 · a.zip, SHA-256 00</sub>"));
    }

    #[test]
    fn a_part_says_which_and_of_how_many() {
        let comparison = comparison();
        let ttft = &comparison.metrics[0];
        let part = report(&comparison, Told::Part(ttft, "requests arriving from 0 ns to 1.000 s"), "");
        assert!(part.contains("Of the requests arriving from 0 ns to 1.000 s, 8 requests:\n\n| |"), "{part}");
        assert!(!part.contains("| ITL"));
    }

    #[test]
    fn words_of_a_file_stay_words() {
        let mut comparison = comparison();
        comparison.verdict.sentence = "fine|<img src=x>\n# a [link](javascript:1) ![](//x)".to_owned();
        let report = report(&comparison, Told::One(&comparison.metrics[0]), "a<b>.zip");
        assert!(
            report.starts_with("**outside: fine\\|&lt;img src=x> # a \\[link\\](javascript:1) !\\[\\](//x)**\n\n>"),
            "{report}"
        );
        assert!(report.ends_with("<sub>a&lt;b>.zip</sub>\n"));
    }
}

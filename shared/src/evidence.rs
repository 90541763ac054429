//! Evidence: what a predictor is worth on a real run, misses included, one row a metric and percentile.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::charts::format_duration;
use crate::compare::{Refusal, compare};
use crate::metrics::{Definition, Metric};
use crate::report::{interval_words, percent};
use crate::schema::Run;
use crate::schema::comparison::{CompareOptions, ErrorInterval};
use crate::stats::{CentiNanos, Percentile};

/// Where a prediction comes from, which decides what its error means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Standing {
    /// Others published it together with the real run.
    Published,
    /// Nothing of it was fitted to a run.
    Unfitted,
    /// Fitted to another run, or to other requests than are scored: a prediction.
    Predicted {
        /// To what.
        fitted_to: String,
    },
    /// Fitted to what is scored: a reproduction, and no evidence.
    Reproduced,
}

impl Standing {
    /// As a table says it.
    pub fn words(&self) -> String {
        match self {
            Standing::Published => "published".to_owned(),
            Standing::Unfitted => "nothing fitted".to_owned(),
            Standing::Predicted { fitted_to } => format!("fitted to {fitted_to}"),
            Standing::Reproduced => "fitted to this very run: no prediction".to_owned(),
        }
    }
}

/// One predictor on one real run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The data set's name.
    pub data: String,
    /// The real run, and which of its requests.
    pub run: String,
    /// What predicted.
    pub predictor: String,
    /// How it came to know.
    pub standing: Standing,
    /// Requests scored.
    pub num_requests: usize,
    /// Whose metrics.
    pub definition: Definition,
    /// Errors.
    pub rows: Vec<Row>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Of what.
    pub metric: Metric,
    /// At which percentile; `None` is the mean.
    pub percentile: Option<Percentile>,
    /// Real, ns.
    pub real_ns: CentiNanos,
    /// Predicted, ns.
    pub predicted_ns: CentiNanos,
    /// (predicted - real) / real; `None` when real is zero.
    pub rel_error: Option<f64>,
    /// Its interval; `None` with too few requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ErrorInterval>,
}

/// What is scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Question<'a> {
    /// The metrics.
    pub metrics: &'a [Metric],
    /// The percentiles, ascending.
    pub percentiles: &'a [Percentile],
    /// Score the means too.
    pub means: Means,
    /// Whose metrics.
    pub definition: Definition,
}

/// Whether means are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Percentiles only.
    Left,
    /// Before the percentiles.
    Scored,
}

/// Every error of `predicted` against `real`.
///
/// # Errors
/// When the two are not of the same requests.
pub fn errors(real: &Run, predicted: &Run, question: &Question<'_>) -> Result<Vec<Row>, Refusal> {
    let options = CompareOptions {
        allow_mismatch: true,
        percentiles: question.percentiles.to_vec(),
        definition: question.definition,
        ..CompareOptions::default()
    };
    let comparison = compare(std::slice::from_ref(real), predicted, None, &options)?;
    let mut rows = Vec::new();
    for metric in question.metrics.iter().filter_map(|metric| comparison.metric(*metric)) {
        if let (Means::Scored, Some(mean)) = (question.means, &metric.mean) {
            rows.push(Row {
                metric: metric.metric,
                percentile: None,
                real_ns: metric.real.mean,
                predicted_ns: metric.sim.mean,
                rel_error: mean.rel_error,
                interval: mean.interval,
            });
        }
        rows.extend(metric.percentiles.iter().map(|row| Row {
            metric: metric.metric,
            percentile: Some(row.percentile),
            real_ns: row.real_ns,
            predicted_ns: row.sim_ns,
            rel_error: row.rel_error,
            interval: row.interval,
        }));
    }
    Ok(rows)
}

/// How a case did, in one sentence: `6 of 8 errors within 2 %, worst -3.40 % (P95 normalised prefill)`.
pub fn case_sentence(case: &Case) -> String {
    let size = |row: &&Row| row.rel_error.map_or(f64::INFINITY, libm::fabs);
    let near = case.rows.iter().filter(|row| size(row) <= 0.02).count();
    let worst = case.rows.iter().max_by(|a, b| size(a).total_cmp(&size(b)));
    let worst = worst.map_or(String::new(), |row| {
        let error = row.rel_error.map_or("unknown".to_owned(), |error| format!("{:+.2} %", error * 100.0));
        format!(", worst {error} ({} {})", label(row.percentile), row.metric.label())
    });
    format!("{near} of {} errors within 2 %{worst}", case.rows.len())
}

fn label(percentile: Option<Percentile>) -> String {
    percentile.map_or("mean".to_owned(), |percentile| percentile.to_string().to_ascii_uppercase())
}

/// All cases as Markdown, grouped by data set and run.
pub fn evidence_markdown(cases: &[Case]) -> String {
    let mut text =
        "# Evidence\n\nErrors are (predicted − real) / real, with 95 % intervals over requests.\n".to_owned();
    let mut group = ("", "");
    for case in cases {
        if group != (case.data.as_str(), case.run.as_str()) {
            group = (&case.data, &case.run);
            let _ = write!(text, "\n## {}: {}\n", case.data, case.run);
        }
        let _ = write!(
            text,
            "\n**{}** ({}; {} requests): {}.\n\n",
            case.predictor,
            case.standing.words(),
            case.num_requests,
            case_sentence(case)
        );
        text.push_str("| | | real | predicted | error | interval |\n|---|---|---:|---:|---:|---:|\n");
        for row in &case.rows {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                row.metric.label(),
                label(row.percentile),
                format_duration(row.real_ns.as_f64()),
                format_duration(row.predicted_ns.as_f64()),
                row.rel_error.map_or("–".to_owned(), percent),
                interval_words(row.interval.as_ref())
            );
        }
    }
    text
}

/// All errors as CSV.
pub fn evidence_csv(cases: &[Case]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let header = "data,run,predictor,standing,num_requests,definition,metric,percentile,real_ns,predicted_ns,rel_error,rel_low,rel_high";
    let mut rows = vec![header.split(',').map(str::to_owned).collect::<Vec<_>>()];
    let blank = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    for case in cases {
        rows.extend(case.rows.iter().map(|row| {
            vec![
                case.data.clone(),
                case.run.clone(),
                case.predictor.clone(),
                case.standing.words(),
                case.num_requests.to_string(),
                case.definition.key().to_owned(),
                row.metric.key().to_owned(),
                label(row.percentile).to_ascii_lowercase(),
                row.real_ns.to_string(),
                row.predicted_ns.to_string(),
                blank(row.rel_error),
                blank(row.interval.and_then(|interval| interval.rel_low)),
                blank(row.interval.and_then(|interval| interval.rel_high)),
            ]
        }));
    }
    for row in rows {
        csv.write_record(row).expect("rows are as long as the header, and memory takes them");
    }
    String::from_utf8(csv.into_inner().expect("memory takes it")).expect("every cell was text")
}

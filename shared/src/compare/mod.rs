//! Real run against simulated run: pairs, metrics, percentiles, verdict. One pure function; no second definition.

mod attribution;
mod curves;
mod fitted;
#[cfg(test)]
mod laws;
mod levels;
mod load;
mod metric;
mod noise;
mod pairs;
mod parity;
mod sentence;
mod service;
#[cfg(test)]
pub(crate) mod trial;
mod windows;

pub use service::{ServiceComparison, slo_words};

use std::fmt;

pub(crate) use attribution::attribute;
pub use metric::summary;
pub(crate) use metric::{compare_metric, curve, curve_grid, relative};
pub(crate) use noise::Repeats;
pub(crate) use pairs::{Line, Pairs, line};
pub(crate) use parity::said_setting;

use crate::report::identity;
use crate::schema::comparison::{
    CompareOptions, Comparison, MetricComparison, Notice, NoticeKind, OverallVerdict, ParityRow, ParityState,
    WorkloadIdentity,
};
use crate::schema::{DataError, Run, SCHEMA_VERSION, Workload, WorkloadRow, Writer};
use crate::stats::Verdict;
use crate::time::Nanos;

/// Why two runs are not compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// A file is broken or a run is not of the workload.
    Data(DataError),
    /// Settings differ or are not said.
    Parity(Vec<ParityRow>),
    /// A repeat of the real run is no repeat of it.
    Repeats(String),
    /// Nothing can be paired.
    NoPairs,
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        Refusal::Data(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Data(error) => error.fmt(out),
            Refusal::Parity(rows) => {
                write!(out, "the runs cannot be held against each other: {}", sentence::parity(rows))
            }
            Refusal::Repeats(text) => out.write_str(text),
            Refusal::NoPairs => write!(
                out,
                "no request has output of the same length on both sides (or token times to cut it by): nothing to compare"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Refusal::Data(error) => error.hint.clone(),
            Refusal::Parity(_) | Refusal::Repeats(_) => {
                Some("`--allow-mismatch` compares them all the same, under a banner".to_owned())
            }
            Refusal::NoPairs => None,
        }
    }
}

/// Compares the first of `real` with `sim`; further real runs are repeats and give the noise floor.
///
/// # Errors
/// Workloads or settings that differ or are unknown, unless `options.allow_mismatch`, when a notice
/// says so instead; runs with different numbers of requests always.
pub fn compare(
    real: &[Run],
    sim: &Run,
    workload: Option<&Workload>,
    options: &CompareOptions,
) -> Result<Comparison, Refusal> {
    let (first, repeats) = real.split_first().ok_or(Refusal::NoPairs)?;
    for run in real.iter().chain([sim]) {
        options.definition.check(run)?;
    }
    let asked = match workload {
        Some(workload) => workload.clone(),
        None => workload_of(first),
    };
    let mut notices: Vec<Notice> = sentence::definition(options.definition).into_iter().collect();
    for run in real.iter().chain([sim]) {
        let Err(error) = run.check_workload(&asked) else { continue };
        // Without the same requests there are no pairs: no banner can mend that.
        if !options.allow_mismatch || run.requests.len() != first.requests.len() {
            return Err(Refusal::Data(error));
        }
        notices.push(Notice { kind: NoticeKind::Parity, text: format!("the workloads differ: {error}") });
    }
    let rows = parity::parity(first, sim);
    let repeated = parity::repeats(first, repeats);
    let has_gap = rows.iter().any(|row| matches!(row.state, ParityState::Differs | ParityState::Unknown));
    if has_gap && !options.allow_mismatch {
        return Err(Refusal::Parity(rows));
    }
    if let Some(text) = repeated {
        if !options.allow_mismatch {
            return Err(Refusal::Repeats(text));
        }
        notices.push(Notice { kind: NoticeKind::Parity, text });
    }

    let pairs = Pairs::of(first, sim);
    if pairs.lines.is_empty() {
        return Err(Refusal::NoPairs);
    }
    let metrics: Vec<MetricComparison> = options
        .definition
        .metrics()
        .iter()
        .filter_map(|metric| {
            let noise = Repeats::of(real, *metric, options.definition);
            compare_metric(*metric, &pairs.lines, &noise, options)
        })
        .collect();
    if has_gap {
        notices.push(Notice { kind: NoticeKind::Parity, text: sentence::parity(&rows) });
    }
    notices.extend(fitted::notices(real, sim));
    notices.extend(sentence::notices(&pairs.counts, first, sim));
    let windows = windows::windows(first, sim, &pairs.lines, options);
    let load = load::load(first, sim, windows.as_ref());
    let failures = load.iter().flat_map(|load| &load.failures);
    notices.extend(failures.map(|text| Notice { kind: NoticeKind::Load, text: text.clone() }));
    let verdict = overall(&metrics, options, pairs.counts.num_compared);
    Ok(Comparison {
        schema_version: SCHEMA_VERSION.to_owned(),
        writer: Writer::this(),
        options: options.clone(),
        verdict,
        notices,
        real: std::iter::once(first).chain(repeats).map(identity).collect(),
        sim: identity(sim),
        workload: workload_identity(&asked),
        parity: rows,
        counts: pairs.counts,
        metrics,
        worst_requests: pairs.worst(),
        order: pairs.order(),
        attribution: attribute(first, sim, &pairs.lines),
        windows,
        load,
        curves: curves::curves(first, sim),
        service: service::compare(first, sim, options),
    })
}

/// The workload a run says it ran, from its own rows.
pub fn workload_of(run: &Run) -> Workload {
    let mut previous = Nanos::ZERO;
    let rows = run.requests.iter().map(|row| {
        let inter_arrival = row.arrival.saturating_sub(previous);
        previous = row.arrival;
        WorkloadRow {
            prompt_id: String::new(),
            num_prefill_tokens: row.num_prefill_tokens,
            num_decode_tokens: row.num_decode_tokens,
            inter_arrival,
            arrival: row.arrival,
        }
    });
    Workload { rows: rows.collect(), prefixes: None }
}

/// What reports say of a workload.
pub fn workload_identity(workload: &Workload) -> WorkloadIdentity {
    let arrivals = || workload.rows.iter().map(|row| row.arrival);
    let span = arrivals().max().unwrap_or_default().saturating_sub(arrivals().min().unwrap_or_default());
    WorkloadIdentity {
        sha256: workload.sha256(),
        num_requests: workload.rows.len(),
        num_prefill_tokens: workload.rows.iter().map(|row| u64::from(row.num_prefill_tokens)).sum(),
        num_decode_tokens: workload.rows.iter().map(|row| u64::from(row.num_decode_tokens)).sum(),
        span_ns: span.0,
    }
}

fn overall(metrics: &[MetricComparison], options: &CompareOptions, num_requests: usize) -> OverallVerdict {
    let headline: Vec<&MetricComparison> = metrics.iter().filter(|metric| options.is_judged(metric.metric)).collect();
    let rows = headline.iter().flat_map(|metric| &metric.percentiles);
    let verdict = rows.map(|row| row.verdict).max().unwrap_or(Verdict::CannotTell);
    OverallVerdict { verdict, sentence: sentence::verdict(verdict, &headline, options, num_requests) }
}

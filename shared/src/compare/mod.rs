//! Real run against simulated run: pairs, metrics, percentiles, verdict. One pure function; no second definition.

mod attribution;
mod curves;
mod levels;
mod load;
mod noise;
mod parity;
mod sentence;
mod service;
#[cfg(test)]
mod trial;
mod windows;

pub use service::{ServiceComparison, slo_words};

use std::fmt;

use crate::metrics::{self, Metric, Timeline};
use crate::report::identity;
use crate::schema::comparison::{
    CompareOptions, Comparison, Counts, Curve, MetricComparison, Notice, NoticeKind, OverallVerdict, ParityRow,
    ParityState, PercentileRow, Summary, WorkloadIdentity, WorstRequest,
};
use crate::schema::{DataError, Run, SCHEMA_VERSION, Workload, WorkloadRow, Writer};
use crate::stats::{self, CentiNanos, Evidence, Sorted, Verdict, judge, sample_floor};
use crate::time::Nanos;

/// Points of a stored quantile curve, at most; every value has its own below that.
const MAX_CURVE_POINTS: usize = 1025;

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
    let mut notices = Vec::new();
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
    let has_gap = rows.iter().any(|row| row.state != ParityState::Matched);
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
        .filter_map(|metric| compare_metric(*metric, &pairs, real, options))
        .collect();
    if has_gap {
        notices.push(Notice { kind: NoticeKind::Parity, text: sentence::parity(&rows) });
    }
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
        worst_requests: worst_requests(&pairs),
        attribution: attribution::attribute(first, sim, &pairs.lines),
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

/// The same requests on both sides, cut to the shorter output.
struct Pairs<'a> {
    lines: Vec<attribution::Line<'a>>,
    counts: Counts,
}

impl<'a> Pairs<'a> {
    fn of(real: &'a Run, sim: &'a Run) -> Self {
        let mut pairs = Pairs { lines: Vec::new(), counts: Counts::default() };
        pairs.counts.num_requests = real.requests.len();
        for (index, row) in real.requests.iter().enumerate() {
            let (a, b) = (Timeline::of(real, index), Timeline::of(sim, index));
            pairs.counts.num_real_missing += usize::from(a.is_none());
            pairs.counts.num_sim_missing += usize::from(b.is_none());
            let (Some(a), Some(b)) = (a, b) else { continue };
            let shorter = a.num_tokens().min(b.num_tokens());
            let is_cut = a.num_tokens() != b.num_tokens();
            let (Some(a), Some(b)) = (a.cut(shorter), b.cut(shorter)) else {
                pairs.counts.num_uncut += 1;
                continue;
            };
            pairs.counts.num_cut += usize::from(is_cut);
            pairs.counts.num_compared += 1;
            pairs.counts.num_tokens += u64::from(shorter);
            pairs.lines.push((row, a, b));
        }
        pairs
    }
}

fn compare_metric(
    metric: Metric,
    pairs: &Pairs<'_>,
    repeats: &[Run],
    options: &CompareOptions,
) -> Option<MetricComparison> {
    let (mut real, mut sim, mut pair_errors) = (Vec::new(), Vec::new(), Vec::new());
    for (_, a, b) in &pairs.lines {
        let (a, b) = (options.definition.values(a, metric), options.definition.values(b, metric));
        if a.is_empty() || b.is_empty() {
            continue;
        }
        let (sum_a, sum_b) = (a.iter().sum::<u64>() as f64, b.iter().sum::<u64>() as f64);
        pair_errors.push(if sum_a > 0.0 { (sum_b - sum_a) / sum_a } else { 0.0 });
        real.extend(a);
        sim.extend(b);
    }
    let (real, sim) = (Sorted::new(real)?, Sorted::new(sim)?);
    let noise = noise::Repeats::of(repeats, metric, options.definition);
    let percentiles = options.percentiles.iter().map(|percentile| {
        let [a, b] = [&real, &sim].map(|sample| options.definition.quantile(sample, *percentile));
        let rel_error = (a.0 > 0).then(|| (b - a).0 as f64 / a.0 as f64);
        let noise_rel = noise.noise(*percentile);
        let floor = sample_floor(*percentile);
        PercentileRow {
            label: percentile.to_string(),
            percentile: *percentile,
            real_ns: a,
            sim_ns: b,
            diff_ns: b - a,
            rel_error,
            noise_rel,
            noise_multiple: noise_rel
                .zip(rel_error)
                .and_then(|(noise, error)| (noise > 0.0).then(|| libm::fabs(error) / noise)),
            sample_floor: floor,
            num_more_needed: floor.saturating_sub(pair_errors.len() as u32),
            verdict: match rel_error {
                Some(relative_error) => {
                    let evidence = Evidence {
                        percentile: *percentile,
                        relative_error,
                        pair_errors: &pair_errors,
                        noise: noise_rel,
                    };
                    judge(evidence, options.tolerance)
                }
                None => Verdict::CannotTell,
            },
        }
    });
    let wasserstein_ns = stats::wasserstein(&real, &sim);
    let mean = real.mean().as_f64();
    Some(MetricComparison {
        metric,
        num_requests: pair_errors.len(),
        num_values: real.values().len(),
        percentiles: percentiles.collect(),
        ks: stats::kolmogorov_smirnov(&real, &sim),
        wasserstein_ns,
        wasserstein_rel: (mean > 0.0).then(|| wasserstein_ns / mean),
        curve: curve(&real, &sim),
        real: summary(&real),
        sim: summary(&sim),
    })
}

/// Mean, median and range of a sample.
pub fn summary(sample: &Sorted) -> Summary {
    Summary {
        mean: sample.mean(),
        median: sample.quantile(stats::Percentile::P50),
        min: CentiNanos::from_nanos(sample.min()),
        max: CentiNanos::from_nanos(sample.max()),
    }
}

fn curve(real: &Sorted, sim: &Sorted) -> Curve {
    let points = real.values().len().max(sim.values().len()).clamp(2, MAX_CURVE_POINTS);
    let last = points as u64 - 1;
    let grid = || 0..=last;
    Curve {
        fractions: grid().map(|index| index as f64 / last as f64).collect(),
        real_ns: grid().map(|index| real.quantile_at(index, last)).collect(),
        sim_ns: grid().map(|index| sim.quantile_at(index, last)).collect(),
    }
}

fn overall(metrics: &[MetricComparison], options: &CompareOptions, num_requests: usize) -> OverallVerdict {
    let headline: Vec<&MetricComparison> = metrics.iter().filter(|metric| metric.metric.is_headline()).collect();
    let rows = headline.iter().flat_map(|metric| &metric.percentiles);
    let verdict = rows.map(|row| row.verdict).max().unwrap_or(Verdict::CannotTell);
    OverallVerdict { verdict, sentence: sentence::verdict(verdict, &headline, options, num_requests) }
}

fn worst_requests(pairs: &Pairs<'_>) -> Vec<WorstRequest> {
    let mut worst: Vec<WorstRequest> = pairs
        .lines
        .iter()
        .filter_map(|(row, a, b)| {
            let (real, sim) = (a.value(metrics::Metric::E2e)?, b.value(metrics::Metric::E2e)?);
            Some(WorstRequest {
                request_id: row.request_id,
                num_prefill_tokens: row.num_prefill_tokens,
                num_decode_tokens: a.num_tokens(),
                real_e2e_ns: real,
                sim_e2e_ns: sim,
                rel_error: (real > 0).then(|| (sim as f64 - real as f64) / real as f64),
            })
        })
        .collect();
    worst.sort_by_key(|request| {
        (std::cmp::Reverse(request.real_e2e_ns.abs_diff(request.sim_e2e_ns)), request.request_id)
    });
    worst.truncate(10);
    worst
}

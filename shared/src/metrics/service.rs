//! How much a run served: throughput, and goodput, the part of it that kept a service-level objective.

use serde::{Deserialize, Serialize};

use crate::decimal::decimal;
use crate::metrics::{Definition, Metric, Timeline};
use crate::schema::Run;
use crate::time::Nanos;

/// Work done per second, from the first arrival to the last completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// That span, ns.
    pub span_ns: u64,
    /// Requests completed, per second; `None` when nothing took any time.
    pub requests_per_s: Option<f64>,
    /// Output tokens, per second.
    pub output_tokens_per_s: Option<f64>,
    /// Prompt tokens of completed requests and output tokens, per second.
    pub total_tokens_per_s: Option<f64>,
}

/// Throughput of a run.
pub fn throughput(run: &Run) -> Throughput {
    let span = span(run);
    let completed = || run.requests.iter().filter(|row| row.has_output());
    let output: u64 = run.requests.iter().map(|row| u64::from(row.num_decode_tokens_actual)).sum();
    let prompt: u64 = completed().map(|row| u64::from(row.num_prefill_tokens)).sum();
    let rate = |count: u64| per_second(count, span);
    Throughput {
        span_ns: span.0,
        requests_per_s: rate(completed().count() as u64),
        output_tokens_per_s: rate(output),
        total_tokens_per_s: rate(prompt + output),
    }
}

/// First arrival to last completion.
fn span(run: &Run) -> Nanos {
    let first = run.requests.iter().map(|row| row.arrival).min().unwrap_or_default();
    let last = run.requests.iter().filter_map(|row| row.completion).max().unwrap_or(first);
    last.saturating_sub(first)
}

fn per_second(count: u64, span: Nanos) -> Option<f64> {
    (span.0 > 0 && count > 0).then(|| count as f64 / span.as_secs_f64())
}

/// A service-level objective: the longest a request may take; what is not said is not asked. Written
/// `ttft=200ms,tpot=50ms`, in files too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slo {
    /// Time to first token.
    pub ttft: Option<Nanos>,
    /// Every gap between tokens of the request.
    pub itl: Option<Nanos>,
    /// Time per output token; a request of one token has none and keeps it.
    pub tpot: Option<Nanos>,
    /// End to end.
    pub e2e: Option<Nanos>,
}

impl TryFrom<String> for Slo {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Slo::parse(&text)
    }
}

impl From<Slo> for String {
    /// Each limit in the largest unit that holds it whole.
    fn from(slo: Slo) -> String {
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        let part = |(metric, limit): (Metric, Nanos)| {
            let (size, unit) = units.into_iter().find(|(size, _)| limit.0 % size == 0).unwrap_or((1, "ns"));
            format!("{}={}{unit}", metric.key(), limit.0 / size)
        };
        slo.limits().map(part).collect::<Vec<_>>().join(",")
    }
}

impl Slo {
    /// What is asked, in a fixed order.
    pub fn limits(&self) -> impl Iterator<Item = (Metric, Nanos)> {
        let all =
            [(Metric::Ttft, self.ttft), (Metric::Itl, self.itl), (Metric::Tpot, self.tpot), (Metric::E2e, self.e2e)];
        all.into_iter().filter_map(|(metric, limit)| Some((metric, limit?)))
    }

    /// `ttft=200ms,tpot=50ms`.
    ///
    /// # Errors
    /// An unknown metric or unit, one said twice, or nothing said; the message shows what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut slo = Slo::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, limit) = part.split_once('=').ok_or_else(|| format!("`{part}` is not `metric=time`"))?;
            let place = match name.trim() {
                "ttft" => &mut slo.ttft,
                "itl" => &mut slo.itl,
                "tpot" => &mut slo.tpot,
                "e2e" => &mut slo.e2e,
                other => return Err(format!("`{other}` is none of ttft, itl, tpot, e2e")),
            };
            if place.replace(duration(limit.trim())?).is_some() {
                return Err(format!("`{name}` is said twice"));
            }
        }
        if slo == Slo::default() { Err("says no limit: write `ttft=200ms,tpot=50ms`".to_owned()) } else { Ok(slo) }
    }
}

/// `200ms`, `1.5s`, `800us`, `50000ns`.
fn duration(text: &str) -> Result<Nanos, String> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let found = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, scale) = found.ok_or_else(|| format!("`{text}` has no unit: write `200ms` or `1.5s`"))?;
    let span = decimal(number.trim()).and_then(|number| Nanos::from_secs_f64(number * scale));
    span.filter(|span| span.0 > 0).ok_or_else(|| format!("`{text}` is not a time above zero"))
}

/// What of a run kept an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goodput {
    /// Requests that kept all of it.
    pub num_good: usize,
    /// Requests asked, those that failed or were refused included: they kept nothing.
    pub num_requests: usize,
    /// The former over the latter, 0..=1.
    pub attained: f64,
    /// Requests that kept all of it, per second of the run's span.
    pub requests_per_s: Option<f64>,
    /// Requests that kept each limit by itself, in the order of [`Slo::limits`].
    pub parts: Vec<(Metric, usize)>,
}

/// Goodput of a run under `slo`, by `definition`'s TTFT, TPOT and E2E; `None` where a limit is on ITL and the
/// run has no token times to judge it by. (DistServe, Zhong et al., OSDI 2024, for the word.)
pub fn goodput(run: &Run, slo: &Slo, definition: Definition) -> Option<Goodput> {
    if slo.itl.is_some() && run.tokens.is_none() {
        return None;
    }
    let lines: Vec<_> = (0..run.requests.len()).filter_map(|index| Timeline::of(run, index)).collect();
    let keeps = |line: &Timeline<'_>, metric: Metric, limit: Nanos| {
        // Where a tool has no value of its own, ours is judged; ITL is always judged gap by gap.
        let by = if metric == Metric::Itl { Definition::Fidelio } else { definition };
        let by = if by.metrics().contains(&metric) { by } else { Definition::Fidelio };
        by.values(line, metric).into_iter().all(|value| value <= limit.0)
    };
    let is_good = |line: &&Timeline<'_>| slo.limits().all(|(metric, limit)| keeps(line, metric, limit));
    let num_good = lines.iter().filter(is_good).count();
    let part = |(metric, limit)| (metric, lines.iter().filter(|line| keeps(line, metric, limit)).count());
    Some(Goodput {
        num_good,
        num_requests: run.requests.len(),
        attained: num_good as f64 / run.requests.len().max(1) as f64,
        requests_per_s: per_second(num_good as u64, span(run)),
        parts: slo.limits().map(part).collect(),
    })
}

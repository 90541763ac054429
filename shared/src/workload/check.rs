//! What a specification must be like before anything is drawn from it, and the errors that say otherwise.

use std::fmt;

use thiserror::Error;

use crate::schema::DataError;
use crate::workload::spec::{
    ArrivalProcess, DecodeLengths, FirstArrival, LengthDistribution, MAX_LENGTH, Order, RequestSource, WorkloadSpec,
};

/// Why a workload could not be made.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// The specification is impossible, or its files cannot satisfy it.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file is broken.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// A specification that cannot be: which field, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// Path of the field inside the specification, as `arrivals.rate_rps`.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl SpecError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        SpecError { field: field.into(), problem: problem.into(), hint: None }
    }

    /// Adds what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`: {}", self.field, self.problem)
    }
}

impl std::error::Error for SpecError {}

impl WorkloadSpec {
    /// Checks every number before anything is drawn.
    ///
    /// # Errors
    /// The first impossible field, named.
    pub fn check(&self) -> Result<(), SpecError> {
        self.arrivals.check()?;
        if self.num_requests == Some(0) {
            return Err(SpecError::new("num_requests", "must be at least 1"));
        }
        if let Some(seconds) = self.duration_s {
            within("duration_s", seconds, 1e-9, 1e9)?;
        }
        self.check_times()?;
        self.requests.check()?;
        match (&self.requests, &self.decode) {
            (requests, Some(_)) if requests.is_drawn() => {
                Err(SpecError::new("decode", format!("does not go with `{}` requests", requests.kind()))
                    .with_hint("their output lengths are part of `workload.requests`"))
            }
            (RequestSource::Prompts { .. }, None) => {
                Err(SpecError::new("decode", "is missing: prompts do not say how long answers are")
                    .with_hint("for example `decode = { kind = \"constant\", num_tokens = 64 }`"))
            }
            (_, Some(DecodeLengths::Constant { num_tokens })) => at_least_one("decode.num_tokens", *num_tokens),
            (_, Some(DecodeLengths::Sampled { lengths })) => lengths.check("decode.lengths"),
            (_, Some(DecodeLengths::PerPrompt { .. }) | None) => Ok(()),
        }
    }

    /// The workload ends, and its times go with its requests.
    fn check_times(&self) -> Result<(), SpecError> {
        let is_trace = matches!(self.requests, RequestSource::Trace { .. });
        let has_end = match self.arrivals {
            ArrivalProcess::Times { .. } => true,
            ArrivalProcess::Static {} => false,
            ArrivalProcess::FixedInterval { interval_ms } => self.duration_s.is_some() && interval_ms > 0.0,
            _ => self.duration_s.is_some(),
        };
        if self.requests.is_drawn() && self.num_requests.is_none() && !has_end {
            let problem = format!("is missing: `{}` requests have no end of their own", self.requests.kind());
            return Err(SpecError::new("num_requests", problem));
        }
        match (&self.arrivals, self.first_arrival) {
            (ArrivalProcess::Trace { .. }, _) if !is_trace => {
                let problem = format!("`{}` requests have no times of their own", self.requests.kind());
                Err(SpecError::new("arrivals", problem).with_hint(
                    "`trace` arrivals go with `trace` requests; `arrivals = { kind = \"times\", file = \"…\" }` reads \
                     those of another file",
                ))
            }
            (ArrivalProcess::Trace { .. }, _) if self.order == Order::Shuffled => {
                Err(SpecError::new("order", "shuffled rows cannot keep the trace's own times")
                    .with_hint("`order = \"file\"`, or another arrival process"))
            }
            (ArrivalProcess::Trace { .. } | ArrivalProcess::Static {}, FirstArrival::AfterGap) => {
                Err(SpecError::new("first_arrival", "`after_gap` does not go with these arrivals"))
            }
            _ => Ok(()),
        }
    }
}

impl RequestSource {
    /// Its name in a specification.
    fn kind(&self) -> &'static str {
        match self {
            RequestSource::Prompts { .. } => "prompts",
            RequestSource::Lengths { .. } => "lengths",
            RequestSource::Synthetic { .. } => "synthetic",
            RequestSource::SyntheticTotal { .. } => "synthetic_total",
            RequestSource::VidurUniform { .. } => "vidur_uniform",
            RequestSource::VidurZipf { .. } => "vidur_zipf",
            RequestSource::Trace { .. } => "trace",
        }
    }

    fn check(&self) -> Result<(), SpecError> {
        let ratio = |ratio: f64| within("requests.prefill_to_decode_ratio", ratio, 0.0, 1e6);
        match *self {
            RequestSource::Prompts { .. } | RequestSource::Lengths { .. } => Ok(()),
            RequestSource::Synthetic { ref prefill, ref decode } => {
                prefill.check("requests.prefill")?;
                decode.check("requests.decode")
            }
            RequestSource::SyntheticTotal { ref total, prefill_to_decode_ratio } => {
                ratio(prefill_to_decode_ratio)?;
                total.check("requests.total")?;
                if total.smallest() < 2 {
                    let problem = "may be 1: a request has at least one token of prompt and one of output";
                    return Err(SpecError::new("requests.total", problem).with_hint("set its `min` to 2 or more"));
                }
                Ok(())
            }
            RequestSource::VidurUniform { min_tokens, max_tokens, prefill_to_decode_ratio } => {
                ratio(prefill_to_decode_ratio)?;
                check_totals(min_tokens, max_tokens)
            }
            RequestSource::VidurZipf { theta, min_tokens, max_tokens, prefill_to_decode_ratio } => {
                ratio(prefill_to_decode_ratio)?;
                check_totals(min_tokens, max_tokens)?;
                if f64::from(min_tokens) < 1.0 + prefill_to_decode_ratio {
                    let problem = format!("{min_tokens} tokens at this ratio give no output token, where Vidur fails");
                    return Err(SpecError::new("requests.min_tokens", problem)
                        .with_hint("at least 1 + `prefill_to_decode_ratio`, or `synthetic_total` requests"));
                }
                within("requests.theta", theta, 0.0, 0.9999)
            }
            RequestSource::Trace { prefill_scale, decode_scale, max_tokens, .. } => {
                within("requests.prefill_scale", prefill_scale, 1e-9, 1e9)?;
                within("requests.decode_scale", decode_scale, 1e-9, 1e9)?;
                match max_tokens {
                    Some(most) if most < 2 => Err(SpecError::new("requests.max_tokens", "must be at least 2")),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn check_totals(min_tokens: u32, max_tokens: u32) -> Result<(), SpecError> {
    if min_tokens < 2 {
        return Err(SpecError::new("requests.min_tokens", "must be at least 2: a prompt token and an output token"));
    }
    if max_tokens > MAX_LENGTH {
        return Err(SpecError::new("requests.max_tokens", format!("must be at most {MAX_LENGTH}")));
    }
    if min_tokens > max_tokens {
        return Err(SpecError::new("requests.min_tokens", format!("{min_tokens} is above `max_tokens` {max_tokens}")));
    }
    Ok(())
}

impl ArrivalProcess {
    fn check(&self) -> Result<(), SpecError> {
        match self {
            ArrivalProcess::Static {} => Ok(()),
            ArrivalProcess::Trace { time_scale } => within("arrivals.time_scale", *time_scale, 0.0, 1e9),
            ArrivalProcess::Times { time_scale, start_time_s, end_time_s, .. } => {
                within("arrivals.time_scale", *time_scale, 0.0, 1e9)?;
                start_time_s.map_or(Ok(()), |time| within("arrivals.start_time_s", time, 0.0, 9e9))?;
                end_time_s.map_or(Ok(()), |time| within("arrivals.end_time_s", time, 0.0, 9e9))
            }
            ArrivalProcess::FixedInterval { interval_ms } => within("arrivals.interval_ms", *interval_ms, 0.0, 1e12),
            ArrivalProcess::Poisson { rate_rps, max_gap_factor } => {
                within("arrivals.rate_rps", *rate_rps, 1e-6, 1e9)?;
                max_gap_factor.map_or(Ok(()), |factor| within("arrivals.max_gap_factor", factor, 1e-3, 1e6))
            }
            ArrivalProcess::Gamma { rate_rps, cv } => {
                within("arrivals.rate_rps", *rate_rps, 1e-6, 1e9)?;
                within("arrivals.cv", *cv, 0.01, 100.0)
            }
        }
    }
}

impl LengthDistribution {
    /// No draw is below it.
    fn smallest(&self) -> u32 {
        match *self {
            LengthDistribution::Constant { num_tokens } => num_tokens,
            LengthDistribution::Uniform { min, .. }
            | LengthDistribution::Lognormal { min, .. }
            | LengthDistribution::Zipf { min, .. } => min,
        }
    }

    fn check(&self, field: &str) -> Result<(), SpecError> {
        let sub = |name: &str| format!("{field}.{name}");
        let bounds = |min: u32, max: u32| match (min, max) {
            (0, _) => Err(SpecError::new(sub("min"), "must be at least 1")),
            (_, max) if max > MAX_LENGTH => Err(SpecError::new(sub("max"), format!("must be at most {MAX_LENGTH}"))),
            (min, max) if min > max => Err(SpecError::new(sub("min"), format!("{min} is above `max` {max}"))),
            _ => Ok(()),
        };
        match *self {
            LengthDistribution::Constant { num_tokens } => at_least_one(&sub("num_tokens"), num_tokens),
            LengthDistribution::Uniform { min, max } => bounds(min, max),
            LengthDistribution::Lognormal { mean, median, sigma, min, max } => {
                bounds(min, max)?;
                within(&sub("sigma"), sigma, 0.0, 10.0)?;
                match (mean, median) {
                    (Some(mean), None) => within(&sub("mean"), mean, 1.0, f64::from(MAX_LENGTH)),
                    (None, Some(median)) => within(&sub("median"), median, 1.0, f64::from(MAX_LENGTH)),
                    _ => Err(SpecError::new(field, "a lognormal law needs either `mean` or `median`, not both")),
                }
            }
            LengthDistribution::Zipf { theta, min, max } => {
                bounds(min, max)?;
                within(&sub("theta"), theta, 0.0, 10.0)
            }
        }
    }
}

fn at_least_one(field: &str, value: u32) -> Result<(), SpecError> {
    if value == 0 { Err(SpecError::new(field, "must be at least 1")) } else { Ok(()) }
}

fn within(field: &str, value: f64, min: f64, max: f64) -> Result<(), SpecError> {
    if value.is_finite() && (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(SpecError::new(field, format!("{value} is not between {min} and {max}")))
    }
}

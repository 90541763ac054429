//! The specification of a workload: where requests come from, when they arrive, how much they ask for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest prompt or output a distribution may draw, in tokens.
const MAX_LENGTH: u32 = 1 << 24;

/// A whole workload, given its seed and the files it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Where requests and their prompt lengths come from.
    pub requests: RequestSource,
    /// When they arrive.
    pub arrivals: ArrivalProcess,
    /// Output lengths. Required for prompts; replaces the file's for `lengths`; not for `synthetic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeLengths>,
    /// How many requests: absent means each row of the source once; more than that starts over.
    /// Required for `synthetic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_requests: Option<u32>,
    /// In which order rows of the source are taken.
    #[serde(default)]
    pub order: Order,
    /// What is put around each prompt before it is tokenised.
    #[serde(default)]
    pub chat_template: ChatTemplate,
    /// Seed of every random choice.
    #[serde(default)]
    pub seed: u64,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RequestSource {
    /// A prompts file (JSON lines), or `builtin:demo`.
    Prompts {
        /// Its path.
        file: String,
    },
    /// A table of lengths (`trace_lengths.csv`); prompts are then random token ids.
    Lengths {
        /// Its path.
        file: String,
    },
    /// Lengths drawn from distributions; prompts are random token ids.
    Synthetic {
        /// Prompt lengths.
        prefill: LengthDistribution,
        /// Output lengths.
        decode: LengthDistribution,
    },
}

/// When requests arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArrivalProcess {
    /// All at the start.
    Static {},
    /// One every so often.
    FixedInterval {
        /// Gap, ms.
        interval_ms: f64,
    },
    /// Independent exponential gaps.
    Poisson {
        /// Mean arrivals per second.
        rate_rps: f64,
    },
    /// Independent gamma gaps: burstier than Poisson above cv 1, smoother below.
    Gamma {
        /// Mean arrivals per second.
        rate_rps: f64,
        /// Deviation of the gaps over their mean.
        cv: f64,
    },
    /// Given times (`trace_intervals.csv`).
    Times {
        /// Path of the table.
        file: String,
    },
}

/// Output lengths of requests that come from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DecodeLengths {
    /// The same for all.
    Constant {
        /// Output tokens.
        num_tokens: u32,
    },
    /// Each prompt's own `num_decode_tokens`, in its row or in a table by `prompt_id`.
    PerPrompt {
        /// Path of the table; absent: the prompt's row says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Drawn for each request.
    Sampled {
        /// The law.
        lengths: LengthDistribution,
    },
}

/// A law of token counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LengthDistribution {
    /// Always the same.
    Constant {
        /// Tokens.
        num_tokens: u32,
    },
    /// Every whole number from `min` to `max`, equally likely.
    Uniform {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// The logarithm is normal; rounded, and values beyond the bounds are set to the bound.
    Lognormal {
        /// Mean of the unbounded law; give this or `median`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean: Option<f64>,
        /// Median of the unbounded law; give this or `mean`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        median: Option<f64>,
        /// Deviation of the logarithm.
        sigma: f64,
        /// Smallest.
        #[serde(default = "one")]
        min: u32,
        /// Largest.
        max: u32,
    },
    /// Length `min + k - 1` is as likely as `k^-theta`, so short ones are the most frequent.
    Zipf {
        /// Exponent; 0 is uniform.
        theta: f64,
        /// Smallest, and most likely.
        min: u32,
        /// Largest.
        max: u32,
    },
}

/// In which order rows of the source become requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they stand in the file.
    #[default]
    File,
    /// Random by seed, every row once before any comes again.
    Shuffled,
}

/// What is put around each prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatTemplate {
    /// Nothing: the text is the prompt.
    #[default]
    None,
    /// One user turn in Qwen3's format, then the opening of the assistant's.
    Qwen3,
}

impl ChatTemplate {
    /// The prompt as the model sees it.
    pub fn apply(self, text: &str) -> String {
        match self {
            ChatTemplate::None => text.to_owned(),
            ChatTemplate::Qwen3 => format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"),
        }
    }
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
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        SpecError { field: field.into(), problem: problem.into(), hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
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
        match (&self.requests, &self.decode) {
            (RequestSource::Synthetic { .. }, Some(_)) => {
                Err(SpecError::new("decode", "does not go with `synthetic` requests")
                    .with_hint("their output lengths are `workload.requests.decode`"))
            }
            (RequestSource::Synthetic { .. }, None) if self.num_requests.is_none() => {
                Err(SpecError::new("num_requests", "is missing: `synthetic` requests have no end of their own"))
            }
            (RequestSource::Synthetic { prefill, decode }, None) => {
                prefill.check("requests.prefill")?;
                decode.check("requests.decode")
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
}

impl ArrivalProcess {
    fn check(&self) -> Result<(), SpecError> {
        match self {
            ArrivalProcess::Static {} | ArrivalProcess::Times { .. } => Ok(()),
            ArrivalProcess::FixedInterval { interval_ms } => within("arrivals.interval_ms", *interval_ms, 0.0, 1e12),
            ArrivalProcess::Poisson { rate_rps } => within("arrivals.rate_rps", *rate_rps, 1e-6, 1e9),
            ArrivalProcess::Gamma { rate_rps, cv } => {
                within("arrivals.rate_rps", *rate_rps, 1e-6, 1e9)?;
                within("arrivals.cv", *cv, 0.01, 100.0)
            }
        }
    }
}

impl LengthDistribution {
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

fn one() -> u32 {
    1
}

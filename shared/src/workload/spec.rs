//! The specification of a workload: where requests come from, when they arrive, how much they ask for. Its rules are in `check`.

use serde::{Deserialize, Serialize};

/// Longest prompt or output a distribution may draw, in tokens.
pub(super) const MAX_LENGTH: u32 = 1 << 24;

/// A whole workload, given its seed and the files it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Where requests and their prompt lengths come from.
    pub requests: RequestSource,
    /// When they arrive.
    pub arrivals: ArrivalProcess,
    /// Output lengths. Required for prompts; replaces the file's for `lengths` and `trace`; not for
    /// requests that are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeLengths>,
    /// How many requests: absent means each row of the source once; more than that starts over.
    /// Requests that are drawn need it, or `duration_s`, or arrivals from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_requests: Option<u32>,
    /// Only requests that arrive before this many seconds; whichever of it and `num_requests` ends first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// When the first request arrives, where arrivals are drawn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_arrival: FirstArrival,
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
    /// Prompt and output drawn together: output is `ceil(total / (1 + ratio))`, the prompt is the rest,
    /// each at least one token.
    SyntheticTotal {
        /// Prompt and output tokens together.
        total: LengthDistribution,
        /// Prompt tokens an output token, about.
        prefill_to_decode_ratio: f64,
    },
    /// Vidur's uniform length generator to the letter: the total is real and below `max_tokens`, and is
    /// rounded down. `synthetic_total` with a `uniform` law is the same with both ends.
    VidurUniform {
        /// Smallest total.
        min_tokens: u32,
        /// Above the largest total.
        max_tokens: u32,
        /// Prompt tokens an output token, about.
        prefill_to_decode_ratio: f64,
    },
    /// Vidur's Zipf length generator to the letter: the quick approximation of Gray et al. (1994) with a
    /// zeta that lacks its last term; prompt and output are both rounded down, so a token may be lost.
    /// `synthetic_total` with a `zipf` law is exact. Its `scramble` cannot be repeated and is left out.
    VidurZipf {
        /// Exponent, below 1.
        theta: f64,
        /// Smallest total, and most likely.
        min_tokens: u32,
        /// Largest total.
        max_tokens: u32,
        /// Prompt tokens an output token, about.
        prefill_to_decode_ratio: f64,
    },
    /// A published trace, recognised by its first line (see [`crate::workload::TraceReader`]); prompts are
    /// random token ids. Lengths are scaled, rounded down, made at least 1, then clipped.
    Trace {
        /// Its path.
        file: String,
        /// Factor of every prompt length.
        #[serde(default = "unscaled", skip_serializing_if = "is_unscaled")]
        prefill_scale: f64,
        /// Factor of every output length the trace gives.
        #[serde(default = "unscaled", skip_serializing_if = "is_unscaled")]
        decode_scale: f64,
        /// Most tokens of prompt and output together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_tokens: Option<u32>,
        /// What is taken away above `max_tokens`.
        #[serde(default, skip_serializing_if = "is_default")]
        clip: Clip,
    },
}

impl RequestSource {
    /// Lengths come from a law, so nothing but the specification ends them.
    pub(super) fn is_drawn(&self) -> bool {
        use RequestSource::{Synthetic, SyntheticTotal, VidurUniform, VidurZipf};
        matches!(self, Synthetic { .. } | SyntheticTotal { .. } | VidurUniform { .. } | VidurZipf { .. })
    }
}

/// What a request loses when it asks for more than `max_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Prompt and output their shares of the excess, each rounded up (Vidur's length traces).
    #[default]
    Proportional,
    /// The prompt all of it (Vidur's trace replay).
    Prompt,
}

/// When the first request arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstArrival {
    /// At the start.
    #[default]
    AtZero,
    /// After a gap like the others', as in Vidur; of given `times` the first is then only the start.
    AfterGap,
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
        /// No gap is longer than this over the rate. Vidur has 3: its rate is then 5.2 % above `rate_rps`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_gap_factor: Option<f64>,
    },
    /// Independent gamma gaps: burstier than Poisson above cv 1, smoother below.
    Gamma {
        /// Mean arrivals per second.
        rate_rps: f64,
        /// Deviation of the gaps over their mean.
        cv: f64,
    },
    /// Times of a file of its own: `trace_intervals.csv`, or any trace with times.
    Times {
        /// Path of the table.
        file: String,
        /// Factor of every time.
        #[serde(default = "unscaled", skip_serializing_if = "is_unscaled")]
        time_scale: f64,
        /// Only later times, in seconds of the file; the first of them is then the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_time_s: Option<f64>,
        /// Only earlier times, in seconds of the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end_time_s: Option<f64>,
        /// Round down to whole seconds before scaling, as Vidur does.
        #[serde(default, skip_serializing_if = "is_default")]
        whole_seconds: bool,
    },
    /// The times of the `trace` the requests come from.
    Trace {
        /// Factor of every time.
        #[serde(default = "unscaled", skip_serializing_if = "is_unscaled")]
        time_scale: f64,
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

fn one() -> u32 {
    1
}

fn unscaled() -> f64 {
    1.0
}

fn is_unscaled(scale: &f64) -> bool {
    *scale == 1.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

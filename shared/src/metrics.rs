//! Every latency metric, derived from timelines, once: the real run, the simulation and the browser call this.
//!
//! What is here is our own definition of each. What other tools mean by the same words is a function of
//! the same timelines: [`Definition`].

mod definition;
mod readings;
mod service;

pub use definition::{Definition, QuantileRule};
pub use readings::{Reading, readings};
pub use service::{Goodput, Slo, Throughput, goodput, throughput};

use serde::{Deserialize, Serialize};

use crate::schema::{RequestRow, Run};
use crate::time::Nanos;

/// A latency metric. Serialised by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time to first token: first token - arrival, queueing included.
    Ttft,
    /// Inter-token latency: gap between consecutive tokens of one request, index 1 and up, pooled.
    Itl,
    /// Time per output token: (completion - first token) / (output tokens - 1), one value a request.
    Tpot,
    /// End to end: completion - arrival.
    E2e,
    /// First scheduled - arrival.
    SchedulingDelay,
    /// E2E / output tokens.
    NormalisedE2e,
    /// Completion - first scheduled: computed and preempted time alike.
    Execution,
    /// Execution / output tokens.
    NormalisedExecution,
    /// (First token - first scheduled) / prompt tokens.
    NormalisedPrefill,
    /// (Completion - first token) / output tokens: all of them, as Vidur divides.
    NormalisedDecode,
}

impl Metric {
    /// All, in the order reports show them; which a report has is for its [`Definition`] to say.
    pub const ALL: [Metric; 10] = [
        Metric::Ttft,
        Metric::Itl,
        Metric::Tpot,
        Metric::E2e,
        Metric::SchedulingDelay,
        Metric::NormalisedE2e,
        Metric::Execution,
        Metric::NormalisedExecution,
        Metric::NormalisedPrefill,
        Metric::NormalisedDecode,
    ];

    /// People plan with it, so the overall verdict rests on it. The others explain: scheduling delay is
    /// a part of TTFT (and often of microseconds, where relative errors mean nothing), the normalised forms
    /// are parts of E2E in other units.
    pub fn is_headline(self) -> bool {
        matches!(self, Metric::Ttft | Metric::Itl | Metric::Tpot | Metric::E2e)
    }

    /// The word in files, links and `--json`.
    pub fn key(self) -> &'static str {
        match self {
            Metric::Ttft => "ttft",
            Metric::Itl => "itl",
            Metric::Tpot => "tpot",
            Metric::E2e => "e2e",
            Metric::SchedulingDelay => "scheduling_delay",
            Metric::NormalisedE2e => "normalised_e2e",
            Metric::Execution => "execution",
            Metric::NormalisedExecution => "normalised_execution",
            Metric::NormalisedPrefill => "normalised_prefill",
            Metric::NormalisedDecode => "normalised_decode",
        }
    }

    /// The word in tables and on tabs.
    pub fn label(self) -> &'static str {
        match self {
            Metric::Ttft => "TTFT",
            Metric::Itl => "ITL",
            Metric::Tpot => "TPOT",
            Metric::E2e => "E2E",
            Metric::SchedulingDelay => "Scheduling delay",
            Metric::NormalisedE2e => "Normalised E2E",
            Metric::Execution => "Execution",
            Metric::NormalisedExecution => "Normalised execution",
            Metric::NormalisedPrefill => "Normalised prefill",
            Metric::NormalisedDecode => "Normalised decode",
        }
    }

    /// One sentence for people who do not know the word.
    pub fn meaning(self) -> &'static str {
        match self {
            Metric::Ttft => "time to first token: from arrival to the first output token, queueing included",
            Metric::Itl => "inter-token latency: gaps between consecutive tokens of a request, pooled over tokens",
            Metric::Tpot => "time per output token after the first, one value a request",
            Metric::E2e => "end-to-end latency: from arrival to the last output token",
            Metric::SchedulingDelay => "from arrival until an engine step first held the request",
            Metric::NormalisedE2e => "end-to-end latency divided by output tokens",
            Metric::Execution => {
                "from the first engine step that held the request to its last token, preemptions included"
            }
            Metric::NormalisedExecution => "execution divided by output tokens",
            Metric::NormalisedPrefill => "from the first engine step to the first token, divided by prompt tokens",
            Metric::NormalisedDecode => "from the first token to the last, divided by output tokens",
        }
    }

    /// Stem of the metric's files in a comparison (`tables/<stem>_percentiles.csv`).
    pub fn file_stem(self) -> &'static str {
        match self {
            // The name other tools of this kind read.
            Metric::Itl => "token_latency",
            other => other.key(),
        }
    }
}

/// One request as the metrics see it: output cut to its first `num_tokens` tokens.
#[derive(Clone, Copy, Debug)]
pub struct Timeline<'a> {
    row: &'a RequestRow,
    tokens: Option<&'a [Nanos]>,
    num_tokens: u32,
}

impl<'a> Timeline<'a> {
    /// The request `index` of `run`, whole; `None` when it has no output.
    pub fn of(run: &'a Run, index: usize) -> Option<Self> {
        let row = run.requests.get(index).filter(|row| row.has_output())?;
        let tokens = run.tokens.as_ref().map(|tokens| tokens.of(row.request_id));
        Some(Timeline { row, tokens, num_tokens: row.num_decode_tokens_actual })
    }

    /// The same request as if it had stopped after `num_tokens` tokens; `None` when that is more than
    /// it has, none at all, or cannot be known without token times.
    pub fn cut(self, num_tokens: u32) -> Option<Self> {
        let known = self.tokens.is_some() || num_tokens == self.num_tokens;
        (num_tokens > 0 && num_tokens <= self.num_tokens && known).then_some(Timeline { num_tokens, ..self })
    }

    /// Output tokens counted.
    pub fn num_tokens(&self) -> u32 {
        self.num_tokens
    }

    /// When its first token was there.
    pub fn first_token(&self) -> Option<Nanos> {
        self.row.first_token
    }

    fn completion(&self) -> Option<Nanos> {
        let is_whole = self.num_tokens == self.row.num_decode_tokens_actual;
        match self.tokens {
            Some(tokens) if !is_whole => tokens.get(self.num_tokens as usize - 1).copied(),
            _ => self.row.completion,
        }
    }

    /// The request's value of a per-request metric, in nanoseconds (ratios rounded half up); `None`
    /// where it has none. ITL has one value a token: see [`Timeline::gaps`].
    pub fn value(&self, metric: Metric) -> Option<u64> {
        let row = self.row;
        let (tokens, prompt) = (u64::from(self.num_tokens), u64::from(row.num_prefill_tokens));
        let since_arrival = |time: Nanos| time.checked_sub(row.arrival).map(|span| span.0);
        let since_scheduled = |time: Nanos| time.checked_sub(row.scheduled?).map(|span| span.0);
        match metric {
            Metric::Ttft => since_arrival(row.first_token?),
            Metric::E2e => since_arrival(self.completion()?),
            Metric::SchedulingDelay => since_arrival(row.scheduled?),
            Metric::Tpot if tokens < 2 => None,
            Metric::Tpot => Some(divide(self.after_first()?, tokens - 1)),
            Metric::NormalisedE2e => Some(divide(since_arrival(self.completion()?)?, tokens)),
            Metric::Execution => since_scheduled(self.completion()?),
            Metric::NormalisedExecution => Some(divide(since_scheduled(self.completion()?)?, tokens)),
            Metric::NormalisedPrefill if prompt == 0 => None,
            Metric::NormalisedPrefill => Some(divide(since_scheduled(row.first_token?)?, prompt)),
            Metric::NormalisedDecode => Some(divide(self.after_first()?, tokens)),
            Metric::Itl => None,
        }
    }

    /// From the first token to the last.
    fn after_first(&self) -> Option<u64> {
        self.completion()?.checked_sub(self.row.first_token?).map(|span| span.0)
    }

    /// Gaps between consecutive tokens, index 1 and up; empty without token times.
    pub fn gaps(&self) -> impl Iterator<Item = u64> + 'a {
        let tokens = self.tokens.unwrap_or_default();
        let tokens = &tokens[..tokens.len().min(self.num_tokens as usize)];
        tokens.windows(2).map(|pair| (pair[1] - pair[0]).0)
    }

    /// All values of `metric`: one, none, or one a gap.
    pub fn values(&self, metric: Metric) -> Vec<u64> {
        match metric {
            Metric::Itl => self.gaps().collect(),
            metric => self.value(metric).into_iter().collect(),
        }
    }
}

fn divide(span: u64, by: u64) -> u64 {
    (span + by / 2) / by
}

/// All values of `metric` in a run, requests in id order, tokens in order; failed requests have none.
pub fn values(run: &Run, metric: Metric) -> Vec<u64> {
    (0..run.requests.len()).filter_map(|index| Timeline::of(run, index)).flat_map(|line| line.values(metric)).collect()
}

#[cfg(test)]
mod tests;

//! What the tools people use mean by TTFT, ITL, TPOT and E2E: the same stamps in, each tool's values out.
//!
//! Read off each tool's own source, named at its variant. Only definitions are here: a tool also *measures*
//! at another place (a client sees the network, an engine does not), which no arithmetic on stamps can undo.

use serde::{Deserialize, Serialize};

use crate::metrics::{Metric, Timeline, divide};
use crate::schema::{DataError, Run};
use crate::stats::{CentiNanos, Percentile, Sorted};
use crate::time::Nanos;

/// Whose metrics. Serialised by its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Definition {
    /// Ours: latencies start at the planned arrival, so a late client cannot hide queueing.
    #[default]
    Fidelio,
    /// `vllm bench serve` (vllm-project/vllm, `vllm/benchmarks/serve.py` and `lib/endpoint_request_func.py`,
    /// main of 2026): from the moment of sending; ITL is the gap between streamed chunks, pooled; TPOT
    /// over n - 1 tokens; NumPy's linear percentiles.
    VllmBench,
    /// `sglang.bench_serving` (sgl-project/sglang, `python/sglang/bench_serving.py`, 0033168): as vLLM's, but
    /// a chunk's gap is spread evenly over the tokens that came in it.
    Sglang,
    /// GuideLLM (vllm-project/guidellm, `schemas/request_stats.py`, `schemas/statistics.py` and
    /// `benchmark/schemas/metrics.py`, main of 2026): from sending; TPOT is E2E over all n tokens, TTFT
    /// included; ITL is one mean a request; both weigh a request by its tokens; percentiles are the first
    /// value whose cumulated weight reaches the fraction.
    #[serde(rename = "guidellm")]
    GuideLlm,
    /// NVIDIA AIPerf (ai-dynamo/aiperf, `metrics/types/*.py`, `metrics/metric_dicts.py`, main of 2026): from
    /// sending; what it calls ITL is one mean a request, our TPOT; linear percentiles.
    #[serde(rename = "aiperf")]
    AiPerf,
    /// inference-perf (kubernetes-sigs/inference-perf, `reportgen/base.py`, 010d12f): from sending; TTFT and
    /// TPOT only of requests with two tokens or more; ITL pools token gaps, zeros inside a chunk included;
    /// NumPy's linear percentiles.
    InferencePerf,
    /// MLPerf LoadGen, Server scenario (mlcommons/inference, `loadgen/loadgen.cc`, `logging.cc`, `results.cc`):
    /// from the *scheduled* time of the query; TPOT over n - 1 tokens; no ITL; a percentile is the sorted value
    /// at index ⌊n p⌋.
    #[serde(rename = "loadgen")]
    LoadGen,
    /// Vidur and Sarathi-Serve (microsoft/vidur, `vidur/metrics/metrics_store.py`; microsoft/sarathi-serve,
    /// `sarathi/metrics`): from arrival; execution counts preempted time; decode is divided by all n tokens.
    /// ITL as the tables published for its runs pool it (CodeGandee/gpu-simulate-test): each request's
    /// token 0 is in it as a gap of zero.
    Vidur,
}

/// Output tokens of a run, at most, where a tool weighs requests by them: a GiB of weighted values.
const MAX_WEIGHTED_TOKENS: u64 = 1 << 27;

/// How a tool picks a percentile out of n sorted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantileRule {
    /// Linear between order statistics at (n - 1) p: Hyndman and Fan's type 7, NumPy's and pandas' default.
    Linear,
    /// The value at index ⌊n p⌋, from 0.
    FloorIndex,
    /// The smallest value at or below which at least the fraction p lies: type 1, nearest rank.
    NearestRank,
}

impl QuantileRule {
    /// The percentile of a sample, ns.
    pub fn quantile(self, sample: &Sorted, percentile: Percentile) -> CentiNanos {
        let (values, fraction) = (sample.values(), u128::from(percentile.0));
        let scaled = values.len() as u128 * fraction;
        let index = match self {
            QuantileRule::Linear => return sample.quantile(percentile),
            QuantileRule::FloorIndex => scaled / 10_000,
            QuantileRule::NearestRank => scaled.div_ceil(10_000).saturating_sub(1),
        };
        CentiNanos::from_nanos(values[(index as usize).min(values.len() - 1)])
    }

    /// What reports say.
    pub fn words(self) -> &'static str {
        match self {
            QuantileRule::Linear => "linear percentiles",
            QuantileRule::FloorIndex => "percentile = sorted value at ⌊n p⌋",
            QuantileRule::NearestRank => "nearest-rank percentiles",
        }
    }
}

impl Definition {
    /// All, ours first.
    pub const ALL: [Definition; 8] = [
        Definition::Fidelio,
        Definition::VllmBench,
        Definition::Sglang,
        Definition::GuideLlm,
        Definition::AiPerf,
        Definition::InferencePerf,
        Definition::LoadGen,
        Definition::Vidur,
    ];

    /// The word on the command line, in files and `--json`.
    pub fn key(self) -> &'static str {
        match self {
            Definition::Fidelio => "fidelio",
            Definition::VllmBench => "vllm-bench",
            Definition::Sglang => "sglang",
            Definition::GuideLlm => "guidellm",
            Definition::AiPerf => "aiperf",
            Definition::InferencePerf => "inference-perf",
            Definition::LoadGen => "loadgen",
            Definition::Vidur => "vidur",
        }
    }

    /// The definition called `key`.
    pub fn parse(key: &str) -> Option<Self> {
        Definition::ALL.into_iter().find(|definition| definition.key() == key)
    }

    /// In what it differs from ours, for a reader of its numbers.
    pub fn words(self) -> &'static str {
        match self {
            Definition::Fidelio => "from the planned arrival; ITL pools token gaps; TPOT over n − 1 tokens",
            Definition::VllmBench => "from sending; ITL pools gaps between chunks; TPOT over n − 1 tokens",
            Definition::Sglang => "from sending; ITL spreads a chunk's gap over its tokens; TPOT over n − 1 tokens",
            Definition::GuideLlm => {
                "from sending; TPOT is E2E over all n tokens, ITL a request's mean gap, both weighted by tokens"
            }
            Definition::AiPerf => "from sending; ITL is a request's mean gap, our TPOT",
            Definition::InferencePerf => "from sending; TTFT of requests with two tokens or more; ITL pools token gaps",
            Definition::LoadGen => "from the scheduled time; TPOT over n − 1 tokens; no ITL",
            Definition::Vidur => "from arrival; ITL as published, with token 0's zeros; decode over all n tokens",
        }
    }

    /// Metrics a report by this definition has, those the tool itself prints.
    pub fn metrics(self) -> &'static [Metric] {
        use Metric::*;
        match self {
            Definition::Fidelio => &[Ttft, Itl, Tpot, E2e, SchedulingDelay, NormalisedE2e],
            Definition::VllmBench | Definition::Sglang | Definition::GuideLlm => &[Ttft, Itl, Tpot, E2e],
            Definition::AiPerf => &[Ttft, Itl, E2e],
            Definition::InferencePerf => &[Ttft, Itl, Tpot, E2e, NormalisedE2e],
            Definition::LoadGen => &[Ttft, Tpot, E2e],
            Definition::Vidur => &[
                Ttft,
                Itl,
                E2e,
                SchedulingDelay,
                NormalisedE2e,
                Execution,
                NormalisedExecution,
                NormalisedPrefill,
                NormalisedDecode,
            ],
        }
    }

    /// How it picks percentiles.
    pub fn quantile_rule(self) -> QuantileRule {
        match self {
            Definition::GuideLlm => QuantileRule::NearestRank,
            Definition::LoadGen => QuantileRule::FloorIndex,
            _ => QuantileRule::Linear,
        }
    }

    /// The percentile of a sample, by its rule.
    pub fn quantile(self, sample: &Sorted, percentile: Percentile) -> CentiNanos {
        self.quantile_rule().quantile(sample, percentile)
    }

    /// The run is not too large for the tool's weights, which repeat a value as often as it counts.
    ///
    /// # Errors
    /// A run without token rows may claim any number of tokens; beyond a bound they are not believed.
    pub fn check(self, run: &Run) -> Result<(), DataError> {
        let tokens: u64 = run.requests.iter().map(|row| u64::from(row.num_decode_tokens_actual)).sum();
        if self != Definition::GuideLlm || tokens <= MAX_WEIGHTED_TOKENS {
            return Ok(());
        }
        let problem = format!("{tokens} output tokens are more than the {MAX_WEIGHTED_TOKENS} that can be weighed");
        Err(DataError::new(format!("{}/request_metrics.csv", run.name), problem)
            .in_column("num_decode_tokens_actual")
            .with_hint("choose a definition that does not weigh requests by their tokens"))
    }

    /// All of one request's values of `metric`, in nanoseconds: none where the tool has no such metric or
    /// the request no value, one, one a gap, or one as often as the tool weighs it.
    pub fn values(self, line: &Timeline<'_>, metric: Metric) -> Vec<u64> {
        match metric {
            _ if self == Definition::Fidelio => line.values(metric),
            _ if !self.metrics().contains(&metric) => Vec::new(),
            Metric::Itl => self.inter_token(line),
            Metric::Ttft | Metric::E2e | Metric::NormalisedE2e => self.since_start(line, metric).into_iter().collect(),
            Metric::Tpot if self == Definition::GuideLlm => {
                let spread = self.since_start(line, Metric::NormalisedE2e);
                spread.map_or_else(Vec::new, |value| vec![value; line.num_tokens as usize])
            }
            metric => line.values(metric),
        }
    }

    /// All values of `metric` in a run, requests in id order; failed requests have none.
    pub fn values_of_run(self, run: &Run, metric: Metric) -> Vec<u64> {
        let lines = (0..run.requests.len()).filter_map(|index| Timeline::of(run, index));
        lines.flat_map(|line| self.values(&line, metric)).collect()
    }

    /// A latency that begins where the tool's clock does.
    fn since_start(self, line: &Timeline<'_>, metric: Metric) -> Option<u64> {
        let row = line.row;
        let start = match self {
            Definition::Fidelio | Definition::LoadGen | Definition::Vidur => row.arrival,
            _ => row.sent.unwrap_or(row.arrival),
        };
        let since = |time: Nanos| time.checked_sub(start).map(|span| span.0);
        let tokens = u64::from(line.num_tokens);
        match metric {
            Metric::Ttft if self == Definition::InferencePerf && tokens < 2 => None,
            Metric::Ttft => since(row.first_token?),
            Metric::NormalisedE2e => Some(divide(since(line.completion()?)?, tokens)),
            _ => since(line.completion()?),
        }
    }

    /// Values of what the tool calls inter-token latency.
    fn inter_token(self, line: &Timeline<'_>) -> Vec<u64> {
        match self {
            // Tokens of one stamp came in one chunk.
            Definition::VllmBench => line.gaps().filter(|gap| *gap > 0).collect(),
            Definition::Sglang => spread_over_chunks(line.gaps()),
            Definition::GuideLlm => {
                let mean = line.value(Metric::Tpot);
                mean.map_or_else(Vec::new, |mean| vec![mean; line.num_tokens as usize - 1])
            }
            Definition::AiPerf => line.value(Metric::Tpot).into_iter().collect(),
            Definition::Vidur if line.tokens.is_some() => std::iter::once(0).chain(line.gaps()).collect(),
            _ => line.gaps().collect(),
        }
    }
}

/// Each chunk's gap shared by its tokens, rounded per token; the first chunk's own tokens have none.
fn spread_over_chunks(gaps: impl Iterator<Item = u64>) -> Vec<u64> {
    let (mut values, mut open) = (Vec::new(), None);
    let mut close = |open: Option<(u64, u64)>| {
        let Some((gap, count)) = open else { return };
        values.extend((0..count).map(|_| divide(gap, count)));
    };
    for gap in gaps {
        match (gap, &mut open) {
            (0, None) => {}
            (0, Some((_, count))) => *count += 1,
            (gap, open) => close(open.replace((gap, 1))),
        }
    }
    close(open);
    values
}

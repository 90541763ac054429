//! Attribution in `comparison.json`: where the difference between a real and a simulated run comes from.

use serde::{Deserialize, Serialize};

use crate::stats::CentiNanos;

/// A span of a request's life. The parts of a request sum to its E2E, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Arrival to first scheduled.
    Queueing,
    /// First scheduled to first token; without host time where that is known apart.
    Prefill,
    /// Arrival to first token, where a run does not say when requests were scheduled.
    FirstToken,
    /// First token to completion; without host time and stalls where they are known apart.
    Decode,
    /// Between two tokens, while no step held the request, and the recomputation of a preempted one.
    Preemption,
    /// Host time of the steps that served the request: no device computed.
    Host,
}

impl Part {
    /// The word in files.
    pub fn key(self) -> &'static str {
        match self {
            Part::Queueing => "queueing",
            Part::Prefill => "prefill",
            Part::FirstToken => "first_token",
            Part::Decode => "decode",
            Part::Preemption => "preemption",
            Part::Host => "host",
        }
    }

    /// The word in tables and figures.
    pub fn label(self) -> &'static str {
        match self {
            Part::Queueing => "Queueing",
            Part::Prefill => "Prefill",
            Part::FirstToken => "Queueing + prefill",
            Part::Decode => "Decode",
            Part::Preemption => "Preemption, stalls",
            Part::Host => "Host",
        }
    }
}

/// How finely *both* runs can be split. What only one side can tell is never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// By engine steps and token times: all five parts.
    Steps,
    /// By request stamps: queueing, prefill, decode, each with the host time and stalls in it.
    Stamps,
    /// By arrival, first token and completion only: queueing and prefill are one.
    FirstToken,
}

impl Split {
    /// Its parts of E2E, in order of time.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Split::Steps => &[Part::Queueing, Part::Prefill, Part::Decode, Part::Preemption, Part::Host],
            Split::Stamps => &[Part::Queueing, Part::Prefill, Part::Decode],
            Split::FirstToken => &[Part::FirstToken, Part::Decode],
        }
    }

    /// Its parts of TTFT.
    pub fn first_token_parts(self) -> &'static [Part] {
        match self {
            Split::Steps => &[Part::Queueing, Part::Prefill, Part::Host],
            Split::Stamps => &[Part::Queueing, Part::Prefill],
            Split::FirstToken => &[Part::FirstToken],
        }
    }
}

/// The difference of two runs, split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// One line a person can read aloud.
    pub sentence: String,
    /// How finely.
    pub split: Split,
    /// Why not finer, by side; empty for [`Split::Steps`].
    pub limits: Vec<String>,
    /// Of E2E.
    pub e2e: Breakdown,
    /// Of TTFT, a part of the former.
    pub ttft: Breakdown,
    /// Of E2E, by prompt length in tokens: quarters of the requests, equal lengths together.
    pub by_prompt_tokens: Vec<Bin>,
    /// Of E2E, by load: requests in the real system when this one arrived.
    pub by_num_in_system: Vec<Bin>,
}

/// Requests alike in something, apart from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Smallest value in the bin.
    pub from: u64,
    /// Largest value in the bin.
    pub to: u64,
    /// Their E2E.
    pub e2e: Breakdown,
}

/// Sums over requests, ns. Integers: the parts sum to the whole on each side and in the difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Requests summed.
    pub num_requests: u64,
    /// The whole, real.
    pub real_ns: u64,
    /// The whole, simulated.
    pub sim_ns: u64,
    /// Simulated - real.
    pub diff_ns: i64,
    /// (simulated - real) / real; `None` when real is zero.
    pub rel_error: Option<f64>,
    /// Its parts, in order of time.
    pub parts: Vec<PartRow>,
}

/// One part of a whole: sums over requests, ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartRow {
    /// Which.
    pub part: Part,
    /// Real.
    pub real_ns: u64,
    /// Simulated.
    pub sim_ns: u64,
    /// Simulated - real.
    pub diff_ns: i64,
    /// Difference over this part's real time; `None` when that is zero.
    pub rel_error: Option<f64>,
    /// Difference over the *whole's* real time: contributions sum to the whole's relative error.
    pub contribution: Option<f64>,
}

impl Breakdown {
    /// The row of one part, where it is known apart.
    pub fn part(&self, part: Part) -> Option<&PartRow> {
        self.parts.iter().find(|row| row.part == part)
    }

    /// `total_ns` a request, rounded to hundredths of a nanosecond (half away from zero).
    pub fn mean(&self, total_ns: i64) -> CentiNanos {
        let (count, size) = (u128::from(self.num_requests.max(1)), u128::from(total_ns.unsigned_abs()));
        let rounded = i64::try_from((size * 200 + count) / (2 * count)).unwrap_or(i64::MAX);
        CentiNanos(if total_ns < 0 { -rounded } else { rounded })
    }
}

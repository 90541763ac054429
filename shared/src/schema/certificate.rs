//! The load certificate in `comparison.json`: whether the load of a run was what was asked, and what came of it.

use serde::{Deserialize, Serialize};

use crate::stats::CentiNanos;

/// The load of both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadCertificate {
    /// The real run.
    pub real: LoadSide,
    /// The simulated run.
    pub sim: LoadSide,
    /// What is wrong, one sentence each; empty is good.
    pub failures: Vec<String>,
}

/// The load of one run. Requests without output are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadSide {
    /// Arrivals asked for per second, first to last; `None` when all arrive at one instant.
    pub asked_rps: Option<f64>,
    /// How requests were sent, against that plan.
    pub sends: Sends,
    /// Arrivals in the second half of the time in which requests arrive.
    pub num_arrived_late: u64,
    /// Completions in the same time.
    pub num_completed_late: u64,
    /// The queue grew: far fewer completed than arrived. `None` when all arrive at one instant.
    pub is_overloaded: Option<bool>,
    /// Prompt and output tokens asked for, per second from first to last arrival.
    pub offered_tokens_per_s: Option<f64>,
    /// Prompt and output tokens served, per second from first arrival to last completion.
    pub served_tokens_per_s: Option<f64>,
    /// Most requests in the system at once.
    pub peak_in_system: u64,
    /// Little's law over a window; `None` when it has no length or nobody arrives in it.
    pub little: Option<Little>,
}

/// When requests were really sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sends {
    /// The run does not say: its engine takes requests from the plan itself.
    NotRecorded,
    /// The run has `sent_time_ns`.
    Recorded {
        /// Requests with a time.
        num_requests: usize,
        /// Lateness, median; a request sent early is late by 0.
        p50_ns: CentiNanos,
        /// Lateness, P99.
        p99_ns: CentiNanos,
        /// Lateness, largest.
        max_ns: CentiNanos,
        /// A send is late beyond this.
        limit_ns: u64,
        /// Sends later than that.
        num_late: usize,
        /// Sends before their time.
        num_early: usize,
        /// Sends per second, first to last.
        achieved_rps: Option<f64>,
    },
}

/// Little's law, L = λ W: an identity over a whole run, and over a window a test that nothing piles up in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Little {
    /// The window begins: the steady part, else the first arrival, ns.
    pub from_ns: u64,
    /// It ends: the last arrival, ns.
    pub to_ns: u64,
    /// L: requests in the system, mean over the window, from their stamps.
    pub mean_in_system: f64,
    /// λ: arrivals in the window, per second.
    pub arrival_rps: f64,
    /// W: mean E2E of those that arrive in the window, ns.
    pub mean_e2e_ns: f64,
    /// (λ W - L) / L; `None` when L is zero.
    pub residual: Option<f64>,
    /// L as the engine counted it: running and waiting in its steps, mean over the window.
    pub mean_in_steps: Option<f64>,
    /// (L of the steps - L) / L.
    pub steps_residual: Option<f64>,
    /// What `steps_residual` may be: an engine counts at its steps, so each request is missed for a part of one.
    pub steps_tolerance: Option<f64>,
}

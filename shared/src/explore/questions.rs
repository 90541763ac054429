//! What can be asked of an open comparison.

use serde::{Deserialize, Serialize};

use crate::metrics::Metric;

/// A part of the requests; `None` leaves that side open. The default is all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Planned arrival, ns since the run began: from, and before.
    pub arrivals: Option<(u64, u64)>,
    /// Prompt tokens: from, and up to and including.
    pub prompt_tokens: Option<(u32, u32)>,
}

/// A column of the request table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The request's id.
    Request,
    /// Planned arrival.
    Arrival,
    /// Prompt tokens.
    Prompt,
    /// Output tokens compared.
    Output,
    /// Preemptions on either side.
    Preemptions,
    /// A metric of the real run.
    Real(Metric),
    /// A metric of the simulated run.
    Sim(Metric),
    /// Size of the relative error of a metric.
    Error(Metric),
    /// Size of the relative error of E2E: what is most wrong first.
    #[default]
    Worst,
}

/// A page of the request table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableQuestion {
    /// Which requests.
    pub selection: Selection,
    /// Sorted by.
    pub column: Column,
    /// Largest first; requests without a value come last either way.
    pub descending: bool,
    /// Only requests whose id contains this number, or, as `prompt>512`, `output<=8`, `error>20%`, `arrival>=1.5s`,
    /// `status=error`, those for which all terms hold.
    pub filter: String,
    /// First row wanted.
    pub from: usize,
    /// Rows wanted.
    pub count: usize,
    /// Metrics shown.
    pub metrics: Vec<Metric>,
    /// A request whose place among the rows is wanted too.
    pub find: Option<u32>,
}

/// Settings of a "what if": what differs from the run that is explored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhatIf {
    /// The scheduler's settings, all of them.
    pub scheduler: crate::serving::SchedulerConfig,
    /// Arrivals come this many times as fast; 1 is the workload as it is.
    pub rate: f64,
    /// Engine copies behind a round-robin router.
    pub num_replicas: u32,
}

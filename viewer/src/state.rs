//! What is looked at, and how: everything that a link restores, apart from the bundles themselves.

use std::collections::BTreeSet;

use fidelio_shared::charts::{Axis, Fractions};
use fidelio_shared::explore::questions::{Column, Selection};
use fidelio_shared::metrics::Metric;

/// A choice of what is shown; the default is the first screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewState {
    /// The metric; `None` is the first that the bundle has.
    pub metric: Option<Metric>,
    /// Spread of times.
    pub axis: Axis,
    /// Spread of fractions.
    pub fractions: Fractions,
    /// Where the cursor stands, in millionths of the requests; `None` is nowhere.
    pub cursor: Option<u32>,
    /// The brushed part.
    pub selection: Selection,
    /// The request whose tokens are shown.
    pub request: Option<u32>,
    /// What the request table is sorted by.
    pub column: Column,
    /// Smallest first.
    pub ascending: bool,
    /// The request table's filter.
    pub filter: String,
    /// Window of the step timeline, ns.
    pub window: Option<(u64, u64)>,
    /// What is unfolded.
    pub open: BTreeSet<Panel>,
    /// The bundle shown, by place.
    pub focus: usize,
    /// The bundle others are held against, by place.
    pub reference: usize,
    /// Changed settings of the "what if", as `name:value` separated by commas.
    pub what_if: String,
}

/// What can be unfolded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Panel {
    /// Requests one by one: scatter, table, token timelines.
    Requests,
    /// Engine steps over time.
    Steps,
    /// Where the difference comes from.
    Attribution,
    /// Other settings, simulated here.
    WhatIf,
    /// Steady part, load, order.
    Load,
    /// All metrics at a glance.
    Distances,
    /// Who ran what.
    Runs,
    /// Settings that must match.
    Parity,
    /// Resolved configuration.
    Parameters,
    /// What the file holds.
    Files,
}

impl Panel {
    /// All, in the order of the page.
    pub const ALL: [Panel; 10] = [
        Panel::Requests,
        Panel::Steps,
        Panel::Attribution,
        Panel::WhatIf,
        Panel::Load,
        Panel::Distances,
        Panel::Runs,
        Panel::Parity,
        Panel::Parameters,
        Panel::Files,
    ];

    /// The word in links and test ids.
    pub fn key(self) -> &'static str {
        match self {
            Panel::Requests => "requests",
            Panel::Steps => "steps",
            Panel::Attribution => "attribution",
            Panel::WhatIf => "what-if",
            Panel::Load => "load",
            Panel::Distances => "distances",
            Panel::Runs => "runs",
            Panel::Parity => "parity",
            Panel::Parameters => "parameters",
            Panel::Files => "files",
        }
    }
}

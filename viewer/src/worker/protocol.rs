//! What page and worker say to each other: JSON texts of `(number, Ask)` one way and `(number, Tell)` the other. The number
//! of a question comes back with its answer.

use fidelio_shared::explore::answers::{
    Overview, Reduced, RequestTimeline, RunStrip, Scatter, StepView, TablePage, WhatIfAnswer, WhatIfBasis,
};
use fidelio_shared::explore::questions::{Selection, TableQuestion, WhatIf};
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::Manifest;
use fidelio_shared::schema::attribution::Attribution;
use fidelio_shared::schema::comparison::{Comparison, MetricComparison};
use serde::{Deserialize, Serialize};

use crate::open::Problem;

/// From the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Open a bundle: the file that comes beside this text, or what lies at an address.
    Open {
        /// What people call it.
        name: String,
        /// Absolute, already checked; `None` when a file comes beside.
        address: Option<String>,
    },
    /// Read the raw rows; asked once, after opening.
    Rows,
    /// One metric over a selection, at once.
    Reduce(Metric, Selection),
    /// The same with intervals and verdicts, which take longer.
    Intervals(Metric, Selection),
    /// Real against simulated: metric, selection, most points.
    Scatter(Metric, Selection, usize),
    /// A page of the request table.
    Requests(TableQuestion),
    /// One request, token by token.
    Timeline(u32),
    /// Engine steps in a window, in so many bins.
    Steps(Option<(u64, u64)>, usize),
    /// Every real run's percentiles of a metric.
    Runs(Metric),
    /// Where the difference over a selection comes from.
    Attribution(Selection),
    /// Whether and from what other settings can be simulated.
    WhatIfBasis,
    /// Other settings.
    WhatIf(WhatIf),
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tell {
    /// It listens.
    Ready,
    /// A mistake of ours ended it.
    Crashed(String),
    /// How far it is.
    Progress(Progress),
    /// The bundle is open; the comparison comes beside, as its own text.
    Opened(Envelope),
    /// It did not open.
    Failed(Problem),
    /// The raw rows are read.
    Rows(Box<Overview>),
    /// They cannot be.
    NoRows(Problem),
    /// The file's own hash, told when there was time to compute it.
    Sha256(String),
    /// To a question.
    Answer(Box<Answer>),
}

/// To a question, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Reduce`]; `None` when the selection holds no value.
    Reduce(Option<Reduced>),
    /// To [`Ask::Intervals`].
    Intervals(Option<MetricComparison>),
    /// To [`Ask::Scatter`].
    Scatter(Scatter),
    /// To [`Ask::Requests`].
    Requests(TablePage),
    /// To [`Ask::Timeline`]; `None` when there is no such request.
    Timeline(Option<RequestTimeline>),
    /// To [`Ask::Steps`].
    Steps(StepView),
    /// To [`Ask::Runs`].
    Runs(Option<RunStrip>),
    /// To [`Ask::Attribution`].
    Attribution(Option<Attribution>),
    /// To [`Ask::WhatIfBasis`].
    WhatIfBasis(Result<WhatIfBasis, String>),
    /// To [`Ask::WhatIf`].
    WhatIf(Result<WhatIfAnswer, String>),
}

/// What comes with the comparison of an open bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// File name, as picked or as in the address.
    pub name: String,
    /// `None` for a zip made by hand.
    pub manifest: Option<Manifest>,
    /// Size of the file; `None` for a comparison that came inside a link.
    pub num_bytes: Option<u64>,
}

/// An open bundle, without its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// File name, as picked or as in the address.
    pub name: String,
    /// What is shown first.
    pub comparison: Comparison,
    /// `None` for a zip made by hand.
    pub manifest: Option<Manifest>,
    /// Size of the file; `None` for a comparison that came inside a link.
    pub num_bytes: Option<u64>,
}

impl Opened {
    /// Both parts of what a worker tells.
    pub fn new(envelope: Envelope, comparison: Comparison) -> Self {
        let Envelope { name, manifest, num_bytes } = envelope;
        Opened { name, comparison, manifest, num_bytes }
    }
}

/// How far a long piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which.
    pub work: Work,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
}

/// Long pieces of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// The file comes over the network.
    Download,
    /// Rows are unpacked and parsed.
    Read,
    /// A zip of bare runs is compared.
    Compare,
}

impl Progress {
    /// Done, of one; `None` where the whole is not known.
    pub fn share(self) -> Option<f64> {
        self.total.filter(|total| *total > 0).map(|total| (self.done as f64 / total as f64).min(1.0))
    }
}

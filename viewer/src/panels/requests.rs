//! Requests one by one: all of them as points, one of them token by token, and the table to find them in. Choosing a
//! request in one shows it in the others.

mod columns;
mod scatter;
mod scroll;
mod table;
mod timeline;
mod tokens;

use std::sync::Arc;

use fidelio_shared::explore::answers::{Found, TablePage};
use fidelio_shared::explore::questions::{Selection, TableQuestion};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::fold::Fold;
use crate::panels::waiting::OverRows;
use crate::session::{self, Session};
use crate::state::Panel;
use crate::worker::protocol::{Answer, Ask, Opened};

use scatter::ScatterPane;
use table::RequestTable;
use timeline::TimelinePane;

/// Metrics of the table, in the order of its columns.
const SHOWN: [Metric; 2] = [Metric::Ttft, Metric::E2e];
/// Rows asked for at once, and how far before the first that is seen.
const PAGE: usize = 160;
const BEFORE: usize = 40;

/// What the panel's parts share.
#[derive(Clone, Copy)]
struct Requests {
    session: Session,
    /// The metric of the scatter: the chosen one, where it has one value a request.
    metric: Memo<Option<Metric>>,
    /// Largest relative error accepted.
    tolerance: f64,
    /// The page of the table around what is seen of it.
    page: ReadSignal<Option<TablePage>>,
    /// First row that is seen, in steps of [`BEFORE`].
    block: RwSignal<usize>,
    /// Where the chosen request stands in the table.
    found: Memo<Option<Found>>,
}

/// The folded panel.
#[component]
pub fn RequestsPanel(session: Session, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let note = format!("{}, each against itself", thousands(opened.comparison.counts.num_compared as u64));
    let tolerance = opened.comparison.options.tolerance;
    view! {
        <Fold panel=Panel::Requests title="Requests one by one" note=note>
            <OverRows session><Parts session metric tolerance/></OverRows>
        </Fold>
    }
}

#[component]
fn Parts(session: Session, metric: Memo<Option<Metric>>, tolerance: f64) -> impl IntoView {
    let requests = Requests::new(session, metric, tolerance);
    view! {
        <div class="requests">
            <ScatterPane requests/>
            <TimelinePane requests/>
        </div>
        <RequestTable requests/>
    }
}

impl Requests {
    fn new(session: Session, chosen: Memo<Option<Metric>>, tolerance: f64) -> Self {
        let view = expect_context::<View>();
        let metric = Memo::new(move |_| {
            let overview = session.overview()?;
            let has = |metric: &Metric| overview.request_metrics.contains(metric);
            // ITL has many values a request: TPOT is their mean.
            let fitting = chosen.get().filter(has).or(Some(Metric::Tpot).filter(has));
            fitting.or(overview.request_metrics.first().copied())
        });
        let block = RwSignal::new(0usize);
        let asked =
            view.part(|state| (state.selection, state.column, state.ascending, state.filter.clone(), state.request));
        let page = session::answer(
            session,
            move || {
                let (selection, column, ascending, filter, find) = asked.get();
                let from = block.get().saturating_sub(BEFORE);
                Some(Ask::Requests(TableQuestion {
                    selection,
                    column,
                    descending: !ascending,
                    filter,
                    from,
                    count: PAGE,
                    metrics: SHOWN.to_vec(),
                    find,
                }))
            },
            |answer| if let Answer::Requests(page) = answer { Some(page) } else { None },
        );
        let found = Memo::new(move |_| page.with(|page| page.as_ref().and_then(|page| page.found)));
        Requests { session, metric, tolerance, page, block, found }
    }
}

/// `the selected requests`, where some are brushed.
fn which(selection: Selection) -> &'static str {
    if selection == Selection::default() { "requests" } else { "selected requests" }
}

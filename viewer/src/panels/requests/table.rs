//! The table of all requests: sorted by its heads, filtered by words, and of however many rows only those there that are
//! seen.

use fidelio_shared::explore::answers::{TablePage, TableRow};
use fidelio_shared::report::thousands;
use leptos::html::Div;
use leptos::prelude::*;
use web_sys::KeyboardEvent;

use crate::app::View;
use crate::panels::requests::columns::{Head, cells, class, heads};
use crate::panels::requests::scroll::{ROW, Roll};
use crate::panels::requests::{BEFORE, Requests, which};
use crate::words::with_code;

/// What is seen before it is measured, pixels.
const SEEN: f64 = 420.0;
const FILTER_HELP: &str = "A request’s number, or terms that must all hold: prompt>512 output<=8 error>20% arrival>=1.5s \
                           ttft>180ms preemptions>0 status=error";

#[component]
pub(super) fn RequestTable(requests: Requests) -> impl IntoView {
    view! {
        <section class="request-table" aria-label="Table of requests">
            <Tools requests/>
            <Grid requests/>
        </section>
    }
}

/// The filter, and how many pass it.
#[component]
fn Tools(requests: Requests) -> impl IntoView {
    let view = expect_context::<View>();
    let (filter, selection) = (view.part(|state| state.filter.clone()), view.part(|state| state.selection));
    let page = requests.page;
    let problem = Memo::new(move |_| page.with(|page| page.as_ref()?.filter_problem.clone()));
    let counts = Memo::new(move |_| page.with(|page| page.as_ref().map(|page| (page.num_rows, page.num_requests))));
    let words = move || {
        counts.get().map_or("sorting…".to_owned(), |(rows, all)| {
            let which = which(selection.get());
            match rows == all {
                true => format!("{} {which}", thousands(all as u64)),
                false => format!("{} of {} {which}", thousands(rows as u64), thousands(all as u64)),
            }
        })
    };
    view! {
        <div class="table-tools">
            <label class="filter">
                <span>"Filter"</span>
                <input
                    type="search"
                    data-testid="request-filter"
                    placeholder="prompt>512 error>20%"
                    title=FILTER_HELP
                    autocomplete="off"
                    spellcheck="false"
                    aria-invalid=move || problem.with(Option::is_some).to_string()
                    aria-describedby="filter-help"
                    prop:value=move || filter.get()
                    on:input=move |event| view.state.update(|state| state.filter = event_target_value(&event))
                />
            </label>
            <p id="filter-help" class="filter-problem" role="status" data-testid="filter-problem">
                {move || problem.get().map(|problem| view! { {with_code(&problem)}" All rows are shown." })}
            </p>
            <p data-testid="request-count" data-rows=move || counts.get().map(|counts| counts.0.to_string())>{words}</p>
        </div>
    }
}

/// What is seen of the rows, and the row the keyboard is at.
#[derive(Clone, Copy)]
struct Scrolled {
    ground: NodeRef<Div>,
    scroll: RwSignal<f64>,
    roll: Memo<Roll>,
    active: RwSignal<Option<usize>>,
}

impl Scrolled {
    /// Scrolls so far that a row is seen.
    fn show(self, place: usize) {
        let (roll, scroll) = (self.roll.get_untracked(), self.scroll.get_untracked());
        let wanted = roll.showing(scroll, place);
        if let (true, Some(ground)) = ((wanted - scroll).abs() >= 0.5, self.ground.get_untracked()) {
            ground.set_scroll_top(wanted.round() as i32);
        }
    }

    /// The row a key leads to.
    fn after_key(self, key: &str) -> Option<usize> {
        let roll = self.roll.get_untracked();
        let seen = roll.rows(self.scroll.get_untracked());
        let last = roll.num_rows.checked_sub(1)?;
        let page = ((roll.seen / ROW) as usize).saturating_sub(1).max(1);
        match (key, self.active.get_untracked()) {
            ("ArrowDown" | "ArrowUp", None) => Some(seen.start.min(last)),
            ("ArrowDown", Some(place)) => Some((place + 1).min(last)),
            ("ArrowUp", Some(place)) => Some(place.saturating_sub(1)),
            ("PageDown", place) => Some((place.unwrap_or(seen.start) + page).min(last)),
            ("PageUp", place) => Some(place.unwrap_or(seen.start).saturating_sub(page)),
            ("Home", _) => Some(0),
            ("End", _) => Some(last),
            _ => None,
        }
    }
}

fn scrolled(requests: Requests) -> Scrolled {
    let (seen, scroll) = (RwSignal::new(SEEN), RwSignal::new(0.0));
    let ground = NodeRef::<Div>::new();
    let num_rows = Memo::new(move |_| requests.page.with(|page| page.as_ref().map_or(0, |page| page.num_rows)));
    let roll = Memo::new(move |_| Roll { num_rows: num_rows.get(), seen: seen.get() });
    let active = RwSignal::new(None);
    let block = Memo::new(move |_| roll.get().rows(scroll.get()).start / BEFORE * BEFORE);
    Effect::new(move |_| {
        let here = block.get();
        if requests.block.get_untracked() != here {
            requests.block.set(here);
        }
    });
    Effect::new(move |_| {
        let rows = num_rows.get();
        active.update(|active| *active = active.filter(|place| *place < rows));
        let Some(ground) = ground.get() else { return };
        // Once it has grown to its rows.
        request_animation_frame(move || {
            let height = f64::from(ground.client_height()) - ROW;
            let is_full = num_rows.try_get_untracked().is_some_and(|rows| rows as f64 * ROW >= height);
            if is_full && height > ROW {
                let _ = seen.try_set(height);
            }
        });
    });
    Scrolled { ground, scroll, roll, active }
}

#[component]
fn Grid(requests: Requests) -> impl IntoView {
    let view = expect_context::<View>();
    let scrolled = scrolled(requests);
    let Scrolled { ground, scroll, roll, active } = scrolled;
    let page = requests.page;
    // A request chosen elsewhere is shown here.
    Effect::new(move |before: Option<Option<u32>>| {
        let found = requests.found.get();
        if let Some(found) = found.filter(|found| before.flatten() != Some(found.request_id)) {
            active.set(Some(found.place));
            // Once the body is as high as its rows ask for.
            request_animation_frame(move || scrolled.show(found.place));
        }
        found.map(|found| found.request_id)
    });
    // Another order begins at its beginning.
    let order = view.part(|state| (state.selection, state.column, state.ascending, state.filter.clone()));
    Effect::new(move |before: Option<_>| {
        let now = order.get();
        if let (true, Some(ground)) = (before.is_some_and(|before| before != now), ground.get_untracked()) {
            ground.set_scroll_top(0);
            active.set(None);
        }
        now
    });
    let choose = move |place: usize| {
        let row = page.with_untracked(|page| row_at(page, place));
        if let Some(row) = row {
            active.set(Some(place));
            view.state.update(|state| state.request = Some(row.request_id));
            view.say(format!("Request {} chosen", row.request_id));
        }
    };
    let on_key = move |event: KeyboardEvent| {
        // Keys on the heads are the heads' own.
        if event.target() != event.current_target() {
            return;
        }
        match (event.key().as_str(), active.get_untracked()) {
            ("Enter" | " ", Some(place)) => choose(place),
            (key, _) => {
                let Some(place) = scrolled.after_key(key) else { return };
                active.set(Some(place));
                scrolled.show(place);
            }
        }
        event.prevent_default();
    };
    let seen = Memo::new(move |_| roll.get().rows(scroll.get()));
    let top = move || roll.get().top(scroll.get(), seen.get().start);
    // A row that is scrolled away is not there to be named.
    let named = move || active.get().filter(|place| seen.get().contains(place)).map(row_id);
    view! {
        <div
            class="grid"
            node_ref=ground
            role="grid"
            tabindex="0"
            aria-label="Requests"
            aria-rowcount=move || (roll.get().num_rows + 1).to_string()
            aria-colcount=heads().len().to_string()
            aria-activedescendant=named
            data-testid="request-table"
            on:scroll=move |_| if let Some(ground) = ground.get_untracked() { scroll.set(f64::from(ground.scroll_top())) }
            on:keydown=on_key
        >
            <Head/>
            <div class="grid-body" role="rowgroup" data-testid="request-rows" style:height=move || format!("{:.0}px", roll.get().height())>
                <div class="grid-rows" role="presentation" style:top=move || format!("{:.2}px", top())>
                    <For each=move || seen.get() key=|place| *place let:place>
                        <Row requests place active on_choose=choose/>
                    </For>
                </div>
            </div>
        </div>
    }
}

fn row_at(page: &Option<TablePage>, place: usize) -> Option<TableRow> {
    let page = page.as_ref()?;
    page.rows.get(place.checked_sub(page.from)?).cloned()
}

fn row_id(place: usize) -> String {
    format!("request-row-{place}")
}

#[component]
fn Row(
    requests: Requests,
    place: usize,
    active: RwSignal<Option<usize>>,
    on_choose: impl Fn(usize) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let view = expect_context::<View>();
    let row = Memo::new(move |_| requests.page.with(|page| row_at(page, place)));
    let id = Memo::new(move |_| row.with(|row| row.as_ref().map(|row| row.request_id)));
    let chosen = view.part(|state| state.request);
    let is_chosen = move || id.get().is_some() && id.get() == chosen.get();
    let cells = move || {
        let cells = row.get().map_or_else(|| vec!["…".to_owned()], |row| cells(&row));
        let cell = |(index, text): (usize, String)| {
            let title = (index == 11).then(|| text.clone());
            view! { <div role="gridcell" class=class(index) title=title>{text}</div> }
        };
        cells.into_iter().enumerate().map(cell).collect_view()
    };
    view! {
        <div
            class="grid-row"
            class:active=move || active.get() == Some(place)
            class:chosen=is_chosen
            role="row"
            id=row_id(place)
            aria-rowindex=(place + 2).to_string()
            aria-selected=move || is_chosen().to_string()
            data-request=move || id.get().map(|id| id.to_string())
            on:click=move |_| on_choose(place)
        >{cells}</div>
    }
}

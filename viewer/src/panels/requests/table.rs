//! The table of all requests: sorted by its heads, filtered by words, and of however many rows only those there that are
//! seen.

use fidelio_shared::explore::answers::{TablePage, TableRow};
use fidelio_shared::explore::questions::Column;
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;
use leptos::html::Div;
use leptos::prelude::*;
use web_sys::KeyboardEvent;

use crate::app::View;
use crate::panels::requests::scroll::{ROW, Roll};
use crate::panels::requests::{BEFORE, Requests, SHOWN, which};
use crate::words::{percent, time, with_code};

/// What is seen before it is measured, pixels.
const SEEN: f64 = 420.0;
const FILTER_HELP: &str = "A request’s number, or terms that must all hold: prompt>512 output<=8 error>20% arrival>=1.5s \
                           ttft>180ms preemptions>0 status=error";

/// The heads: (column, group, word).
fn heads() -> Vec<(Option<Column>, &'static str, &'static str)> {
    let mut heads = vec![
        (Some(Column::Request), "", "Request"),
        (Some(Column::Arrival), "", "Arrival"),
        (Some(Column::Prompt), "", "Prompt"),
        (Some(Column::Output), "", "Output"),
    ];
    for metric in SHOWN {
        heads.extend([
            (Some(Column::Real(metric)), metric.label(), "real"),
            (Some(Column::Sim(metric)), metric.label(), "simulated"),
            (Some(Column::Error(metric)), metric.label(), "error"),
        ]);
    }
    heads.extend([(Some(Column::Preemptions), "", "Preempted"), (None, "", "Trouble")]);
    heads
}

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
        num_rows.track();
        active.update(|active| *active = active.filter(|place| *place < num_rows.get_untracked()));
        if let Some(ground) = ground.get() {
            let height = f64::from(ground.client_height()) - ROW;
            if height > ROW
                && (height - seen.get_untracked()).abs() > 0.5
                && num_rows.get_untracked() as f64 * ROW >= SEEN
            {
                seen.set(height);
            }
        }
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
    view! {
        <div
            class="grid"
            node_ref=ground
            role="grid"
            tabindex="0"
            aria-label="Requests"
            aria-rowcount=move || (roll.get().num_rows + 1).to_string()
            aria-colcount=heads().len().to_string()
            aria-activedescendant=move || active.get().map(row_id)
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
fn Head() -> impl IntoView {
    let view = expect_context::<View>();
    let sorted = view.part(|state| (state.column, state.ascending));
    let head = move |index: usize, (column, group, word): (Option<Column>, &'static str, &'static str)| {
        let order = move || column.and_then(|column| order(column, sorted.get()));
        let mark = move || order().map(|ascending| if ascending { " ▲" } else { " ▼" });
        let said = move || order().map_or("none", |ascending| if ascending { "ascending" } else { "descending" });
        let sort = move |_| {
            if let Some(column) = column {
                let (column, ascending) = next(column, sorted.get_untracked());
                view.state.update(|state| (state.column, state.ascending) = (column, ascending));
            }
        };
        view! {
            <div role="columnheader" class=class(index) aria-sort=said aria-colindex=(index + 1).to_string()>
                {match column {
                    Some(column) => view! {
                        <button type="button" data-testid=format!("sort-{}", crate::link::column_key(column)) on:click=sort>
                            {(!group.is_empty()).then(|| view! { <small>{group}" "</small> })}{word}{mark}
                        </button>
                    }.into_any(),
                    None => word.into_any(),
                }}
            </div>
        }
    };
    let heads = heads().into_iter().enumerate().map(|(index, one)| head(index, one)).collect_view();
    view! { <div class="grid-row grid-head" role="row" aria-rowindex="1">{heads}</div> }
}

/// Whether the table is sorted by a column, and which way. `Worst` is the error of E2E, whichever way.
fn order(column: Column, (by, ascending): (Column, bool)) -> Option<bool> {
    match (column, by) {
        (Column::Error(Metric::E2e), Column::Worst) => Some(false),
        (column, by) => (column == by).then_some(ascending),
    }
}

/// What a click on a head sorts by: the other way when it is sorted by already.
fn next(column: Column, sorted: (Column, bool)) -> (Column, bool) {
    match order(column, sorted) {
        Some(ascending) => (column, !ascending),
        None => (column, matches!(column, Column::Request | Column::Arrival)),
    }
}

/// Words to the left, numbers to the right.
fn class(index: usize) -> &'static str {
    match index {
        0 => "first",
        4 | 7 => "group",
        6 | 9 => "strong",
        11 => "word",
        _ => "",
    }
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

fn cells(row: &TableRow) -> Vec<String> {
    let mut cells = vec![
        format!("#{}", row.request_id),
        time(Some(row.arrival_ns)),
        thousands(row.num_prefill_tokens.into()),
        thousands(row.num_decode_tokens.into()),
    ];
    for (index, (real, sim)) in row.values.iter().enumerate() {
        cells.extend([time(*real), time(*sim), percent(row.rel_error(index))]);
    }
    let times = |times: Option<u32>| times.map_or("–".to_owned(), |times| thousands(times.into()));
    cells.push(match row.num_preemptions {
        (None, None) => "–".to_owned(),
        (real, sim) => format!("{} / {}", times(real), times(sim)),
    });
    cells.push(row.trouble.clone().unwrap_or_default());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_sorts_and_turns_around() {
        let usual = (Column::Worst, false);
        let error = Column::Error(Metric::E2e);
        assert_eq!(order(error, usual), Some(false));
        assert_eq!(next(error, usual), (error, true));
        assert_eq!(next(Column::Arrival, usual), (Column::Arrival, true));
        assert_eq!(next(Column::Prompt, usual), (Column::Prompt, false));
        assert_eq!(next(Column::Prompt, (Column::Prompt, false)), (Column::Prompt, true));
        assert_eq!(order(Column::Prompt, usual), None);
    }

    #[test]
    fn every_column_has_a_cell() {
        let row = TableRow { values: vec![(Some(5), None), (Some(100), Some(80))], ..TableRow::default() };
        let cells = cells(&row);
        assert_eq!(cells.len(), heads().len());
        assert_eq!((cells[6].as_str(), cells[9].as_str(), cells[10].as_str()), ("–", "−20.0 %", "–"));
    }
}

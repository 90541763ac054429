//! Bundles beside each other (A/B/n): percentiles of the chosen metric against a reference, and what was changed.

use std::sync::Arc;

use fidelio_shared::charts::format_duration;
use fidelio_shared::explore::beside::{Changed, Said, change, changed};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::{thousands, verdict_words};
use fidelio_shared::schema::comparison::{Comparison, MetricComparison, PercentileRow, RunIdentity};
use fidelio_shared::stats::{CentiNanos, Percentile};
use leptos::prelude::*;

use crate::app::View;
use crate::panels::bar::letter;
use crate::panels::verdict::VerdictMark;
use crate::session::Session;
use crate::words::{percent, run_line, typeset, verdict_class};
use crate::worker::protocol::Opened;

/// A bundle that is open, by its place.
#[derive(Clone)]
struct Side {
    place: usize,
    session: Session,
    opened: Arc<Opened>,
}

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && self.session == other.session
    }
}

impl Side {
    fn letter(&self) -> String {
        letter(self.place)
    }

    fn comparison(&self) -> &Comparison {
        &self.opened.comparison
    }
}

/// What is held against what.
#[derive(Clone, PartialEq)]
struct Table {
    reference: Side,
    /// All of them, the reference too, in their order.
    sides: Vec<Side>,
}

impl Table {
    /// `None` while there are not two.
    fn of(view: View) -> Option<Self> {
        let open = view.sessions.get().into_iter().enumerate();
        let sides: Vec<Side> =
            open.filter_map(|(place, session)| Some(Side { place, session, opened: session.opened()? })).collect();
        let wanted = view.state.with(|state| state.reference);
        let reference = sides.iter().find(|side| side.place == wanted).or(sides.first())?.clone();
        (sides.len() > 1).then_some(Table { reference, sides })
    }

    fn others(&self) -> impl Iterator<Item = &Side> {
        self.sides.iter().filter(|side| **side != self.reference)
    }
}

/// The panel; nothing while fewer than two bundles are open.
#[component]
pub fn Versus(metric: Memo<Option<Metric>>) -> impl IntoView {
    let view = expect_context::<View>();
    let table = Memo::new(move |_| Table::of(view));
    let has_table = Memo::new(move |_| table.get().is_some());
    let (sides, with_table) = (
        move || table.get().map(|table| table.sides).unwrap_or_default(),
        move |show: fn(Table) -> AnyView| table.get().map(show),
    );
    move || {
        has_table.get().then(|| {
            view! {
                <section class="panel versus" aria-labelledby="versus-title" data-testid="versus"
                    data-reference=move || table.get().map(|table| table.reference.letter())>
                    <h2 id="versus-title">"Side by side"</h2>
                    {move || with_table(workload_banner)}
                    <fieldset class="scroll" tabindex="0">
                        <legend class="sr-only">"Reference"</legend>
                        <table class="words bundles-table">
                            <caption class="sr-only">"Open bundles; the others are held against the reference"</caption>
                            <thead><tr>
                                <th scope="col">"Reference"</th>
                                <th scope="col">"Bundle"</th>
                                <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                                <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                                <th scope="col">"Verdict"</th>
                            </tr></thead>
                            <tbody>
                                <For each=sides key=|side| (side.session.id, side.place) let:side><BundleRow side table/></For>
                            </tbody>
                        </table>
                    </fieldset>
                    {move || table.get().zip(metric.get()).map(|(table, metric)| view! { <Percentiles table metric/> })}
                    {move || with_table(|table| view! { <WhatChanged table/> }.into_any())}
                </section>
            }
        })
    }
}

/// Says which bundles are of another workload than the reference.
fn workload_banner(table: Table) -> AnyView {
    let of = |side: &Side| side.comparison().workload.sha256.clone();
    let strangers: Vec<String> =
        table.others().filter(|side| of(side) != of(&table.reference)).map(Side::letter).collect();
    let (first, rest) = match strangers.as_slice() {
        [] => return ().into_any(),
        [only] => (only.clone(), "is"),
        [most @ .., last] => (format!("{} and {last}", most.join(", ")), "are"),
    };
    let text = format!(
        "{first} {rest} of another workload than {}: what differs below is due to what was asked as well as to what served it.",
        table.reference.letter()
    );
    view! {
        <ul class="notices" aria-label="Notices">
            <li data-testid="versus-workload"><strong>"Different workloads."</strong>" "{text}</li>
        </ul>
    }
    .into_any()
}

/// Who a bundle is, and the button that makes it the reference.
#[component]
fn BundleRow(side: Side, table: Memo<Option<Table>>) -> impl IntoView {
    let view = expect_context::<View>();
    let (place, id) = (side.place, format!("reference-{}", side.letter()));
    let is_reference = Memo::new(move |_| table.get().is_some_and(|table| table.reference.place == place));
    let is_focused = Memo::new(move |_| view.focused() == Some(side.session));
    let comparison = side.comparison();
    let verdict = comparison.verdict.verdict;
    let run = |run: Option<&RunIdentity>| run.map_or("not said".to_owned(), run_line);
    let (real, sim) = (run(comparison.real.first()), run(Some(&comparison.sim)));
    view! {
        <tr data-testid="versus-row" data-letter=side.letter() class:focused=move || is_focused.get()>
            <td class="reference">
                <input
                    type="radio"
                    name="reference"
                    id=id.clone()
                    data-testid=id.clone()
                    aria-label=format!("{} is the reference", side.letter())
                    prop:checked=move || is_reference.get()
                    on:change=move |_| {
                        view.state.update(|state| state.reference = place);
                        view.say(format!("{} is the reference", letter(place)));
                    }
                />
            </td>
            <th scope="row"><label for=id><strong class="letter">{side.letter()}</strong>" "{side.session.name()}</label></th>
            <td>{real}</td>
            <td>{sim}</td>
            <td class=format!("said {}", verdict_class(verdict)) title=typeset(&comparison.verdict.sentence)>
                <VerdictMark verdict/><span>{verdict.words()}</span>
            </td>
        </tr>
    }
}

/// One side of one bundle at the percentiles of the table; `None` where the bundle has not this one.
type Cells = Vec<Option<PercentileRow>>;

/// Real, simulated and error of the metric: all bundles of one kind below each other, so that the eye compares them.
#[component]
fn Percentiles(table: Table, metric: Metric) -> impl IntoView {
    let entry = |side: &Side| side.comparison().metric(metric).cloned();
    let mut wanted: Vec<(Percentile, String)> = Vec::new();
    for row in table.sides.iter().filter_map(entry).flat_map(|entry| entry.percentiles) {
        if wanted.iter().all(|(percentile, _)| *percentile != row.percentile) {
            wanted.push((row.percentile, row.label.to_ascii_uppercase()));
        }
    }
    fidelio_shared::order::sort_by(&mut wanted, Ord::cmp);
    let cells = |side: &Side| -> Cells {
        let entry: Option<MetricComparison> = entry(side);
        let row = |(percentile, _): &(Percentile, String)| {
            entry.as_ref()?.percentiles.iter().find(|row| row.percentile == *percentile).cloned()
        };
        wanted.iter().map(row).collect()
    };
    let reference = cells(&table.reference);
    let against = table.reference.letter();
    let times = |title: &'static str, name: &'static str, pick: fn(&PercentileRow) -> CentiNanos| {
        let rows = table.sides.iter().map(|side| {
            let is_reference = *side == table.reference;
            let cells = cells(side).into_iter().zip(&reference).map(|(row, reference)| {
                time_cells(row.as_ref().map(pick), reference.as_ref().map(pick).filter(|_| !is_reference))
            });
            number_row(side, name, is_reference, cells.collect_view().into_any())
        });
        let head = view! { <span class=format!("swatch {name}") aria-hidden="true"></span>{title} };
        section(head.into_any(), wanted.len(), rows.collect_view().into_any())
    };
    let judged = table.sides.iter().map(|side| {
        let cells = cells(side).into_iter().map(verdict_cell).collect_view().into_any();
        number_row(side, "error", *side == table.reference, cells)
    });
    let judged =
        section(view! { "Error of the simulation" }.into_any(), wanted.len(), judged.collect_view().into_any());
    let caption = format!("{} of every bundle, and its change against {against}", metric.label());
    let heads = wanted.iter().map(|(_, label)| view! { <th scope="colgroup" colspan="2">{label.clone()}</th> });
    view! {
        <h3>{caption.clone()}</h3>
        <div class="scroll" role="region" tabindex="0" aria-label=caption.clone()>
            <table class="versus-table" data-testid="versus-percentiles" data-metric=metric.key()>
                <caption class="sr-only">{caption.clone()}</caption>
                <thead><tr><th scope="col" class="word">"Bundle"</th>{heads.collect_view()}</tr></thead>
                {times("Real", "real", |row| row.real_ns)}
                {times("Simulated", "sim", |row| row.sim_ns)}
                {judged}
            </table>
        </div>
    }
}

fn section(head: AnyView, num_percentiles: usize, rows: AnyView) -> AnyView {
    let columns = (1 + 2 * num_percentiles).to_string();
    view! {
        <tbody>
            <tr class="section"><th scope="rowgroup" colspan=columns>{head}</th></tr>
            {rows}
        </tbody>
    }
    .into_any()
}

fn number_row(side: &Side, name: &'static str, is_reference: bool, cells: AnyView) -> AnyView {
    let session = side.session.name();
    view! {
        <tr data-testid="versus-numbers" data-letter=side.letter() data-side=name class:reference=is_reference>
            <th scope="row" class="word"><strong class="letter">{side.letter()}</strong>" "<span class="bundle-name">{session}</span></th>
            {cells}
        </tr>
    }
    .into_any()
}

/// A time, and its change against the reference's.
fn time_cells(time: Option<CentiNanos>, reference: Option<CentiNanos>) -> AnyView {
    let Some(time) = time else { return view! { <td colspan="2" class="unsaid">"–"</td> }.into_any() };
    let change = reference.map(|reference| change(reference, time));
    view! {
        <td class="time" data-testid="versus-time" data-ns=time.to_string() title=typeset(&format!("{time} ns"))>{format_duration(time.as_f64())}</td>
        <td class="change" data-testid="versus-change" data-change=change.flatten().map(|change| change.to_string())>
            {change.map(percent)}
        </td>
    }
    .into_any()
}

fn verdict_cell(row: Option<PercentileRow>) -> AnyView {
    let Some(row) = row else { return view! { <td colspan="2" class="unsaid">"–"</td> }.into_any() };
    view! {
        <td colspan="2" class=format!("said {}", verdict_class(row.verdict)) data-testid="versus-verdict"
            data-verdict=verdict_class(row.verdict) title=verdict_words(&row)>
            <VerdictMark verdict=row.verdict/><span class="sr-only">{format!("{}, ", row.verdict.words())}</span>
            {percent(row.rel_error)}
        </td>
    }
    .into_any()
}

/// What is not the same in all bundles: the reference first, then what the others have instead.
#[component]
fn WhatChanged(table: Table) -> impl IntoView {
    let ordered: Vec<&Side> = std::iter::once(&table.reference).chain(table.others()).collect();
    let comparisons: Vec<&Comparison> = ordered.iter().map(|side| side.comparison()).collect();
    let rows = changed(&comparisons);
    let heads = ordered.iter().map(|side| {
        let note = if **side == table.reference { " reference" } else { "" };
        view! { <th scope="col"><strong class="letter">{side.letter()}</strong><span class="more">{note}</span></th> }
    });
    let num_settings = rows.iter().filter(|row| row.is_setting).count();
    let note = match (rows.len(), num_settings) {
        (0, _) => "Nothing that these bundles say of themselves differs.".to_owned(),
        (all, settings) => {
            format!("{} in all, {} of them resolved settings", thousands(all as u64), thousands(settings as u64))
        }
    };
    view! {
        <h3>"What changed"</h3>
        <p class="small" data-testid="versus-changed-note">{note}</p>
        {(!rows.is_empty()).then(|| view! {
            <div class="scroll tall" role="region" tabindex="0" aria-label="What changed">
                <table class="words changed" data-testid="versus-changed">
                    <caption class="sr-only">"What is not the same in all bundles"</caption>
                    <thead><tr><th scope="col">"Setting"</th><th scope="col">"Run"</th>{heads.collect_view()}</tr></thead>
                    <tbody>{rows.into_iter().map(changed_row).collect_view()}</tbody>
                </table>
            </div>
        })}
    }
}

fn changed_row(row: Changed) -> AnyView {
    let mut values = row.values.into_iter();
    let reference = values.next().flatten();
    let others = values.map(|value| {
        let (class, arrow, value) = match value {
            value if value == reference => ("same", "", "the same".to_owned()),
            Some(value) => ("different", "→ ", value),
            None => ("unsaid", "", "not said".to_owned()),
        };
        view! { <td class=class><span class="arrow" aria-hidden="true">{arrow}</span>{value}</td> }
    });
    let said = match row.said {
        Said::Both => "both",
        Said::Real => "real",
        Said::Sim => "sim",
    };
    let name =
        if row.is_setting { view! { <code>{row.key.clone()}</code> }.into_any() } else { row.key.clone().into_any() };
    view! {
        <tr data-setting=row.key data-side=said>
            <th scope="row">{name}</th>
            <td class="side-words">{row.said.words()}</td>
            <td class:unsaid=reference.is_none()>{reference.clone().unwrap_or_else(|| "not said".to_owned())}</td>
            {others.collect_view()}
        </tr>
    }
    .into_any()
}

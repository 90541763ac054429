//! One tab a metric: its distribution, and its percentiles beneath, over all requests or a brushed part of them.

use std::sync::Arc;

use fidelio_shared::charts::{Axis, Fractions};
use fidelio_shared::explore::answers::Reduced;
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::MetricComparison;
use fidelio_shared::stats::Verdict;
use leptos::html::Button;
use leptos::prelude::*;
use web_sys::KeyboardEvent;

use crate::app::View;
use crate::panels::distribution::Distribution;
use crate::panels::percentiles::PercentileTable;
use crate::panels::runs::Repeats;
use crate::panels::strip::Strips;
use crate::panels::verdict::VerdictMark;
use crate::session::{self, Session};
use crate::words::percent;
use crate::worker::protocol::{Answer, Ask, Opened};

/// The metric shown: what is known of it over the whole run, and over the brushed part.
#[derive(Clone, Copy)]
pub struct Shown {
    /// Over the whole run.
    pub entry: Memo<Option<MetricComparison>>,
    /// Over the brushed part, at once.
    pub reduced: ReadSignal<Option<Option<Reduced>>>,
    /// Over the brushed part, with intervals, a little later.
    pub intervals: ReadSignal<Option<Option<MetricComparison>>>,
    /// A part is brushed.
    pub is_brushed: Memo<bool>,
}

/// The metric that the link asks for if the bundle has it, else its first; `None` when it has none.
pub fn chosen(view: View, opened: &Opened) -> Memo<Option<Metric>> {
    let names: Vec<Metric> = opened.comparison.metrics.iter().map(|entry| entry.metric).collect();
    view.part(move |state| state.metric.filter(|metric| names.contains(metric)).or(names.first().copied()))
}

/// Tabs and what they show, and the strips to brush.
#[component]
pub fn Metrics(session: Session, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let view = expect_context::<View>();
    let metrics = StoredValue::new(opened.comparison.metrics.clone());
    let Some(first) = metrics.with_value(|all| all.first().map(|entry| entry.metric)) else {
        return view! { <p class="panel">"These runs share no metric: neither has a request with output on both sides."</p> }.into_any();
    };
    let chosen = Memo::new(move |_| metric.get().unwrap_or(first));
    let shown = shown(session, metrics, chosen);
    view.sharing.shown.set(Some((session, shown)));
    on_cleanup(move || {
        // Another bundle's report may have come before this one went.
        let is_this = view.sharing.shown.try_with_untracked(|now| now.is_some_and(|(now, _)| now == session));
        if is_this == Some(true) {
            view.sharing.shown.set(None);
        }
    });
    view! {
        <section class="metrics" aria-label="Metrics">
            <Tabs metrics chosen/>
            <div class="panel" role="tabpanel" id="metric-panel" aria-labelledby=move || tab_id(chosen.get())>
                {move || shown.entry.get().map(|entry| view! { <Heading entry/> })}
                <div class="figure-and-table">
                    <Distribution session shown/>
                    <PercentileTable shown/>
                </div>
                <Repeats session opened=Arc::clone(&opened) metric/>
                <Strips session opened/>
            </div>
        </section>
    }
    .into_any()
}

fn shown(session: Session, metrics: StoredValue<Vec<MetricComparison>>, chosen: Memo<Metric>) -> Shown {
    let view = expect_context::<View>();
    let entry = Memo::new(move |_| {
        metrics.with_value(|all| all.iter().find(|entry| entry.metric == chosen.get()).or(all.first()).cloned())
    });
    let selection = view.part(|state| state.selection);
    let is_brushed = Memo::new(move |_| selection.get() != Selection::default());
    let brushed = move || is_brushed.get().then(|| (chosen.get(), selection.get()));
    let reduced = session::answer(
        session,
        move || brushed().map(|(metric, selection)| Ask::Reduce(metric, selection)),
        |answer| if let Answer::Reduce(reduced) = answer { Some(reduced) } else { None },
    );
    // Asked for what stood still for a moment: resampling takes longer than a brush does to move on.
    let settled = crate::session::settled(brushed);
    let intervals = session::answer(
        session,
        move || settled.get().map(|(metric, selection)| Ask::Intervals(metric, selection)),
        |answer| if let Answer::Intervals(entry) = answer { Some(entry) } else { None },
    );
    Shown { entry, reduced, intervals, is_brushed }
}

fn tab_id(metric: Metric) -> String {
    format!("tab-{}", metric.key())
}

/// A tab list: the arrow keys, Home and End move, as everywhere.
#[component]
fn Tabs(metrics: StoredValue<Vec<MetricComparison>>, chosen: Memo<Metric>) -> impl IntoView {
    let view = expect_context::<View>();
    let entries = metrics.get_value();
    let order: Vec<Metric> = entries.iter().map(|entry| entry.metric).collect();
    let buttons: Vec<NodeRef<Button>> = order.iter().map(|_| NodeRef::new()).collect();
    let targets = buttons.clone();
    let on_key = move |event: KeyboardEvent| {
        let here = order.iter().position(|metric| *metric == chosen.get_untracked()).unwrap_or(0);
        let Some(next) = neighbour(&event.key(), here, order.len()) else { return };
        event.prevent_default();
        view.state.update(|state| state.metric = Some(order[next]));
        if let Some(button) = targets[next].get_untracked() {
            let _ = button.focus();
        }
    };
    view! {
        <div class="tabs" role="tablist" aria-label="Metric" on:keydown=on_key>
            {entries.into_iter().zip(buttons).map(|(entry, button)| view! { <Tab entry button chosen/> }).collect_view()}
        </div>
    }
}

fn neighbour(key: &str, here: usize, count: usize) -> Option<usize> {
    match key {
        "ArrowRight" => Some((here + 1) % count),
        "ArrowLeft" => Some((here + count - 1) % count),
        "Home" => Some(0),
        "End" => Some(count - 1),
        _ => None,
    }
}

#[component]
fn Tab(entry: MetricComparison, button: NodeRef<Button>, chosen: Memo<Metric>) -> impl IntoView {
    let view = expect_context::<View>();
    let metric = entry.metric;
    let is_chosen = move || chosen.get() == metric;
    let verdict = entry.percentiles.iter().map(|row| row.verdict).max().unwrap_or(Verdict::CannotTell);
    let median = entry.percentiles.first().map(|row| (row.label.to_ascii_uppercase(), percent(row.rel_error)));
    view! {
        <button
            node_ref=button
            type="button"
            role="tab"
            id=tab_id(metric)
            data-testid=tab_id(metric)
            aria-controls="metric-panel"
            aria-selected=move || is_chosen().to_string()
            tabindex=move || if is_chosen() { "0" } else { "-1" }
            on:click=move |_| view.state.update(|state| state.metric = Some(metric))
        >
            <VerdictMark verdict/>
            <span class="tab-name">{metric.label()}</span>
            {median.map(|(label, error)| view! {
                <span class="tab-error">{error}<span class="tab-percentile">" "{label}</span></span>
            })}
            <span class="sr-only">{format!(", {}", verdict.words())}</span>
        </button>
    }
}

/// What the metric means, and the choice of axes.
#[component]
fn Heading(entry: MetricComparison) -> impl IntoView {
    let view = expect_context::<View>();
    let (axis, fractions) = (view.part(|state| state.axis), view.part(|state| state.fractions));
    let axis_button = move |choice: Axis, label: &'static str| {
        view! {
            <button
                type="button"
                data-testid=format!("axis-{label}")
                aria-pressed=move || (axis.get() == choice).to_string()
                on:click=move |_| view.state.update(|state| state.axis = choice)
            >{label}</button>
        }
    };
    let fraction_button = move |choice: Fractions, label: &'static str, title: &'static str| {
        view! {
            <button
                type="button"
                title=title
                data-testid=format!("fractions-{label}")
                aria-pressed=move || (fractions.get() == choice).to_string()
                on:click=move |_| view.state.update(|state| state.fractions = choice)
            >{label}</button>
        }
    };
    view! {
        <div class="heading">
            <p><strong>{entry.metric.label()}</strong>" "<span class="meaning">{entry.metric.meaning()}</span></p>
            <div class="choices">
                <div class="choice" role="group" aria-label="Time axis">
                    {axis_button(Axis::Linear, "linear")}
                    {axis_button(Axis::Log, "log")}
                </div>
                <div class="choice" role="group" aria-label="Fraction axis">
                    {fraction_button(Fractions::Even, "even", "fractions from 0 to 100 %, evenly")}
                    {fraction_button(Fractions::Tail, "tail", "1 / (1 − p): every further nine is as long as the one before")}
                </div>
            </div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::neighbour;

    #[test]
    fn arrow_keys_go_round() {
        assert_eq!(neighbour("ArrowRight", 2, 3), Some(0));
        assert_eq!(neighbour("ArrowLeft", 0, 3), Some(2));
        assert_eq!(neighbour("End", 0, 3), Some(2));
        assert_eq!(neighbour("a", 0, 3), None);
    }
}

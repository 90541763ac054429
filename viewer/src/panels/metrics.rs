//! One tab a metric: its distribution, and its percentiles beneath.

use std::sync::Arc;

use fidelio_shared::charts::Axis;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::MetricComparison;
use fidelio_shared::stats::Verdict;
use leptos::html::Button;
use leptos::prelude::*;
use web_sys::KeyboardEvent;

use crate::app::View;
use crate::open::Opened;
use crate::panels::chart::CdfChart;
use crate::panels::percentiles::PercentileTable;
use crate::panels::verdict::VerdictMark;
use crate::words::percent;

/// Tabs and what they show.
#[component]
pub fn Metrics(opened: Arc<Opened>) -> impl IntoView {
    let view = expect_context::<View>();
    let metrics = StoredValue::new(opened.comparison.metrics.clone());
    let names: Vec<Metric> = metrics.with_value(|all| all.iter().map(|entry| entry.metric).collect());
    let Some(first) = names.first().copied() else {
        return view! { <p class="panel">"These runs share no metric: neither has a request with output on both sides."</p> }.into_any();
    };
    let known = names.clone();
    let chosen = Memo::new(move |_| view.metric.get().filter(|metric| known.contains(metric)).unwrap_or(first));
    let entry = Memo::new(move |_| {
        metrics.with_value(|all| all.iter().find(|entry| entry.metric == chosen.get()).or(all.first()).cloned())
    });
    view! {
        <section class="metrics" aria-label="Metrics">
            <Tabs metrics chosen/>
            <div class="panel" role="tabpanel" id="metric-panel" aria-labelledby=move || tab_id(chosen.get())>
                {move || entry.get().map(|entry| view! { <Heading entry/> })}
                <CdfChart entry/>
                {move || entry.get().map(|entry| view! { <PercentileTable entry/> })}
            </div>
        </section>
    }
    .into_any()
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
        view.metric.set(Some(order[next]));
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
    let median = entry.percentiles.first().map(|row| (row.label.to_uppercase(), percent(row.rel_error)));
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
            on:click=move |_| view.metric.set(Some(metric))
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

/// What the metric means, and the choice of axis.
#[component]
fn Heading(entry: MetricComparison) -> impl IntoView {
    let view = expect_context::<View>();
    let choice = move |axis: Axis, label: &'static str| {
        view! {
            <button
                type="button"
                aria-pressed=move || (view.axis.get() == axis).to_string()
                on:click=move |_| view.axis.set(axis)
            >{label}</button>
        }
    };
    view! {
        <div class="heading">
            <p><strong>{entry.metric.label()}</strong>" "<span class="meaning">{entry.metric.meaning()}</span></p>
            <div class="choice" role="group" aria-label="Time axis">
                {choice(Axis::Linear, "linear")}
                {choice(Axis::Log, "log")}
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

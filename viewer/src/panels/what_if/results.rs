//! What came of it, beside the real run and the bundle's own simulation.

use std::sync::Arc;

use fidelio_shared::charts::{format_duration, format_rate};
use fidelio_shared::explore::answers::WhatIfAnswer;
use fidelio_shared::explore::beside::{change, change_of_rate};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;
use fidelio_shared::schema::comparison::Comparison;
use fidelio_shared::stats::{CentiNanos, Percentile};
use leptos::prelude::*;

use crate::panels::what_if::Trial;
use crate::words::{percent, typeset};
use crate::worker::protocol::Opened;

/// The table: percentiles of the metric, then what is one number a run.
#[component]
pub fn Results(trial: Trial, opened: Arc<Opened>, metric: Metric) -> impl IntoView {
    let comparison = &opened.comparison;
    let unchanged = trial.basis.with_value(|basis| basis.unchanged.clone());
    let percentiles = comparison.metric(metric).map(|entry| entry.percentiles.clone()).unwrap_or_default();
    let rows = percentiles.into_iter().map(|row| {
        let percentile = row.percentile;
        let again = at(&unchanged, metric, percentile);
        let answer = Signal::derive(move || trial.shown().and_then(|answer| at(&answer, metric, percentile)));
        let against =
            move |from: Option<CentiNanos>| percent(from.zip(answer.get()).and_then(|(from, to)| change(from, to)));
        view! {
            <tr data-testid="what-if-row" data-percentile=row.label.clone()>
                <th scope="row" class="word">{row.label.to_ascii_uppercase()}</th>
                {time("real", Some(row.real_ns))}
                {time("sim", Some(row.sim_ns))}
                {time("unchanged", again)}
                <td class="strong" data-testid="what-if-time" data-ns=move || answer.get().map(|time| time.to_string())>
                    {move || duration(answer.get())}
                </td>
                <td data-testid="what-if-change">{move || against(again)}</td>
                <td data-testid="what-if-from-real">{move || against(Some(row.real_ns))}</td>
            </tr>
        }
    });
    let caption = format!("{} percentiles over all requests, and totals, with the changed settings", metric.label());
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label=caption.clone()>
            <table class="what-if-table" data-testid="what-if-table" data-metric=metric.key()>
                <caption class="sr-only">{caption.clone()}</caption>
                <thead><tr>
                    <th scope="col" class="word">{metric.label()}</th>
                    <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                    <th scope="col" title="The bundle’s own simulation"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                    <th scope="col" title="The run’s own settings, simulated here">"Unchanged"</th>
                    <th scope="col"><span class="swatch what-if-swatch" aria-hidden="true"></span>"What if"</th>
                    <th scope="col" title="What if against unchanged: what the settings alone do">"Change"</th>
                    <th scope="col">"From real"</th>
                </tr></thead>
                <tbody>{rows.collect_view()}</tbody>
                <tbody class="totals">{totals(trial, comparison, &unchanged)}</tbody>
            </table>
        </div>
    }
}

fn at(answer: &WhatIfAnswer, metric: Metric, percentile: Percentile) -> Option<CentiNanos> {
    let entry = answer.metrics.iter().find(|entry| entry.metric == metric)?;
    entry.percentiles.iter().find(|(which, _)| *which == percentile).map(|(_, time)| *time)
}

fn duration(time: Option<CentiNanos>) -> String {
    time.map_or("–".to_owned(), |time| format_duration(time.as_f64()))
}

fn time(name: &'static str, time: Option<CentiNanos>) -> impl IntoView {
    view! {
        <td data-testid=format!("what-if-{name}") data-ns=time.map(|time| time.to_string())
            title=time.map(|time| typeset(&format!("{time} ns")))>{duration(time)}</td>
    }
}

/// One number of an answer, as it is shown.
#[derive(Clone, Copy)]
struct Total {
    name: &'static str,
    key: &'static str,
    of: fn(&WhatIfAnswer) -> Option<f64>,
    words: fn(f64) -> String,
    real: Option<f64>,
    sim: Option<f64>,
}

fn totals(trial: Trial, comparison: &Comparison, unchanged: &WhatIfAnswer) -> impl IntoView + use<> {
    let (real, sim) = (comparison.real.first().cloned().unwrap_or_default(), &comparison.sim);
    let count = |count: f64| thousands(count as u64);
    let totals = [
        Total {
            name: "Output tokens/s",
            key: "throughput_tokens_per_s",
            of: |answer| answer.throughput_tokens_per_s,
            words: format_rate,
            real: real.throughput_tokens_per_s,
            sim: sim.throughput_tokens_per_s,
        },
        Total {
            name: "Requests/s",
            key: "throughput_rps",
            of: |answer| answer.throughput_rps,
            words: format_rate,
            real: real.throughput_rps,
            sim: sim.throughput_rps,
        },
        Total {
            name: "Preemptions",
            key: "num_preemptions",
            of: |answer| Some(answer.num_preemptions as f64),
            words: count,
            real: None,
            sim: None,
        },
        Total {
            name: "Rejected",
            key: "num_rejected",
            of: |answer| Some(answer.num_rejected as f64),
            words: count,
            real: None,
            sim: None,
        },
    ];
    let row = |total: Total| {
        let again = (total.of)(unchanged);
        let answer = Signal::derive(move || trial.shown().and_then(|answer| (total.of)(&answer)));
        let words = move |value: Option<f64>| value.map_or("–".to_owned(), total.words);
        let against =
            move |from: Option<f64>| percent(from.zip(answer.get()).and_then(|(from, to)| change_of_rate(from, to)));
        view! {
            <tr data-testid="what-if-total" data-total=total.key>
                <th scope="row" class="word">{total.name}</th>
                <td>{words(total.real)}</td>
                <td>{words(total.sim)}</td>
                <td>{words(again)}</td>
                <td class="strong" data-testid="what-if-value" data-value=move || answer.get().map(|value| value.to_string())>
                    {move || words(answer.get())}
                </td>
                <td>{move || against(again)}</td>
                <td>{move || against(total.real)}</td>
            </tr>
        }
    };
    totals.into_iter().map(row).collect_view()
}

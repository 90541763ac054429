//! Whether the load was what was asked, when the run was steady, in which order requests were served, how single requests
//! agree, how full both systems were, and which requests are most wrong.

mod curves;
mod pairs;

use std::sync::Arc;

use fidelio_shared::charts::format_duration;
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::{load_rows, steady_words, thousands};
use fidelio_shared::schema::certificate::LoadCertificate;
use fidelio_shared::schema::comparison::{Comparison, OrderReport, WorstRequest};
use fidelio_shared::schema::windows::Windows;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::fold::Fold;
use crate::state::Panel;
use crate::words::{percent, time, typeset};
use crate::worker::protocol::Opened;

use curves::CurvesPart;
use pairs::{Agreement, PairsPart};

/// The folded panel.
#[component]
pub fn LoadPanel(opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let comparison = StoredValue::new(opened.comparison.clone());
    let note = opened.comparison.load.as_ref().map_or("steady part, order, single requests", |load| {
        match load.failures.is_empty() {
            true => "nothing speaks against the load",
            false => "the load is doubtful",
        }
    });
    view! {
        <Fold panel=Panel::Load title="Load, steadiness and agreement" note=note>
            <Parts comparison=comparison.get_value() metric/>
        </Fold>
    }
}

#[component]
fn Parts(comparison: Comparison, metric: Memo<Option<Metric>>) -> impl IntoView {
    let Comparison { load, windows, order, curves, worst_requests, metrics, options, .. } = comparison.clone();
    view! {
        {curves.map(|curves| view! { <CurvesPart curves/> })}
        <div class="two-wide even">
            {load.map(|load| view! { <Load load/> })}
            <PairsPart metrics=metrics.clone() chosen=metric tolerance=options.tolerance/>
        </div>
        <Agreement metrics/>
        {windows.map(|windows| view! { <Steady windows comparison/> })}
        <div class="two-wide even">
            <Worst requests=worst_requests/>
            {order.map(|order| view! { <Order order/> })}
        </div>
    }
}

#[component]
fn Load(load: LoadCertificate) -> impl IntoView {
    let failures = load.failures.clone();
    let rows = load_rows(&load).into_iter().map(|[what, real, sim]| {
        view! {
            <tr><th scope="row" class="word">{what}</th><td>{typeset(&real)}</td><td>{typeset(&sim)}</td></tr>
        }
    });
    view! {
        <section aria-label="Load certificate">
            <h3>"Load certificate"</h3>
            {match failures.is_empty() {
                true => view! { <p class="small" data-testid="load-verdict">"Nothing speaks against the load of either run."</p> }.into_any(),
                false => view! {
                    <ul class="failures" data-testid="load-verdict">{failures.into_iter().map(|failure| view! { <li>{failure}</li> }).collect_view()}</ul>
                }.into_any(),
            }}
            <div class="scroll" role="region" tabindex="0" aria-label="Load of both runs">
                <table class="load-table" data-testid="load-table">
                    <thead><tr><th scope="col" class="word">"Load"</th><Heads/></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            <p class="small">
                "Little’s law, L = λ W, holds over a whole run by definition; over a window (the steady part, else all arrivals) a large residual says that requests pile up or that the window is short."
            </p>
        </section>
    }
}

/// Heads of both sides.
#[component]
fn Heads() -> impl IntoView {
    view! {
        <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
        <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
    }
}

/// The steady part, and the percentiles in it beside those of the whole run.
#[component]
fn Steady(windows: Windows, comparison: Comparison) -> impl IntoView {
    let drain = |end: u64| format_duration(end.saturating_sub(windows.last_arrival_ns) as f64);
    let drains = format!(
        "After the last arrival at {} the real run drains for {}, the simulated one for {}.",
        format_duration(windows.last_arrival_ns as f64),
        drain(windows.real_end_ns),
        drain(windows.sim_end_ns)
    );
    let rows: Vec<_> = windows
        .metrics
        .iter()
        .filter_map(|steady| Some((steady, comparison.metric(steady.metric)?)))
        .flat_map(|(steady, whole)| {
            whole
                .percentiles
                .iter()
                .zip(&steady.percentiles)
                .map(|(whole, row)| {
                    let label = format!("{} {}", steady.metric.label(), whole.label.to_ascii_uppercase());
                    let cells = [
                        format_duration(whole.real_ns.as_f64()),
                        format_duration(whole.sim_ns.as_f64()),
                        percent(whole.rel_error),
                        format_duration(row.real_ns.as_f64()),
                        format_duration(row.sim_ns.as_f64()),
                        percent(row.rel_error),
                    ];
                    (label, cells)
                })
                .collect::<Vec<_>>()
        })
        .collect();
    view! {
        <section aria-label="Steady part">
            <h3>"Steady part"</h3>
            <p class="small" data-testid="steady">{typeset(&steady_words(&windows))}" "{drains}</p>
            {(!rows.is_empty()).then(|| view! {
                <div class="scroll" role="region" tabindex="0" aria-label="Percentiles of the steady part">
                    <table class="steady-table" data-testid="steady-table">
                        <thead><tr>
                            <th scope="col" class="word">"Percentile"</th>
                            <th scope="col">"Whole run: real"</th><th scope="col">"Simulated"</th><th scope="col">"Error"</th>
                            <th scope="col">"Steady: real"</th><th scope="col">"Simulated"</th><th scope="col">"Error"</th>
                        </tr></thead>
                        <tbody>{rows.into_iter().map(|(label, cells)| view! {
                            <tr><th scope="row" class="word">{label}</th>{cells.into_iter().map(|cell| view! { <td>{cell}</td> }).collect_view()}</tr>
                        }).collect_view()}</tbody>
                    </table>
                </div>
            })}
        </section>
    }
}

/// A request that is chosen by a click, and shown among the requests.
#[component]
fn Choose(request: u32) -> impl IntoView {
    let view = expect_context::<View>();
    let choose = move |_| {
        view.state.update(|state| {
            state.request = Some(request);
            state.open.insert(Panel::Requests);
        });
        view.say(format!("Request {request} chosen; its tokens are under “Requests one by one”"));
        if let Ok(Some(panel)) = document().query_selector("[data-testid=requests]") {
            panel.scroll_into_view();
        }
    };
    view! {
        <button type="button" class="link" data-choose=request.to_string() title="Show its tokens" on:click=choose>{format!("#{request}")}</button>
    }
}

#[component]
fn Worst(requests: Vec<WorstRequest>) -> impl IntoView {
    let row = |one: WorstRequest| {
        view! {
            <tr data-request=one.request_id.to_string()>
                <th scope="row" class="word"><Choose request=one.request_id/></th>
                <td>{thousands(one.num_prefill_tokens.into())}</td>
                <td>{thousands(one.num_decode_tokens.into())}</td>
                <td>{time(Some(one.real_e2e_ns))}</td>
                <td>{time(Some(one.sim_e2e_ns))}</td>
                <td class="strong">{percent(one.rel_error)}</td>
            </tr>
        }
    };
    (!requests.is_empty()).then(|| view! {
        <section aria-label="Worst requests">
            <h3>"Worst requests, by E2E"</h3>
            <div class="scroll" role="region" tabindex="0" aria-label="Worst requests">
                <table data-testid="worst-requests">
                    <thead><tr>
                        <th scope="col" class="word">"Request"</th><th scope="col">"Prompt"</th><th scope="col">"Output"</th>
                        <Heads/><th scope="col">"Error"</th>
                    </tr></thead>
                    <tbody>{requests.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        </section>
    })
}

#[component]
fn Order(order: OrderReport) -> impl IntoView {
    let displaced = order.displaced.clone();
    let words = format!(
        "Kendall’s tau {:.4}: 1 is the same order, 0 none. {} requests got their first token at another place than predicted.",
        order.kendall_tau,
        thousands(order.num_displaced as u64)
    );
    let places = |place: usize| thousands(place as u64);
    view! {
        <section aria-label="Order of first tokens">
            <h3>"Order of first tokens"</h3>
            <p class="small" data-testid="order" data-tau=order.kendall_tau.to_string()>{typeset(&words)}</p>
            {(!displaced.is_empty()).then(|| view! {
                <div class="scroll" role="region" tabindex="0" aria-label="Requests farthest from their place">
                    <table data-testid="displaced">
                        <thead><tr><th scope="col" class="word">"Request"</th><th scope="col">"Real place"</th><th scope="col">"Simulated place"</th></tr></thead>
                        <tbody>{displaced.into_iter().map(|one| view! {
                            <tr><th scope="row" class="word"><Choose request=one.request_id/></th>
                                <td>{places(one.real_place)}</td><td>{places(one.sim_place)}</td></tr>
                        }).collect_view()}</tbody>
                    </table>
                </div>
            })}
        </section>
    }
}

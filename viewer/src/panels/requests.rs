//! The per-request table: read from the raw rows when it is first opened, sorted, a page at a time.

use std::sync::Arc;

use fidelio_shared::charts::format_duration;
use fidelio_shared::report::thousands;
use fidelio_shared::schema::DataError;
use leptos::prelude::*;

use crate::open::Opened;
use crate::rows::{self, Order, RequestPair, Sides};
use crate::words::percent;

const PAGE_ROWS: usize = 25;

/// Folded until asked for: raw rows can be many.
#[component]
pub fn Requests(opened: Arc<Opened>) -> impl IntoView {
    let rows = RwSignal::new(None::<Result<Vec<RequestPair>, DataError>>);
    let read = move |_| {
        if rows.with_untracked(Option::is_some) {
            return;
        }
        let opened = Arc::clone(&opened);
        leptos::task::spawn_local(async move {
            // Lets “reading” appear before the work begins.
            leptos::task::tick().await;
            let _ = rows.try_set(Some(rows::read(&opened)));
        });
    };
    view! {
        <details class="panel fold" data-testid="requests" on:toggle=read>
            <summary>"Requests, one by one"</summary>
            {move || match rows.get() {
                None => view! { <p class="small">"Reading the raw rows…"</p> }.into_any(),
                Some(Err(error)) => view! { <Broken error/> }.into_any(),
                Some(Ok(rows)) => view! { <Table rows/> }.into_any(),
            }}
        </details>
    }
}

#[component]
fn Broken(error: DataError) -> impl IntoView {
    view! {
        <p role="alert" data-testid="rows-problem">
            <strong>"The raw rows cannot be shown. "</strong>{error.to_string()}
            {error.hint.map(|hint| format!(" ({hint})"))}
        </p>
    }
}

#[component]
fn Table(rows: Vec<RequestPair>) -> impl IntoView {
    let order = RwSignal::new(Order::default());
    let page = RwSignal::new(0usize);
    let num_rows = rows.len();
    let num_pages = num_rows.div_ceil(PAGE_ROWS).max(1);
    let sorted = Memo::new(move |_| {
        let mut rows = rows.clone();
        rows::sort(&mut rows, order.get());
        rows
    });
    let shown = move || {
        sorted.with(|rows| rows.iter().skip(page.get() * PAGE_ROWS).take(PAGE_ROWS).cloned().collect::<Vec<_>>())
    };
    view! {
        <div class="table-tools">
            <OrderMenu order page/>
            {(num_pages > 1).then(|| view! { <Pager page num_pages num_rows/> })}
        </div>
        <div class="scroll" role="region" tabindex="0" aria-label="Requests">
            <table data-testid="request-rows">
                <thead><tr>
                    <th scope="col">"Request"</th><th scope="col">"Arrival"</th>
                    <th scope="col">"Prompt"</th><th scope="col">"Output"</th>
                    <th scope="col">"TTFT real"</th><th scope="col">"TTFT sim."</th><th scope="col">"Error"</th>
                    <th scope="col">"E2E real"</th><th scope="col">"E2E sim."</th><th scope="col">"Error"</th>
                </tr></thead>
                <tbody>{move || shown().into_iter().map(|row| view! { <Row row/> }).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[component]
fn OrderMenu(order: RwSignal<Order>, page: RwSignal<usize>) -> impl IntoView {
    let choose = move |event| {
        let label = event_target_value(&event);
        order.set(Order::ALL.into_iter().find(|order| order.label() == label).unwrap_or_default());
        page.set(0);
    };
    view! {
        <label>"Order: "
            <select data-testid="request-order" on:change=choose>
                {Order::ALL.into_iter().map(|order| view! { <option value=order.label()>{order.label()}</option> }).collect_view()}
            </select>
        </label>
    }
}

#[component]
fn Pager(page: RwSignal<usize>, num_pages: usize, num_rows: usize) -> impl IntoView {
    let range = move || {
        let from = page.get() * PAGE_ROWS;
        let to = (from + PAGE_ROWS).min(num_rows);
        format!("{}–{} of {}", thousands(from as u64 + 1), thousands(to as u64), thousands(num_rows as u64))
    };
    view! {
        <div class="pager">
            <button type="button" disabled={move || page.get() == 0} on:click=move |_| page.update(|page| *page -= 1)>
                "Previous"
            </button>
            <span aria-live="polite">{range}</span>
            <button
                type="button"
                disabled={move || page.get() + 1 >= num_pages}
                on:click=move |_| page.update(|page| *page += 1)
            >"Next"</button>
        </div>
    }
}

#[component]
fn Row(row: RequestPair) -> impl IntoView {
    let time = |time: Option<u64>| time.map_or_else(|| "–".to_owned(), |time| format_duration(time as f64));
    let sides = |sides: Sides| {
        view! {
            <td>{time(sides.real)}</td><td>{time(sides.sim)}</td>
            <td class="strong">{percent(sides.rel_error())}</td>
        }
    };
    let trouble = row.trouble.map(|trouble| view! { <span class="more">{trouble}</span> });
    view! {
        <tr data-request=row.request_id.to_string()>
            <th scope="row">{row.request_id}{trouble}</th>
            <td>{format_duration(row.arrival_ns as f64)}</td>
            <td>{thousands(row.num_prefill_tokens.into())}</td>
            <td>{thousands(row.num_decode_tokens.into())}</td>
            {sides(row.ttft)}
            {sides(row.e2e)}
        </tr>
    }
}

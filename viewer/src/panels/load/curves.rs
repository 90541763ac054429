//! How full both systems were over time: the figure, and its bins as a table.

use std::sync::Arc;

use fidelio_shared::charts::{curves_height, curves_summary, draw_curves, format_count, format_duration};
use fidelio_shared::schema::curves::{Curves, SideCurves};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlDetailsElement;

use crate::panels::figure::{Figure, Sheet};

type Values = fn(&SideCurves) -> &Vec<f64>;
const QUANTITIES: [(&str, Values); 5] = [
    ("In the system", |side| &side.num_in_system),
    ("Running", |side| &side.num_running),
    ("Waiting", |side| &side.num_waiting),
    ("KV blocks", |side| &side.kv_blocks_used),
    ("Tokens in the step", |side| &side.step_tokens),
];

#[component]
pub(super) fn CurvesPart(curves: Curves) -> impl IntoView {
    let curves = Arc::new(curves);
    let size = RwSignal::new((0.0, 0.0));
    let height = format!("{}px", curves_height(&curves));
    let summary = curves_summary(&curves);
    let label = Signal::derive(move || summary.clone());
    let drawn = Arc::clone(&curves);
    let paint = move |sheet: &Sheet| draw_curves(&sheet.area, &drawn, &sheet.plain());
    let (is_open, set_open) = signal(false);
    let on_toggle = move |event: web_sys::Event| {
        if let Some(details) = event.target().and_then(|target| target.dyn_into::<HtmlDetailsElement>().ok()) {
            set_open.set(details.open());
        }
    };
    view! {
        <section aria-label="Over time">
            <div class="sized" style:height=height><Figure name="curves" label size paint/></div>
            <details class="twin" on:toggle=on_toggle>
                <summary class="small">"The curves as a table"</summary>
                {move || is_open.get().then(|| view! { <Table curves=Arc::clone(&curves)/> })}
            </details>
        </section>
    }
}

#[component]
fn Table(curves: Arc<Curves>) -> impl IntoView {
    let heads =
        QUANTITIES.map(|(name, _)| view! { <th scope="col">{name}", real"</th><th scope="col">"simulated"</th> });
    let row = |bin: usize| {
        let from = curves.from_ns + bin as u64 * curves.bin_ns;
        let cells = QUANTITIES.into_iter().flat_map(|(_, values)| [values(&curves.real), values(&curves.sim)]);
        let cells = cells
            .map(|values| view! { <td>{values.get(bin).map_or("–".to_owned(), |value| format_count(*value))}</td> });
        view! { <tr><th scope="row" class="word">{format_duration(from as f64)}</th>{cells.collect_view()}</tr> }
    };
    let num_bins = curves.real.num_in_system.len().max(curves.sim.num_in_system.len());
    let rows = (0..num_bins).map(row).collect_view();
    view! {
        <div class="scroll tall" role="region" tabindex="0" aria-label="Curves over time">
            <table data-testid="curves-table">
                <thead><tr><th scope="col" class="word">"From"</th>{heads.into_iter().collect_view()}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

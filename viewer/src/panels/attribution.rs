//! Where the difference comes from, part by part: of the whole run, or of the brushed requests beside it.

use std::sync::Arc;

use fidelio_shared::charts::{
    draw_waterfall, format_duration, format_signed_duration, waterfall_height, waterfall_summary,
};
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::report::thousands;
use fidelio_shared::schema::attribution::{Attribution, Bin, Breakdown, Part, PartRow, Split};
use leptos::prelude::*;

use crate::app::View;
use crate::panels::figure::{Figure, Sheet};
use crate::panels::fold::Fold;
use crate::panels::waiting::OverRows;
use crate::session::{self, Session};
use crate::state::Panel;
use crate::words::{percent, typeset};
use crate::worker::protocol::{Answer, Ask, Opened};

/// The folded panel.
#[component]
pub fn AttributionPanel(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let stored = StoredValue::new(opened.comparison.attribution.clone().map(Arc::new));
    view! {
        <Fold panel=Panel::Attribution title="Where the difference comes from" note="queueing, prefill, decode, preemption, host">
            <Told session whole=stored.get_value()/>
        </Fold>
    }
}

#[component]
fn Told(session: Session, whole: Option<Arc<Attribution>>) -> impl IntoView {
    let view = expect_context::<View>();
    let selection = view.part(|state| state.selection);
    let is_brushed = Memo::new(move |_| selection.get() != Selection::default());
    let whole = StoredValue::new(whole);
    move || {
        match (is_brushed.get(), whole.get_value()) {
        (true, whole) => view! { <OverRows session><Part session whole=whole.clone()/></OverRows> }.into_any(),
        (false, Some(whole)) => view! { <All shown=whole beside=None/> }.into_any(),
        (false, None) => view! {
            <p class="small" data-testid="attribution-missing">
                "This comparison attributes nothing: it was made by an older version, or no request has output on both sides. Brush a part of the requests to have it computed here."
            </p>
        }
        .into_any(),
    }
    }
}

/// Of the brushed requests.
#[component]
fn Part(session: Session, whole: Option<Arc<Attribution>>) -> impl IntoView {
    let view = expect_context::<View>();
    let selection = view.part(|state| state.selection);
    let answer = session::answer(
        session,
        move || Some(Ask::Attribution(selection.get())),
        |answer| if let Answer::Attribution(attribution) = answer { Some(attribution.map(Arc::new)) } else { None },
    );
    move || match answer.get() {
        None => view! { <p class="small">"attributing…"</p> }.into_any(),
        Some(None) => view! { <p class="small">"No selected request has output on both sides."</p> }.into_any(),
        Some(Some(part)) => view! { <All shown=part beside=whole.clone()/> }.into_any(),
    }
}

/// An attribution, with that of the whole run beside it when it is of a part.
#[component]
fn All(shown: Arc<Attribution>, beside: Option<Arc<Attribution>>) -> impl IntoView {
    let split = match shown.split {
        Split::Steps => "Host is the time of the steps in which no device computed. Preemption is the time between two tokens in which no step held the request, and the recomputation after it.".to_owned(),
        _ => format!("Not split further, because {}.", shown.limits.join("; ")),
    };
    let num_requests = thousands(shown.e2e.num_requests);
    let is_part = beside.is_some();
    let of = if is_part { "selected requests" } else { "requests" };
    let has_ttft = shown.ttft.parts.len() > 1;
    view! {
        <p class="sentence" data-testid="attribution-sentence">{typeset(&shown.sentence)}</p>
        <p class="small" data-testid="attribution-limits">
            {format!("Means over {num_requests} {of}; the parts of each request sum to its E2E exactly. {split}")}
        </p>
        <div class="two-wide" class:beside=is_part>
            <Waterfall shown=Arc::clone(&shown)/>
            <div>
                <Parts name="E2E" part=shown.e2e.clone() whole=beside.as_ref().map(|whole| whole.e2e.clone())/>
                {has_ttft.then(|| view! {
                    <Parts name="TTFT" part=shown.ttft.clone() whole=beside.as_ref().map(|whole| whole.ttft.clone())/>
                })}
            </div>
        </div>
        <div class="stack">
            <Bins key="prompt-tokens" what="Prompt tokens" bins=shown.by_prompt_tokens.clone()/>
            <Bins key="num-in-system" what="In the system at arrival" bins=shown.by_num_in_system.clone()/>
        </div>
    }
}

#[component]
fn Waterfall(shown: Arc<Attribution>) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let summary = waterfall_summary(&shown);
    let label = Signal::derive(move || typeset(&summary));
    let measured = Arc::clone(&shown);
    let height = move || {
        let (width, _) = size.get();
        format!("{}px", waterfall_height(&measured, if width < 1.0 { 640.0 } else { width }))
    };
    let paint = move |sheet: &Sheet| draw_waterfall(&sheet.area, &shown, &sheet.plain());
    view! {
        <div class="sized" style:height=height><Figure name="waterfall" label size paint/></div>
    }
}

/// The figure's twin: one row a part, then the whole.
#[component]
fn Parts(name: &'static str, part: Breakdown, whole: Option<Breakdown>) -> impl IntoView {
    let rows = part.parts.iter().map(|row| {
        let beside = whole.as_ref().map(|whole| whole.part(row.part).map(|row| (row.diff_ns, row.contribution)));
        let beside = beside.map(|found| whole.as_ref().zip(found));
        let beside = beside.map(|found| found.map(|(whole, (diff, share))| (whole.mean(diff).as_f64(), share)));
        view! { <PartLine key=row.part.key() label=row.part.label() row=*row of=part.clone() beside/> }
    });
    let rows = rows.collect_view();
    let total = PartRow {
        part: Part::FirstToken,
        real_ns: part.real_ns,
        sim_ns: part.sim_ns,
        diff_ns: part.diff_ns,
        rel_error: part.rel_error,
        contribution: part.rel_error,
    };
    let beside = whole.as_ref().map(|whole| Some((whole.mean(whole.diff_ns).as_f64(), whole.rel_error)));
    let has_whole = whole.is_some();
    let label = format!("Parts of {name}");
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label=label>
            <table class="parts" data-testid=format!("attribution-{}", name.to_ascii_lowercase())>
                <thead><tr>
                    <th scope="col" class="word">{format!("Of {name}")}</th>
                    <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                    <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                    <th scope="col">"Difference"</th>
                    <th scope="col" title="The difference over this part’s own real time">"Error"</th>
                    <th scope="col" title="The difference over the real whole: these sum to its error">{format!("of {name}")}</th>
                    {has_whole.then(|| view! { <th scope="col" class="whole">"Whole run"</th><th scope="col" class="whole">{format!("of {name}")}</th> })}
                </tr></thead>
                <tbody>{rows}<PartLine key="whole" label=name row=total of=part.clone() beside/></tbody>
            </table>
        </div>
    }
}

/// Of the whole run: mean difference, ns, and its share; the inner `None` where that run is not split so.
type Beside = Option<Option<(f64, Option<f64>)>>;

#[component]
fn PartLine(key: &'static str, label: &'static str, row: PartRow, of: Breakdown, beside: Beside) -> impl IntoView {
    let mean = |total: i64| of.mean(total);
    let time = |total: u64| format_duration(mean(total as i64).as_f64());
    view! {
        <tr class:sum=key == "whole" data-part=key data-real-ns=row.real_ns.to_string() data-sim-ns=row.sim_ns.to_string() data-diff-ns=row.diff_ns.to_string()>
            <th scope="row" class="word">{label}</th>
            <td>{time(row.real_ns)}</td>
            <td>{time(row.sim_ns)}</td>
            <td class="strong">{signed(mean(row.diff_ns).as_f64())}</td>
            <td>{percent(row.rel_error)}</td>
            <td>{percent(row.contribution)}</td>
            {beside.map(|whole| {
                let (diff, share) = whole.map_or((None, None), |(diff, share)| (Some(diff), share));
                view! { <td class="whole">{diff.map_or("–".to_owned(), signed)}</td><td class="whole">{percent(share)}</td> }
            })}
        </tr>
    }
}

fn signed(ns: f64) -> String {
    typeset(&format_signed_duration(ns))
}

/// The difference of each part, by something requests are alike in.
#[component]
fn Bins(key: &'static str, what: &'static str, bins: Vec<Bin>) -> impl IntoView {
    let labels: Vec<&str> =
        bins.first().map(|bin| bin.e2e.parts.iter().map(|row| row.part.label()).collect()).unwrap_or_default();
    let row = |bin: Bin| {
        let range = match bin.from == bin.to {
            true => thousands(bin.from),
            false => format!("{}–{}", thousands(bin.from), thousands(bin.to)),
        };
        let parts = bin.e2e.parts.iter().map(|row| view! { <td>{signed(bin.e2e.mean(row.diff_ns).as_f64())}</td> });
        let parts = parts.collect_view();
        view! {
            <tr data-from=bin.from.to_string() data-to=bin.to.to_string()>
                <th scope="row" class="word">{range}</th>
                <td>{thousands(bin.e2e.num_requests)}</td>
                {parts}
                <td class="strong">{signed(bin.e2e.mean(bin.e2e.diff_ns).as_f64())}</td>
                <td>{percent(bin.e2e.rel_error)}</td>
            </tr>
        }
    };
    let heads = labels.iter().map(|label| view! { <th scope="col">{*label}</th> }).collect_view();
    (!bins.is_empty()).then(|| {
        view! {
            <div class="scroll" role="region" tabindex="0" aria-label=format!("Difference by {}", what.to_ascii_lowercase())>
                <table class="bins" data-testid=format!("attribution-by-{key}")>
                    <thead><tr>
                        <th scope="col" class="word">{what}</th><th scope="col">"Requests"</th>{heads}
                        <th scope="col">"E2E"</th><th scope="col">"Error"</th>
                    </tr></thead>
                    <tbody>{bins.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        }
    })
}

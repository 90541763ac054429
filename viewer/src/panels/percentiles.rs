//! The percentile table: the figure's twin, and what the verdicts rest on. Over a brushed part its rows are told anew,
//! and the whole run's stand beside.

use fidelio_shared::charts::{format_duration, format_signed_duration};
use fidelio_shared::explore::answers::ReducedRow;
use fidelio_shared::report::{interval_words, thousands};
use fidelio_shared::schema::comparison::{MetricComparison, PercentileRow};
use fidelio_shared::stats::CentiNanos;
use leptos::prelude::*;

use crate::panels::metrics::Shown;
use crate::panels::verdict::VerdictMark;
use crate::words::{percent, typeset, verdict_class};

const INTERVAL: &str = "Holds the true error with the confidence asked for: block bootstrap over requests";

/// One row a percentile; exact nanoseconds are in each cell's title.
#[component]
pub fn PercentileTable(shown: Shown) -> impl IntoView {
    move || {
        let entry = shown.entry.get()?;
        Some(match shown.is_brushed.get() {
            false => view! { <Whole entry/> }.into_any(),
            true => view! { <Part shown entry/> }.into_any(),
        })
    }
}

/// Over all requests.
#[component]
fn Whole(entry: MetricComparison) -> impl IntoView {
    let caption = caption(&entry, entry.num_requests, entry.num_values, "all");
    let rows = entry.percentiles.clone();
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label=caption.clone()>
            <table class="percentiles" data-testid="percentiles" data-metric=entry.metric.key()>
                <caption class="sr-only">{caption.clone()}</caption>
                <thead><tr>
                    <th scope="col" class="word">"Percentile"</th>
                    <Sides/>
                    <th scope="col">"Error"</th>
                    <th scope="col" title=INTERVAL>"Interval"</th>
                    <th scope="col" class="word verdict-head">"Verdict"</th>
                    <th scope="col">"Difference"</th>
                    <th scope="col" title="The error over the real engine’s own repeat-to-repeat error">"× noise"</th>
                    <th scope="col" title="Requests without which no verdict is given at this percentile">"Requests needed"</th>
                </tr></thead>
                <tbody>{rows.into_iter().map(|row| view! { <WholeRow row/> }).collect_view()}</tbody>
            </table>
        </div>
    }
}

fn caption(entry: &MetricComparison, num_requests: usize, num_values: usize, which: &str) -> String {
    format!(
        "{} percentiles over {which} {} requests, {} values a side",
        entry.metric.label(),
        thousands(num_requests as u64),
        thousands(num_values as u64)
    )
}

#[component]
fn Sides() -> impl IntoView {
    view! {
        <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
        <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
    }
}

#[component]
fn WholeRow(row: PercentileRow) -> impl IntoView {
    let more = row.num_more_needed.filter(|more| *more > 0).map(|more| format!(" ({} more)", thousands(more.into())));
    view! {
        <tr data-percentile=row.label.clone()>
            <th scope="row" class="word">{row.label.to_ascii_uppercase()}</th>
            <Time time=row.real_ns name="real"/>
            <Time time=row.sim_ns name="sim"/>
            <td data-testid="error" class="strong">{percent(row.rel_error)}</td>
            <td data-testid="interval">{typeset(&interval_words(row.interval.as_ref()))}</td>
            <Judgement row=row.clone()/>
            <td data-testid="diff" title=exact(row.diff_ns)>{typeset(&format_signed_duration(row.diff_ns.as_f64()))}</td>
            <td data-testid="noise">{row.noise_multiple.map_or("–".to_owned(), |multiple| format!("{multiple:.1}"))}</td>
            <td data-testid="needs">{thousands(row.sample_floor.into())}<span class="more">{more}</span></td>
        </tr>
    }
}

#[component]
fn Judgement(row: PercentileRow) -> impl IntoView {
    view! {
        <td class=format!("word said {}", verdict_class(row.verdict)) data-testid="row-verdict">
            <VerdictMark verdict=row.verdict/><span>{row.verdict.words()}</span>
        </td>
    }
}

/// Over the brushed part. Numbers come at once, intervals and verdicts when the brush stands still.
#[component]
fn Part(shown: Shown, entry: MetricComparison) -> impl IntoView {
    let key = entry.metric.key();
    let entry = StoredValue::new(entry);
    let whole = move || entry.with_value(|entry| entry.percentiles.clone());
    let words = move || match shown.reduced.get() {
        None => "reducing…".to_owned(),
        Some(None) => "No request of the selection has this metric on both sides.".to_owned(),
        Some(Some(part)) => {
            entry.with_value(|entry| caption(entry, part.num_requests, part.num_values, "the selected"))
        }
    };
    let row = move |place: usize, whole: PercentileRow| {
        let part = move || shown.reduced.get().flatten().and_then(|part| part.percentiles.get(place).copied());
        let judged = move || {
            // Intervals of what was brushed before are not of this part.
            let count = shown.reduced.get().flatten()?.num_requests;
            let entry = shown.intervals.get().flatten().filter(|entry| entry.num_requests == count)?;
            entry.percentiles.get(place).cloned()
        };
        view! { <PartRow whole part=Signal::derive(part) judged=Signal::derive(judged)/> }
    };
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label="Percentiles of the selection">
            <table class="percentiles part" data-testid="percentiles" data-metric=key>
                <caption data-testid="part-caption">{words}</caption>
                <thead>
                    <tr>
                        <th scope="col" class="word">"Percentile"</th>
                        <Sides/>
                        <th scope="col">"Error"</th>
                        <th scope="col" title=INTERVAL>"Interval"</th>
                        <th scope="col" class="word verdict-head">"Verdict"</th>
                        <th scope="col" class="whole">"Whole run: real"</th>
                        <th scope="col" class="whole">"Simulated"</th>
                        <th scope="col" class="whole">"Error"</th>
                    </tr>
                </thead>
                <tbody>{whole().into_iter().enumerate().map(|(place, whole)| row(place, whole)).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[component]
fn PartRow(
    whole: PercentileRow,
    #[prop(into)] part: Signal<Option<ReducedRow>>,
    #[prop(into)] judged: Signal<Option<PercentileRow>>,
) -> impl IntoView {
    let time = move |pick: fn(&ReducedRow) -> CentiNanos| part.get().map(|row| pick(&row));
    let shown = |time: Option<CentiNanos>| time.map_or("–".to_owned(), |time| format_duration(time.as_f64()));
    let said = |time: Option<CentiNanos>| time.map(|time| time.to_string());
    view! {
        <tr data-percentile=whole.label.clone()>
            <th scope="row" class="word">{whole.label.to_ascii_uppercase()}</th>
            <td data-testid="real" data-ns=move || said(time(|row| row.real_ns))>{move || shown(time(|row| row.real_ns))}</td>
            <td data-testid="sim" data-ns=move || said(time(|row| row.sim_ns))>{move || shown(time(|row| row.sim_ns))}</td>
            <td data-testid="error" class="strong">{move || percent(part.get().and_then(|row| row.rel_error))}</td>
            <td data-testid="interval">{move || judged.get().map_or("…".to_owned(), |row| typeset(&interval_words(row.interval.as_ref())))}</td>
            {move || match judged.get() {
                Some(row) => view! { <Judgement row/> }.into_any(),
                None => view! { <td class="word" data-testid="row-verdict">"…"</td> }.into_any(),
            }}
            <td class="whole" data-testid="whole-real" title=exact(whole.real_ns)>{format_duration(whole.real_ns.as_f64())}</td>
            <td class="whole" data-testid="whole-sim" title=exact(whole.sim_ns)>{format_duration(whole.sim_ns.as_f64())}</td>
            <td class="whole" data-testid="whole-error">{percent(whole.rel_error)}</td>
        </tr>
    }
}

#[component]
fn Time(time: CentiNanos, name: &'static str) -> impl IntoView {
    view! { <td data-testid=name data-ns=time.to_string() title=exact(time)>{format_duration(time.as_f64())}</td> }
}

fn exact(time: CentiNanos) -> String {
    typeset(&format!("{time} ns"))
}

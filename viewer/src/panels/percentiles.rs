//! The percentile table: the figure's twin, and what the verdicts rest on.

use fidelio_shared::charts::{format_duration, format_signed_duration};
use fidelio_shared::report::{interval_words, thousands};
use fidelio_shared::schema::comparison::{MetricComparison, PercentileRow};
use fidelio_shared::stats::CentiNanos;
use leptos::prelude::*;

use crate::panels::verdict::VerdictMark;
use crate::words::{percent, typeset, verdict_class};

/// One row a percentile; exact nanoseconds are in each cell's title.
#[component]
pub fn PercentileTable(entry: MetricComparison) -> impl IntoView {
    let caption = format!(
        "{} percentiles over {} requests, {} values a side",
        entry.metric.label(),
        thousands(entry.num_requests as u64),
        thousands(entry.num_values as u64)
    );
    let rows = entry.percentiles.clone();
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label=caption.clone()>
            <table class="percentiles" data-testid="percentiles" data-metric=entry.metric.key()>
                <caption class="sr-only">{caption.clone()}</caption>
                <thead><tr>
                    <th scope="col" class="word">"Percentile"</th>
                    <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                    <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                    <th scope="col">"Error"</th>
                    <th scope="col" title="Holds the true error with the confidence asked for: block bootstrap over requests">"Interval"</th>
                    <th scope="col" class="word verdict-head">"Verdict"</th>
                    <th scope="col">"Difference"</th>
                    <th scope="col" title="The error over the real engine’s own repeat-to-repeat error">"× noise"</th>
                    <th scope="col" title="Requests without which no verdict is given at this percentile">"Requests needed"</th>
                </tr></thead>
                <tbody>{rows.into_iter().map(|row| view! { <Row row/> }).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[component]
fn Row(row: PercentileRow) -> impl IntoView {
    let more = row.num_more_needed.filter(|more| *more > 0).map(|more| format!(" ({} more)", thousands(more.into())));
    view! {
        <tr data-percentile=row.label.clone()>
            <th scope="row" class="word">{row.label.to_uppercase()}</th>
            <Time time=row.real_ns name="real"/>
            <Time time=row.sim_ns name="sim"/>
            <td data-testid="error" class="strong">{percent(row.rel_error)}</td>
            <td data-testid="interval">{typeset(&interval_words(row.interval.as_ref()))}</td>
            <td class=format!("word said {}", verdict_class(row.verdict)) data-testid="row-verdict">
                <VerdictMark verdict=row.verdict/><span>{row.verdict.words()}</span>
            </td>
            <td data-testid="diff" title=exact(row.diff_ns)>{typeset(&format_signed_duration(row.diff_ns.as_f64()))}</td>
            <td data-testid="noise">{row.noise_multiple.map_or("–".to_owned(), |multiple| format!("{multiple:.1}"))}</td>
            <td data-testid="needs">{thousands(row.sample_floor.into())}<span class="more">{more}</span></td>
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

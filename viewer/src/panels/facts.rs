//! The numbers around the percentiles: how many, how far apart on the whole, how fast.

use std::sync::Arc;

use fidelio_shared::charts::{format_duration, format_rate};
use fidelio_shared::report::thousands;
use fidelio_shared::schema::comparison::{Comparison, MetricComparison};
use leptos::prelude::*;

use crate::panels::fold::Fold;
use crate::state::Panel;
use crate::worker::protocol::Opened;

/// Counts and throughput.
#[component]
pub fn Counts(opened: Arc<Opened>) -> impl IntoView {
    view! {
        <dl class="counts" data-testid="counts">
            {counts(&opened.comparison).into_iter().map(|(name, value)| view! {
                <div><dt>{name}</dt><dd>{value}</dd></div>
            }).collect_view()}
        </dl>
    }
}

/// Means, ranges and distances of every metric.
#[component]
pub fn Distances(opened: Arc<Opened>) -> impl IntoView {
    let metrics = StoredValue::new(opened.comparison.metrics.clone());
    view! {
        <Fold panel=Panel::Distances title="All metrics at a glance" note="means, ranges, distances">
            <Table metrics=metrics.get_value()/>
        </Fold>
    }
}

fn counts(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let counts = comparison.counts;
    let requests = match counts.num_compared == counts.num_requests {
        true => thousands(counts.num_requests as u64),
        false => format!("{} of {}", thousands(counts.num_compared as u64), thousands(counts.num_requests as u64)),
    };
    let mut facts = vec![
        ("requests compared", requests),
        ("output tokens compared", thousands(counts.num_tokens)),
        ("prompt tokens", thousands(comparison.workload.num_prefill_tokens)),
        ("arrivals over", format_duration(comparison.workload.span_ns as f64)),
    ];
    let real = comparison.real.first().and_then(|run| run.throughput_tokens_per_s);
    for (name, rate) in [("tokens/s, real", real), ("tokens/s, simulated", comparison.sim.throughput_tokens_per_s)] {
        facts.extend(rate.map(|rate| (name, format_rate(rate))));
    }
    let optional =
        [("cut to the shorter side", counts.num_cut), ("real repeats", comparison.real.len().saturating_sub(1))];
    facts.extend(
        optional.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, thousands(count as u64))),
    );
    facts
}

#[component]
fn Table(metrics: Vec<MetricComparison>) -> impl IntoView {
    let row = |entry: MetricComparison| {
        let time = |time: fidelio_shared::stats::CentiNanos| format_duration(time.as_f64());
        let share = entry.wasserstein_rel.map(|share| format!(" ({:.1} %)", share * 100.0));
        view! {
            <tr>
                <th scope="row" class="word">{entry.metric.label()}</th>
                <td>{time(entry.real.mean)}</td>
                <td>{time(entry.sim.mean)}</td>
                <td>{format!("{} … {}", time(entry.real.min), time(entry.real.max))}</td>
                <td>{format!("{} … {}", time(entry.sim.min), time(entry.sim.max))}</td>
                <td>{format!("{:.3}", entry.ks)}</td>
                <td>{format_duration(entry.wasserstein_ns)}{share}</td>
            </tr>
        }
    };
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label="Means, range and distances of every metric">
            <table>
                <thead><tr>
                    <th scope="col" class="word">"Metric"</th>
                    <th scope="col">"Real mean"</th>
                    <th scope="col">"Simulated mean"</th>
                    <th scope="col">"Real range"</th>
                    <th scope="col">"Simulated range"</th>
                    <th scope="col" title="Kolmogorov–Smirnov D: largest vertical gap of the two curves, 0 to 1">"KS D"</th>
                    <th scope="col" title="Wasserstein-1: the shaded area, and its share of the real mean">"Wasserstein"</th>
                </tr></thead>
                <tbody>{metrics.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

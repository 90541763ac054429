//! The token figure's twin: what happened when, and how long the gaps between tokens are, on both sides.

use std::sync::Arc;

use fidelio_shared::charts::{format_duration, stalls};
use fidelio_shared::explore::answers::{RequestTimeline, TimelineSide};
use fidelio_shared::report::thousands;
use fidelio_shared::stats::Percentile;
use leptos::prelude::*;

use crate::words::time;

/// Tokens told one by one.
const FIRST: usize = 4;
/// Quantiles of the gaps, and their names.
const GAPS: [(Percentile, &str); 4] = [
    (Percentile::P50, "gap, P50"),
    (Percentile::P90, "gap, P90"),
    (Percentile::P99, "gap, P99"),
    (Percentile(10_000), "longest gap"),
];

#[component]
pub(super) fn TokenTable(timeline: Arc<RequestTimeline>) -> impl IntoView {
    let rows = rows(&timeline);
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label="The request in numbers">
            <table class="tokens" data-testid="timeline-table" data-request=timeline.request_id.to_string()>
                <thead><tr>
                    <th scope="col" class="word">"Since arrival"</th>
                    <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                    <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                </tr></thead>
                <tbody>{rows.into_iter().map(|(what, [real, sim])| view! {
                    <tr data-row=what.clone()><th scope="row" class="word">{what.clone()}</th><td>{real}</td><td>{sim}</td></tr>
                }).collect_view()}</tbody>
            </table>
        </div>
    }
}

type Cell = Box<dyn Fn(&TimelineSide) -> String>;

fn rows(timeline: &RequestTimeline) -> Vec<(String, [String; 2])> {
    let arrival = timeline.arrival_ns;
    let since = move |ns: Option<u64>| time(ns.map(|ns| ns.saturating_sub(arrival)));
    let sides = [timeline.real.as_ref(), timeline.sim.as_ref()];
    let mut cells: Vec<(String, Cell)> =
        vec![("first scheduled".to_owned(), Box::new(move |side| since(side.scheduled_ns)))];
    let has_tokens = sides.into_iter().flatten().any(|side| side.has_tokens);
    let most = sides.into_iter().flatten().map(|side| side.tokens_ns.len()).max().unwrap_or(0);
    let told = if has_tokens { most.min(FIRST) } else { 1 };
    for index in 0..told {
        let name = if index == 0 { "first token".to_owned() } else { format!("token {index}") };
        let is_told = move |side: &TimelineSide| side.has_tokens || side.tokens_ns.len() > 1 && index == 0;
        cells.push((name, Box::new(move |side| since(side.tokens_ns.get(index).copied().filter(|_| is_told(side))))));
    }
    cells.push(("completion".to_owned(), Box::new(move |side| since(Some(side.completion_ns)))));
    if has_tokens {
        cells.push((
            "tokens".to_owned(),
            Box::new(|side| match side.has_tokens {
                true => thousands(side.tokens_ns.len() as u64),
                false => "–".to_owned(),
            }),
        ));
        for (percentile, name) in GAPS {
            let gap = move |side: &TimelineSide| {
                let quantiles = side.gap_quantiles(&[percentile]);
                quantiles.map_or("–".to_owned(), |quantiles| format_duration(quantiles[0].as_f64()))
            };
            cells.push((name.to_owned(), Box::new(gap)));
        }
        cells.push((
            "stalls, over 3 × P50".to_owned(),
            Box::new(|side| match side.has_tokens {
                true => thousands(stalls(side).len() as u64),
                false => "–".to_owned(),
            }),
        ));
    }
    cells.into_iter().map(|(what, cell)| (what, sides.map(|side| side.map_or("–".to_owned(), &cell)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_side_does_not_tell_is_a_dash() {
        let real = TimelineSide {
            scheduled_ns: None,
            tokens_ns: vec![3_000_000, 5_000_000],
            completion_ns: 5_000_000,
            ..TimelineSide::default()
        };
        let sim = TimelineSide { has_tokens: true, ..real.clone() };
        let timeline = RequestTimeline { real: Some(real), sim: Some(sim), ..RequestTimeline::default() };
        let rows = rows(&timeline);
        let row = |name: &str| rows.iter().find(|(what, _)| what == name).map(|(_, cells)| cells.clone());
        assert_eq!(row("first scheduled"), Some(["–", "–"].map(str::to_owned)));
        assert_eq!(row("first token"), Some(["3.000 ms", "3.000 ms"].map(str::to_owned)));
        assert_eq!(row("token 1"), Some(["–", "5.000 ms"].map(str::to_owned)));
        assert_eq!(row("longest gap"), Some(["–", "2.000 ms"].map(str::to_owned)));
    }
}

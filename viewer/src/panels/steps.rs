//! Engine steps of both runs over time: what a step computes, KV blocks, sequences, durations; zoomed by a window that
//! the link keeps, both sides read off at one instant.

mod readout;

use std::sync::Arc;

use fidelio_shared::charts::{StepsLayout, draw_steps, format_count, format_duration, steps_height, steps_summary};
use fidelio_shared::explore::StepTotals;
use fidelio_shared::explore::answers::{Overview, StepView};
use fidelio_shared::report::thousands;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::figure::{Figure, Sheet};
use crate::panels::fold::Fold;
use crate::panels::waiting::OverRows;
use crate::panels::window::{Extent, Ground, Moves, Shown};
use crate::session::{self, Session};
use crate::state::Panel;
use crate::worker::protocol::{Answer, Ask};

use readout::{Readout, words};

/// Widths are rounded up to so many pixels, so that a window that is resized asks seldom.
const GRAIN: f64 = 64.0;

/// The folded panel.
#[component]
pub fn StepsPanel(session: Session) -> impl IntoView {
    view! {
        <Fold panel=Panel::Steps title="Engine steps" note="batches, KV blocks, queue, over time">
            <OverRows session><Told session/></OverRows>
        </Fold>
    }
}

#[component]
fn Told(session: Session) -> impl IntoView {
    let overview = session.overview();
    let told = overview.as_ref().map(|overview| overview.has_steps).unwrap_or_default();
    let missing = match told {
        (true, true) => None,
        (false, true) => Some(
            "The real run tells no engine steps: its folder in the bundle has no `step_metrics.csv`. Only the simulated side is shown.",
        ),
        (true, false) => Some(
            "The simulated run tells no engine steps: its folder in the bundle has no `step_metrics.csv`. Only the real side is shown.",
        ),
        (false, false) => Some(
            "Neither run tells its engine steps: the bundle holds no `step_metrics.csv`. Runs of other tools seldom write one; runs of fidelio do.",
        ),
    };
    view! {
        {missing.map(|words| view! { <p class="small" data-testid="steps-missing">{crate::words::with_code(words)}</p> })}
        {(told.0 || told.1).then(|| overview.map(|overview| view! { <Lanes session overview/> }))}
    }
}

#[component]
fn Lanes(session: Session, overview: Arc<Overview>) -> impl IntoView {
    let view = expect_context::<View>();
    let window = view.part(|state| state.window);
    let size = RwSignal::new((0.0, 0.0));
    let bins = Memo::new(move |_| (size.get().0 / GRAIN).ceil() as usize * GRAIN as usize / 2);
    let answered = session::answer_to(
        session,
        move || (bins.get() > 0).then(|| Ask::Steps(window.get(), bins.get())),
        |answer| if let Answer::Steps(steps) = answer { Some(Arc::new(steps)) } else { None },
    );
    let answer = Memo::new(move |_| answered.with(|answer| answer.as_ref().map(|(_, steps)| Arc::clone(steps))));
    // What is shown without a window: known once it was asked for, until then as long as the requests.
    let span = overview.span_ns;
    let whole = Memo::new(move |before: Option<&(u64, u64)>| {
        answered.with(|answer| match answer {
            Some((Ask::Steps(None, _), steps)) => (steps.from_ns, steps.to_ns),
            _ => before.copied().unwrap_or(span),
        })
    });
    let extent = Memo::new(move |_| {
        let steps = answer.get()?;
        Some(Extent { whole: whole.get(), window: window.get().map(|_| (steps.from_ns, steps.to_ns)) })
    });
    let layout = Memo::new(move |_| answer.get().map(|steps| StepsLayout::new(&steps, size.get().0)));
    let (instant, set_instant) = signal(None::<u64>);
    let label = Signal::derive(move || answer.get().map_or(String::new(), |steps| steps_summary(&steps)));
    let paint =
        move |sheet: &Sheet| answer.get().map_or(Ok(()), |steps| draw_steps(&sheet.area, &steps, &sheet.plain()));
    let moves = Moves {
        instant: Callback::new(move |column| {
            layout.with_untracked(|layout| Some(layout.as_ref()?.times.nanos(column) as u64))
        }),
        on_window: Callback::new(move |window| view.state.update(|state| state.window = window)),
        on_hover: Callback::new(move |here: Option<(f64, f64)>| {
            let at = here.and_then(|(column, _)| {
                layout.with_untracked(|layout| Some(layout.as_ref()?.times.nanos(column) as u64))
            });
            set_instant.set(at);
        }),
        on_key: Callback::new(move |key: String| {
            match extent.get_untracked().and_then(|extent| after_key(extent, instant.get_untracked(), &key)) {
                Some(next) => {
                    set_instant.set(next);
                    true
                }
                None => false,
            }
        }),
        about: instant.into(),
    };
    let said = Signal::derive(move || {
        answer.get().zip(instant.get()).map_or("no instant".to_owned(), |(steps, instant)| words(&steps, instant))
    });
    let marks = move || {
        let (layout, instant) = (layout.get()?, instant.get()?);
        let column = layout.times.pixel(instant as f64);
        let (top, bottom) = (layout.lanes.first()?.2, layout.lanes.last()?.3);
        Some(view! { <line x1=column x2=column y1=top y2=bottom/> })
    };
    let height = move || format!("{}px", answer.get().map_or(474, |steps| steps_height(&steps)));
    view! {
        <div class="sized" style:height=height>
            <Figure name="steps" label size paint>
                <Ground name="steps-cursor" label="Instant: arrows move, plus and minus zoom, Shift and arrows pan, 0 shows all" extent words=said moves>
                    <svg class="cursor" aria-hidden="true">{marks}</svg>
                </Ground>
            </Figure>
        </div>
        <div class="under-figure">
            <Readout steps=answer instant/>
            <Shown name="steps-all" extent words=window_words on_window=moves.on_window/>
        </div>
        {move || answer.get().map(|steps| view! { <Totals steps/> })}
    }
}

fn window_words((from, to): (u64, u64)) -> String {
    format!("{} … {}", format_duration(from as f64), format_duration(to as f64))
}

/// Where a key moves the instant, by a hundredth of what is shown; `None` for keys that do not.
fn after_key(extent: Extent, here: Option<u64>, key: &str) -> Option<Option<u64>> {
    let (from, to) = extent.shown();
    let step = ((to - from) / 100).max(1);
    let at = here.unwrap_or(from + (to - from) / 2).clamp(from, to);
    match key {
        "ArrowRight" => Some(Some((at + step).min(to))),
        "ArrowLeft" => Some(Some(at.saturating_sub(step).max(from))),
        "Home" => Some(Some(from)),
        "End" => Some(Some(to)),
        "Escape" => Some(None),
        _ => None,
    }
}

type Cell = fn(&StepTotals) -> String;
/// Rows of the table twin.
const TOTALS: [(&str, &str, Cell); 8] = [
    ("steps", "Steps", |sums| thousands(sums.num_steps as u64)),
    ("prefill-tokens", "Prefill tokens computed", |sums| format_count(sums.prefill_tokens)),
    ("decode-tokens", "Tokens decoded", |sums| format_count(sums.decode_tokens)),
    ("time", "Time in steps", |sums| format_duration(sums.duration_ns)),
    ("host", "of it, host", |sums| format_duration(sums.host_ns)),
    ("mean", "Mean step", |sums| format_duration(sums.mean_ns)),
    ("kv-blocks", "KV blocks, most", |sums| format_count(sums.most_kv_blocks)),
    ("waiting", "Sequences waiting, most", |sums| format_count(sums.most_waiting)),
];

#[component]
fn Totals(steps: Arc<StepView>) -> impl IntoView {
    let sides = [steps.real.as_ref(), steps.sim.as_ref()].map(|lane| lane.map(|lane| lane.totals()));
    let is_binned = [&steps.real, &steps.sim].into_iter().flatten().any(|lane| !lane.is_exact);
    let rows = TOTALS.map(|(key, name, cell)| {
        let cells = sides.map(|side| view! { <td>{side.as_ref().map_or("–".to_owned(), cell)}</td> }).collect_view();
        view! { <tr data-row=key><th scope="row" class="word">{name}</th>{cells}</tr> }
    });
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label="Steps in the window, in numbers">
            <table class="totals" data-testid="steps-table">
                <thead><tr>
                    <th scope="col" class="word">{window_words((steps.from_ns, steps.to_ns))}</th>
                    <th scope="col"><span class="swatch real" aria-hidden="true"></span>"Real"</th>
                    <th scope="col"><span class="swatch sim" aria-hidden="true"></span>"Simulated"</th>
                </tr></thead>
                <tbody>{rows.into_iter().collect_view()}</tbody>
            </table>
        </div>
        {is_binned.then(|| view! {
            <p class="small">"More steps than columns: each column is the mean of its steps, KV blocks the most of them. Zoom in to see steps one by one."</p>
        })}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_the_instant_inside_the_window() {
        let extent = Extent { whole: (0, 10_000), window: Some((2_000, 4_000)) };
        assert_eq!(after_key(extent, None, "ArrowRight"), Some(Some(3_020)));
        assert_eq!(after_key(extent, Some(9_999), "ArrowRight"), Some(Some(4_000)));
        assert_eq!(after_key(extent, Some(2_005), "ArrowLeft"), Some(Some(2_000)));
        assert_eq!((after_key(extent, None, "Escape"), after_key(extent, None, "x")), (Some(None), None));
    }
}

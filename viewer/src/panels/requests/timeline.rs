//! The chosen request token by token, real above simulated on one clock, with a window to zoom and each token read off.

use std::sync::Arc;

use fidelio_shared::charts::{TimelineLayout, draw_timeline, format_duration, timeline_summary};
use fidelio_shared::explore::answers::{RequestTimeline, TimelineSide};
use fidelio_shared::report::thousands;
use fidelio_shared::schema::Origin;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::figure::{Figure, Sheet};
use crate::panels::requests::Requests;
use crate::panels::requests::tokens::TokenTable;
use crate::panels::window::{Extent, Ground, Moves, Shown};
use crate::session;
use crate::worker::protocol::{Answer, Ask};

/// A token of a side.
type Token = (Origin, usize);

#[component]
pub(super) fn TimelinePane(requests: Requests) -> impl IntoView {
    let view = expect_context::<View>();
    let chosen = view.part(|state| state.request);
    let answer = session::answer(
        requests.session,
        move || chosen.get().map(Ask::Timeline),
        |answer| if let Answer::Timeline(timeline) = answer { Some(timeline.map(Arc::new)) } else { None },
    );
    let timeline = Memo::new(move |_| answer.get().flatten());
    let state =
        Memo::new(move |_| (chosen.get().is_some(), answer.with(Option::is_some), timeline.with(Option::is_some)));
    view! {
        <section class="timeline-pane" aria-label="Tokens of one request">
            <Steps requests/>
            {move || match state.get() {
                (true, _, true) => view! { <Tokens timeline/> }.into_any(),
                (true, true, false) => view! { <p class="hint-box small">"There is no such request in the real run."</p> }.into_any(),
                _ => view! { <p class="hint-box small">"Choose a request, in the scatter or in the table, to see it token by token."</p> }.into_any(),
            }}
        </section>
    }
}

/// From request to request, as the table is sorted.
#[component]
fn Steps(requests: Requests) -> impl IntoView {
    let view = expect_context::<View>();
    let chosen = view.part(|state| state.request);
    let found = requests.found;
    let first = Memo::new(move |_| {
        requests.page.with(|page| page.as_ref().filter(|page| page.from == 0)?.rows.first().map(|row| row.request_id))
    });
    let choose = move |request: Option<u32>| {
        if let Some(request) = request {
            view.state.update(|state| state.request = Some(request));
            view.say(format!("Request {request} chosen"));
        }
    };
    let words = move || match (found.get(), chosen.get()) {
        (Some(found), _) => {
            let count = requests.page.with(|page| page.as_ref().map_or(0, |page| page.num_rows));
            format!("row {} of {} as sorted below", thousands(found.place as u64 + 1), thousands(count as u64))
        }
        (None, Some(_)) => "not among the rows below".to_owned(),
        (None, None) => String::new(),
    };
    let previous = move || found.get().and_then(|found| found.previous);
    let next = move || match found.get() {
        Some(found) => found.next,
        None => first.get(),
    };
    view! {
        <div class="steps-bar">
            <h3>{move || chosen.get().map_or("One request".to_owned(), |request| format!("Request #{request}"))}</h3>
            <span class="small">{words}</span>
            <span class="choice" role="group" aria-label="From request to request, as the table is sorted: the worst first, unless told otherwise">
                <button type="button" data-testid="previous-request" disabled=move || previous().is_none() on:click=move |_| choose(previous())>"‹ Previous"</button>
                <button type="button" data-testid="next-request" disabled=move || next().is_none() on:click=move |_| choose(next())>
                    {move || if found.get().is_some() || chosen.get().is_some() { "Next ›" } else { "First ›" }}
                </button>
            </span>
        </div>
    }
}

fn side(timeline: &RequestTimeline, lane: Origin) -> Option<&TimelineSide> {
    match lane {
        Origin::Real => timeline.real.as_ref(),
        Origin::Simulated => timeline.sim.as_ref(),
    }
}

/// From the arrival to the last token of either side, with a little air.
fn whole(timeline: &RequestTimeline) -> (u64, u64) {
    let sides = [&timeline.real, &timeline.sim].into_iter().flatten();
    let end = sides.map(|side| side.completion_ns).max().unwrap_or(timeline.arrival_ns).max(timeline.arrival_ns + 1);
    let air = (end - timeline.arrival_ns) / 66;
    (timeline.arrival_ns.saturating_sub(air), end + air + 1)
}

#[component]
fn Tokens(timeline: Memo<Option<Arc<RequestTimeline>>>) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let (window, set_window) = signal(None::<(u64, u64)>);
    let (token, set_token) = signal(None::<Token>);
    Effect::new(move |_| {
        timeline.with(|_| ());
        set_window.set(None);
        set_token.set(None);
    });
    let extent =
        Memo::new(move |_| timeline.get().map(|timeline| Extent { whole: whole(&timeline), window: window.get() }));
    let layout = Memo::new(move |_| {
        let shown = extent.get()?.shown();
        timeline.get().map(|timeline| TimelineLayout::new(&timeline, Some(shown), size.get().0))
    });
    let label = Signal::derive(move || timeline.get().map_or(String::new(), |timeline| timeline_summary(&timeline)));
    let paint = move |sheet: &Sheet| {
        let shown = extent.get().map(Extent::shown);
        timeline.get().map_or(Ok(()), |timeline| draw_timeline(&sheet.area, &timeline, shown, &sheet.plain()))
    };
    let at = move || Some((timeline.get()?, token.get()?));
    let instant =
        move || at().and_then(|(timeline, (lane, index))| side(&timeline, lane)?.tokens_ns.get(index).copied());
    let words = Signal::derive(move || at().map_or("no token".to_owned(), |(timeline, token)| words(&timeline, token)));
    let moves = Moves {
        instant: Callback::new(move |column| layout.get_untracked().map(|layout| layout.instant(column))),
        on_window: Callback::new(move |window| set_window.set(window)),
        on_hover: Callback::new(move |here: Option<(f64, f64)>| {
            let near = || {
                let ((column, row), layout, timeline) = (here?, layout.get_untracked()?, timeline.get_untracked()?);
                let lane = layout.lane_at(row)?;
                Some((lane, layout.token_at(side(&timeline, lane)?, column)?))
            };
            let near = near();
            if near != token.get_untracked() {
                set_token.set(near);
            }
        }),
        on_key: Callback::new(move |key: String| {
            let Some(timeline) = timeline.get_untracked() else { return false };
            if key == "Escape" {
                set_token.set(None);
                return true;
            }
            let Some(next) = after_key(&timeline, token.get_untracked(), &key) else { return false };
            set_token.set(Some(next));
            let instant = side(&timeline, next.0).and_then(|side| side.tokens_ns.get(next.1).copied());
            if let (Some(instant), Some(extent)) = (instant, extent.get_untracked()) {
                set_window.set(extent.showing(instant));
            }
            true
        }),
        about: Signal::derive(instant),
    };
    let marks = move || {
        let ((lane, _), layout, instant) = (token.get()?, layout.get()?, instant()?);
        let (column, (top, bottom)) = (layout.column(instant), layout.rows(lane));
        let class = if lane == Origin::Real { "real" } else { "sim" };
        Some(view! {
            <line x1=column x2=column y1=layout.rows(Origin::Real).0 y2=layout.rows(Origin::Simulated).1/>
            <circle class=class cx=column cy=(top + bottom) / 2.0 r="5"/>
        })
    };
    view! {
        <Figure name="timeline" label size paint>
            <Ground name="timeline-cursor" label="Tokens: arrows walk, plus and minus zoom, 0 shows all" extent words moves>
                <svg class="cursor" aria-hidden="true">{marks}</svg>
            </Ground>
        </Figure>
        <div class="under-figure">
            <Readout timeline token/>
            <Shown name="timeline-all" extent words=span_words on_window=moves.on_window/>
        </div>
        {move || timeline.get().map(|timeline| view! { <TokenTable timeline/> })}
    }
}

fn span_words((from, to): (u64, u64)) -> String {
    format_duration((to - from) as f64)
}

/// The token a key leads to: along a side, or to the other one.
fn after_key(timeline: &RequestTimeline, here: Option<Token>, key: &str) -> Option<Token> {
    let last = |lane: Origin| side(timeline, lane)?.tokens_ns.len().checked_sub(1);
    let lanes = [Origin::Real, Origin::Simulated];
    let first = lanes.into_iter().find(|lane| last(*lane).is_some())?;
    let (lane, index) = here.unwrap_or((first, 0));
    let end = last(lane)?;
    match key {
        "ArrowLeft" | "ArrowRight" if here.is_none() => Some((first, 0)),
        "ArrowRight" => Some((lane, (index + 1).min(end))),
        "ArrowLeft" => Some((lane, index.saturating_sub(1))),
        "Home" => Some((lane, 0)),
        "End" => Some((lane, end)),
        "ArrowUp" => Some((Origin::Real, index.min(last(Origin::Real)?))),
        "ArrowDown" => Some((Origin::Simulated, index.min(last(Origin::Simulated)?))),
        _ => None,
    }
}

/// A token in words, and the same one on the other side.
fn words(timeline: &RequestTimeline, (lane, index): Token) -> String {
    let (name, other, other_name) = match lane {
        Origin::Real => ("real", Origin::Simulated, "simulated"),
        Origin::Simulated => ("simulated", Origin::Real, "real"),
    };
    let told = |lane: Origin| {
        let side = side(timeline, lane)?;
        let since = format_duration(side.tokens_ns.get(index)?.saturating_sub(timeline.arrival_ns) as f64);
        let gap = side
            .gap(index)
            .map_or(String::new(), |gap| format!(", {} after the one before", format_duration(gap as f64)));
        Some(format!("{since} after arrival{gap}"))
    };
    let has_tokens = side(timeline, lane).is_some_and(|side| side.has_tokens);
    let what = match (has_tokens, index) {
        (true, index) => format!("token {index}"),
        (false, 0) => "first stamp".to_owned(),
        (false, _) => "completion".to_owned(),
    };
    let beside = told(other).map_or(String::new(), |told| format!("; {other_name}: {told}"));
    format!("{what}, {name}: {}{beside}", told(lane).unwrap_or_default())
}

#[component]
fn Readout(timeline: Memo<Option<Arc<RequestTimeline>>>, token: ReadSignal<Option<Token>>) -> impl IntoView {
    let at = move || Some((timeline.get()?, token.get()?));
    let of = move |pick: fn(&TimelineSide, usize) -> Option<u64>| {
        let (timeline, (lane, index)) = at()?;
        pick(side(&timeline, lane)?, index).map(|ns| ns.to_string())
    };
    view! {
        <p class="readout" data-testid="timeline-hover"
            data-side=move || at().map(|(_, (lane, _))| if lane == Origin::Real { "real" } else { "sim" })
            data-token=move || at().map(|(_, (_, index))| index.to_string())
            data-time-ns=move || of(|side, index| side.tokens_ns.get(index).copied())
            data-gap-ns=move || of(TimelineSide::gap)
        >
            {move || match at() {
                Some((timeline, token)) => words(&timeline, token),
                None => "Point at a token, or walk with the arrow keys; drag, + and − zoom, 0 shows all.".to_owned(),
            }}
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> RequestTimeline {
        let side = |tokens_ns: Vec<u64>| TimelineSide {
            completion_ns: tokens_ns[tokens_ns.len() - 1],
            tokens_ns,
            has_tokens: true,
            ..TimelineSide::default()
        };
        RequestTimeline {
            request_id: 4,
            arrival_ns: 1_000_000,
            real: Some(side(vec![3_000_000, 4_000_000, 6_500_000])),
            sim: Some(side(vec![2_000_000, 2_500_000])),
            ..RequestTimeline::default()
        }
    }

    #[test]
    fn keys_walk_tokens_and_change_sides() {
        let key = |here, key| after_key(&timeline(), here, key);
        assert_eq!(key(None, "ArrowRight"), Some((Origin::Real, 0)));
        assert_eq!(key(Some((Origin::Real, 2)), "ArrowRight"), Some((Origin::Real, 2)));
        assert_eq!(key(Some((Origin::Real, 2)), "ArrowDown"), Some((Origin::Simulated, 1)));
        assert_eq!(key(Some((Origin::Simulated, 1)), "Home"), Some((Origin::Simulated, 0)));
        assert_eq!(key(None, "q"), None);
    }

    #[test]
    fn a_token_reads_as_one_line_on_both_sides() {
        assert_eq!(
            words(&timeline(), (Origin::Real, 1)),
            "token 1, real: 3.000 ms after arrival, 1.000 ms after the one before; simulated: 1.500 ms after arrival, \
             500.0 µs after the one before"
        );
        let (from, to) = whole(&timeline());
        assert!(from < 1_000_000 && to > 6_500_000);
    }
}

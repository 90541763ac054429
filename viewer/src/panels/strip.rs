//! The strips under the table: load over time and prompt lengths, each to be brushed. Everything above is then of the
//! brushed requests.

use std::sync::Arc;

use fidelio_shared::charts::{
    Counted, StripLayout, draw_histogram, draw_load_strip, format_duration, histogram_summary, load_summary,
};
use fidelio_shared::explore::answers::{Histogram, Overview};
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::report::thousands;
use fidelio_shared::schema::curves::Curves;
use leptos::prelude::*;

use crate::app::{View, mark};
use crate::panels::brush::{Brush, Track};
use crate::panels::figure::{Figure, Sheet};
use crate::session::{Rows, Session};
use crate::worker::protocol::Opened;

/// Both strips, and what is selected by them in words.
#[component]
pub fn Strips(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let overview = Memo::new(move |_| session.overview());
    let is_missing = Memo::new(move |_| matches!(session.rows.get(), Rows::Missing(_)));
    let arrivals = move || overview.get().map(|overview| view! { <ArrivalStrip overview/> });
    let prompts = move || overview.get().map(|overview| view! { <PromptStrip overview/> });
    view! {
        <SelectionLine session/>
        <div class="strips">
            {match opened.comparison.curves.clone() {
                Some(curves) => view! { <LoadStrip curves overview/> }.into_any(),
                None => view! { <Kept name="load-strip" is_missing>{arrivals}</Kept> }.into_any(),
            }}
            <Kept name="prompt-strip" is_missing>{prompts}</Kept>
        </div>
    }
}

/// The place of a figure that comes with the rows: nothing jumps when they do.
#[component]
fn Kept(name: &'static str, is_missing: Memo<bool>, children: Children) -> impl IntoView {
    view! { <div class=format!("figure {name}") class:hidden=move || is_missing.get()>{children()}</div> }
}

/// What is selected, and the way back; while rows are on their way, how far they are.
#[component]
fn SelectionLine(session: Session) -> impl IntoView {
    let view = expect_context::<View>();
    let selection = view.part(|state| state.selection);
    let is_all = Memo::new(move |_| selection.get() == Selection::default());
    let invitation = move || match session.rows.get() {
        Rows::Ready(_) => "Drag over a strip to look at a part of the requests.".to_owned(),
        Rows::Reading(progress) => match progress.and_then(|progress| progress.share()) {
            Some(share) => format!("Reading the raw rows: {:.0} %", share * 100.0),
            None => "Reading the raw rows…".to_owned(),
        },
        Rows::Missing(problem) => format!("{}. {}", problem.title, problem.detail),
    };
    view! {
        <p class="strip-head" data-testid="selection">
            <span>{move || if is_all.get() { invitation() } else { selection_words(&selection.get()) }}</span>
            {move || (!is_all.get()).then(|| view! {
                <button
                    type="button"
                    data-testid="clear-selection"
                    on:click=move |_| view.state.update(|state| state.selection = Selection::default())
                >"All requests"</button>
            })}
        </p>
    }
}

/// A selection as people say it.
pub fn selection_words(selection: &Selection) -> String {
    let arrivals = selection.arrivals.map(|(from, before)| {
        format!("arriving from {} to {}", format_duration(from as f64), format_duration(before as f64))
    });
    let prompts = selection
        .prompt_tokens
        .map(|(from, to)| format!("with prompts of {} to {} tokens", thousands(from.into()), thousands(to.into())));
    let parts: Vec<String> = arrivals.into_iter().chain(prompts).collect();
    if parts.is_empty() { "All requests".to_owned() } else { format!("Requests {}", parts.join(", ")) }
}

#[component]
fn LoadStrip(curves: Curves, overview: Memo<Option<Arc<Overview>>>) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let curves = StoredValue::new(curves);
    let track = move || {
        let (width, height) = size.get();
        let layout = curves.with_value(|curves| StripLayout::of_load(curves, width, height));
        overview.with(|overview| track(&overview.as_ref()?.arrivals, layout))
    };
    let paint = move |sheet: &Sheet| curves.with_value(|curves| draw_load_strip(&sheet.area, curves, &sheet.plain()));
    view! {
        <Figure name="load-strip" label=curves.with_value(load_summary) size paint>
            <ArrivalBrush track=Signal::derive(track)/>
        </Figure>
    }
}

/// For runs that tell no load: when requests arrived.
#[component]
fn ArrivalStrip(overview: Arc<Overview>) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let arrivals = StoredValue::new(overview.arrivals.clone());
    let track = move || {
        let (width, height) = size.get();
        arrivals.with_value(|arrivals| {
            track(arrivals, StripLayout::of_histogram(arrivals, Counted::Arrivals, width, height))
        })
    };
    let paint = move |sheet: &Sheet| {
        arrivals.with_value(|arrivals| draw_histogram(&sheet.area, arrivals, Counted::Arrivals, &sheet.plain()))
    };
    let label = arrivals.with_value(|arrivals| histogram_summary(arrivals, Counted::Arrivals));
    view! {
        <Figure name="load-strip" label size paint><ArrivalBrush track=Signal::derive(track)/></Figure>
    }
}

#[component]
fn ArrivalBrush(#[prop(into)] track: Signal<Option<Track>>) -> impl IntoView {
    let view = expect_context::<View>();
    let selection = view.part(|state| state.selection);
    let range = move || selection.get().arrivals.map(|(from, before)| (from as f64, before as f64));
    let on_change = move |range: Option<(f64, f64)>| {
        let arrivals = range.map(|(from, to)| (from.floor() as u64, to.ceil() as u64 + 1));
        change(view, |selection| Selection { arrivals, ..selection });
    };
    view! { <Brush name="arrival-brush" label="Arrival" track range=Signal::derive(range) words=format_duration on_change/> }
}

#[component]
fn PromptStrip(overview: Arc<Overview>) -> impl IntoView {
    let view = expect_context::<View>();
    let size = RwSignal::new((0.0, 0.0));
    let prompts = StoredValue::new(overview.prompts.clone());
    let track = move || {
        let (width, height) = size.get();
        prompts.with_value(|prompts| {
            track(prompts, StripLayout::of_histogram(prompts, Counted::PromptTokens, width, height))
        })
    };
    let selection = view.part(|state| state.selection);
    let range = move || selection.get().prompt_tokens.map(|(from, to)| (f64::from(from), f64::from(to)));
    let on_change = move |range: Option<(f64, f64)>| {
        let prompt_tokens = range.map(|(from, to)| (from.ceil() as u32, (to.floor() as u32).max(from.ceil() as u32)));
        change(view, |selection| Selection { prompt_tokens, ..selection });
    };
    let paint = move |sheet: &Sheet| {
        prompts.with_value(|prompts| draw_histogram(&sheet.area, prompts, Counted::PromptTokens, &sheet.plain()))
    };
    let label = prompts.with_value(|prompts| histogram_summary(prompts, Counted::PromptTokens));
    view! {
        <Figure name="prompt-strip" label size paint>
            <Brush
                name="prompt-brush"
                label="Prompt tokens"
                track=Signal::derive(track)
                range=Signal::derive(range)
                words=|tokens| format!("{} tokens", thousands(tokens.round() as u64))
                on_change
            />
        </Figure>
    }
}

/// `None` while there is no room or nothing to choose.
fn track(histogram: &Histogram, layout: StripLayout) -> Option<Track> {
    let (from, to) = (*histogram.edges.first()?, *histogram.edges.last()?);
    (to > from).then_some(Track { layout, from, to })
}

fn change(view: View, change: impl FnOnce(Selection) -> Selection) {
    let before = view.state.with_untracked(|state| state.selection);
    let after = change(before);
    if after != before {
        mark("fidelio:brush-start");
        view.state.update(|state| state.selection = after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_reads_as_a_sentence() {
        let selection = Selection { arrivals: Some((0, 1_500_000_000)), prompt_tokens: Some((8, 2_048)) };
        let words = "Requests arriving from 0 ns to 1.500 s, with prompts of 8 to 2,048 tokens";
        assert_eq!(selection_words(&selection), words);
        assert_eq!(selection_words(&Selection::default()), "All requests");
    }
}

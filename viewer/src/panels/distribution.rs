//! The distribution of a metric: CDF, shift curve beneath, and one cursor through both.

use std::sync::Arc;

use fidelio_shared::bundle::{FIGURE_SIZE, SHIFT_FIGURE_SIZE};
use fidelio_shared::charts::{
    Axis, CdfLayout, Fractions, ShiftLayout, cdf_figure_summary, draw_cdf_of, draw_shift_of, shift_figure_summary,
};
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent};

use crate::app::{View, mark};
use crate::panels::bar::letter;
use crate::panels::cursor::{Stop, Stops};
use crate::panels::figure::{Figure, Sheet, place};
use crate::panels::metrics::Shown;
use crate::panels::plot::Plot;
use crate::panels::share::ShareRow;
use crate::session::Session;

/// Both figures and the line that reads them off.
#[component]
pub fn Distribution(session: Session, shown: Shown) -> impl IntoView {
    let view = expect_context::<View>();
    let plot = Memo::new(move |_| plot(view, session, shown).map(Arc::new));
    let axes = view.part(|state| (state.axis, state.fractions));
    let hover = RwSignal::new(None::<f64>);
    let stops = Memo::new(move |_| plot.get().map(|plot| plot.stops()).unwrap_or_default());
    let pinned = view.part(|state| state.cursor.map(|millionths| f64::from(millionths) / 1e6));
    let stop = Memo::new(move |_| stops.with(|stops| stops.nearest(hover.get().or(pinned.get())?)));
    let has_shift = Memo::new(move |_| plot.get().is_some_and(|plot| plot.shift().is_some()));
    view! {
        <div class="distribution">
            <CdfPane plot axes stops stop hover/>
            {move || has_shift.get().then(|| view! { <ShiftPane plot axes stop hover/> })}
            <p class="readout" data-testid="cursor"
                data-fraction=move || stop.get().map(|stop| stop.fraction.to_string())
                data-real-ns=move || stop.get().map(|stop| stop.real_ns.to_string())
                data-sim-ns=move || stop.get().map(|stop| stop.sim_ns.to_string())
            >
                {move || match stop.get() {
                    Some(stop) => stop.words(),
                    None => "Point at the curves, or use the arrow keys, to read any quantile; click to keep it.".to_owned(),
                }}
            </p>
            <ShareRow/>
        </div>
    }
}

/// What is drawn now.
fn plot(view: View, session: Session, shown: Shown) -> Option<Plot> {
    let whole = shown.entry.get()?;
    let metric = whole.metric;
    let sessions = view.sessions.get();
    let is_alone = sessions.len() < 2;
    let others = sessions.iter().enumerate().filter(|(_, other)| **other != session).filter_map(|(place, other)| {
        let opened = other.opened()?;
        let entry = opened.comparison.metrics.iter().find(|entry| entry.metric == metric)?;
        Some((letter(place), entry.clone()))
    });
    let place = sessions.iter().position(|one| *one == session).unwrap_or(0);
    let part = if shown.is_brushed.get() { shown.reduced.get().flatten() } else { None };
    let part = part.filter(|part| part.metric == metric);
    let count = part.as_ref().map(|part| part.num_requests);
    let judged = shown.intervals.get().flatten().filter(|entry| Some(entry.num_requests) == count);
    let what_if = view.what_if.get().filter(|(id, _)| *id == session.id);
    let what_if = what_if.and_then(|(_, answer)| answer.metrics.iter().find(|entry| entry.metric == metric).cloned());
    Some(Plot {
        letter: if is_alone { String::new() } else { letter(place) },
        others: others.collect(),
        judged: judged.filter(|entry| entry.metric == metric),
        whole,
        part,
        what_if,
    })
}

type Axes = Memo<(Axis, Fractions)>;

#[component]
fn CdfPane(
    plot: Memo<Option<Arc<Plot>>>,
    axes: Axes,
    stops: Memo<Stops>,
    stop: Memo<Option<Stop>>,
    hover: RwSignal<Option<f64>>,
) -> impl IntoView {
    let view = expect_context::<View>();
    let size = RwSignal::new((0.0, 0.0));
    let layout = Memo::new(move |_| {
        let (width, height) = size.get();
        plot.get().map(|plot| CdfLayout::new(&plot.cdf(), axes.get(), width, height))
    });
    let label = Signal::derive(move || plot.get().map_or(String::new(), |plot| cdf_figure_summary(&plot.cdf())));
    let paint = move |sheet: &Sheet| {
        let (axis, fractions) = axes.get();
        let drawn =
            plot.get().map_or(Ok(()), |plot| draw_cdf_of(&sheet.area, &plot.cdf(), &sheet.look(axis, fractions)));
        mark("fidelio:cdf-drawn");
        drawn
    };
    let on_move = move |event: PointerEvent| {
        if let (Some(layout), Some(row)) = (layout.get_untracked(), place(&event).map(|(_, row)| row)) {
            hover.set(Some(layout.fraction(row)));
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let here = stop.get_untracked().map(|stop| stop.fraction);
        if event.key() == "Escape" && here.is_some() {
            event.prevent_default();
            hover.set(None);
            view.state.update(|state| state.cursor = None);
        } else if let Some(next) = stops.with_untracked(|stops| stops.after_key(&event.key(), event.shift_key(), here))
        {
            event.prevent_default();
            hover.set(None);
            pin(view, next);
        }
    };
    let marks = move || {
        let (layout, stop) = (layout.get()?, stop.get()?);
        let row = layout.row(stop.fraction);
        let (real, sim) = (layout.times.pixel(stop.real_ns.as_f64()), layout.times.pixel(stop.sim_ns.as_f64()));
        Some(view! {
            <line x1=layout.left x2=layout.right y1=row y2=row/>
            <circle class="real" cx=real cy=row r="5"/>
            <circle class="sim" cx=sim cy=row r="5"/>
        })
    };
    view! {
        <Figure name="cdf" label size paint paper=FIGURE_SIZE.1>
            <div
                class="cursor-ground"
                data-testid="cdf-cursor"
                role="slider"
                tabindex="0"
                aria-label="Quantile cursor"
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=move || stop.get().map_or(50.0, |stop| stop.fraction * 100.0).to_string()
                aria-valuetext=move || stop.get().map_or("no quantile".to_owned(), |stop| stop.words())
                on:pointermove=on_move
                on:pointerleave=move |_| hover.set(None)
                on:click=move |_| if let Some(stop) = stop.get_untracked() { pin(view, stop) }
                on:keydown=on_key
            >
                <svg class="cursor" aria-hidden="true">{marks}</svg>
            </div>
        </Figure>
    }
}

#[component]
fn ShiftPane(
    plot: Memo<Option<Arc<Plot>>>,
    axes: Axes,
    stop: Memo<Option<Stop>>,
    hover: RwSignal<Option<f64>>,
) -> impl IntoView {
    let view = expect_context::<View>();
    let size = RwSignal::new((0.0, 0.0));
    let layout = Memo::new(move |_| {
        let (width, height) = size.get();
        plot.get()?.shift().map(|figure| ShiftLayout::new(&figure, axes.get().1, width, height))
    });
    let summary = move || plot.get()?.shift().map(|figure| shift_figure_summary(&figure));
    let label = Signal::derive(move || summary().unwrap_or_default());
    let paint = move |sheet: &Sheet| {
        let look = sheet.look(Axis::Linear, axes.get().1);
        let Some(plot) = plot.get() else { return Ok(()) };
        plot.shift().map_or(Ok(()), |figure| draw_shift_of(&sheet.area, &figure, &look))
    };
    let on_move = move |event: PointerEvent| {
        if let (Some(layout), Some((column, _))) = (layout.get_untracked(), place(&event)) {
            hover.set(Some(layout.fraction(column)));
        }
    };
    let marks = move || {
        let (layout, stop) = (layout.get()?, stop.get()?);
        let column = layout.column(stop.fraction);
        let row = layout.shifts.pixel((stop.sim_ns - stop.real_ns).as_f64());
        Some(view! {
            <line x1=column x2=column y1=layout.top y2=layout.bottom/>
            <circle class="sim" cx=column cy=row r="5"/>
        })
    };
    view! {
        <Figure name="shift" label size paint paper=SHIFT_FIGURE_SIZE.1>
            // The keyboard's way to the cursor is in the figure above: one cursor, one control.
            <div
                class="cursor-ground"
                aria-hidden="true"
                data-testid="shift-cursor"
                on:pointermove=on_move
                on:pointerleave=move |_| hover.set(None)
                on:click=move |_| if let Some(stop) = stop.get_untracked() { pin(view, stop) }
            >
                <svg class="cursor">{marks}</svg>
            </div>
        </Figure>
    }
}

/// Keeps the cursor where it is, in the link too.
fn pin(view: View, stop: Stop) {
    view.state.update(|state| state.cursor = Some((stop.fraction * 1e6).round() as u32));
}

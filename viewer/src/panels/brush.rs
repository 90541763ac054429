//! A brush above a figure: drag to take a part of an axis, move its ends by mouse, finger or arrow keys.

use fidelio_shared::charts::StripLayout;
use leptos::html::Div;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent};

/// Where values lie on the figure below, and which there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Track {
    /// Values to pixels and back.
    pub layout: StripLayout,
    /// The first value.
    pub from: f64,
    /// The last value.
    pub to: f64,
}

impl Track {
    fn pixel(&self, value: f64) -> f64 {
        self.layout.column(value.clamp(self.from, self.to))
    }

    fn value(&self, pixel: f64) -> f64 {
        self.layout.value(pixel).clamp(self.from, self.to)
    }

    /// The value a share of the axis away: equal keys are equal ways on the screen, whatever the axis.
    fn moved(&self, value: f64, share: f64) -> f64 {
        let length = self.pixel(self.to) - self.pixel(self.from);
        self.value(self.pixel(value) + share * length)
    }
}

/// Told of every change, `None` for all.
type OnChange = Box<dyn Fn(Option<(f64, f64)>)>;

/// Which end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    From,
    To,
}

/// Moves and is taken: `range` is what is taken, in values of the track; `on_change` is told of another, `None` for all.
#[component]
pub fn Brush(
    /// Test id.
    name: &'static str,
    /// What the axis is, for those who cannot see it: `arrival`.
    label: &'static str,
    /// Where values lie; `None` while the figure has no size.
    #[prop(into)]
    track: Signal<Option<Track>>,
    /// What is taken.
    #[prop(into)]
    range: Signal<Option<(f64, f64)>>,
    /// Words of a value.
    words: fn(f64) -> String,
    /// Told of every change.
    on_change: impl Fn(Option<(f64, f64)>) + Clone + 'static,
) -> impl IntoView {
    let ground = NodeRef::<Div>::new();
    let drag = RwSignal::new(None::<f64>);
    let column = move |event: &PointerEvent| {
        ground.get_untracked().map(|ground| f64::from(event.client_x()) - ground.get_bounding_client_rect().left())
    };
    let ends = move || {
        let track = track.get()?;
        Some((track, range.get().unwrap_or((track.from, track.to))))
    };
    let dragged = {
        let on_change = on_change.clone();
        move |from: f64, event: &PointerEvent| {
            let (Some(track), Some(here)) = (track.get_untracked(), column(event)) else { return };
            let (a, b) = (track.value(from), track.value(here));
            // A click is no range: it lets go of what was taken.
            on_change(((here - from).abs() >= 3.0).then_some((a.min(b), a.max(b))));
        }
    };
    let on_down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        event.prevent_default();
        drag.set(column(&event));
        if let Some(ground) = ground.get_untracked() {
            let _ = ground.set_pointer_capture(event.pointer_id());
        }
    };
    let on_move = {
        let dragged = dragged.clone();
        move |event: PointerEvent| {
            if let Some(from) = drag.get_untracked() {
                dragged(from, &event);
            }
        }
    };
    let on_up = move |event: PointerEvent| {
        if let Some(from) = drag.get_untracked() {
            drag.set(None);
            dragged(from, &event);
        }
    };
    // Left and width of what is taken, in pixels.
    let taken = move || {
        let (track, (from, to)) = ends().filter(|_| range.get().is_some())?;
        Some((track.pixel(from), track.pixel(to) - track.pixel(from)))
    };
    let handle = move |end: End, on_change: OnChange| {
        view! { <Handle name label end ends=Signal::derive(ends) words on_change/> }
    };
    let handles = [End::From, End::To].map(|end| handle(end, Box::new(on_change.clone()))).collect_view();
    view! {
        <div
            class="brush"
            class:dragging=move || drag.get().is_some()
            data-testid=name
            node_ref=ground
            on:pointerdown=on_down
            on:pointermove=on_move
            on:pointerup=on_up
            on:pointercancel=move |_| drag.set(None)
        >
            <div
                class="brush-range"
                class:hidden=move || taken().is_none()
                style:left=move || taken().map(|(left, _)| format!("{left:.1}px"))
                style:width=move || taken().map(|(_, width)| format!("{width:.1}px"))
            ></div>
            {handles}
        </div>
    }
}

/// One end, which the keyboard moves.
#[component]
fn Handle(
    name: &'static str,
    label: &'static str,
    end: End,
    #[prop(into)] ends: Signal<Option<(Track, (f64, f64))>>,
    words: fn(f64) -> String,
    on_change: OnChange,
) -> impl IntoView {
    let value = move || ends.get().map(|(_, (from, to))| if end == End::From { from } else { to });
    let key = if end == End::From { "from" } else { "to" };
    let on_key = move |event: KeyboardEvent| {
        let Some((track, (from, to))) = ends.get_untracked() else { return };
        let here = if end == End::From { from } else { to };
        let there = match event.key().as_str() {
            "ArrowLeft" | "ArrowDown" => track.moved(here, -0.01),
            "ArrowRight" | "ArrowUp" => track.moved(here, 0.01),
            "PageDown" => track.moved(here, -0.1),
            "PageUp" => track.moved(here, 0.1),
            "Home" => track.from,
            "End" => track.to,
            "Escape" | "Delete" => {
                event.prevent_default();
                on_change(None);
                return;
            }
            _ => return,
        };
        event.prevent_default();
        let (from, to) = if end == End::From { (there.min(to), to) } else { (from, there.max(from)) };
        on_change((from > track.from || to < track.to).then_some((from, to)));
    };
    let track = move || ends.get().map(|(track, _)| track);
    view! {
        <div
            class="brush-handle"
            data-testid=format!("{name}-{key}")
            role="slider"
            tabindex="0"
            aria-label=format!("{label}, {key}")
            aria-valuemin=move || track().map_or(0.0, |track| track.from.floor()).to_string()
            aria-valuemax=move || track().map_or(0.0, |track| track.to.ceil()).to_string()
            aria-valuenow=move || value().unwrap_or(0.0).round().to_string()
            aria-valuetext=move || value().map_or(String::new(), words)
            class:hidden=move || ends.get().is_none()
            style:left=move || track().zip(value()).map(|(track, value)| format!("{:.1}px", track.pixel(value)))
            on:keydown=on_key
        ></div>
    }
}

#[cfg(test)]
mod tests {
    use fidelio_shared::charts::{Counted, StripLayout};
    use fidelio_shared::explore::answers::Histogram;

    use super::Track;

    fn track(edges: Vec<f64>, of: Counted) -> Track {
        let (from, to) = (edges[0], edges[edges.len() - 1]);
        let histogram = Histogram { counts: vec![1; edges.len() - 1], edges };
        Track { layout: StripLayout::of_histogram(&histogram, of, 700.0, 96.0), from, to }
    }

    #[test]
    fn a_track_goes_both_ways_and_stops_at_its_ends() {
        for track in [track(vec![0.0, 3e9, 12e9], Counted::Arrivals), track(vec![1.0, 4096.0], Counted::PromptTokens)] {
            for value in [track.from, (track.from + track.to) / 2.0, track.to] {
                assert!((track.value(track.pixel(value)) - value).abs() < 1e-6 * track.to);
            }
            assert_eq!((track.value(-9.0), track.value(1e4)), (track.from, track.to));
            assert!(track.moved(track.from, 0.1) > track.from && track.moved(track.to, 0.1) == track.to);
        }
    }
}

//! A window on a stretch of time, and the ground above a figure on which it is moved: drag to zoom in, keys, the wheel.

use leptos::html::Div;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent, WheelEvent};

use crate::panels::figure::place;

/// The least that is shown, ns.
const LEAST: f64 = 1_000.0;
/// A drag over fewer pixels is a click.
const CLICK: f64 = 4.0;

/// A stretch of time and the window of it that is shown, ns; without one, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// All there is.
    pub whole: (u64, u64),
    /// What is shown of it.
    pub window: Option<(u64, u64)>,
}

impl Extent {
    /// What is shown.
    pub fn shown(self) -> (u64, u64) {
        self.window.unwrap_or(self.whole)
    }

    /// The window `factor` times as long around an instant that stays where it is; `None` is the whole.
    pub fn zoomed(self, about: u64, factor: f64) -> Option<(u64, u64)> {
        let (from, to) = (self.shown().0 as f64, self.shown().1 as f64);
        let about = (about as f64).clamp(from, to);
        let share = if to > from { (about - from) / (to - from) } else { 0.5 };
        let span = ((to - from) * factor).max(LEAST);
        self.fitted(about - share * span, about + (1.0 - share) * span)
    }

    /// The window moved by a share of its length.
    pub fn moved(self, share: f64) -> Option<(u64, u64)> {
        let (from, to) = (self.shown().0 as f64, self.shown().1 as f64);
        let by = (to - from) * share;
        self.fitted(from + by, to + by)
    }

    /// The window between two instants, in whichever order.
    pub fn between(self, a: u64, b: u64) -> Option<(u64, u64)> {
        let (from, to) = (a.min(b) as f64, a.max(b) as f64);
        self.fitted(from, to.max(from + LEAST))
    }

    /// The window moved just so far that an instant is in it.
    pub fn showing(self, instant: u64) -> Option<(u64, u64)> {
        let (from, to) = self.shown();
        let air = (to - from) / 20;
        match instant {
            early if early < from + air => self.fitted_at(early.saturating_sub(air), to - from),
            late if late + air > to => self.fitted_at((late + air).saturating_sub(to - from), to - from),
            _ => self.window,
        }
    }

    /// Where a key leads; `None` for keys that lead nowhere.
    pub fn after_key(self, key: &str, is_shifted: bool, about: Option<u64>) -> Option<Option<(u64, u64)>> {
        let (from, to) = self.shown();
        let about = about.unwrap_or(from + (to - from) / 2);
        match key {
            "+" | "=" => Some(self.zoomed(about, 0.5)),
            "-" | "_" => Some(self.zoomed(about, 2.0)),
            "0" => Some(None),
            "ArrowLeft" if is_shifted => Some(self.moved(-0.2)),
            "ArrowRight" if is_shifted => Some(self.moved(0.2)),
            _ => None,
        }
    }

    fn fitted_at(self, from: u64, span: u64) -> Option<(u64, u64)> {
        self.fitted(from as f64, from as f64 + span as f64)
    }

    /// A window of the same length inside the whole.
    fn fitted(self, from: f64, to: f64) -> Option<(u64, u64)> {
        let (first, last) = (self.whole.0 as f64, self.whole.1 as f64);
        let span = (to - from).min(last - first);
        let from = from.clamp(first, last - span);
        let window = (from.round() as u64, (from + span).round() as u64);
        (window.0 > self.whole.0 || window.1 < self.whole.1).then_some(window)
    }
}

/// What can be done above a figure whose columns are instants.
#[derive(Clone, Copy)]
pub struct Moves {
    /// Instant at a pixel column.
    pub instant: Callback<f64, Option<u64>>,
    /// Another window is wanted; `None` is the whole.
    pub on_window: Callback<Option<(u64, u64)>>,
    /// The pointer is at a (column, row), or has left.
    pub on_hover: Callback<Option<(f64, f64)>>,
    /// A key that moves no window; true when it meant something.
    pub on_key: Callback<String, bool>,
    /// What keys zoom around.
    pub about: Signal<Option<u64>>,
}

/// The ground. The wheel zooms when the figure has the focus, or Ctrl is held: else the page scrolls.
#[component]
pub fn Ground(
    /// Test id.
    name: &'static str,
    /// What it is, for those who cannot see it.
    label: &'static str,
    /// What is shown, of what.
    #[prop(into)]
    extent: Signal<Option<Extent>>,
    /// What is read off now.
    #[prop(into)]
    words: Signal<String>,
    /// What can be done.
    moves: Moves,
    /// What is drawn above the figure.
    children: Children,
) -> impl IntoView {
    let ground = NodeRef::<Div>::new();
    let drag = RwSignal::new(None::<(f64, f64)>);
    let on_down = move |event: PointerEvent| {
        if event.button() == 0
            && let Some((column, _)) = place(&event)
        {
            drag.set(Some((column, column)));
            if let Some(ground) = ground.get_untracked() {
                let _ = ground.set_pointer_capture(event.pointer_id());
            }
        }
    };
    let on_move = move |event: PointerEvent| {
        let here = place(&event);
        moves.on_hover.run(here);
        if let (Some((from, _)), Some((column, _))) = (drag.get_untracked(), here) {
            drag.set(Some((from, column)));
        }
    };
    let on_up = move |_: PointerEvent| {
        let Some((a, b)) = drag.get_untracked() else { return };
        drag.set(None);
        let ends = moves.instant.run(a).zip(moves.instant.run(b));
        if let (true, Some((a, b)), Some(extent)) = ((a - b).abs() >= CLICK, ends, extent.get_untracked()) {
            moves.on_window.run(extent.between(a, b));
        }
    };
    let on_wheel = move |event: WheelEvent| {
        let has_focus = document().active_element().is_some_and(|element| {
            ground.get_untracked().is_some_and(|ground| element.is_same_node(Some(ground.as_ref())))
        });
        let left = ground.get_untracked().map(|ground| ground.get_bounding_client_rect().left());
        let about = left.and_then(|left| moves.instant.run(f64::from(event.client_x()) - left));
        if let (true, Some(about), Some(extent)) = (has_focus || event.ctrl_key(), about, extent.get_untracked()) {
            event.prevent_default();
            moves.on_window.run(extent.zoomed(about, (event.delta_y() / 400.0).clamp(-1.0, 1.0).exp()));
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let Some(extent) = extent.get_untracked() else { return };
        match extent.after_key(&event.key(), event.shift_key(), moves.about.get_untracked()) {
            Some(window) => {
                event.prevent_default();
                moves.on_window.run(window);
            }
            None if moves.on_key.run(event.key()) => event.prevent_default(),
            None => {}
        }
    };
    let taken = move || drag.get().filter(|(a, b)| (a - b).abs() >= CLICK).map(|(a, b)| (a.min(b), (a - b).abs()));
    let share = move || {
        let (extent, about) = (extent.get()?, moves.about.get()?);
        let (from, to) = extent.whole;
        Some(about.saturating_sub(from) as f64 / (to - from).max(1) as f64 * 100.0)
    };
    view! {
        <div
            class="cursor-ground"
            data-testid=name
            node_ref=ground
            role="slider"
            tabindex="0"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || format!("{:.2}", share().unwrap_or(0.0).clamp(0.0, 100.0))
            aria-valuetext=move || words.get()
            on:pointerdown=on_down
            on:pointermove=on_move
            on:pointerup=on_up
            on:pointercancel=move |_| drag.set(None)
            on:pointerleave=move |_| moves.on_hover.run(None)
            on:wheel=on_wheel
            on:keydown=on_key
        >
            <div
                class="brush-range"
                class:hidden=move || taken().is_none()
                style:left=move || taken().map(|(left, _)| format!("{left:.1}px"))
                style:width=move || taken().map(|(_, width)| format!("{width:.1}px"))
            ></div>
            {children()}
        </div>
    }
}

/// The way back to the whole, and what is shown of it.
#[component]
pub fn Shown(
    /// Test id of the button.
    name: &'static str,
    /// What is shown, of what.
    #[prop(into)]
    extent: Signal<Option<Extent>>,
    /// Words of the window.
    words: fn((u64, u64)) -> String,
    /// Another window is wanted.
    on_window: Callback<Option<(u64, u64)>>,
) -> impl IntoView {
    let zoom = move |factor: f64| {
        if let Some(extent) = extent.get_untracked() {
            let (from, to) = extent.shown();
            on_window.run(extent.zoomed(from + (to - from) / 2, factor));
        }
    };
    let is_whole = move || extent.get().is_none_or(|extent| extent.window.is_none());
    view! {
        <span class="zoom">
            <span>{move || extent.get().map(|extent| words(extent.shown()))}</span>
            <span class="choice" role="group" aria-label="Zoom">
                <button type="button" aria-label="Zoom in" title="Zoom in (+)" on:click=move |_| zoom(0.5)>"+"</button>
                <button type="button" aria-label="Zoom out" title="Zoom out (−)" disabled=is_whole on:click=move |_| zoom(2.0)>"−"</button>
                <button type="button" data-testid=name title="Show all (0)" disabled=is_whole on:click=move |_| on_window.run(None)>"All"</button>
            </span>
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Extent = Extent { whole: (1_000_000, 9_000_000), window: None };

    #[test]
    fn zooming_keeps_the_instant_it_is_about_in_its_place() {
        assert_eq!(ALL.zoomed(3_000_000, 0.5), Some((2_000_000, 6_000_000)));
        let part = Extent { window: Some((2_000_000, 6_000_000)), ..ALL };
        assert_eq!(part.zoomed(3_000_000, 2.0), None, "out again");
        assert_eq!(part.zoomed(2_000_000, 1e-9), Some((2_000_000, 2_001_000)), "never nothing");
    }

    #[test]
    fn a_window_never_leaves_the_whole() {
        let part = Extent { window: Some((2_000_000, 6_000_000)), ..ALL };
        assert_eq!(part.moved(-5.0), Some((1_000_000, 5_000_000)));
        assert_eq!(part.moved(5.0), Some((5_000_000, 9_000_000)));
        assert_eq!(ALL.between(20_000_000, 8_000_000), None, "all of it");
        assert_eq!(ALL.between(7_000_000, 5_000_000), Some((5_000_000, 7_000_000)));
        let point = Extent { whole: (5, 5), window: None };
        assert_eq!((point.zoomed(5, 0.5), point.moved(1.0)), (None, None));
    }

    #[test]
    fn keys_zoom_move_and_reset() {
        let part = Extent { window: Some((2_000_000, 6_000_000)), ..ALL };
        assert_eq!(part.after_key("0", false, None), Some(None));
        assert_eq!(part.after_key("+", false, Some(2_000_000)), Some(Some((2_000_000, 4_000_000))));
        assert_eq!(part.after_key("ArrowRight", true, None), Some(Some((2_800_000, 6_800_000))));
        assert_eq!(part.after_key("ArrowRight", false, None), None);
        assert_eq!(part.showing(8_000_000), Some((4_200_000, 8_200_000)));
        assert_eq!(part.showing(4_000_000), part.window);
    }
}

//! The CDF on a canvas: the drawing of `shared::charts`, sharp at any pixel ratio, in the page's colours.

use fidelio_shared::charts::{Axis, FONT_FAMILY, Lettering, Look, Theme, cdf_summary, draw_cdf};
use fidelio_shared::schema::comparison::MetricComparison;
use leptos::html::Canvas;
use leptos::prelude::*;
use plotters::prelude::IntoDrawingArea;
use plotters_canvas::CanvasBackend;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlCanvasElement;

use crate::app::View;

/// The figure of the chosen metric; the table beneath it is its twin.
#[component]
pub fn CdfChart(entry: Memo<Option<MetricComparison>>) -> impl IntoView {
    let view = expect_context::<View>();
    let canvas = NodeRef::<Canvas>::new();
    let is_dark = dark_mode();
    // Counts what a drawing depends on and no signal tells: the window's size and the font's arrival.
    let redraw = RwSignal::new(0u32);
    let resized = window_event_listener(leptos::ev::resize, move |_| redraw.update(|count| *count += 1));
    on_cleanup(move || resized.remove());
    leptos::task::spawn_local(async move {
        if let Some(document) = web_sys::window().and_then(|window| window.document()) {
            let font = document.fonts().load(&format!("12px {FONT_FAMILY}"));
            let _ = JsFuture::from(font).await;
            let _ = redraw.try_update(|count| *count += 1);
        }
    });
    Effect::new(move |_| {
        redraw.track();
        let theme = if is_dark.get() { Theme::DARK } else { Theme::LIGHT };
        if let (Some(canvas), Some(entry)) = (canvas.get(), entry.get()) {
            draw(&canvas, &entry, theme, view.axis.get());
        }
    });
    view! {
        <figure class="chart">
            <canvas
                node_ref=canvas
                role="img"
                data-testid="cdf"
                aria-label=move || entry.get().map(|entry| cdf_summary(&entry))
            ></canvas>
        </figure>
    }
}

fn draw(canvas: &HtmlCanvasElement, metric: &MetricComparison, theme: Theme, axis: Axis) {
    let shown = canvas.get_bounding_client_rect();
    if shown.width() < 1.0 || shown.height() < 1.0 {
        return;
    }
    // plotters rounds to whole pixels: with at least two to each of the page's, curves stay smooth.
    let ratio = window().device_pixel_ratio().max(2.0);
    canvas.set_width((shown.width() * ratio).round() as u32);
    canvas.set_height((shown.height() * ratio).round() as u32);
    let Some(backend) = CanvasBackend::with_canvas_object(canvas.clone()) else { return };
    let area = backend.into_drawing_area();
    let look = Look { axis, ..Look::new(theme, ratio, Lettering::CANVAS) };
    if let Err(error) = draw_cdf(&area, metric, &look) {
        leptos::logging::error!("the chart could not be drawn: {error}");
    }
}

/// Follows the system's light or dark mode.
fn dark_mode() -> RwSignal<bool> {
    let is_dark = RwSignal::new(false);
    let Ok(Some(query)) = window().match_media("(prefers-color-scheme: dark)") else { return is_dark };
    is_dark.set(query.matches());
    let follow = Closure::<dyn FnMut()>::new({
        let query = query.clone();
        move || {
            let _ = is_dark.try_set(query.matches());
        }
    });
    let _ = query.add_event_listener_with_callback("change", follow.as_ref().unchecked_ref());
    let listener = StoredValue::new_local((query, follow));
    on_cleanup(move || {
        listener.with_value(|(query, follow)| {
            let _ = query.remove_event_listener_with_callback("change", follow.as_ref().unchecked_ref());
        });
    });
    is_dark
}

//! A figure: one drawing of `shared::charts` on a canvas, sharp at any pixel ratio and in the page's colours, and above
//! it whatever moves (cursors, brushes), which need not draw it again.

use std::rc::Rc;
use std::time::Duration;

use fidelio_shared::charts::{Area, Axis, Drawn, Fractions, Lettering, Look, Theme};
use leptos::html::Canvas;
use leptos::prelude::*;
use plotters_canvas::CanvasBackend;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, HtmlCanvasElement, PointerEvent, ResizeObserver};

use crate::app::View;
use crate::panels::export::{Export, PAPER_WIDTH};

/// A canvas or a document, ready to be drawn on.
pub struct Sheet<'a> {
    /// All of it.
    pub area: Area<'a>,
    theme: Theme,
    scale: f64,
    text: Lettering,
}

impl<'a> Sheet<'a> {
    /// All of `area`, in the theme, at the scale and with the lettering of `look`.
    pub fn new(area: Area<'a>, look: &Look) -> Self {
        Sheet { area, theme: look.theme, scale: look.scale, text: look.text }
    }

    /// All of a canvas, with `scale` of its pixels to a logical one.
    pub fn of_canvas(canvas: HtmlCanvasElement, theme: Theme, scale: f64) -> Option<Self> {
        Some(Sheet {
            area: Area::of(CanvasBackend::with_canvas_object(canvas)?),
            theme,
            scale,
            text: Lettering::CANVAS,
        })
    }

    /// How to draw on it.
    pub fn look(&self, axis: Axis, fractions: Fractions) -> Look {
        Look { theme: self.theme, axis, fractions, scale: self.scale, text: self.text }
    }

    /// How to draw what has no axis to choose.
    pub fn plain(&self) -> Look {
        self.look(Axis::Linear, Fractions::Even)
    }
}

/// A figure. `paint` draws it, again whenever a signal that it reads changes; `size` tells its width and height in
/// the page's pixels, for what lies above it; `label` is its text summary.
#[component]
pub fn Figure(
    /// Test id, and class of its height.
    name: &'static str,
    /// What it shows, in words.
    #[prop(into)]
    label: Signal<String>,
    /// Told when the figure's size changes.
    size: RwSignal<(f64, f64)>,
    /// Draws it.
    paint: impl Fn(&Sheet) -> Drawn + 'static,
    /// Height on paper, logical pixels; else that on the page.
    #[prop(optional)]
    paper: Option<u32>,
    /// What lies above it.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let view = expect_context::<View>();
    let canvas = NodeRef::<Canvas>::new();
    observe(canvas, size);
    let paint = Rc::new(paint);
    let paper = Signal::derive(move || (PAPER_WIDTH, paper.unwrap_or_else(|| (size.get().1.round() as u32).max(80))));
    view.sharing.offer(Export { name, label, paper, paint: paint.clone() });
    Effect::new(move |_| {
        // A canvas does not draw itself again when its font comes.
        view.has_fonts.track();
        let (theme, size) = (view.theme.get(), size.get());
        if let Some(sheet) = canvas.get().and_then(|canvas| sheet(&canvas, size, theme))
            && let Err(error) = paint(&sheet)
        {
            leptos::logging::error!("the figure could not be drawn: {error}");
        }
    });
    view! {
        <figure class=format!("figure {name}")>
            <canvas node_ref=canvas role="img" data-testid=name aria-label=move || label.get()></canvas>
            {children.map(|children| children())}
        </figure>
    }
}

/// Where an event happened, in pixels of the element that hears it.
pub fn place(event: &PointerEvent) -> Option<(f64, f64)> {
    let ground = event.current_target()?.dyn_into::<Element>().ok()?.get_bounding_client_rect();
    Some((f64::from(event.client_x()) - ground.left(), f64::from(event.client_y()) - ground.top()))
}

fn sheet(canvas: &HtmlCanvasElement, (width, height): (f64, f64), theme: Theme) -> Option<Sheet<'static>> {
    if width < 1.0 || height < 1.0 {
        return None;
    }
    // plotters rounds to whole pixels: with at least two to each of the page's, curves stay smooth.
    let scale = window().device_pixel_ratio().max(2.0);
    canvas.set_width((width * scale).round() as u32);
    canvas.set_height((height * scale).round() as u32);
    Sheet::of_canvas(canvas.clone(), theme, scale)
}

/// Keeps `size` at the canvas's size. The browser tells of it when it has laid the page out, and each figure is then drawn
/// in a task of its own: together they would hold up the page.
fn observe(canvas: NodeRef<Canvas>, size: RwSignal<(f64, f64)>) {
    let observer = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn FnMut()>)>);
    Effect::new(move |_| {
        let Some(canvas) = canvas.get() else { return };
        let measured = canvas.clone();
        let measure = move || {
            let shown = measured.get_bounding_client_rect();
            if size.try_get_untracked().is_some_and(|known| known != (shown.width(), shown.height())) {
                let _ = size.try_set((shown.width(), shown.height()));
            }
        };
        let on_resize = Closure::<dyn FnMut()>::new(move || set_timeout(measure.clone(), Duration::ZERO));
        if let Ok(resize) = ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
            resize.observe(&canvas);
            observer.set_value(Some((resize, on_resize)));
        }
    });
    on_cleanup(move || {
        observer.with_value(|observer| {
            if let Some((resize, _)) = observer {
                resize.disconnect();
            }
        });
    });
}

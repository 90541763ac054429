//! What the page hands out: texts to the clipboard, files to the downloads, figures drawn again for paper.

use std::rc::Rc;
use std::time::Duration;

use fidelio_shared::charts::{
    self, Axis, Drawn, Fractions, PROVENANCE_HEIGHT, Theme, draw_with_provenance, svg_without_font, with_font,
};
use js_sys::{Array, Function, Promise, Reflect};
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, HtmlCanvasElement, Url};

use crate::app::View;
use crate::panels::figure::Sheet;
use crate::panels::metrics::Shown;
use crate::session::Session;
use crate::share::figure::with_words;
use crate::share::provenance::Origin;

/// Width of figures on paper, in logical pixels.
pub const PAPER_WIDTH: u32 = 860;

/// A figure of the page that can leave it.
#[derive(Clone)]
pub struct Export {
    /// Its test id, and a part of its files' names.
    pub name: &'static str,
    /// Its text summary.
    pub label: Signal<String>,
    /// Width and height on paper, logical pixels.
    pub paper: Signal<(u32, u32)>,
    /// Draws it.
    pub paint: Rc<Paint>,
}

/// Draws on a sheet; the error is for the console.
pub type Paint = dyn Fn(&Sheet) -> Drawn;

/// What can be shared now, and what was just done about it.
#[derive(Clone, Copy)]
pub struct Sharing {
    /// The dialog is open.
    pub is_open: RwSignal<bool>,
    /// What was just done, for everybody to see.
    pub note: RwSignal<String>,
    /// A text that the browser did not let us copy: the reader does.
    pub manual: RwSignal<Option<String>>,
    /// Figures on the page, in the order they came.
    pub figures: RwSignal<Vec<Export>, LocalStorage>,
    /// The metric shown, and of which bundle.
    pub shown: RwSignal<Option<(Session, Shown)>>,
}

impl Sharing {
    /// Nothing yet.
    pub fn new() -> Self {
        Sharing {
            is_open: RwSignal::new(false),
            note: RwSignal::new(String::new()),
            manual: RwSignal::new(None),
            figures: RwSignal::new_local(Vec::new()),
            shown: RwSignal::new(None),
        }
    }

    /// A figure can leave the page until the owner of now is gone.
    pub fn offer(self, figure: Export) {
        let paint = Rc::as_ptr(&figure.paint).cast::<()>() as usize;
        self.figures.update(|figures| figures.push(figure));
        on_cleanup(move || {
            let _ = self.figures.try_update(|figures| {
                figures.retain(|one| Rc::as_ptr(&one.paint).cast::<()>() as usize != paint);
            });
        });
    }
}

/// Says what was done, aloud and visibly.
pub fn tell(view: View, note: impl Into<String>) {
    let note = note.into();
    view.sharing.note.set(note.clone());
    view.say(note);
}

/// Puts `text` on the clipboard, or where the reader can copy it when the browser does not allow that.
pub fn copy(view: View, text: String, what: &'static str) {
    view.sharing.manual.set(None);
    leptos::task::spawn_local(async move {
        let clipboard = window().navigator().clipboard();
        // Browsers leave it out of pages that came over plain http.
        let is_there = !JsValue::from(clipboard.clone()).is_undefined();
        if is_there && JsFuture::from(clipboard.write_text(&text)).await.is_ok() {
            tell(view, format!("{what} copied"));
        } else {
            view.sharing.manual.set(Some(text));
            view.sharing.is_open.set(true);
            tell(view, "The browser does not let this page copy: the text is selected, press Ctrl C");
        }
    });
}

/// Hands a text out as a file.
pub fn save_text(view: View, name: &str, mime: &str, text: &str) {
    let options = BlobPropertyBag::new();
    options.set_type(mime);
    if let Ok(blob) = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &options) {
        save(view, name, &blob);
    }
}

fn save(view: View, name: &str, blob: &Blob) {
    let Ok(address) = Url::create_object_url_with_blob(blob) else { return };
    if let Ok(link) = document().create_element("a") {
        let link: HtmlAnchorElement = link.unchecked_into();
        link.set_href(&address);
        link.set_download(name);
        link.click();
    }
    // The download has begun long before.
    set_timeout(move || drop(Url::revoke_object_url(&address)), Duration::from_secs(60));
    tell(view, format!("{name} saved"));
}

/// Hands a figure out as SVG, on white, with the page's font inside.
pub fn save_svg(view: View, figure: &Export, name: String, origin: &Origin) {
    let short = origin.short_line();
    let sheet =
        charts::Sheet { provenance: Some(&short), ..charts::Sheet::new(Theme::LIGHT, figure.paper.get_untracked()) };
    let paint = Rc::clone(&figure.paint);
    let drawing = svg_without_font(&sheet, |area, look| untrack(|| paint(&Sheet::new(area.clone(), look))));
    let document = with_words(&drawing, &figure.label.get_untracked(), &origin.line());
    leptos::task::spawn_local(async move {
        let document = match font().await {
            Some(address) => with_font(&document, &address),
            None => document,
        };
        save_text(view, &name, "image/svg+xml", &document);
    });
}

/// The page's font as a data address; `None` when it does not come.
async fn font() -> Option<String> {
    let page = Reflect::get(&js_sys::global(), &"fidelio".into()).ok()?;
    let font: Function = Reflect::get(&page, &"font".into()).ok()?.dyn_into().ok()?;
    let address: Promise = font.call0(&page).ok()?.dyn_into().ok()?;
    JsFuture::from(address).await.ok()?.as_string()
}

/// Hands a figure out as PNG, on white, at `scale` pixels to a logical one.
pub fn save_png(view: View, figure: &Export, name: String, origin: &Origin, scale: u32) {
    let Some(canvas) = drawn(figure, &origin.short_line(), scale) else { return };
    // Browsers pack pictures when they have nothing better to do.
    tell(view, format!("{name} is on its way"));
    let on_blob = Closure::once_into_js(move |blob: Option<Blob>| {
        if let Some(blob) = blob {
            save(view, &name, &blob);
        }
    });
    let _ = canvas.to_blob(on_blob.unchecked_ref());
}

/// The figure on a canvas of its own, with its line of provenance.
fn drawn(figure: &Export, provenance: &str, scale: u32) -> Option<HtmlCanvasElement> {
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.unchecked_into();
    let (width, height) = figure.paper.get_untracked();
    canvas.set_width(width * scale);
    canvas.set_height((height + PROVENANCE_HEIGHT) * scale);
    let sheet = Sheet::of_canvas(canvas.clone(), Theme::LIGHT, f64::from(scale))?;
    let look = sheet.look(Axis::Linear, Fractions::Even);
    let paint = |area: &charts::Area, look: &charts::Look| untrack(|| (figure.paint)(&Sheet::new(area.clone(), look)));
    let drawn = draw_with_provenance(&sheet.area, Some(provenance), &look, paint);
    if let Err(error) = &drawn {
        leptos::logging::error!("{} could not be drawn: {error}", figure.name);
    }
    drawn.is_ok().then_some(canvas)
}

//! A panel that is folded until it is asked for; what is in it is made only then, and the link remembers it.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlDetailsElement;

use crate::app::View;
use crate::state::Panel;

/// A folded panel.
#[component]
pub fn Fold(
    /// Which.
    panel: Panel,
    /// Its heading.
    #[prop(into)]
    title: Signal<String>,
    /// What stands in the heading's line, to be read without unfolding.
    #[prop(optional, into)]
    note: MaybeProp<String>,
    /// What is inside.
    children: ChildrenFn,
) -> impl IntoView {
    let view = expect_context::<View>();
    let is_open = view.part(move |state| state.open.contains(&panel));
    let on_toggle = move |event: web_sys::Event| {
        if let Some(details) = event.target().and_then(|target| target.dyn_into::<HtmlDetailsElement>().ok()) {
            view.set_open(panel, details.open());
        }
    };
    view! {
        <details class="panel fold" data-testid=panel.key() prop:open=move || is_open.get() on:toggle=on_toggle>
            <summary><h2 class="fold-title">{move || title.get()}</h2>" "<span class="fold-note">{move || note.get()}</span></summary>
            {move || is_open.get().then(|| children())}
        </details>
    }
}

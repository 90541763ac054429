//! Colours of figures, by what the system says of its user's wishes: light or dark, more contrast or not.

use fidelio_shared::charts::Theme;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

/// The theme of now; follows when the wishes change.
pub fn follow() -> Signal<Theme> {
    let (is_dark, has_contrast) = (wish("(prefers-color-scheme: dark)"), wish("(prefers-contrast: more)"));
    Signal::derive(move || match (is_dark.get(), has_contrast.get()) {
        (false, false) => Theme::LIGHT,
        (true, false) => Theme::DARK,
        (false, true) => Theme::HIGH_CONTRAST_LIGHT,
        (true, true) => Theme::HIGH_CONTRAST_DARK,
    })
}

/// Whether a media query holds, now and later. Lives as long as the page.
fn wish(query: &str) -> RwSignal<bool> {
    let holds = RwSignal::new(false);
    let Ok(Some(query)) = window().match_media(query) else { return holds };
    holds.set(query.matches());
    let follow = Closure::<dyn FnMut()>::new({
        let query = query.clone();
        move || {
            let _ = holds.try_set(query.matches());
        }
    });
    let _ = query.add_event_listener_with_callback("change", follow.as_ref().unchecked_ref());
    follow.forget();
    holds
}

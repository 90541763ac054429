//! Colours of figures, by what the system says of its user's wishes: light or dark, more contrast or not.

use fidelio_shared::charts::{FONT_FAMILY, Theme};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::JsFuture;

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

/// True once the figures' font has come.
pub fn fonts() -> RwSignal<bool> {
    let loaded = RwSignal::new(false);
    leptos::task::spawn_local(async move {
        let font = document().fonts().load(&format!("12px {FONT_FAMILY}"));
        let _ = JsFuture::from(font).await;
        let _ = loaded.try_set(true);
    });
    loaded
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

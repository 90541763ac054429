//! What is open: one bundle by name, several by letter; choosing one, closing one.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::app::View;
use crate::session::{Session, Stage};
use crate::words::megabytes;

/// The letter of the bundle at `place`: A, B, …, Z, then numbers.
pub fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place @ 0..26) => char::from(b'A' + place).to_string(),
        _ => (place + 1).to_string(),
    }
}

/// The open bundles. Chips stay what they are while others come and go, and so does the keyboard's place among them.
#[component]
pub fn BundleBar() -> impl IntoView {
    let view = expect_context::<View>();
    let alone = Memo::new(move |_| match view.sessions.get().as_slice() {
        [only] => Some(*only),
        _ => None,
    });
    let chips = move || view.sessions.get().into_iter().map(|session| (session.id, session)).collect::<Vec<_>>();
    move || match alone.get() {
        Some(session) => view! { <Alone session/> }.into_any(),
        None => view! {
            <div class="bundles" role="group" aria-label="Open bundles" data-testid="bundles">
                <For each=chips key=|(id, _)| *id let:chip><Chip session=chip.1/></For>
            </div>
        }
        .into_any(),
    }
}

/// Closes a bundle. Whoever closed it by the keyboard stands on its neighbour then, not at the top of the page.
fn close(view: View, session: Session) {
    let place = untrack(|| view.place(session));
    view.close(session);
    let left = view.sessions.with_untracked(Vec::len);
    let id = match place.zip(left.checked_sub(1)) {
        Some((place, last)) if last > 0 => chip_id(view.sessions.with_untracked(|sessions| sessions[place.min(last)])),
        _ => "main".to_owned(),
    };
    request_animation_frame(move || {
        let element = document().get_element_by_id(&id).and_then(|found| found.dyn_into::<HtmlElement>().ok());
        let _ = element.map(|element| element.focus());
    });
}

fn chip_id(session: Session) -> String {
    format!("chip-{}", session.id)
}

#[component]
fn Alone(session: Session) -> impl IntoView {
    let size = move || session.opened().and_then(|opened| opened.num_bytes).map(megabytes);
    view! {
        <p class="file" data-testid="file-name">
            <span class="file-name">{session.name()}</span>
            <span class="file-size">{size}</span>
        </p>
    }
}

#[component]
fn Chip(session: Session) -> impl IntoView {
    let view = expect_context::<View>();
    let place = Memo::new(move |_| view.place(session).unwrap_or_default());
    let is_focused = Memo::new(move |_| view.focused() == Some(session));
    let state = move || match session.stage.get() {
        Stage::Opening(progress) => match progress.and_then(|progress| progress.share()) {
            Some(share) => format!("{:.0} %", share * 100.0),
            None => "…".to_owned(),
        },
        Stage::Failed(_) => "not opened".to_owned(),
        Stage::Open(_) => String::new(),
    };
    view! {
        <span class="chip" class:focused=move || is_focused.get()>
            <button
                type="button"
                id=chip_id(session)
                data-testid=move || format!("bundle-{}", letter(place.get()))
                aria-pressed=move || is_focused.get().to_string()
                title=session.name()
                on:click=move |_| view.state.update(|state| state.focus = place.get_untracked())
            ><strong>{move || letter(place.get())}</strong>" "<span class="file-name">{session.name()}</span>" "<em>{state}</em></button>
            <button
                type="button"
                class="close"
                data-testid=move || format!("close-{}", letter(place.get()))
                aria-label=format!("Close {}", session.name())
                on:click=move |_| close(view, session)
            >"×"</button>
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn bundles_are_lettered() {
        assert_eq!([0, 1, 25, 26].map(letter), ["A", "B", "Z", "27"]);
    }
}

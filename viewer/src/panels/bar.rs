//! What is open: one bundle by name, several by letter; choosing one, closing one.

use leptos::prelude::*;

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

/// The open bundles.
#[component]
pub fn BundleBar() -> impl IntoView {
    let view = expect_context::<View>();
    move || {
        let sessions = view.sessions.get();
        match sessions.as_slice() {
            [only] => view! { <Alone session=*only/> }.into_any(),
            _ => {
                let chips = sessions.into_iter().enumerate();
                let chips = chips.map(|(place, session)| view! { <Chip place session/> }).collect_view();
                view! { <div class="bundles" role="group" aria-label="Open bundles" data-testid="bundles">{chips}</div> }.into_any()
            }
        }
    }
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
fn Chip(place: usize, session: Session) -> impl IntoView {
    let view = expect_context::<View>();
    let is_focused = view.part(move |state| state.focus == place);
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
                data-testid=format!("bundle-{}", letter(place))
                aria-pressed=move || is_focused.get().to_string()
                title=session.name()
                on:click=move |_| view.state.update(|state| state.focus = place)
            ><strong>{letter(place)}</strong>" "<span class="file-name">{session.name()}</span>" "<em>{state}</em></button>
            <button
                type="button"
                class="close"
                data-testid=format!("close-{}", letter(place))
                aria-label=format!("Close {}", session.name())
                on:click=move |_| view.close(session)
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

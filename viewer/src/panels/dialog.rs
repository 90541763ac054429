//! A dialog: the browser's own, so that focus stays inside, Escape closes it, and focus goes back where it was.

use leptos::html::Dialog as DialogElement;
use leptos::prelude::*;
use web_sys::MouseEvent;

/// Opens while `is_open`; what is inside is made only then.
#[component]
pub fn Dialog(
    /// Test id, and the id of its heading.
    name: &'static str,
    /// Its heading.
    title: &'static str,
    /// Whether it is shown.
    is_open: RwSignal<bool>,
    /// What is inside.
    children: ChildrenFn,
) -> impl IntoView {
    let dialog = NodeRef::<DialogElement>::new();
    let shown = RwSignal::new(false);
    Effect::new(move |_| {
        let (Some(dialog), wanted) = (dialog.get(), is_open.get()) else { return };
        shown.set(wanted);
        match (wanted, dialog.open()) {
            (true, false) => {
                let _ = dialog.show_modal();
            }
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    // Only the ground around the card is the dialog itself.
    let on_ground = move |event: MouseEvent| {
        if event.target().is_some() && event.target() == event.current_target() {
            is_open.set(false);
        }
    };
    view! {
        <dialog
            node_ref=dialog
            class="dialog"
            data-testid=name
            aria-labelledby=format!("{name}-title")
            on:close=move |_| is_open.set(false)
            on:click=on_ground
        >
            <div class="dialog-card">
                <header class="dialog-head">
                    <h2 id=format!("{name}-title")>{title}</h2>
                    <button type="button" class="close" aria-label="Close" data-testid=format!("{name}-close") on:click=move |_| is_open.set(false)>"×"</button>
                </header>
                {move || shown.get().then(|| children())}
            </div>
        </dialog>
    }
}

//! The keys of the page: what listens to them, and the list that tells them.

use std::time::Duration;

use fidelio_shared::charts::{Axis, Fractions};
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::metrics::Metric;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

use crate::app::View;
use crate::keys::{self, Action};
use crate::panels::dialog::Dialog;
use crate::session::Session;
use crate::state::Panel;

/// The list of keys.
#[component]
pub fn Help() -> impl IntoView {
    let view = expect_context::<View>();
    view! {
        <Dialog name="help" title="Keys" is_open=view.is_help_open>
            <dl class="keys">
                {keys::LIST.into_iter().map(|(keys, what)| view! { <div><dt><kbd>{keys}</kbd></dt><dd>{what}</dd></div> }).collect_view()}
            </dl>
        </Dialog>
    }
}

/// Opens the list.
#[component]
pub fn HelpButton() -> impl IntoView {
    let view = expect_context::<View>();
    view! {
        <button
            class="button quiet round"
            type="button"
            aria-label="Keys"
            aria-haspopup="dialog"
            data-testid="keys"
            on:click=move |_| view.is_help_open.set(true)
        >"?"</button>
    }
}

/// From now on keys act.
pub fn listen_to_keys(view: View) {
    let _ = window_event_listener(leptos::ev::keydown, move |event: KeyboardEvent| {
        // Whatever is in front has its own keys; so has a control that has acted already.
        let is_behind = document().query_selector("dialog[open]").ok().flatten().is_some();
        if event.default_prevented() || is_behind {
            return;
        }
        let is_modified = event.ctrl_key() || event.meta_key() || event.alt_key();
        if let Some(action) = keys::action(&event.key(), is_modified, is_typing(&event))
            && act(view, action)
        {
            event.prevent_default();
        }
    });
}

fn is_typing(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| {
        matches!(target.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
            || target.unchecked_ref::<HtmlElement>().is_content_editable()
    })
}

/// Whether anything came of it.
fn act(view: View, action: Action) -> bool {
    let Some(opened) = untrack(|| view.focused().and_then(Session::opened)) else {
        // Without a bundle there is nothing else to do.
        if action == Action::Help {
            view.is_help_open.set(true);
        }
        return action == Action::Help;
    };
    match action {
        Action::Metric(place) => {
            let metric = opened.comparison.metrics.get(place).map(|entry| entry.metric);
            metric.is_some_and(|metric| {
                view.state.update(|state| state.metric = Some(metric));
                tell_metric(view, metric);
                true
            })
        }
        Action::Axis => {
            view.state.update(|state| state.axis = if state.axis == Axis::Log { Axis::Linear } else { Axis::Log });
            let is_log = view.state.with_untracked(|state| state.axis == Axis::Log);
            view.say(if is_log { "Times logarithmic" } else { "Times linear" });
            true
        }
        Action::Tail => {
            view.state.update(|state| {
                state.fractions = if state.fractions == Fractions::Tail { Fractions::Even } else { Fractions::Tail };
            });
            let is_tail = view.state.with_untracked(|state| state.fractions == Fractions::Tail);
            view.say(if is_tail { "Tail drawn out" } else { "Fractions even" });
            true
        }
        Action::Filter => {
            view.set_open(Panel::Requests, true);
            // The panel is made first.
            set_timeout(focus_filter, Duration::from_millis(60));
            true
        }
        Action::Clear => clear(view),
        Action::Share => {
            view.sharing.is_open.set(true);
            true
        }
        Action::Help => {
            view.is_help_open.set(true);
            true
        }
    }
}

fn tell_metric(view: View, metric: Metric) {
    view.say(format!("{}: {}", metric.label(), metric.meaning()));
}

fn focus_filter() {
    let filter = document().query_selector("[data-testid=request-filter]").ok().flatten();
    if let Some(filter) = filter.and_then(|filter| filter.dyn_into::<HtmlElement>().ok()) {
        filter.scroll_into_view();
        let _ = filter.focus();
    }
}

/// The selection first, then the cursor.
fn clear(view: View) -> bool {
    let (is_brushed, has_cursor) =
        view.state.with_untracked(|state| (state.selection != Selection::default(), state.cursor.is_some()));
    view.state.maybe_update(|state| {
        match (is_brushed, has_cursor) {
            (true, _) => state.selection = Selection::default(),
            (false, true) => state.cursor = None,
            (false, false) => {}
        }
        is_brushed || has_cursor
    });
    if is_brushed {
        view.say("All requests");
    }
    is_brushed || has_cursor
}

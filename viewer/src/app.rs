//! The whole page: what is open, how it got there, and the address that restores it.

use std::sync::Arc;

use fidelio_shared::charts::Axis;
use fidelio_shared::metrics::Metric;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use crate::link::Link;
use crate::open::{Opened, Problem, fetch, pick};
use crate::pages::{Empty, Failed, Loading, Report, TopBar};

/// What the page shows.
#[derive(Clone)]
pub enum Screen {
    /// Nothing is open.
    Empty,
    /// Something is on its way.
    Loading(String),
    /// It did not open.
    Failed(Problem),
    /// A comparison.
    Open(Arc<Opened>),
}

/// The few signals everything hangs on.
#[derive(Clone, Copy)]
pub struct View {
    /// What is shown.
    pub screen: RwSignal<Screen>,
    /// The metric chosen; `None` is the first that the bundle has.
    pub metric: RwSignal<Option<Metric>>,
    /// The axis chosen.
    pub axis: RwSignal<Axis>,
    address: RwSignal<Option<String>>,
    /// Only the latest wish counts: a slow download must not replace what was opened after it.
    wish: StoredValue<u32>,
}

impl View {
    fn new() -> Self {
        View {
            screen: RwSignal::new(Screen::Empty),
            metric: RwSignal::new(None),
            axis: RwSignal::new(Axis::Linear),
            address: RwSignal::new(None),
            wish: StoredValue::new(0),
        }
    }

    /// Opens a file of this machine.
    pub fn open_file(self, file: File) {
        let name = file.name();
        self.address.set(None);
        self.open(name, async move { pick::bytes(&file).await });
    }

    fn open_address(self, address: String) {
        let name = fetch::name(&address);
        self.address.set(Some(address.clone()));
        self.open(name, async move { fetch::bytes(&address).await });
    }

    fn open(self, name: String, bytes: impl Future<Output = Result<Vec<u8>, Problem>> + 'static) {
        let wish = self.wish.with_value(|wish| wish + 1);
        self.wish.set_value(wish);
        self.screen.set(Screen::Loading(name.clone()));
        leptos::task::spawn_local(async move {
            let bytes = bytes.await;
            leptos::task::tick().await;
            let opened = bytes.and_then(|bytes| Opened::from_bytes(&name, bytes));
            if self.wish.with_value(|latest| *latest == wish) {
                self.screen.set(opened.map_or_else(Screen::Failed, |opened| Screen::Open(Arc::new(opened))));
            }
        });
    }

    /// Back to the empty page.
    pub fn close(self) {
        self.wish.update_value(|wish| *wish += 1);
        self.address.set(None);
        self.metric.set(None);
        self.screen.set(Screen::Empty);
    }

    fn follow(self, link: Link) {
        self.metric.set(link.metric);
        self.axis.set(link.axis);
        match link.bundle {
            Some(bundle) if self.address.with_untracked(|address| address.as_ref() != Some(&bundle)) => {
                self.open_address(bundle);
            }
            _ => {}
        }
    }

    fn link(self) -> Link {
        Link { bundle: self.address.get(), metric: self.metric.get(), axis: self.axis.get() }
    }
}

/// The root component.
#[component]
pub fn App() -> impl IntoView {
    let view = View::new();
    provide_context(view);
    view.follow(address_bar());
    Effect::new(move |_| show_in_address_bar(&view.link()));
    Effect::new(move |_| document().set_title(&title(&view.screen.get())));
    let _ = window_event_listener(leptos::ev::hashchange, move |_| view.follow(address_bar()));

    let dragging = RwSignal::new(false);
    let _ = window_event_listener(leptos::ev::dragover, move |event| {
        event.prevent_default();
        dragging.set(true);
    });
    let _ = window_event_listener(leptos::ev::dragleave, move |event| {
        if event.related_target().is_none() {
            dragging.set(false);
        }
    });
    let _ = window_event_listener(leptos::ev::drop, move |event| {
        event.prevent_default();
        dragging.set(false);
        if let Some(file) = pick::dropped(&event) {
            view.open_file(file);
        }
    });

    view! {
        <a class="skip" href="#main">"Skip to the content"</a>
        <TopBar/>
        <main id="main" tabindex="-1">
            {move || match view.screen.get() {
                Screen::Empty => view! { <Empty/> }.into_any(),
                Screen::Loading(name) => view! { <Loading name/> }.into_any(),
                Screen::Failed(problem) => view! { <Failed problem/> }.into_any(),
                Screen::Open(opened) => view! { <Report opened/> }.into_any(),
            }}
        </main>
        <p class="sr-only" role="status" aria-live="polite">{move || announcement(&view.screen.get())}</p>
        <div class="drop-overlay" class:visible=move || dragging.get() aria-hidden="true"><p>"Drop to open"</p></div>
    }
}

fn announcement(screen: &Screen) -> String {
    match screen {
        // A problem is an alert of its own.
        Screen::Empty | Screen::Failed(_) => String::new(),
        Screen::Loading(name) => format!("Opening {name}"),
        Screen::Open(opened) => format!("{} is open. {}", opened.name, opened.comparison.verdict.sentence),
    }
}

fn title(screen: &Screen) -> String {
    match screen {
        Screen::Open(opened) => format!("{} · fidelio", opened.name),
        _ => "fidelio".to_owned(),
    }
}

fn address_bar() -> Link {
    let location = window().location();
    Link::parse(&location.hash().unwrap_or_default(), &location.search().unwrap_or_default())
}

/// Writes the view into the address without adding to the history.
fn show_in_address_bar(link: &Link) {
    let location = window().location();
    let path = location.pathname().unwrap_or_default();
    let mut query = location.search().unwrap_or_default();
    let mut link = link.clone();
    // A bundle named in the query stays there; once another is open, the query would be a lie.
    match Link::parse("", &query).bundle {
        None => {}
        named if named == link.bundle => link.bundle = None,
        _ => query.clear(),
    }
    let fragment = link.fragment();
    let address = if fragment.is_empty() { format!("{path}{query}") } else { format!("{path}{query}#{fragment}") };
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
    }
}

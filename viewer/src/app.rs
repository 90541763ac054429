//! The whole page: what is open, what is looked at, and the address that restores both.

use std::sync::Arc;
use std::time::Duration;

use fidelio_shared::charts::Theme;
use fidelio_shared::explore::answers::WhatIfAnswer;
use fidelio_shared::stats::Verdict;
use js_sys::{Array, Reflect, Uint8Array};
use leptos::prelude::*;
use leptos::reactive::owner::Owner;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, File};

use crate::link::{Link, Source};
use crate::open::{messages, pick, recent};
use crate::pages::{Empty, Failed, Loading, Report, TopBar};
use crate::panels::export::Sharing;
use crate::panels::help::{Help, listen_to_keys};
use crate::panels::share::ShareDialog;
use crate::panels::theme;
use crate::session::{Session, Stage};
use crate::state::{Panel, ViewState};

/// The few signals everything hangs on.
#[derive(Clone, Copy)]
pub struct View {
    /// What is open or on its way, in the order it is lettered.
    pub sessions: RwSignal<Vec<Session>>,
    /// What is looked at.
    pub state: RwSignal<ViewState>,
    /// Colours of figures, by the system's wishes.
    pub theme: Signal<Theme>,
    /// The figures' font has come.
    pub has_fonts: RwSignal<bool>,
    /// What other settings gave, and in which bundle they were tried.
    pub what_if: RwSignal<Option<(u32, Arc<WhatIfAnswer>)>>,
    /// What was just done, for those who cannot see it.
    pub said: RwSignal<String>,
    /// What can be handed on, and how that goes.
    pub sharing: Sharing,
    /// The list of keys is open.
    pub is_help_open: RwSignal<bool>,
    next_id: StoredValue<u32>,
    /// Bundles outlive whatever opened them.
    owner: StoredValue<Owner>,
}

impl View {
    fn new() -> Self {
        View {
            sessions: RwSignal::new(Vec::new()),
            state: RwSignal::new(ViewState::default()),
            theme: theme::follow(),
            has_fonts: theme::fonts(),
            what_if: RwSignal::new(None),
            said: RwSignal::new(String::new()),
            sharing: Sharing::new(),
            is_help_open: RwSignal::new(false),
            next_id: StoredValue::new(0),
            owner: StoredValue::new(Owner::current().unwrap_or_default()),
        }
    }

    /// A part of the state, told of only when it changes.
    pub fn part<T: PartialEq + Clone + Send + Sync + 'static>(
        self,
        pick: impl Fn(&ViewState) -> T + Send + Sync + 'static,
    ) -> Memo<T> {
        Memo::new(move |_| self.state.with(&pick))
    }

    /// The bundle in focus.
    pub fn focused(self) -> Option<Session> {
        let focus = self.state.with(|state| state.focus);
        self.sessions.with(|sessions| sessions.get(focus).or(sessions.first()).copied())
    }

    /// Where a bundle stands among those that are open.
    pub fn place(self, session: Session) -> Option<usize> {
        self.sessions.with(|sessions| sessions.iter().position(|one| *one == session))
    }

    /// Unfolds or folds a panel.
    pub fn set_open(self, panel: Panel, is_open: bool) {
        if self.state.with_untracked(|state| state.open.contains(&panel)) != is_open {
            self.state.update(|state| {
                let _ = if is_open { state.open.insert(panel) } else { state.open.remove(&panel) };
            });
        }
    }

    /// Opens files of this machine: in place of what is open, or beside it.
    pub fn open_files(self, files: Vec<File>, beside: Beside) {
        let files: Vec<(String, Blob)> = files.into_iter().map(|file| (file.name(), file.into())).collect();
        self.open_blobs(files, beside);
    }

    /// The same of named bytes; tells which bundles they became.
    pub fn open_blobs(self, files: Vec<(String, Blob)>, beside: Beside) -> Vec<Session> {
        if files.is_empty() {
            return Vec::new();
        }
        let opened = files.iter().map(|(name, file)| self.begin(|id| Session::of_file(id, name.clone(), file)));
        let opened: Vec<Session> = opened.collect();
        self.show(opened.clone(), beside);
        opened
    }

    /// Opens what a link names, in place of what is open or beside it.
    pub fn open_sources(self, sources: &[Source], beside: Beside) {
        let opened = sources.iter().map(|source| self.begin(|id| Session::of_source(id, source)));
        let opened: Vec<Session> = opened.collect();
        self.show(opened, beside);
    }

    fn begin(self, open: impl FnOnce(u32) -> Session) -> Session {
        let id = self.next_id.with_value(|id| id + 1);
        self.next_id.set_value(id);
        self.owner.get_value().with(|| open(id))
    }

    fn show(self, opened: Vec<Session>, beside: Beside) {
        match beside {
            Beside::Instead => {
                self.sessions.get_untracked().into_iter().for_each(Session::close);
                self.sessions.set(opened);
            }
            Beside::Beside => self.sessions.update(|sessions| sessions.extend(opened)),
        }
    }

    /// Closes one bundle; after the last the page is empty.
    pub fn close(self, session: Session) {
        session.close();
        let place = self.sessions.with_untracked(|sessions| sessions.iter().position(|one| *one == session));
        self.sessions.update(|sessions| sessions.retain(|one| *one != session));
        let Some(place) = place else { return };
        let num_left = self.sessions.with_untracked(Vec::len);
        self.state.update(|state| {
            if num_left == 0 {
                *state = ViewState::default();
            }
            for at in [&mut state.focus, &mut state.reference] {
                *at = (*at - usize::from(*at > place)).min(num_left.saturating_sub(1));
            }
        });
    }

    /// Back to the empty page.
    pub fn close_all(self) {
        self.sessions.get_untracked().into_iter().for_each(|session| self.close(session));
    }

    /// Shows what a link says; bundles that are open already stay.
    pub fn follow(self, link: Link) {
        self.state.set(link.state);
        let open = self.sources();
        if !link.bundles.is_empty() && link.bundles != open {
            self.open_sources(&link.bundles, Beside::Instead);
        }
    }

    fn sources(self) -> Vec<Source> {
        self.sessions.with_untracked(|sessions| sessions.iter().filter_map(|one| one.source.get_value()).collect())
    }

    /// The link to what is seen, as far as it can be linked to: files of this machine are not in it.
    pub fn link(self) -> Link {
        self.sessions.track();
        Link { bundles: self.sources(), state: self.state.get() }
    }

    /// Says something to those who cannot see it.
    pub fn say(self, text: impl Into<String>) {
        self.said.set(text.into());
    }
}

/// Where a bundle goes that is opened while others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// In their place.
    Instead,
    /// Beside them, to be compared.
    Beside,
}

/// The root component.
#[component]
pub fn App() -> impl IntoView {
    let view = View::new();
    provide_context(view);
    let link = address_bar();
    let is_said = !link.bundles.is_empty();
    view.follow(link);
    if !is_said {
        open_what_came_along(view);
    }
    write_address(view);
    Effect::new(move |_| document().set_title(&title(view)));
    let _ = window_event_listener(leptos::ev::hashchange, move |_| view.follow(address_bar()));
    let dragging = drops_and_pastes(view);
    listen_to_keys(view);
    messages::listen(view);
    recent::follow(view);

    view! {
        <a class="skip" href="#main" on:click=skip>"Skip to the content"</a>
        <TopBar/>
        <main id="main" tabindex="-1"><Screen/></main>
        <p class="sr-only" role="status" aria-live="polite">{move || announcement(view)}</p>
        <p class="sr-only" role="status" aria-live="polite" data-testid="said">{move || view.said.get()}</p>
        <ShareDialog/>
        <Help/>
        <div class="drop-overlay" class:visible=move || dragging.get() aria-hidden="true">
            <p>{move || if view.sessions.with(Vec::is_empty) { "Drop to open" } else { "Drop to open beside" }}</p>
        </div>
    }
}

/// What the page shows, by the bundle in focus: made anew for another bundle and another stage of it, not for progress.
#[component]
fn Screen() -> impl IntoView {
    let view = expect_context::<View>();
    let shown = Memo::new(move |_| view.focused().map(|session| (session, session.stage.with(std::mem::discriminant))));
    move || match shown.get() {
        None => view! { <Empty/> }.into_any(),
        Some((session, _)) => match session.stage.get_untracked() {
            Stage::Opening(_) => view! { <Loading session/> }.into_any(),
            Stage::Failed(problem) => view! { <Failed session problem/> }.into_any(),
            Stage::Open(opened) => view! { <Report session opened/> }.into_any(),
        },
    }
}

/// The link would change the fragment, which is ours.
fn skip(event: leptos::ev::MouseEvent) {
    event.prevent_default();
    if let Some(main) =
        document().get_element_by_id("main").and_then(|main| main.dyn_into::<web_sys::HtmlElement>().ok())
    {
        let _ = main.focus();
    }
}

/// Files may be dropped and pasted anywhere; while something is open they come beside it.
fn drops_and_pastes(view: View) -> RwSignal<bool> {
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
        mark("fidelio:dropped");
        view.open_files(pick::carried(event.data_transfer()), beside(view));
    });
    let _ = window_event_listener(leptos::ev::paste, move |event| {
        let files = pick::carried(event.clipboard_data());
        if !files.is_empty() {
            event.prevent_default();
            view.open_files(files, beside(view));
        }
    });
    dragging
}

/// Beside what is open, unless nothing is.
fn beside(view: View) -> Beside {
    let has_open = view.sessions.with_untracked(|sessions| {
        sessions.iter().any(|session| matches!(session.stage.get_untracked(), Stage::Open(_)))
    });
    if has_open { Beside::Beside } else { Beside::Instead }
}

/// Bundles inside this very page (`fidelio bundle --html`), or named by it (`fidelio share`).
fn open_what_came_along(view: View) {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let embedded = get(&get(&js_sys::global(), "fidelio"), "embedded");
    let files = embedded.dyn_ref::<Array>().map(|list| {
        list.iter().filter_map(|entry| {
            let bytes: Uint8Array = get(&entry, "bytes").dyn_into().ok()?;
            let blob = Blob::new_with_u8_array_sequence(&Array::of1(&bytes)).ok()?;
            Some((get(&entry, "name").as_string()?, blob))
        })
    });
    view.open_blobs(files.into_iter().flatten().collect(), Beside::Instead);
    let named = document().query_selector("meta[name=fidelio-bundles]").ok().flatten();
    let named = named.and_then(|meta| meta.get_attribute("content")).unwrap_or_default();
    let sources: Vec<Source> = named.split_whitespace().map(|address| Source::Address(address.to_owned())).collect();
    if !sources.is_empty() {
        view.open_sources(&sources, Beside::Instead);
    }
}

fn announcement(view: View) -> String {
    let Some(session) = view.focused() else { return String::new() };
    session.stage.with(|stage| match stage {
        Stage::Opening(_) => format!("Opening {}", session.name()),
        // A problem is an alert of its own.
        Stage::Failed(_) => String::new(),
        Stage::Open(opened) => format!("{} is open. {}", opened.name, opened.comparison.verdict.sentence),
    })
}

fn title(view: View) -> String {
    match view.focused().and_then(Session::opened) {
        Some(opened) => {
            let mark = match opened.comparison.verdict.verdict {
                Verdict::Within => "✓",
                Verdict::CannotTell => "?",
                Verdict::Outside => "✗",
            };
            format!("{mark} {} · fidelio", opened.name)
        }
        None => "fidelio".to_owned(),
    }
}

fn address_bar() -> Link {
    let location = window().location();
    Link::parse(&location.hash().unwrap_or_default(), &location.search().unwrap_or_default())
}

/// Keeps the address at the view, a moment later: browsers count how often a page writes it.
fn write_address(view: View) {
    let waiting = StoredValue::new(false);
    Effect::new(move |_| {
        view.link();
        if waiting.get_value() {
            return;
        }
        waiting.set_value(true);
        let write = move || {
            waiting.set_value(false);
            show_in_address_bar(&untrack(|| view.link()));
        };
        set_timeout(write, Duration::from_millis(200));
    });
}

/// Writes the view into the address without adding to the history.
fn show_in_address_bar(link: &Link) {
    let location = window().location();
    let path = location.pathname().unwrap_or_default();
    let mut query = location.search().unwrap_or_default();
    let mut link = link.clone();
    // Bundles named in the query stay there; once others are open, the query would be a lie.
    match Link::parse("", &query).bundles {
        named if named.is_empty() => {}
        named if named == link.bundles => link.bundles.clear(),
        _ => query.clear(),
    }
    let fragment = link.fragment();
    let address = if fragment.is_empty() { format!("{path}{query}") } else { format!("{path}{query}#{fragment}") };
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
    }
}

/// A mark in the browser's timeline, for whoever measures this page.
pub fn mark(name: &str) {
    if let Some(performance) = window().performance() {
        let _ = performance.mark(name);
    }
}

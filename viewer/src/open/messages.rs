//! Bundles from the page that opened this one, or that shows it in a frame, by `postMessage`.
//!
//! 1. This page says `{fidelio: "ready", version: 1}` to its opener and its parent, once it listens.
//! 2. They send `{fidelio: "open", bundles: [{name, bytes}], beside?, view?}`: `bytes` is an `ArrayBuffer`, a typed array
//!    or a `Blob`; `beside: true` keeps what is open; `view` is what stands after `#` in a link, as `metric=itl&axis=log`.
//! 3. This page answers `{fidelio: "failed", name, title, detail, hint}` for each bundle that does not open, and
//!    `{fidelio: "opened", names}` once all have been tried and at least one is open.
//! 4. From then on it says `{fidelio: "view", fragment}` whenever the view has changed and stands still.
//!
//! Anything else does nothing, whoever sends it; so do messages from anyone but opener and parent.

use js_sys::{Array, ArrayBuffer, Object, Reflect};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, MessageEvent, Window};

use crate::app::{Beside, View};
use crate::link::Link;
use crate::open::Problem;
use crate::session::{Session, Stage, settled};
use crate::words::plain;

/// Of the handshake; grows when something in it changes its meaning.
const VERSION: u32 = 1;
/// Bundles of a message, at most: nobody looks at more side by side.
const MOST_BUNDLES: u32 = 32;
/// Letters of a name, at most.
const LONGEST_NAME: usize = 200;
/// Letters of a view, at most.
const LONGEST_VIEW: usize = 8_000;
/// Messages whose bundles are on their way, at most; older ones get no answer.
const MOST_WAITING: usize = 32;

/// Who sent bundles, and where answers go.
#[derive(Clone)]
struct Host {
    window: Window,
    origin: String,
}

/// Bundles of one message that nothing final is said of yet.
struct Waiting {
    host: Host,
    sessions: Vec<Session>,
    failed: Vec<u32>,
}

/// A message that can be followed.
struct Open {
    bundles: Vec<(String, Blob)>,
    beside: Beside,
    view: Option<String>,
}

/// Says that this page is ready, and listens from now on.
pub fn listen(view: View) {
    let waiting = RwSignal::new_local(Vec::<Waiting>::new());
    let host = StoredValue::new_local(None::<Host>);
    let _ = window_event_listener(leptos::ev::message, move |event: MessageEvent| {
        let Some(sender) = sender(&event) else { return };
        let Some(open) = read(&event.data()) else { return };
        host.set_value(Some(sender.clone()));
        if let Some(text) = open.view {
            view.state.set(Link::parse(&text, "").state);
        }
        let sessions = view.open_blobs(open.bundles, open.beside);
        waiting.update(|waiting| {
            waiting.push(Waiting { host: sender, sessions, failed: Vec::new() });
            let excess = waiting.len().saturating_sub(MOST_WAITING);
            waiting.drain(..excess);
        });
    });
    Effect::new(move |_| {
        let is_any_settled = waiting.with(|waiting| waiting.iter().any(Waiting::has_news));
        if is_any_settled {
            waiting.update(|waiting| waiting.retain_mut(Waiting::is_still_waiting_after_telling));
        }
    });
    let fragment = settled(move || Some(view.link().fragment()));
    Effect::new(move |_| {
        let fragment = fragment.get();
        if let (Some(host), Some(fragment)) = (host.get_value(), fragment) {
            host.post("view", &[("fragment", fragment.into())]);
        }
    });
    say_ready();
}

fn say_ready() {
    for other in relatives() {
        let ready = message("ready", &[("version", VERSION.into())]);
        // Whoever it is: the message tells nothing about what is open.
        let _ = other.post_message(&ready, "*");
    }
}

/// Opener and parent, as far as there are any.
fn relatives() -> Vec<Window> {
    let here = window();
    let opener = here.opener().ok().filter(JsValue::is_object).map(JsCast::unchecked_into);
    let parent = here.parent().ok().flatten();
    [opener, parent].into_iter().flatten().filter(|other: &Window| other != &here).collect()
}

/// Who sent it, when that is one of them.
fn sender(event: &MessageEvent) -> Option<Host> {
    let source = JsValue::from(event.source()?);
    let window = relatives().into_iter().find(|other| JsValue::from(other.clone()) == source)?;
    // Pages without an origin (files, sandboxed frames) can be answered only so.
    let origin = Some(event.origin()).filter(|origin| origin.contains("://") && !origin.starts_with("file:"));
    Some(Host { window, origin: origin.unwrap_or_else(|| "*".to_owned()) })
}

/// What a message asks for; `None` when it is not for us or not as it must be.
fn read(data: &JsValue) -> Option<Open> {
    if !data.is_object() || field(data, "fidelio").as_string()? != "open" {
        return None;
    }
    let list: Array = field(data, "bundles").dyn_into().ok()?;
    if list.length() == 0 || list.length() > MOST_BUNDLES {
        return None;
    }
    let bundles: Option<Vec<(String, Blob)>> = list.iter().map(|entry| bundle(&entry)).collect();
    let beside = if field(data, "beside").is_truthy() { Beside::Beside } else { Beside::Instead };
    let view = field(data, "view").as_string().filter(|view| view.len() <= LONGEST_VIEW);
    Some(Open { bundles: bundles?, beside, view })
}

fn bundle(entry: &JsValue) -> Option<(String, Blob)> {
    let name = field(entry, "name").as_string().filter(|name| !name.is_empty());
    let name = plain(&name.unwrap_or_else(|| "bundle.zip".to_owned()), LONGEST_NAME);
    let bytes = field(entry, "bytes");
    if let Some(blob) = bytes.dyn_ref::<Blob>() {
        return Some((name, blob.clone()));
    }
    let is_bytes = bytes.is_instance_of::<ArrayBuffer>() || ArrayBuffer::is_view(&bytes);
    is_bytes.then(|| Blob::new_with_u8_array_sequence(&Array::of1(&bytes)).ok()).flatten().map(|blob| (name, blob))
}

fn field(object: &JsValue, name: &str) -> JsValue {
    if object.is_object() {
        Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
    } else {
        JsValue::UNDEFINED
    }
}

fn message(kind: &str, fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in [("fidelio", kind.into())].iter().chain(fields) {
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

impl Host {
    fn post(&self, kind: &str, fields: &[(&str, JsValue)]) {
        // A page that is gone is no concern.
        let _ = self.window.post_message(&message(kind, fields), &self.origin);
    }

    fn post_failed(&self, name: &str, problem: &Problem) {
        let text = |text: &str| JsValue::from(text);
        let fields = [
            ("name", text(name)),
            ("title", text(&problem.title)),
            ("detail", text(&problem.detail)),
            ("hint", text(&problem.hint)),
        ];
        self.post("failed", &fields);
    }
}

impl Waiting {
    /// Something can be told; follows the stages of all.
    fn has_news(&self) -> bool {
        let is_settled = |session: &Session| !matches!(session.stage.get(), Stage::Opening(_));
        let settled: Vec<bool> = self.sessions.iter().map(is_settled).collect();
        settled.iter().filter(|is_settled| **is_settled).count() > self.failed.len()
    }

    /// Tells failures as they come, and the end once.
    fn is_still_waiting_after_telling(&mut self) -> bool {
        let (mut names, mut num_settled) = (Vec::new(), 0);
        for session in &self.sessions {
            match session.stage.get_untracked() {
                Stage::Opening(_) => continue,
                Stage::Open(opened) => names.push(opened.name.clone()),
                Stage::Failed(problem) => {
                    if !self.failed.contains(&session.id) {
                        self.failed.push(session.id);
                        self.host.post_failed(&session.name(), &problem);
                    }
                }
            }
            num_settled += 1;
        }
        let is_over = num_settled == self.sessions.len();
        if is_over && !names.is_empty() {
            let list: Array = names.iter().map(JsValue::from).collect();
            self.host.post("opened", &[("names", list.into())]);
        }
        !is_over
    }
}

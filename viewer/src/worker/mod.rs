//! The worker: opens one bundle, keeps its rows in columns, answers questions about them. The page stays free.

mod blob;
mod desk;
mod download;
pub mod limits;
pub mod protocol;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageEvent};

use desk::Desk;
use protocol::{Ask, Envelope, Opened, Tell};

/// This program runs as a worker, not as the page.
pub fn is_here() -> bool {
    js_sys::global().is_instance_of::<DedicatedWorkerGlobalScope>()
}

/// Answers messages until the page ends this worker.
pub fn listen() {
    let desk = Rc::new(RefCell::new(Desk::default()));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let Some((number, ask, file)) = read(&event.data()) else { return };
        match ask {
            Ask::Open { name, address } => {
                let desk = Rc::clone(&desk);
                wasm_bindgen_futures::spawn_local(async move {
                    let file = match (file, address) {
                        (Some(file), _) => Ok(file),
                        (None, Some(address)) => download::blob(&address).await,
                        (None, None) => return,
                    };
                    let opened = file.and_then(|file| desk.borrow_mut().open(&name, file));
                    match opened {
                        Ok(Opened { name, comparison, manifest, num_bytes }) => {
                            let envelope = Envelope { name, manifest, num_bytes };
                            post_with(number, &Tell::Opened(envelope), &comparison.to_line());
                        }
                        Err(problem) => post(number, &Tell::Failed(problem)),
                    }
                });
            }
            Ask::Rows => {
                let read = desk.borrow_mut().read_rows();
                post(number, &read.map_or_else(Tell::NoRows, |overview| Tell::Rows(Box::new(overview))));
                if let Some(sha256) = desk.borrow_mut().sha256() {
                    post(number, &Tell::Sha256(sha256));
                }
            }
            question => {
                if let Some(answer) = desk.borrow_mut().answer(question) {
                    post(number, &Tell::Answer(Box::new(answer)));
                }
            }
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    post(0, &Tell::Ready);
}

/// Tells the page that this worker is at its end.
pub fn crash(text: &str) {
    post(0, &Tell::Crashed(text.to_owned()));
}

/// A text, or a text and a file.
fn read(data: &JsValue) -> Option<(u32, Ask, Option<Blob>)> {
    let (text, file) = match data.dyn_ref::<Array>() {
        Some(parts) => (parts.get(0).as_string()?, parts.get(1).dyn_into().ok()),
        None => (data.as_string()?, None),
    };
    let (number, ask) = serde_json::from_slice(text.as_bytes()).ok()?;
    Some((number, ask, file))
}

/// Sends one message to the page; a page that is gone is no concern.
fn post(number: u32, tell: &Tell) {
    if let Ok(text) = serde_json::to_string(&(number, tell)) {
        let _ = scope().post_message(&text.into());
    }
}

/// The same with a text beside it, which the page parses when it has time.
fn post_with(number: u32, tell: &Tell, beside: &str) {
    if let Ok(text) = serde_json::to_string(&(number, tell)) {
        let _ = scope().post_message(&Array::of2(&text.into(), &beside.into()));
    }
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

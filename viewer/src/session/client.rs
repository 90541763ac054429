//! The page's end of a worker: starts it, sends questions when it listens, hands answers to who asked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, MessageEvent, Worker};

use crate::worker::protocol::{Answer, Ask, Tell};

/// Called once, with the answer to one question.
type OnAnswer = Box<dyn FnOnce(Answer)>;

/// A running worker. Dropping it ends the worker, whatever it is doing.
pub struct Client {
    worker: Worker,
    inner: Rc<Inner>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut()>,
}

struct Inner {
    /// Messages for a worker that does not listen yet; `None` once it does.
    waiting: RefCell<Option<Vec<JsValue>>>,
    next: Cell<u32>,
    asked: RefCell<BTreeMap<u32, OnAnswer>>,
}

impl Client {
    /// Starts a worker; `on_tell` hears everything that is not an answer, and the text that came beside it.
    ///
    /// # Errors
    /// When the browser starts none.
    pub fn start(on_tell: impl Fn(Tell, Option<String>) + 'static) -> Result<Client, JsValue> {
        let starter = Reflect::get(&js_sys::global(), &"fidelio".into())?;
        let start: Function = Reflect::get(&starter, &"startWorker".into())?.dyn_into()?;
        let worker: Worker = start.call0(&starter)?.dyn_into()?;
        let inner = Rc::new(Inner {
            waiting: RefCell::new(Some(Vec::new())),
            next: Cell::new(1),
            asked: RefCell::new(BTreeMap::new()),
        });
        let on_tell = Rc::new(on_tell);
        let on_message = {
            let (inner, worker, on_tell) = (Rc::clone(&inner), worker.clone(), Rc::clone(&on_tell));
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| inner.hear(&event, &worker, &*on_tell))
        };
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // A worker whose script cannot be loaded, or whose memory is full, says so here only.
        let on_error = {
            let inner = Rc::clone(&inner);
            Closure::<dyn FnMut()>::new(move || {
                let has_started = inner.waiting.borrow().is_none();
                let text = if has_started { "it ran out of memory" } else { "the worker could not be started" };
                on_tell(Tell::Crashed(text.to_owned()), None);
            })
        };
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Client { worker, inner, _on_message: on_message, _on_error: on_error })
    }

    /// Asks; `on_answer` is called unless the worker ends before.
    pub fn ask(&self, ask: &Ask, on_answer: impl FnOnce(Answer) + 'static) {
        let number = self.inner.next.get();
        self.inner.next.set(number + 1);
        self.inner.asked.borrow_mut().insert(number, Box::new(on_answer));
        self.send(number, ask, None);
    }

    /// Says something that is told about, not answered, with a file beside it or not.
    pub fn tell(&self, ask: &Ask, file: Option<&Blob>) {
        self.send(0, ask, file);
    }

    fn send(&self, number: u32, ask: &Ask, file: Option<&Blob>) {
        let text = serde_json::to_string(&(number, ask)).expect("a question is plain data");
        let message: JsValue = match file {
            Some(file) => Array::of2(&text.into(), file).into(),
            None => text.into(),
        };
        match self.inner.waiting.borrow_mut().as_mut() {
            Some(waiting) => waiting.push(message),
            None => {
                let _ = self.worker.post_message(&message);
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl Inner {
    fn hear(&self, event: &MessageEvent, worker: &Worker, on_tell: &dyn Fn(Tell, Option<String>)) {
        let data = event.data();
        let (text, beside) = match data.dyn_ref::<Array>() {
            Some(parts) => (parts.get(0).as_string(), parts.get(1).as_string()),
            None => (data.as_string(), None),
        };
        let Some((number, tell)) = text.and_then(|text| serde_json::from_slice::<(u32, Tell)>(text.as_bytes()).ok())
        else {
            return;
        };
        match tell {
            Tell::Ready => {
                for message in self.waiting.borrow_mut().take().into_iter().flatten() {
                    let _ = worker.post_message(&message);
                }
            }
            Tell::Answer(answer) => {
                let on_answer = self.asked.borrow_mut().remove(&number);
                if let Some(on_answer) = on_answer {
                    on_answer(*answer);
                }
            }
            other => on_tell(other, beside),
        }
    }
}

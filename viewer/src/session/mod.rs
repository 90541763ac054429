//! An open bundle, or one on its way: where it is from, what is known of it, the worker that reads it.

mod asking;
mod client;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fidelio_shared::explore::answers::Overview;
use fidelio_shared::explore::data_link;
use fidelio_shared::schema::comparison::Comparison;
use leptos::prelude::*;
use web_sys::Blob;

use crate::link::Source;
use crate::open::{Problem, address};
use crate::words::plain;
use crate::worker::limits;
use crate::worker::protocol::{Answer, Ask, Opened, Progress, Tell};

pub use asking::{answer, answer_to, settled};
use client::Client;

/// Letters of a bundle's name, at most: links may say anything.
const LONGEST_NAME: usize = 200;

/// How far opening is.
#[derive(Clone, Debug)]
pub enum Stage {
    /// On its way; the progress is known once there is some.
    Opening(Option<Progress>),
    /// It did not open.
    Failed(Problem),
    /// The comparison is there.
    Open(Arc<Opened>),
}

/// How far its raw rows are.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Not there yet.
    Reading(Option<Progress>),
    /// In columns, in the worker.
    Ready(Arc<Overview>),
    /// Not to be had: none in a link, broken in a file.
    Missing(Problem),
}

/// One bundle. Copies are the same bundle.
#[derive(Clone, Copy)]
pub struct Session {
    /// Tells it from others on this page.
    pub id: u32,
    /// How far it is.
    pub stage: RwSignal<Stage>,
    /// How far its rows are.
    pub rows: RwSignal<Rows>,
    /// Hash of the file, once it is computed.
    pub sha256: RwSignal<Option<String>>,
    /// What a link to it says; a file of this machine has none.
    pub source: StoredValue<Option<Source>>,
    name: StoredValue<String>,
    client: StoredValue<Option<Rc<Client>>, LocalStorage>,
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Session {
    fn new(id: u32, name: String, source: Option<Source>) -> Self {
        Session {
            id,
            stage: RwSignal::new(Stage::Opening(None)),
            rows: RwSignal::new(Rows::Reading(None)),
            sha256: RwSignal::new(None),
            source: StoredValue::new(source),
            name: StoredValue::new(plain(&name, LONGEST_NAME)),
            client: StoredValue::new_local(None),
        }
    }

    /// A file of this machine.
    pub fn of_file(id: u32, name: String, file: &Blob) -> Self {
        let session = Session::new(id, name, None);
        session.start(&Ask::Open { name: session.name(), address: None }, Some(file));
        session
    }

    /// What a link names.
    pub fn of_source(id: u32, source: &Source) -> Self {
        match source {
            Source::Address(text) => {
                let session = Session::new(id, address::name(text), Some(source.clone()));
                let page = window().location().href().unwrap_or_default();
                match address::resolve(text, &page) {
                    Ok(url) => session.start(&Ask::Open { name: session.name(), address: Some(url) }, None),
                    Err(problem) => session.stage.set(Stage::Failed(problem)),
                }
                session
            }
            Source::Data(data) => {
                let session = Session::new(id, "comparison in a link".to_owned(), Some(source.clone()));
                session.rows.set(Rows::Missing(Problem::no_rows_in_link()));
                let name = session.name();
                let comparison = data_link::decode(data).map_err(|error| Problem::broken_link(&error));
                let opened = comparison.and_then(|comparison| limits::admitted(&name, &comparison)).map(of_link);
                session.stage.set(opened.map_or_else(Stage::Failed, |opened| Stage::Open(Arc::new(opened))));
                session
            }
        }
    }

    fn start(self, ask: &Ask, file: Option<&Blob>) {
        match Client::start(move |tell, beside| self.hear(tell, beside)) {
            Ok(client) => {
                client.tell(ask, file);
                self.client.set_value(Some(Rc::new(client)));
            }
            Err(error) => self.stage.set(Stage::Failed(Problem::no_worker(&format!("{error:?}")))),
        }
    }

    fn hear(self, tell: Tell, beside: Option<String>) {
        match tell {
            Tell::Progress(progress) => {
                if matches!(self.stage.get_untracked(), Stage::Opening(_)) {
                    self.stage.set(Stage::Opening(Some(progress)));
                } else {
                    self.rows.set(Rows::Reading(Some(progress)));
                }
            }
            Tell::Opened(envelope) => {
                self.say(&Ask::Rows);
                match Comparison::read("comparison/comparison.json", beside.unwrap_or_default().as_bytes()) {
                    // Parsed in this task, shown in the next: each is short.
                    Ok(comparison) => {
                        let opened = Arc::new(Opened::new(envelope, comparison));
                        set_timeout(move || drop(self.stage.try_set(Stage::Open(opened))), Duration::ZERO);
                    }
                    Err(error) => self.end(Problem::broken(&self.name(), &error)),
                }
            }
            Tell::Failed(problem) => self.end(problem),
            Tell::Rows(overview) => self.rows.set(Rows::Ready(Arc::from(overview))),
            Tell::NoRows(problem) => self.rows.set(Rows::Missing(problem)),
            Tell::Sha256(sha256) => self.sha256.set(Some(sha256)),
            Tell::Crashed(text) => self.end(Problem::crashed(&self.name(), &text)),
            Tell::Ready | Tell::Answer(_) => {}
        }
    }

    /// The worker is of no more use; what is shown stays.
    fn end(self, problem: Problem) {
        match self.stage.get_untracked() {
            Stage::Opening(_) => self.stage.set(Stage::Failed(problem)),
            Stage::Open(_) => self.rows.set(Rows::Missing(problem)),
            Stage::Failed(_) => {}
        }
    }

    fn say(self, ask: &Ask) {
        if let Some(client) = self.client.get_value() {
            client.tell(ask, None);
        }
    }

    /// Asks the worker; nothing comes of it when there is none.
    pub fn ask(self, ask: &Ask, on_answer: impl FnOnce(Answer) + 'static) {
        if let Some(client) = self.client.get_value() {
            client.ask(ask, on_answer);
        }
    }

    /// Ends the worker at once, whatever it is doing.
    pub fn close(self) {
        self.client.set_value(None);
    }

    /// Its name, as picked or as in the address.
    pub fn name(self) -> String {
        self.name.get_value()
    }

    /// What is shown first, once it is there.
    pub fn opened(self) -> Option<Arc<Opened>> {
        match self.stage.get() {
            Stage::Open(opened) => Some(opened),
            _ => None,
        }
    }

    /// What the raw rows hold, once they are read.
    pub fn overview(self) -> Option<Arc<Overview>> {
        match self.rows.get() {
            Rows::Ready(overview) => Some(overview),
            _ => None,
        }
    }

    /// Questions about rows are answered.
    pub fn has_rows(self) -> bool {
        self.rows.with(|rows| matches!(rows, Rows::Ready(_)))
    }
}

fn of_link(comparison: Comparison) -> Opened {
    Opened { name: "comparison in a link".to_owned(), comparison, manifest: None, num_bytes: None }
}

//! Questions that follow the view: asked again whenever they change, answered by the latest answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;

use crate::session::Session;
use crate::worker::protocol::{Answer, Ask};

/// How long something stands still before it is settled.
const SETTLED: Duration = Duration::from_millis(180);

/// What `value` was when it last stood still for a moment.
pub fn settled<T: PartialEq + Clone + Send + Sync + 'static>(
    value: impl Fn() -> Option<T> + 'static,
) -> ReadSignal<Option<T>> {
    let (settled, set_settled) = signal(None);
    let timer = StoredValue::new(None::<TimeoutHandle>);
    let stop = move || timer.try_update_value(Option::take).flatten().into_iter().for_each(|timer| timer.clear());
    Effect::new(move |_| {
        let value = value();
        stop();
        if value.is_none() {
            set_settled.set(None);
            return;
        }
        let later = set_timeout_with_handle(move || set_settled.try_set(value).map_or((), drop), SETTLED);
        timer.set_value(later.ok());
    });
    on_cleanup(stop);
    settled
}

/// The latest answer to `question`, `None` until there is one and while there is nothing to ask. While a worker is
/// busy with one, only the newest other is kept: a brush that moves asks what it can show, not everything between.
pub fn answer<T: Send + Sync + 'static>(
    session: Session,
    question: impl Fn() -> Option<Ask> + 'static,
    pick: fn(Answer) -> Option<T>,
) -> ReadSignal<Option<T>> {
    asked(session, question, move |_, answer| pick(answer))
}

/// The same, each answer with what it answers.
pub fn answer_to<T: Send + Sync + 'static>(
    session: Session,
    question: impl Fn() -> Option<Ask> + 'static,
    pick: fn(Answer) -> Option<T>,
) -> ReadSignal<Option<(Ask, T)>> {
    asked(session, question, move |ask, answer| pick(answer).map(|answer| (ask.clone(), answer)))
}

fn asked<T: Send + Sync + 'static>(
    session: Session,
    question: impl Fn() -> Option<Ask> + 'static,
    pick: impl Fn(&Ask, Answer) -> Option<T> + 'static,
) -> ReadSignal<Option<T>> {
    let (answer, set_answer) = signal(None);
    let pick: Pick<T> = Box::new(pick);
    let desk = Rc::new(Desk { session, pick, busy: Cell::new(false), next: RefCell::new(None), set_answer });
    Effect::new(move |asked: Option<Option<Ask>>| {
        let ask = if session.has_rows() { question() } else { None };
        if ask.is_none() {
            set_answer.set(None);
        } else if asked.flatten() != ask {
            Rc::clone(&desk).ask(ask.clone());
        }
        ask
    });
    answer
}

/// Takes what was asked for out of its answer.
type Pick<T> = Box<dyn Fn(&Ask, Answer) -> Option<T>>;

struct Desk<T: Send + Sync + 'static> {
    session: Session,
    pick: Pick<T>,
    busy: Cell<bool>,
    next: RefCell<Option<Ask>>,
    set_answer: WriteSignal<Option<T>>,
}

impl<T: Send + Sync + 'static> Desk<T> {
    fn ask(self: Rc<Self>, ask: Option<Ask>) {
        let Some(ask) = ask else { return };
        if self.busy.get() {
            self.next.replace(Some(ask));
            return;
        }
        self.busy.set(true);
        let desk = Rc::clone(&self);
        self.session.ask(&ask.clone(), move |answer| {
            // The panel that asked may be gone by now.
            let _ = desk.set_answer.try_set((desk.pick)(&ask, answer));
            desk.busy.set(false);
            let next = desk.next.take();
            desk.ask(next);
        });
    }
}

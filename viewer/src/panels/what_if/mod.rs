//! "What if": other settings, simulated in the worker from what the bundle holds, over the real run's curves.
//!
//! The panel keeps what was changed in the link, asks when typing has come to rest, and says how far its answer can be
//! trusted.

mod changes;
mod form;
mod results;
mod trust;

use std::sync::Arc;

use fidelio_shared::explore::answers::{WhatIfAnswer, WhatIfBasis};
use fidelio_shared::explore::questions::WhatIf;
use fidelio_shared::metrics::Metric;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::fold::Fold;
use crate::panels::what_if::changes::{Applied, Changes, Setting};
use crate::panels::what_if::form::Form;
use crate::panels::what_if::results::Results;
use crate::panels::what_if::trust::Trust;
use crate::session::{self, Rows, Session};
use crate::state::Panel;
use crate::words::{sentence, with_code};
use crate::worker::protocol::{Answer, Ask, Opened};

/// The folded panel.
#[component]
pub fn WhatIfFold(session: Session, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let view = expect_context::<View>();
    let note = move || match Changes::parse(&view.state.with(|state| state.what_if.clone())) {
        changes if changes.is_empty() => "other settings, simulated in this page".to_owned(),
        changes => changes.to_string().replace(':', " ").replace(',', ", "),
    };
    view! {
        <Fold panel=Panel::WhatIf title="What if" note=Signal::derive(note)>
            <Unfolded session opened=Arc::clone(&opened) metric/>
        </Fold>
    }
}

/// What came of settings, or why nothing did.
type Outcome = Result<Arc<WhatIfAnswer>, String>;

/// What the parts of the panel share.
#[derive(Clone, Copy)]
struct Trial {
    /// What it stands on.
    basis: StoredValue<Arc<WhatIfBasis>>,
    /// What is changed, as typed.
    changes: Memo<Changes>,
    /// The changed settings, none, or why they are none.
    applied: Memo<Result<Option<Applied>, (Setting, String)>>,
    /// The latest answer, and to what.
    answer: ReadSignal<Option<(Ask, Outcome)>>,
}

impl Trial {
    fn new(session: Session, basis: Arc<WhatIfBasis>) -> Self {
        let view = expect_context::<View>();
        let basis = StoredValue::new(basis);
        let changes = view.part(|state| Changes::parse(&state.what_if));
        let applied = Memo::new(move |_| basis.with_value(|basis| changes.get().applied(&basis.settings)));
        let settled = session::settled(move || applied.get().ok().flatten().map(|applied| applied.settings));
        let answer = session::answer_to(
            session,
            move || settled.get().map(Ask::WhatIf),
            |answer| if let Answer::WhatIf(result) = answer { Some(result.map(Arc::new)) } else { None },
        );
        Trial { basis, changes, applied, answer }
    }

    fn wanted(self) -> Option<WhatIf> {
        self.applied.get().ok().flatten().map(|applied| applied.settings)
    }

    /// The answer, if it is to what is wanted now.
    fn result(self) -> Option<Outcome> {
        let wanted = Ask::WhatIf(self.wanted()?);
        self.answer.with(|answer| answer.as_ref().filter(|(ask, _)| *ask == wanted).map(|(_, result)| result.clone()))
    }

    /// What is shown: of the newest settings that gave anything, as long as there are any.
    fn shown(self) -> Option<Arc<WhatIfAnswer>> {
        self.wanted()?;
        self.answer.with(|answer| answer.as_ref().and_then(|(_, result)| result.clone().ok()))
    }
}

/// Asks what there is to stand on, once.
#[component]
fn Unfolded(session: Session, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let basis = session::answer(
        session,
        || Some(Ask::WhatIfBasis),
        |answer| if let Answer::WhatIfBasis(basis) = answer { Some(basis.map(Arc::new)) } else { None },
    );
    move || match basis.get() {
        Some(Ok(basis)) => {
            let trial = Trial::new(session, basis);
            overlay(session, trial);
            view! { <Tried trial opened=Arc::clone(&opened) metric/> }.into_any()
        }
        Some(Err(problem)) => {
            problem_line(&sentence(&format!("this bundle cannot be simulated again: {problem}"))).into_any()
        }
        None => match session.rows.get() {
            Rows::Missing(problem) => {
                problem_line(&format!("Raw rows are needed to simulate again. {}", problem.detail)).into_any()
            }
            Rows::Reading(_) => waiting("Reading the runs").into_any(),
            Rows::Ready(_) => waiting("Learning step times, and simulating the unchanged settings").into_any(),
        },
    }
}

fn waiting(text: &'static str) -> impl IntoView {
    view! { <p class="small" role="status" data-testid="what-if-status"><span class="spinner" aria-hidden="true"></span>{text}"…"</p> }
}

fn problem_line(text: &str) -> impl IntoView + use<> {
    view! { <p class="problem-line" role="alert" data-testid="what-if-problem">{with_code(text)}</p> }
}

/// Lays the answer over the figures, and takes it away with the changes or with the panel.
fn overlay(session: Session, trial: Trial) {
    let view = expect_context::<View>();
    Effect::new(move |_| view.what_if.set(trial.shown().map(|answer| (session.id, answer))));
    on_cleanup(move || {
        // Another bundle's may be there already.
        if view.what_if.with_untracked(|shown| shown.as_ref().is_some_and(|(id, _)| *id == session.id)) {
            view.what_if.set(None);
        }
    });
}

#[component]
fn Tried(trial: Trial, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let problem = move || match (trial.applied.get(), trial.result()) {
        (Err((_, problem)), _) => Some(problem),
        (Ok(_), Some(Err(problem))) => Some(problem),
        _ => None,
    };
    let status = move || match (trial.applied.get(), trial.result()) {
        (Ok(Some(_)), None) => view! { <span class="spinner" aria-hidden="true"></span>"Simulating…" }.into_any(),
        (Ok(None), _) => {
            "Change a setting: the run is simulated again, and drawn dotted over the curves above.".into_any()
        }
        (Ok(Some(applied)), Some(Ok(_))) if !applied.follows.is_empty() => {
            with_code(&applied.follows.join(" ")).into_any()
        }
        (Ok(Some(_)), Some(Ok(_))) => "Drawn dotted over the curves above.".into_any(),
        _ => ().into_any(),
    };
    let opened = StoredValue::new(opened);
    view! {
        <div class="what-if" class:unsettled=move || !is_settled(trial) data-testid="what-if-panel" data-is-settled=move || is_settled(trial).to_string()>
            <Form trial/>
            {move || problem().map(|problem| problem_line(&sentence(&problem)))}
            <p class="small what-if-status" role="status" data-testid="what-if-status">{status}</p>
            {move || metric.get().map(|metric| view! { <Results trial opened=opened.get_value() metric/> })}
            <Trust trial opened=opened.get_value() metric/>
        </div>
    }
}

/// Nothing is on its way.
fn is_settled(trial: Trial) -> bool {
    trial.wanted().is_none() || trial.result().is_some()
}

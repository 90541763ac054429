//! A panel over raw rows while there are none: how far reading is, or why there will be none.

use leptos::prelude::*;

use crate::session::{Rows, Session};
use crate::words::with_code;

/// Its children once the rows are read; until then, words.
#[component]
pub fn OverRows(session: Session, children: ChildrenFn) -> impl IntoView {
    let is_ready = Memo::new(move |_| session.has_rows());
    move || if is_ready.get() { children().into_any() } else { view! { <Waiting session/> }.into_any() }
}

#[component]
fn Waiting(session: Session) -> impl IntoView {
    let missing = Memo::new(move |_| match session.rows.get() {
        Rows::Missing(problem) => Some((problem.title, problem.detail, problem.hint)),
        _ => None,
    });
    move || match missing.get() {
        None => view! { <p class="small waiting" data-testid="rows-reading">{move || reading(session)}</p> }.into_any(),
        Some((title, detail, hint)) => view! {
            <div class="waiting" data-testid="rows-missing">
                <p><strong>{title}</strong></p>
                <p class="small">{with_code(&detail)}" "{with_code(&hint)}</p>
            </div>
        }
        .into_any(),
    }
}

/// `reading rows, 43 %`.
fn reading(session: Session) -> String {
    session.rows.with(|rows| match rows {
        Rows::Reading(Some(progress)) => match progress.share() {
            Some(share) => format!("reading rows, {:.0} %", share * 100.0),
            None => "reading rows".to_owned(),
        },
        _ => "reading rows".to_owned(),
    })
}

//! The verdict line and the banners under it: what a reader must know before believing a number.

use std::sync::Arc;

use fidelio_shared::schema::comparison::{NoticeKind, RunIdentity};
use fidelio_shared::stats::Verdict;
use leptos::prelude::*;

use crate::words::{run_line, sentence, typeset, verdict_class, verdict_path, with_code};
use crate::worker::protocol::Opened;

/// A verdict as a mark; the words stand beside it wherever it is used.
#[component]
pub fn VerdictMark(verdict: Verdict) -> impl IntoView {
    view! {
        <svg class=format!("verdict-mark {}", verdict_class(verdict)) viewBox="0 0 16 16" aria-hidden="true">
            <circle cx="8" cy="8" r="8"/>
            <path d=verdict_path(verdict)/>
        </svg>
    }
}

/// The one line to read aloud, and what was compared.
#[component]
pub fn VerdictLine(opened: Arc<Opened>) -> impl IntoView {
    let comparison = &opened.comparison;
    let verdict = comparison.verdict.verdict;
    let real = comparison.real.first().cloned().unwrap_or_default();
    let sim = comparison.sim.clone();
    // Named once when both say the same, else with each side.
    let model = real.model.clone().filter(|model| sim.model.as_ref().is_none_or(|other| other == model));
    let is_shared = model.is_some();
    view! {
        <header class="verdict" data-testid="verdict" data-verdict=verdict_class(verdict)>
            <VerdictMark verdict/>
            <div>
                <h1><span class="sr-only">{format!("Verdict: {}. ", verdict.words())}</span>
                    {typeset(&comparison.verdict.sentence)}</h1>
                <p class="pair">
                    {model.map(|model| view! { <span>{model}</span> })}
                    <Side label="Real" class="real" run=real is_shared/>
                    <Side label="Simulated" class="sim" run=sim is_shared/>
                </p>
            </div>
        </header>
    }
}

#[component]
fn Side(label: &'static str, class: &'static str, run: RunIdentity, is_shared: bool) -> impl IntoView {
    let model = run.model.clone().filter(|_| !is_shared).map(|model| format!(", {model}"));
    view! {
        <span class=format!("side {class}")><span class="swatch" aria-hidden="true"></span>{label}": "{run_line(&run)}{model}</span>
    }
}

/// One banner each.
#[component]
pub fn Notices(opened: Arc<Opened>) -> impl IntoView {
    let notices = opened.comparison.notices.clone();
    (!notices.is_empty()).then(|| {
        view! {
            <ul class="notices" aria-label="Notices" data-testid="notices">
                {notices.into_iter().map(|notice| view! {
                    <li><strong>{heading(notice.kind)}</strong>" "{with_code(&sentence(&notice.text))}</li>
                }).collect_view()}
            </ul>
        }
    })
}

fn heading(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Parity => "Not known to be the same experiment.",
        NoticeKind::MissingOutput => "Requests without output.",
        NoticeKind::EarlyStop => "Different output lengths.",
        NoticeKind::OutOfProfile => "Beyond the profile.",
        NoticeKind::Load => "Doubtful load.",
        NoticeKind::Fitted => "Fitted, not predicted.",
        NoticeKind::Run => "Said by a run.",
        NoticeKind::Definition => "Another tool's metrics.",
        NoticeKind::Summary => "A summary, not the runs.",
    }
}

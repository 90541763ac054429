//! The pages: nothing open, opening, failed, and the report, which is a column of panels.

use std::sync::Arc;

use fidelio_shared::stats::Verdict;
use leptos::prelude::*;

use crate::app::{Beside, View};
use crate::open::{Problem, pick};
use crate::panels::attribution::AttributionPanel;
use crate::panels::bar::BundleBar;
use crate::panels::facts::{Counts, Distances};
use crate::panels::help::HelpButton;
use crate::panels::load::LoadPanel;
use crate::panels::metrics::{Metrics, chosen};
use crate::panels::provenance::Provenance;
use crate::panels::recent::RecentBundles;
use crate::panels::requests::RequestsPanel;
use crate::panels::share::ShareButton;
use crate::panels::steps::StepsPanel;
use crate::panels::verdict::{Notices, VerdictLine, VerdictMark};
use crate::panels::versus::Versus;
use crate::panels::what_if::WhatIfFold;
use crate::session::{Session, Stage};
use crate::words::{megabytes, with_code};
use crate::worker::protocol::{Opened, Work};

/// The name of the thing, what is open, and the way to open another.
#[component]
pub fn TopBar() -> impl IntoView {
    let view = expect_context::<View>();
    let has_bundles = Memo::new(move |_| view.sessions.with(|sessions| !sessions.is_empty()));
    view! {
        <header class="top">
            <button class="brand" type="button" aria-label="fidelio, back to the start" on:click=move |_| view.close_all()>
                <Mark/><span>"fidelio"</span>
            </button>
            {move || has_bundles.get().then(|| view! {
                <BundleBar/>
                <Picker label="Open beside…" class="quiet" beside=Beside::Beside name="beside-input"/>
                <ShareButton/>
            })}
            <HelpButton/>
        </header>
    }
}

/// Two distributions: real as a line, simulated as dashes.
#[component]
fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <path class="stroke-real" d="M4 27C13 27 12 5 28 5"/>
            <path class="stroke-sim" d="M4 27c15 0 14-6 16-11S24 9 28 9"/>
        </svg>
    }
}

/// A file picker that looks like a button and is one to the keyboard.
#[component]
fn Picker(label: &'static str, class: &'static str, beside: Beside, name: &'static str) -> impl IntoView {
    let view = expect_context::<View>();
    view! {
        <label class=format!("button {class}")>
            <input
                class="sr-only"
                type="file"
                multiple
                accept=".zip,application/zip"
                data-testid=name
                on:change=move |event| view.open_files(pick::chosen(&event), beside)
            />
            <span>{label}</span>
        </label>
    }
}

/// Nothing is open: what this is and how to begin, in three lines.
#[component]
pub fn Empty() -> impl IntoView {
    view! {
        <section class="empty" data-testid="empty">
            <h1>"How far can a simulation of LLM serving be trusted?"</h1>
            <p class="lead">
                "fidelio runs one workload on a real engine and in a simulator, and measures how far apart they are."
            </p>
            <div class="drop-card">
                <Sketch/>
                <p><strong>"Drop bundles anywhere on this page"</strong>", or paste them"</p>
                <p><Picker label="Choose bundles…" class="primary" beside=Beside::Instead name="file-input"/></p>
                <p class="small">
                    "or add " <code>"#bundle=<address>"</code> " to this page’s address, or run "
                    <code>"fidelio view bundle.zip"</code>
                </p>
            </div>
            <p class="promise">
                "Everything is computed in this page. The file stays on this machine; nothing is uploaded."
            </p>
            <RecentBundles/>
        </section>
    }
}

/// A drawing of what one will see: no data, so hidden from readers.
#[component]
fn Sketch() -> impl IntoView {
    view! {
        <svg class="sketch" viewBox="0 0 320 120" aria-hidden="true">
            <path class="stroke-grid" d="M8 8.5h304M8 60h304M8 111.5h304"/>
            <path class="fill-gap" d="M20 111C92 111 92 9 172 8H290C180 8 170 111 70 111Z"/>
            <path class="stroke-real" d="M70 111C170 111 180 8 290 8h22"/>
            <path class="stroke-sim" d="M20 111C92 111 92 9 172 8h140"/>
        </svg>
    }
}

/// A bundle is on its way: how far, and the way to give it up.
#[component]
pub fn Loading(session: Session) -> impl IntoView {
    let view = expect_context::<View>();
    let progress = Memo::new(move |_| match session.stage.get() {
        Stage::Opening(progress) => progress,
        _ => None,
    });
    let share = move || progress.get().and_then(|progress| progress.share());
    let words = move || match progress.get() {
        None => "Opening".to_owned(),
        Some(progress) => {
            let work = match progress.work {
                Work::Download => "Downloading",
                Work::Read => "Reading",
                Work::Compare => "Reading and comparing",
            };
            let of = progress.total.map_or(String::new(), |total| format!(" of {}", megabytes(total)));
            format!("{work}: {}{of}", megabytes(progress.done))
        }
    };
    view! {
        <section class="loading" data-testid="loading">
            <h1>{session.name()}</h1>
            <div
                class="progress"
                role="progressbar"
                aria-label="Opening"
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=move || share().map(|share| format!("{:.0}", share * 100.0))
                data-testid="progress"
            >
                <div class:unknown=move || share().is_none() style:width=move || format!("{:.1}%", share().unwrap_or(0.3) * 100.0)></div>
            </div>
            <p class="small" data-testid="progress-words">{words}</p>
            <p><button class="button quiet" type="button" data-testid="cancel" on:click=move |_| view.close(session)>"Cancel"</button></p>
        </section>
    }
}

/// A bundle did not open: what, why, and what to do.
#[component]
pub fn Failed(session: Session, problem: Problem) -> impl IntoView {
    let view = expect_context::<View>();
    view! {
        <section class="failed" role="alert" data-testid="problem">
            <h1 data-testid="problem-title"><VerdictMark verdict=Verdict::Outside/>{problem.title}</h1>
            <p data-testid="problem-detail">{with_code(&problem.detail)}</p>
            <p class="hint" data-testid="problem-hint">{with_code(&problem.hint)}</p>
            <p class="actions">
                <Picker label="Choose other files…" class="primary" beside=Beside::Instead name="file-input"/>
                <button class="button quiet" type="button" data-testid="dismiss" on:click=move |_| view.close(session)>"Dismiss"</button>
            </p>
        </section>
    }
}

/// The comparison, most important first.
#[component]
pub fn Report(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let metric = chosen(expect_context::<View>(), &opened);
    view! {
        <article class="report" data-testid="report">
            <VerdictLine opened=Arc::clone(&opened)/>
            <Notices opened=Arc::clone(&opened)/>
            <Metrics session opened=Arc::clone(&opened) metric/>
            <Versus metric/>
            <Counts opened=Arc::clone(&opened)/>
            <RequestsPanel session opened=Arc::clone(&opened) metric/>
            <StepsPanel session/>
            <AttributionPanel session opened=Arc::clone(&opened)/>
            <WhatIfFold session opened=Arc::clone(&opened) metric/>
            <LoadPanel opened=Arc::clone(&opened) metric/>
            <Distances opened=Arc::clone(&opened)/>
            <Provenance session opened/>
        </article>
    }
}

//! The pages: nothing open, opening, failed, and the report, which is a column of panels.

use std::sync::Arc;

use fidelio_shared::stats::Verdict;
use leptos::prelude::*;

use crate::app::{Screen, View};
use crate::open::{Opened, Problem, pick};
use crate::panels::facts::Facts;
use crate::panels::metrics::Metrics;
use crate::panels::provenance::Provenance;
use crate::panels::requests::Requests;
use crate::panels::verdict::{Notices, VerdictLine, VerdictMark};
use crate::words::{megabytes, with_code};

/// The name of the thing and of what is open, and the way to open another.
#[component]
pub fn TopBar() -> impl IntoView {
    let view = expect_context::<View>();
    let opened = move || match view.screen.get() {
        Screen::Open(opened) => Some(opened),
        _ => None,
    };
    view! {
        <header class="top">
            <button class="brand" type="button" aria-label="fidelio, back to the start" on:click=move |_| view.close()>
                <Mark/><span>"fidelio"</span>
            </button>
            {move || opened().map(|opened| view! {
                <p class="file" data-testid="file-name">
                    <span class="file-name">{opened.name.clone()}</span>
                    <span class="file-size">{megabytes(opened.num_bytes())}</span>
                </p>
                <Picker label="Open another" class="quiet"/>
            })}
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
fn Picker(label: &'static str, class: &'static str) -> impl IntoView {
    let view = expect_context::<View>();
    let open = move |event| {
        if let Some(file) = pick::chosen(&event) {
            view.open_file(file);
        }
    };
    view! {
        <label class=format!("button {class}")>
            <input class="sr-only" type="file" accept=".zip,application/zip" data-testid="file-input" on:change=open/>
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
                <p><strong>"Drop a bundle anywhere on this page"</strong></p>
                <p><Picker label="Choose a bundle…" class="primary"/></p>
                <p class="small">
                    "or add " <code>"#bundle=<address>"</code> " to this page’s address, or run "
                    <code>"fidelio view bundle.zip"</code>
                </p>
            </div>
            <p class="promise">
                "Everything is computed in this page. The file stays on this machine; nothing is uploaded."
            </p>
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

/// A bundle is on its way.
#[component]
pub fn Loading(name: String) -> impl IntoView {
    view! {
        <section class="loading" data-testid="loading">
            <p><span class="spinner" aria-hidden="true"></span>"Opening " {name} "…"</p>
        </section>
    }
}

/// A bundle did not open: what, why, and what to do.
#[component]
pub fn Failed(problem: Problem) -> impl IntoView {
    view! {
        <section class="failed" role="alert" data-testid="problem">
            <h1 data-testid="problem-title"><VerdictMark verdict=Verdict::Outside/>{problem.title}</h1>
            <p data-testid="problem-detail">{with_code(&problem.detail)}</p>
            <p class="hint" data-testid="problem-hint">{with_code(&problem.hint)}</p>
            <p><Picker label="Choose another file…" class="primary"/></p>
        </section>
    }
}

/// The comparison, most important first.
#[component]
pub fn Report(opened: Arc<Opened>) -> impl IntoView {
    let opened = StoredValue::new(opened);
    let opened = move || opened.get_value();
    view! {
        <article class="report" data-testid="report">
            <VerdictLine opened=opened()/>
            <Notices opened=opened()/>
            <Metrics opened=opened()/>
            <Facts opened=opened()/>
            <Requests opened=opened()/>
            <Provenance opened=opened()/>
        </article>
    }
}

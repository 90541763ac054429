//! The viewer: opens comparison bundles in the browser. Its only input is bytes, its only logic is
//! view state; every number comes from `fidelio_shared`, so it is the number the command line printed.
//!
//! The same program runs twice: as the page, and as a worker for each open bundle.

mod app;
mod keys;
mod link;
mod open;
mod pages;
mod panels;
mod session;
mod share;
mod state;
mod words;
mod worker;

use std::panic::PanicHookInfo;

fn main() {
    std::panic::set_hook(Box::new(explain_panic));
    if worker::is_here() {
        worker::listen();
    } else {
        leptos::mount::mount_to_body(app::App);
    }
}

/// A panic is a mistake of ours, but even then somebody says something: a worker to its page, the page to its reader.
fn explain_panic(info: &PanicHookInfo<'_>) {
    let text = info.to_string();
    web_sys::console::error_1(&text.as_str().into());
    if worker::is_here() {
        worker::crash(&text);
        return;
    }
    let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
    if let Some(reason) = document.get_element_by_id("crash-reason") {
        reason.set_text_content(Some(&format!("This is a mistake in the viewer: {text}")));
    }
    if let Some(crash) = document.get_element_by_id("crash") {
        let _ = crash.remove_attribute("hidden");
    }
}

//! Handing on what is seen: links, Markdown, CSV, figures; a dialog for all of it, and a row under the figure for the
//! usual ones.

mod links;

use std::rc::Rc;

use fidelio_shared::metrics::Metric;
use leptos::html::Textarea;
use leptos::prelude::*;

use crate::app::View;
use crate::link::Source;
use crate::panels::bar::letter;
use crate::panels::dialog::Dialog;
use crate::panels::export::{Export, copy, save_png, save_svg, save_text};
use crate::session::Session;
use crate::share::figure::file_name;
use crate::share::markdown::Told;
use crate::share::provenance::{Hash, Mark, Origin};
use crate::share::{csv, markdown, provenance};
use links::Links;

/// Opens the dialog.
#[component]
pub fn ShareButton() -> impl IntoView {
    let view = expect_context::<View>();
    view! {
        <button
            class="button quiet"
            type="button"
            data-testid="share"
            aria-haspopup="dialog"
            on:click=move |_| view.sharing.is_open.set(true)
        >"Share"</button>
    }
}

/// Everything that can be handed on.
#[component]
pub fn ShareDialog() -> impl IntoView {
    let view = expect_context::<View>();
    Effect::new(move |_| {
        if !view.sharing.is_open.get() {
            view.sharing.manual.set(None);
            view.sharing.note.set(String::new());
        }
    });
    view! {
        <Dialog name="share-dialog" title="Share this view" is_open=view.sharing.is_open>
            <Manual/>
            <Links/>
            <Texts/>
            <Figures/>
            <p class="small share-origin" data-testid="share-provenance">{move || origin(view, Whose::All, chosen(view)).line()}</p>
            <p class="share-note" role="status" data-testid="share-note">{move || view.sharing.note.get()}</p>
        </Dialog>
    }
}

/// The usual ones, for the metric shown.
#[component]
pub fn ShareRow() -> impl IntoView {
    let view = expect_context::<View>();
    let figure = move |act: fn(View, &Export)| {
        let first =
            view.sharing.figures.with_untracked(|figures| figures.iter().find(|one| one.name == "cdf").cloned());
        if let Some(figure) = first {
            act(view, &figure);
        }
    };
    view! {
        <div class="share-row" role="group" aria-label="Take this metric away">
            <button type="button" data-testid="row-markdown" on:click=move |_| copy_markdown(view, chosen(view))>"Markdown"</button>
            <button type="button" data-testid="row-csv" on:click=move |_| save_distribution(view)>"CSV"</button>
            <button type="button" data-testid="row-svg" on:click=move |_| figure(svg)>"SVG"</button>
            <button type="button" data-testid="row-png" on:click=move |_| figure(|view, figure| png(view, figure, 2))>"PNG"</button>
            <span class="share-note" aria-hidden="true">
                {move || if view.sharing.is_open.get() { String::new() } else { view.sharing.note.get() }}
            </span>
        </div>
    }
}

/// What the browser did not copy, selected.
#[component]
fn Manual() -> impl IntoView {
    let view = expect_context::<View>();
    let area = NodeRef::<Textarea>::new();
    let is_there = move || view.sharing.manual.with(Option::is_some);
    Effect::new(move |_| {
        if let (Some(area), Some(text)) = (area.get(), view.sharing.manual.get()) {
            area.set_value(&text);
            let _ = area.focus();
            area.select();
        }
    });
    move || {
        is_there().then(|| {
            view! {
                <textarea class="share-manual" readonly rows="4" aria-label="Text to copy" data-testid="share-manual" node_ref=area></textarea>
            }
        })
    }
}

#[component]
fn Texts() -> impl IntoView {
    let view = expect_context::<View>();
    let name = move || chosen(view).map_or("this metric", Metric::label);
    view! {
        <section class="share-part" aria-label="Text and tables">
            <div class="share-buttons">
                <button class="button quiet" type="button" data-testid="copy-markdown" on:click=move |_| copy_markdown(view, chosen(view))>
                    {move || format!("Copy {} as Markdown", name())}
                </button>
                <button class="button quiet" type="button" data-testid="copy-markdown-all" on:click=move |_| copy_markdown(view, None)>
                    "Copy all metrics as Markdown"
                </button>
                <button class="button quiet" type="button" data-testid="save-percentiles" on:click=move |_| save_percentiles(view)>
                    "Percentiles of all metrics, CSV"
                </button>
                <button class="button quiet" type="button" data-testid="save-distribution" on:click=move |_| save_distribution(view)>
                    {move || format!("Distribution of {}, CSV", name())}
                </button>
            </div>
        </section>
    }
}

#[component]
fn Figures() -> impl IntoView {
    let view = expect_context::<View>();
    let line = move |figure: Export| {
        let figure = Rc::new(figure);
        let title = figure_title(figure.name);
        let button = |label: &'static str, act: fn(View, &Export)| {
            let figure = Rc::clone(&figure);
            view! {
                <button
                    class="button quiet"
                    type="button"
                    aria-label=format!("{title} as {label}")
                    data-testid=format!("save-{}-{}", figure.name, label.to_ascii_lowercase().replace(' ', "-"))
                    on:click=move |_| act(view, &figure)
                >{label}</button>
            }
        };
        view! {
            <div class="share-line">
                <span>{title.clone()}</span>
                {button("SVG", svg)}
                {button("PNG", |view, figure| png(view, figure, 2))}
                {button("PNG 3×", |view, figure| png(view, figure, 3))}
            </div>
        }
    };
    view! {
        <section class="share-part share-figures" aria-label="Figures">
            {move || view.sharing.figures.get().into_iter().map(line).collect_view()}
        </section>
    }
}

fn figure_title(name: &str) -> String {
    match name {
        "cdf" => "CDF".to_owned(),
        "shift" => "Shift curve".to_owned(),
        "load-strip" => "Load over time".to_owned(),
        "prompt-strip" => "Prompt lengths".to_owned(),
        "curves" => "Load, curve by curve".to_owned(),
        "waterfall" => "Attribution".to_owned(),
        "runs-strip" => "Repeats".to_owned(),
        "steps" => "Engine steps".to_owned(),
        "pairs" => "Errors of requests".to_owned(),
        "scatter" => "Real against simulated".to_owned(),
        "timeline" => "Tokens of a request".to_owned(),
        other => {
            let mut letters = other.replace('-', " ");
            letters.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
            letters
        }
    }
}

fn svg(view: View, figure: &Export) {
    save_svg(view, figure, name_of_file(view, figure.name, "svg"), &origin(view, Whose::All, chosen(view)));
}

fn png(view: View, figure: &Export, scale: u32) {
    let what = if scale == 2 { figure.name.to_owned() } else { format!("{}-{scale}x", figure.name) };
    save_png(view, figure, name_of_file(view, &what, "png"), &origin(view, Whose::All, chosen(view)), scale);
}

/// Of the metric shown, `None` of all.
fn copy_markdown(view: View, metric: Option<Metric>) {
    let Some(opened) = untrack(|| view.focused().and_then(Session::opened)) else { return };
    let provenance = untrack(|| origin(view, Whose::Focused, metric)).line();
    let part = provenance::selection(&view.state.with_untracked(|state| state.selection));
    let report = |told: Told<'_>| markdown::report(&opened.comparison, told, &provenance);
    let Some((_, shown)) = view.sharing.shown.get_untracked().filter(|_| metric.is_some()) else {
        return copy(view, report(Told::All), "Markdown");
    };
    let reduced = if shown.is_brushed.get_untracked() { shown.reduced.get_untracked().flatten() } else { None };
    let text = match (reduced, shown.intervals.get_untracked().flatten()) {
        (Some(reduced), Some(judged))
            if judged.num_requests == reduced.num_requests && judged.metric == reduced.metric =>
        {
            report(Told::Part(&judged, &part))
        }
        (Some(reduced), _) => report(Told::Quick(&reduced, &part)),
        (None, _) => match shown.entry.get_untracked() {
            Some(entry) => report(Told::One(&entry)),
            None => report(Told::All),
        },
    };
    copy(view, text, "Markdown");
}

fn save_percentiles(view: View) {
    let Some(opened) = untrack(|| view.focused().and_then(Session::opened)) else { return };
    let text = csv::percentiles(&opened.comparison.metrics, &origin(view, Whose::Focused, None).line());
    save_text(view, &file_name(&opened.name, "percentiles", "csv"), "text/csv", &text);
}

fn save_distribution(view: View) {
    let Some((_, shown)) = view.sharing.shown.get_untracked() else { return };
    let Some(entry) = shown.entry.get_untracked() else { return };
    let reduced = if shown.is_brushed.get_untracked() { shown.reduced.get_untracked().flatten() } else { None };
    let curve = reduced.map_or_else(|| entry.curve.clone(), |reduced| reduced.curve);
    let text = csv::distribution(&entry, &curve, &untrack(|| origin(view, Whose::Focused, Some(entry.metric))).line());
    save_text(view, &name_of_file(view, "distribution", "csv"), "text/csv", &text);
}

fn name_of_file(view: View, what: &str, ending: &str) -> String {
    let bundle = untrack(|| view.focused()).map_or(String::new(), Session::name);
    let metric = untrack(|| chosen(view)).map_or(String::new(), |metric| format!("{}-", metric.key()));
    file_name(&bundle, &format!("{metric}{what}"), ending)
}

/// The metric shown.
fn chosen(view: View) -> Option<Metric> {
    let (_, shown) = view.sharing.shown.get()?;
    shown.entry.try_get()?.map(|entry| entry.metric)
}

/// Whose numbers are handed on.
#[derive(Clone, Copy)]
enum Whose {
    Focused,
    All,
}

fn origin(view: View, whose: Whose, metric: Option<Metric>) -> Origin {
    let sessions = view.sessions.get();
    let focused = view.focused();
    let is_alone = sessions.len() < 2;
    let told = sessions.iter().enumerate().filter(|(_, session)| match whose {
        Whose::Focused => focused == Some(**session),
        Whose::All => session.opened().is_some(),
    });
    let bundles = told.map(|(place, session)| {
        let is_file = !matches!(session.source.get_value(), Some(Source::Data(_)));
        let hash = match (is_file, session.sha256.get()) {
            (false, _) => Hash::NoFile,
            (true, Some(hash)) => Hash::Known(hash),
            (true, None) => Hash::Pending,
        };
        let letter = if is_alone { String::new() } else { letter(place) };
        Mark { letter, name: session.name(), hash }
    });
    Origin { bundles: bundles.collect(), shown: view.state.with(|state| provenance::shown(metric, state)) }
}

/// What is open, with what links say of it.
fn bundles(view: View) -> Vec<(String, Option<Source>)> {
    view.sessions.get().into_iter().map(|session| (session.name(), session.source.get_value())).collect()
}

//! Repeats: every real run's percentiles and the simulation's, relative to the mean of the real runs.

use std::sync::Arc;

use fidelio_shared::charts::{RunMark, RunsLayout, draw_runs, format_duration, runs_height, runs_summary};
use fidelio_shared::explore::answers::RunStrip;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::Comparison;
use fidelio_shared::stats::CentiNanos;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, PointerEvent};

use crate::panels::figure::{Figure, Sheet};
use crate::session::{self, Rows, Session};
use crate::words::typeset;
use crate::worker::protocol::{Answer, Ask, Opened};

/// Figure and table; nothing where the engine was measured once. While rows are on their way its place is kept, so that
/// nothing jumps when they come.
#[component]
pub fn Repeats(session: Session, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let expected = Memo::new(move |_| expected(&opened.comparison, metric.get()?).map(Arc::new));
    let has_repeats = Memo::new(move |_| match session.rows.get() {
        Rows::Ready(overview) => overview.repeats.len() > 1,
        Rows::Reading(_) => expected.with(Option::is_some),
        Rows::Missing(_) => false,
    });
    let answer = session::answer(
        session,
        move || metric.get().filter(|_| has_repeats.get()).map(Ask::Runs),
        |answer| if let Answer::Runs(strip) = answer { Some(strip.map(Arc::new)) } else { None },
    );
    let strip = Memo::new(move |_| answer.get().flatten());
    // No answer yet is not the answer that there is nothing.
    let is_shown = Memo::new(move |_| has_repeats.get() && answer.with(|answer| !matches!(answer, Some(None))));
    move || is_shown.get().then(|| view! { <Strip strip expected metric/> })
}

/// What will be shown of a metric, without its times; `None` where there is one real run.
fn expected(comparison: &Comparison, metric: Metric) -> Option<RunStrip> {
    let labels = comparison.metric(metric)?.percentiles.iter().map(|row| row.label.clone()).collect();
    let real = comparison.real.iter().map(|run| (run.name.clone(), Vec::new())).collect();
    (comparison.real.len() > 1).then_some(RunStrip { labels, real, sim: Vec::new() })
}

#[component]
fn Strip(
    strip: Memo<Option<Arc<RunStrip>>>,
    expected: Memo<Option<Arc<RunStrip>>>,
    metric: Memo<Option<Metric>>,
) -> impl IntoView {
    let name = move || metric.get().map_or("", |metric| metric.label());
    let told = Memo::new(move |_| strip.get().or(expected.get()));
    view! {
        <section class="repeats" data-testid="repeats" aria-label="Repeats of the real run">
            <h2>"Repeats of the real run"</h2>
            <div class="repeats-parts">
                <Drawing strip told/>
                {move || told.get().map(|strip| view! { <Twin strip name=name()/> })}
            </div>
        </section>
    }
}

#[component]
fn Drawing(strip: Memo<Option<Arc<RunStrip>>>, told: Memo<Option<Arc<RunStrip>>>) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let pointed = RwSignal::new(None::<(usize, RunMark)>);
    let layout = Memo::new(move |_| strip.get().map(|strip| RunsLayout::new(&strip, size.get().0)));
    let label = Signal::derive(move || strip.get().map_or(String::new(), |strip| typeset(&runs_summary(&strip))));
    let paint = move |sheet: &Sheet| strip.get().map_or(Ok(()), |strip| draw_runs(&sheet.area, &strip, &sheet.plain()));
    let on_move = move |event: PointerEvent| {
        let ground = event.current_target().and_then(|target| target.dyn_into::<Element>().ok());
        let Some(ground) = ground.map(|ground| ground.get_bounding_client_rect()) else { return };
        let (x, y) = (f64::from(event.client_x()) - ground.left(), f64::from(event.client_y()) - ground.top());
        pointed.set(layout.with_untracked(|layout| layout.as_ref().and_then(|layout| layout.nearest(x, y))));
    };
    let words = move || {
        let (row, mark) = pointed.get()?;
        strip.get().and_then(|strip| mark_words(&strip, row, mark))
    };
    view! {
        <div class="runs-drawing">
            <div class="runs-ground" style:height=move || told.get().map(|strip| format!("{}px", runs_height(strip.labels.len())))>
                <Figure name="runs-strip" label size paint>
                    <div class="pointer-ground" aria-hidden="true" on:pointermove=on_move
                        on:pointerleave=move |_| pointed.set(None)></div>
                </Figure>
            </div>
            <p class="readout" data-testid="runs-readout">{move || words().unwrap_or_default()}</p>
        </div>
    }
}

/// `P90, real_run_2: 1.180 s`.
fn mark_words(strip: &RunStrip, row: usize, mark: RunMark) -> Option<String> {
    let (name, times) = match mark {
        RunMark::Real(run) => strip.real.get(run).map(|(name, times)| (name.as_str(), times))?,
        RunMark::Simulated => ("simulated", &strip.sim),
    };
    let time = times.get(row)?;
    Some(format!("{}, {name}: {}", strip.labels.get(row)?.to_ascii_uppercase(), format_duration(time.as_f64())))
}

/// The same as a table.
#[component]
fn Twin(strip: Arc<RunStrip>, name: &'static str) -> impl IntoView {
    let time = |time: Option<&CentiNanos>| {
        let words = time.map_or("–".to_owned(), |time| format_duration(time.as_f64()));
        view! { <td data-ns=time.map(|time| time.to_string())>{words}</td> }
    };
    let heads = strip.labels.iter().map(|label| view! { <th scope="col">{label.to_ascii_uppercase()}</th> });
    let columns = 0..strip.labels.len();
    let row = |run: &str, times: &[CentiNanos], class: &'static str| {
        let cells = columns.clone().map(|place| time(times.get(place))).collect_view();
        view! {
            <tr data-testid="runs-row" data-run=run.to_owned()>
                <th scope="row" class="word"><span class=format!("run-mark {class}") aria-hidden="true"></span>{run.to_owned()}</th>
                {cells}
            </tr>
        }
    };
    let real = strip.real.iter().map(|(run, times)| row(run, times, "real")).collect_view();
    let caption = format!("{name} percentiles of every real run and of the simulation");
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label=caption.clone()>
            <table class="runs-table" data-testid="runs-table">
                <caption class="sr-only">{caption.clone()}</caption>
                <thead><tr><th scope="col" class="word">"Run"</th>{heads.collect_view()}</tr></thead>
                <tbody>{real}{row("simulated", &strip.sim, "sim")}</tbody>
            </table>
        </div>
    }
}

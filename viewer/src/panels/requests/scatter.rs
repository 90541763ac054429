//! Real against simulated, a point a request: what the pointer or the arrow keys are at is read off, a click or Enter
//! chooses it.

use std::sync::Arc;

use fidelio_shared::charts::{Fractions, ScatterFigure, ScatterLayout, draw_scatter, format_duration, scatter_summary};
use fidelio_shared::explore::answers::Scatter;
use fidelio_shared::metrics::Metric;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent};

use crate::app::View;
use crate::panels::figure::{Figure, Sheet, place};
use crate::panels::requests::Requests;
use crate::session;
use crate::words::percent;
use crate::worker::protocol::{Answer, Ask};

/// Points, at most: more than can be told apart in a square of this size.
const MOST_POINTS: usize = 6_000;

/// The points, and their places from the worst error on.
struct Cloud {
    metric: Metric,
    scatter: Scatter,
    ranks: Vec<usize>,
}

impl Cloud {
    fn of((ask, scatter): &(Ask, Scatter)) -> Option<Self> {
        let Ask::Scatter(metric, ..) = ask else { return None };
        Some(Cloud { metric: *metric, ranks: scatter.by_error(), scatter: scatter.clone() })
    }

    fn figure(&self, tolerance: f64, highlighted: Option<u32>) -> ScatterFigure<'_> {
        ScatterFigure { metric: self.metric, scatter: &self.scatter, tolerance, highlighted }
    }

    /// One point in a line.
    fn words(&self, point: usize) -> String {
        let rank = self.ranks.iter().position(|known| *known == point).map_or(0, |rank| rank + 1);
        format!(
            "#{}: real {}, simulated {} ({}), error {rank} of {}",
            self.scatter.ids[point],
            format_duration(self.scatter.real_ns[point] as f64),
            format_duration(self.scatter.sim_ns[point] as f64),
            percent(self.scatter.rel_error(point)),
            self.ranks.len()
        )
    }
}

#[component]
pub(super) fn ScatterPane(requests: Requests) -> impl IntoView {
    let view = expect_context::<View>();
    let Requests { session, metric, tolerance, .. } = requests;
    let selection = view.part(|state| state.selection);
    let answer = session::answer_to(
        session,
        move || Some(Ask::Scatter(metric.get()?, selection.get(), MOST_POINTS)),
        |answer| if let Answer::Scatter(scatter) = answer { Some(scatter) } else { None },
    );
    let cloud = RwSignal::new(None::<Arc<Cloud>>);
    Effect::new(move |_| cloud.set(answer.with(|answer| answer.as_ref().and_then(Cloud::of).map(Arc::new))));
    let (point, set_point) = signal(None::<usize>);
    Effect::new(move |_| {
        cloud.track();
        set_point.set(None);
    });
    view! {
        <section class="scatter-pane" aria-label="Real against simulated">
            <Plot cloud tolerance point set_point/>
            <Readout cloud point/>
        </section>
    }
}

#[component]
fn Plot(
    cloud: RwSignal<Option<Arc<Cloud>>>,
    tolerance: f64,
    point: ReadSignal<Option<usize>>,
    set_point: WriteSignal<Option<usize>>,
) -> impl IntoView {
    let view = expect_context::<View>();
    let (axis, chosen) = (view.part(|state| state.axis), view.part(|state| state.request));
    let size = RwSignal::new((0.0, 0.0));
    let layout = Memo::new(move |_| {
        let (width, height) = size.get();
        cloud.get().map(|cloud| ScatterLayout::new(&cloud.figure(tolerance, None), axis.get(), width, height))
    });
    let label = Signal::derive(move || {
        cloud.get().map_or(String::new(), |cloud| scatter_summary(&cloud.figure(tolerance, None)))
    });
    let paint = move |sheet: &Sheet| {
        let look = sheet.look(axis.get(), Fractions::Even);
        let chosen = chosen.get();
        cloud.get().map_or(Ok(()), |cloud| draw_scatter(&sheet.area, &cloud.figure(tolerance, chosen), &look))
    };
    let choose = move |point: usize| {
        if let Some(id) = cloud.with_untracked(|cloud| cloud.as_ref()?.scatter.ids.get(point).copied()) {
            view.state.update(|state| state.request = Some(id));
            view.say(format!("Request {id} chosen"));
        }
    };
    let on_move = move |event: PointerEvent| {
        let here = place(&event);
        let near = layout.with_untracked(|layout| here.and_then(|(x, y)| layout.as_ref()?.nearest(x, y)));
        if near != point.get_untracked() {
            set_point.set(near);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let Some(cloud) = cloud.get_untracked() else { return };
        let here = point.get_untracked().and_then(|point| cloud.ranks.iter().position(|known| *known == point));
        match (event.key().as_str(), point.get_untracked()) {
            ("Enter" | " ", Some(point)) => choose(point),
            ("Escape", _) => set_point.set(None),
            (key, _) => match after_key(key, here, cloud.ranks.len()) {
                Some(rank) => set_point.set(cloud.ranks.get(rank).copied()),
                None => return,
            },
        }
        event.prevent_default();
    };
    let words =
        move || point.get().zip(cloud.get()).map_or("no request".to_owned(), |(point, cloud)| cloud.words(point));
    let rank = move || {
        let (point, cloud) = (point.get()?, cloud.get()?);
        cloud.ranks.iter().position(|known| *known == point)
    };
    let marks = move || {
        let (x, y) = layout.with(|layout| layout.as_ref()?.points.get(point.get()?).copied())?;
        let (left, bottom) =
            layout.with(|layout| layout.as_ref().map(|layout| (layout.real.start(), layout.sim.start())))?;
        Some(view! {
            <line x1=left x2=x y1=y y2=y/>
            <line x1=x x2=x y1=y y2=bottom/>
            <circle class="sim" cx=x cy=y r="5"/>
        })
    };
    view! {
        <Figure name="scatter" label size paint>
            <div
                class="cursor-ground"
                data-testid="scatter-cursor"
                role="slider"
                tabindex="0"
                aria-label="Requests by error, the worst first"
                aria-valuemin="1"
                aria-valuemax=move || cloud.get().map_or(1, |cloud| cloud.ranks.len().max(1)).to_string()
                aria-valuenow=move || rank().map_or(1, |rank| rank + 1).to_string()
                aria-valuetext=words
                on:pointermove=on_move
                on:pointerleave=move |_| set_point.set(None)
                on:click=move |_| if let Some(point) = point.get_untracked() { choose(point) }
                on:keydown=on_key
            >
                <svg class="cursor" aria-hidden="true">{marks}</svg>
            </div>
        </Figure>
    }
}

/// The rank a key leads to: the arrows go on from the worst.
fn after_key(key: &str, here: Option<usize>, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    match (key, here) {
        ("ArrowRight" | "ArrowDown" | "ArrowLeft" | "ArrowUp", None) | ("Home", _) => Some(0),
        ("End", _) => Some(last),
        ("ArrowRight" | "ArrowDown", Some(rank)) => Some((rank + 1).min(last)),
        ("ArrowLeft" | "ArrowUp", Some(rank)) => Some(rank.saturating_sub(1)),
        ("PageDown", rank) => Some((rank.unwrap_or(0) + 10).min(last)),
        ("PageUp", rank) => Some(rank.unwrap_or(0).saturating_sub(10)),
        _ => None,
    }
}

#[component]
fn Readout(cloud: RwSignal<Option<Arc<Cloud>>>, point: ReadSignal<Option<usize>>) -> impl IntoView {
    let at = move || point.get().zip(cloud.get());
    let of = move |pick: fn(&Scatter, usize) -> String| at().map(|(point, cloud)| pick(&cloud.scatter, point));
    view! {
        <p class="readout" data-testid="scatter-hover"
            data-request=move || of(|scatter, point| scatter.ids[point].to_string())
            data-real-ns=move || of(|scatter, point| scatter.real_ns[point].to_string())
            data-sim-ns=move || of(|scatter, point| scatter.sim_ns[point].to_string())
        >
            {move || match at() {
                Some((point, cloud)) => cloud.words(point),
                None => "Point at a request, or walk with the arrow keys from the worst; click or Enter shows its tokens.".to_owned(),
            }}
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::after_key;

    #[test]
    fn arrows_walk_from_the_worst_and_stop_at_the_ends() {
        assert_eq!(after_key("ArrowDown", None, 5), Some(0));
        assert_eq!(after_key("ArrowRight", Some(4), 5), Some(4));
        assert_eq!(after_key("ArrowUp", Some(2), 5), Some(1));
        assert_eq!(
            (after_key("End", None, 5), after_key("End", None, 0), after_key("x", Some(1), 5)),
            (Some(4), None, None)
        );
    }
}

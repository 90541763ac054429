//! Requests each against itself: the CDF of their relative errors, and Bland and Altman's numbers of every metric.

use std::sync::Arc;

use fidelio_shared::charts::{
    PairFigure, PairLayout, draw_pairs, format_duration, format_signed_duration, pairs_summary,
};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::{magnitude, thousands};
use fidelio_shared::schema::comparison::{MetricComparison, PairErrors};
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent};

use crate::panels::figure::{Figure, Sheet, place};
use crate::words::{percent, typeset};

type Pairs = (Metric, Arc<PairErrors>);

#[component]
pub(super) fn PairsPart(metrics: Vec<MetricComparison>, chosen: Memo<Option<Metric>>, tolerance: f64) -> impl IntoView {
    let pairs: Vec<Pairs> =
        metrics.iter().filter_map(|entry| Some((entry.metric, Arc::new(entry.pairs.clone()?)))).collect();
    let all = StoredValue::new(pairs.clone());
    let shown = Memo::new(move |_| {
        let wanted = chosen.get();
        all.with_value(|all| all.iter().find(|(metric, _)| Some(*metric) == wanted).or(all.first()).cloned())
    });
    (!pairs.is_empty()).then(|| {
        view! {
            <section aria-label="Request by request">
                <h3>{move || shown.get().map(|(metric, _)| format!("Request by request: {}", metric.label()))}</h3>
                <Errors shown tolerance/>
            </section>
        }
    })
}

#[component]
fn Errors(shown: Memo<Option<Pairs>>, tolerance: f64) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0));
    let figure = move |(metric, pairs): &Pairs, then: &mut dyn FnMut(&PairFigure<'_>)| {
        then(&PairFigure { metric: *metric, pairs, tolerance });
    };
    let layout = Memo::new(move |_| {
        let ((width, height), mut layout) = (size.get(), None);
        shown.with(|shown| {
            shown
                .as_ref()
                .map(|pairs| figure(pairs, &mut |figure| layout = Some(PairLayout::new(figure, width, height))))
        });
        layout
    });
    let label = Signal::derive(move || {
        let mut words = String::new();
        shown.with(|shown| {
            shown.as_ref().map(|pairs| figure(pairs, &mut |figure| words = typeset(&pairs_summary(figure))))
        });
        words
    });
    let paint = move |sheet: &Sheet| {
        let mut drawn = Ok(());
        shown.with(|shown| {
            shown
                .as_ref()
                .map(|pairs| figure(pairs, &mut |figure| drawn = draw_pairs(&sheet.area, figure, &sheet.plain())))
        });
        drawn
    };
    let (point, set_point) = signal(None::<usize>);
    Effect::new(move |_| {
        shown.with(|_| ());
        set_point.set(None);
    });
    let at = move || {
        let point = point.get()?;
        shown.with(|shown| {
            let pairs = &shown.as_ref()?.1;
            Some((*pairs.fractions.get(point)?, *pairs.rel_errors.get(point)?))
        })
    };
    let words = move || {
        at().map_or("no quantile".to_owned(), |(fraction, error)| {
            typeset(&format!("{} of requests have an error below {}", magnitude(fraction), percent(Some(error))))
        })
    };
    let on_move = move |event: PointerEvent| {
        let fraction = place(&event).zip(layout.get_untracked()).map(|((_, row), layout)| layout.fraction(row));
        let near = shown.with_untracked(|shown| {
            let pairs = &shown.as_ref()?.1;
            Some(nearest(&pairs.fractions, fraction?))
        });
        set_point.set(near.flatten());
    };
    let on_key = move |event: KeyboardEvent| {
        let last = shown
            .with_untracked(|shown| shown.as_ref().map_or(0, |(_, pairs)| pairs.fractions.len().saturating_sub(1)));
        let here = point.get_untracked();
        let next = match (event.key().as_str(), here) {
            ("ArrowUp" | "ArrowRight" | "ArrowDown" | "ArrowLeft", None) => Some(last / 2),
            ("ArrowUp" | "ArrowRight", Some(here)) => Some((here + 1).min(last)),
            ("ArrowDown" | "ArrowLeft", Some(here)) => Some(here.saturating_sub(1)),
            ("Home", _) => Some(0),
            ("End", _) => Some(last),
            ("Escape", _) => None,
            _ => return,
        };
        event.prevent_default();
        set_point.set(next);
    };
    let marks = move || {
        let ((fraction, error), layout) = (at()?, layout.get()?);
        let (column, row) = (layout.column(error), layout.row(fraction));
        Some(view! {
            <line x1=column x2=column y1=row y2=layout.bottom/>
            <circle class="sim" cx=column cy=row r="5"/>
        })
    };
    view! {
        <Figure name="pairs" label size paint>
            <div
                class="cursor-ground"
                data-testid="pairs-cursor"
                role="slider"
                tabindex="0"
                aria-label="Share of requests"
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=move || at().map_or(50.0, |(fraction, _)| fraction * 100.0).to_string()
                aria-valuetext=words
                on:pointermove=on_move
                on:pointerleave=move |_| set_point.set(None)
                on:keydown=on_key
            >
                <svg class="cursor" aria-hidden="true">{marks}</svg>
            </div>
        </Figure>
        <p class="readout" data-testid="pairs-hover"
            data-fraction=move || at().map(|(fraction, _)| fraction.to_string())
            data-error=move || at().map(|(_, error)| error.to_string())
        >
            {move || if at().is_some() { words() } else { "Point at the curve, or use the arrow keys, to read it off.".to_owned() }}
        </p>
    }
}

/// Place of the fraction nearest to another.
fn nearest(fractions: &[f64], wanted: f64) -> Option<usize> {
    let next = fractions.partition_point(|fraction| *fraction < wanted);
    let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter(|place| *place < fractions.len());
    near.min_by(|a, b| (fractions[*a] - wanted).abs().total_cmp(&(fractions[*b] - wanted).abs()))
}

/// Bland and Altman's numbers, a row a metric.
#[component]
pub(super) fn Agreement(metrics: Vec<MetricComparison>) -> impl IntoView {
    let pairs: Vec<(Metric, PairErrors)> =
        metrics.into_iter().filter_map(|entry| Some((entry.metric, entry.pairs?))).collect();
    let row = |(metric, pairs): (Metric, PairErrors)| {
        let agreement = pairs.bland_altman;
        let signed = |ns: f64| typeset(&format_signed_duration(ns));
        view! {
            <tr data-metric=metric.key()>
                <th scope="row" class="word">{metric.label()}</th>
                <td title=format!("of {} requests", thousands(pairs.num_pairs as u64))>{magnitude(pairs.share_within)}</td>
                <td class="strong">{signed(agreement.bias_ns)}</td>
                <td>{format_duration(agreement.deviation_ns)}</td>
                <td>{format!("{} … {}", signed(agreement.low_ns), signed(agreement.high_ns))}</td>
                <td>{percent(agreement.slope)}</td>
            </tr>
        }
    };
    (!pairs.is_empty()).then(|| view! {
        <section aria-label="Agreement">
            <h3>"Agreement, request by request"</h3>
        <div class="scroll" role="region" tabindex="0" aria-label="Agreement request by request">
            <table data-testid="agreement">
                <thead><tr>
                    <th scope="col" class="word">"Metric"</th>
                    <th scope="col" title="Share of the requests whose error is inside the tolerance">"Within"</th>
                    <th scope="col" title="Mean of simulated − real (Bland and Altman 1986)">"Bias"</th>
                    <th scope="col" title="Standard deviation of simulated − real">"Deviation"</th>
                    <th scope="col" title="95 % of the differences would lie in it, were they normal">"Limits of agreement"</th>
                    <th scope="col" title="How the difference changes with the value">"Slope"</th>
                </tr></thead>
                <tbody>{pairs.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
        </section>
    })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_fraction_is_found_at_the_ends_too() {
        let fractions = [0.0, 0.25, 0.5, 1.0];
        assert_eq!(
            [-1.0, 0.3, 0.4, 0.76, 2.0].map(|wanted| nearest(&fractions, wanted)),
            [Some(0), Some(1), Some(2), Some(3), Some(3)]
        );
        assert_eq!(nearest(&[], 0.5), None);
    }
}

//! CDF and shift curve: of one comparison, of several, of a part, of a "what if".

use rand::RngExt as _;

use super::fixtures::{metric, random, reduced, tailed, ttft, what_if};
use super::{WIDTHS, assert_calm, labels};
use crate::charts::*;
use crate::metrics::Metric;

const AXES: [(Axis, Fractions); 4] = [
    (Axis::Linear, Fractions::Even),
    (Axis::Log, Fractions::Even),
    (Axis::Linear, Fractions::Tail),
    (Axis::Log, Fractions::Tail),
];

fn sheet(theme: Theme, (axis, fractions): (Axis, Fractions), size: (u32, u32)) -> Sheet<'static> {
    Sheet { axis, fractions, ..Sheet::new(theme, size) }
}

#[test]
fn a_layout_puts_every_point_back_where_it_came_from() {
    let metric = ttft(1, 20_000);
    for (axis, fractions) in AXES {
        for width in WIDTHS {
            let layout = CdfLayout::new(&CdfFigure::of(&metric), (axis, fractions), f64::from(width), 400.0);
            for fraction in [0.0, 0.25, 0.5, 0.9, 0.99, 0.999] {
                assert!((layout.fraction(layout.row(fraction)) - fraction).abs() < 1e-9);
            }
            let shift = ShiftFigure::of(&metric).expect("it has a shift curve");
            let layout = ShiftLayout::new(&shift, fractions, f64::from(width), 170.0);
            for fraction in [0.0, 0.25, 0.5, 0.9, 0.99] {
                assert!((layout.fraction(layout.column(fraction)) - fraction).abs() < 1e-9);
            }
            assert!((layout.shifts.nanos(layout.shifts.pixel(-1e6)) + 1e6).abs() < 1.0);
        }
    }
}

#[test]
fn a_tail_axis_gives_the_last_hundredth_a_third_of_the_height() {
    let metric = ttft(1, 1000);
    let layout = |fractions| CdfLayout::new(&CdfFigure::of(&metric), (Axis::Linear, fractions), 860.0, 480.0);
    let share = |layout: CdfLayout| (layout.row(0.99) - layout.row(1.0)) / (layout.row(0.0) - layout.row(1.0));
    assert!((share(layout(Fractions::Even)) - 0.01).abs() < 1e-9);
    assert!((share(layout(Fractions::Tail)) - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn several_bundles_share_axes_and_are_told_apart_by_letters() {
    let all: Vec<_> = (0..4).map(|index| ttft(index, 300 * (index as usize + 1))).collect();
    let (selection, other) = (reduced(&ttft(9, 50)), what_if(&all[0], 2.5));
    let mut series: Vec<CdfSeries> = Vec::new();
    for (index, metric) in all.iter().enumerate() {
        let role = if index == 0 { Role::Focus } else { Role::Other };
        series.push(CdfSeries::of_comparison(["A", "B", "C", "D"][index], role, metric));
    }
    series.push(CdfSeries::of_selection("whole run", Role::Whole, &selection));
    series.push(CdfSeries::of_what_if("what if", &other));
    let figure = CdfFigure { metric: Metric::Ttft, series };
    let largest = other.times_ns.last().expect("a curve").as_f64();
    for (axis, fractions) in AXES {
        for width in WIDTHS {
            let layout = CdfLayout::new(&figure, (axis, fractions), f64::from(width), 320.0);
            assert!(layout.times.pixel(largest) < layout.right, "the widest series is inside");
            let svg = svg(&sheet(Theme::LIGHT, (axis, fractions), (width, 320)), |area, look| {
                draw_cdf_of(area, &figure, look)
            });
            assert_calm(&svg, (width, 320), "several");
            let said: Vec<String> = labels(&svg).into_iter().map(|label| label.text).collect();
            for letter in ["A", "B", "C", "D", "whole run", "what if"] {
                assert!(said.iter().any(|label| label == letter), "{letter} at {width}: {said:?}");
            }
        }
    }
    let words = cdf_figure_summary(&figure);
    assert!(words.contains(" B, P50: real ") && words.contains(" what if, dotted: P50 "), "{words}");
}

#[test]
fn a_low_shift_curve_stands_under_the_cdf() {
    let metric = ttft(3, 2000);
    let mut figure = ShiftFigure::of(&metric).expect("it has one");
    let half = reduced(&ttft(4, 500));
    figure.series[0].label = "A".to_owned();
    figure.series.push(ShiftSeries::of_selection("B", Role::Other, &half));
    figure.series.push(ShiftSeries::of_what_if("what if", &metric.curve, 2000, &what_if(&metric, 1.2)));
    for fractions in [Fractions::Even, Fractions::Tail] {
        for (width, height) in WIDTHS.into_iter().flat_map(|width| [(width, 170), (width, 300)]) {
            let svg = svg(&sheet(Theme::DARK, (Axis::Linear, fractions), (width, height)), |area, look| {
                draw_shift_of(area, &figure, look)
            });
            assert_calm(&svg, (width, height), "shift");
        }
    }
    let words = shift_figure_summary(&figure);
    assert!(words.contains(" A, from ") && words.contains("of 99 quantiles. B, from "), "{words}");
    // The simulation is twice the real one: so is what is left of the median.
    let doubled = what_if(&metric, metric.real.median.as_f64() / metric.sim.median.as_f64() * 2.0);
    let series = ShiftSeries::of_what_if("what if", &metric.curve, 2000, &doubled);
    let middle = series.fractions.iter().position(|fraction| *fraction == 0.5).expect("the median is there");
    assert!((series.shift_ns[middle].as_f64() / metric.real.median.as_f64() - 1.0).abs() < 1e-6);
}

#[test]
fn a_provenance_makes_a_figure_higher_and_is_cut_to_fit() {
    let metric = ttft(1, 100);
    let words =
        "fidelio 0.1.0 · real_run: Qwen3-0.6B on an H200 · workload 0123456789 · a very long line indeed, and on";
    for width in WIDTHS {
        let sheet = Sheet { provenance: Some(words), ..Sheet::new(Theme::LIGHT, (width, 300)) };
        let svg = svg(&sheet, |area, look| draw_cdf_of(area, &CdfFigure::of(&metric), look));
        let height = 300 + PROVENANCE_HEIGHT;
        assert!(svg.contains(&format!("height=\"{height}\"")));
        assert_calm(&svg, (width, height), "provenance");
        let last = labels(&svg).pop().expect("a line");
        assert!(last.text.starts_with("fidelio") && last.y.0 > 300.0, "{last:?}");
        assert_eq!(last.text.ends_with('…'), width < 860);
    }
}

#[test]
fn no_values_make_a_distribution_panic() {
    let mut random = random(7);
    let extremes = [0, 1, 2, 1_000, u64::from(u32::MAX), 1 << 53, u64::MAX / 3, u64::MAX];
    for round in 0..60 {
        let count = [1, 2, 3, 11, 200][round % 5];
        let mut values =
            |_| -> Vec<u64> { (0..count).map(|_| extremes[random.random_range(0..extremes.len())]).collect() };
        let metric = metric(Metric::Itl, values(0), values(1));
        for axes in AXES {
            let sheet = sheet(Theme::HIGH_CONTRAST_DARK, axes, (340, 260));
            assert_calm(
                &svg(&sheet, |area, look| draw_cdf_of(area, &CdfFigure::of(&metric), look)),
                (340, 260),
                "hostile CDF",
            );
            let shift = ShiftFigure::of(&metric).expect("it has one");
            assert_calm(&svg(&sheet, |area, look| draw_shift_of(area, &shift, look)), (340, 260), "hostile shift");
        }
        assert!(cdf_summary(&metric).contains("P50"));
    }
    let nothing = CdfFigure { metric: Metric::E2e, series: Vec::new() };
    let size = (340, 260);
    assert_calm(&svg(&Sheet::new(Theme::LIGHT, size), |area, look| draw_cdf_of(area, &nothing, look)), size, "nothing");
    let nothing = ShiftFigure { metric: Metric::E2e, confidence: None, series: Vec::new() };
    assert_calm(
        &svg(&Sheet::new(Theme::LIGHT, size), |area, look| draw_shift_of(area, &nothing, look)),
        size,
        "nothing",
    );
    assert!(tailed(1, 3, 1.0).len() == 3);
}

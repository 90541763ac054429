//! The figures of rows: scatter, errors, timelines, steps, strips, repeats, waterfall.

use rand::RngExt as _;

use super::fixtures::random;
use super::rows::{arrivals, breakdown, curves, pairs, prompts, request, runs, scatter, steps};
use super::{WIDTHS, assert_calm, attribution, labels};
use crate::charts::*;
use crate::explore::answers::{Histogram, RequestTimeline, RunStrip, Scatter, StepLane, StepView, TimelineSide};
use crate::metrics::Metric;
use crate::schema::Origin;
use crate::schema::comparison::PairErrors;
use crate::schema::curves::Curves;
use crate::stats::CentiNanos;

/// Data of every figure, to be drawn at once.
struct All {
    scatter: Scatter,
    pairs: PairErrors,
    request: RequestTimeline,
    window: Option<(u64, u64)>,
    steps: StepView,
    curves: Curves,
    arrivals: Histogram,
    prompts: Histogram,
    runs: RunStrip,
    parts: Vec<(u64, u64)>,
}

impl All {
    fn usual() -> Self {
        All {
            scatter: scatter(300),
            pairs: pairs(1.0),
            request: request(230),
            window: None,
            steps: steps(150),
            curves: curves(240, true),
            arrivals: arrivals(90),
            prompts: prompts(),
            runs: runs(6),
            parts: vec![(12_000_000, 9_000_000), (80_000_000, 95_000_000), (900_000_000, 850_000_000), (0, 0)],
        }
    }

    /// Draws all of it at `width`, looks at each, and says all of it.
    fn check(&self, width: u32, theme: Theme, axis: Axis) {
        let sheet = |height: u32| Sheet { axis, ..Sheet::new(theme, (width, height)) };
        let look = |what: &str, height: u32, svg: String| assert_calm(&svg, (width, height), what);
        let metric = Metric::Ttft;
        let figure = ScatterFigure { metric, scatter: &self.scatter, tolerance: 0.1, highlighted: Some(7) };
        look("scatter", 320, svg(&sheet(320), |area, look| draw_scatter(area, &figure, look)));
        let figure = PairFigure { metric, pairs: &self.pairs, tolerance: 0.1 };
        look("pairs", 240, svg(&sheet(240), |area, look| draw_pairs(area, &figure, look)));
        look(
            "timeline",
            TIMELINE_HEIGHT,
            svg(&sheet(TIMELINE_HEIGHT), |area, look| draw_timeline(area, &self.request, self.window, look)),
        );
        let height = steps_height(&self.steps);
        look("steps", height, svg(&sheet(height), |area, look| draw_steps(area, &self.steps, look)));
        let height = curves_height(&self.curves);
        look("curves", height, svg(&sheet(height), |area, look| draw_curves(area, &self.curves, look)));
        look("load", STRIP_HEIGHT, svg(&sheet(STRIP_HEIGHT), |area, look| draw_load_strip(area, &self.curves, look)));
        look(
            "arrivals",
            STRIP_HEIGHT,
            svg(&sheet(STRIP_HEIGHT), |area, look| draw_histogram(area, &self.arrivals, Counted::Arrivals, look)),
        );
        look(
            "prompts",
            STRIP_HEIGHT,
            svg(&sheet(STRIP_HEIGHT), |area, look| draw_histogram(area, &self.prompts, Counted::PromptTokens, look)),
        );
        let height = runs_height(self.runs.labels.len());
        look("runs", height, svg(&sheet(height), |area, look| draw_runs(area, &self.runs, look)));
        let attribution = attribution(breakdown(&self.parts));
        let height = waterfall_height(&attribution, f64::from(width));
        look("waterfall", height, svg(&sheet(height), |area, look| draw_waterfall(area, &attribution, look)));
    }
}

#[test]
fn labels_are_inside_and_apart_at_every_width() {
    let mut all = All::usual();
    for width in WIDTHS {
        for (theme, axis) in [(Theme::LIGHT, Axis::Linear), (Theme::HIGH_CONTRAST_DARK, Axis::Log)] {
            all.check(width, theme, axis);
        }
    }
    all.window = Some((1_050_000_000, 1_300_000_000));
    all.request.sim = None;
    all.steps.real = None;
    (all.curves.sim.num_running, all.curves.sim.num_waiting) = (Vec::new(), Vec::new());
    all.runs.real.truncate(1);
    WIDTHS.into_iter().for_each(|width| all.check(width, Theme::DARK, Axis::Linear));
}

#[test]
fn nothing_in_the_data_makes_a_figure_panic() {
    let extremes = [0, 1, 2, 999, 1_000_000, u64::from(u32::MAX), 1 << 53, u64::MAX / 3, u64::MAX];
    let mut random = random(99);
    for round in 0..40 {
        let count = [0, 1, 2, 7, 60][round % 5];
        let mut value = || extremes[random.random_range(0..extremes.len())];
        let mut times = |count: usize| -> Vec<u64> { (0..count).map(|_| value()).collect() };
        let sorted = |mut times: Vec<u64>| {
            times.sort_unstable();
            times
        };
        let floats = |times: Vec<u64>| times.into_iter().map(|time| time as f64).collect::<Vec<f64>>();
        let mut all = All::usual();
        all.scatter.ids = (0..count as u32).collect();
        (all.scatter.real_ns, all.scatter.sim_ns) = (times(count), times(count));
        let errors = |time: u64| time as f64 / 1e3 - 5.0;
        all.pairs.rel_errors = sorted(times(count)).into_iter().map(errors).collect();
        all.pairs.fractions = (0..count).map(|index| index as f64 / count as f64).collect();
        let mut side = || TimelineSide {
            scheduled_ns: times(1).pop(),
            tokens_ns: sorted(times(count)),
            completion_ns: times(1)[0],
            num_preemptions: None,
            has_tokens: count != 2,
        };
        all.request.real = Some(side());
        all.request.sim = (count > 1).then(side);
        all.request.arrival_ns = times(1)[0];
        all.window = (round % 3 == 0).then(|| (times(1)[0], times(1)[0]));
        let mut lane = || StepLane {
            starts_ns: sorted(times(count)),
            ends_ns: sorted(times(count)),
            prefill_tokens: floats(times(count)),
            decode_seqs: floats(times(count)),
            duration_ns: floats(times(count)),
            kv_blocks: floats(times(count)),
            running: floats(times(count)),
            ..StepLane::default()
        };
        all.steps =
            StepView { real: Some(lane()), sim: (count > 0).then(lane), from_ns: times(1)[0], to_ns: times(1)[0] };
        all.curves = curves(count, round % 2 == 0);
        all.curves.bin_ns = times(1)[0] / 1_000;
        all.arrivals = Histogram { edges: floats(sorted(times(count + 1))), counts: vec![u32::MAX; count] };
        all.prompts = Histogram { edges: floats(sorted(times(count))), counts: vec![1; count] };
        let mut quantiles = || -> Vec<CentiNanos> { times(4).into_iter().map(CentiNanos::from_nanos).collect() };
        all.runs.real = (0..count).map(|run| (format!("run {run}"), quantiles())).collect();
        all.runs.sim = quantiles();
        all.parts = (0..count.min(5)).map(|_| (times(1)[0] / 8, times(1)[0] / 8)).collect();
        for (width, axis) in [(340, Axis::Linear), (860, Axis::Log)] {
            all.check(width, Theme::LIGHT, axis);
        }
    }
}

#[test]
fn what_is_pointed_at_is_what_was_drawn() {
    let all = All::usual();
    let figure = ScatterFigure { metric: Metric::Ttft, scatter: &all.scatter, tolerance: 0.1, highlighted: None };
    for (width, axis) in WIDTHS.into_iter().flat_map(|width| [(width, Axis::Linear), (width, Axis::Log)]) {
        let width = f64::from(width);
        let layout = ScatterLayout::new(&figure, axis, width, 320.0);
        assert!((layout.real.end() - layout.real.start() - (layout.sim.start() - layout.sim.end())).abs() < 1e-9);
        let (x, y) = layout.points[123];
        let found = layout.nearest(x + 0.01, y).expect("a point is there");
        assert!((layout.points[found].0 - x).abs() < 0.05, "{found} is where 123 is");
        assert_eq!(layout.nearest(layout.real.start(), layout.sim.end()), None, "the corner is empty");

        let errors = PairFigure { metric: Metric::Ttft, pairs: &all.pairs, tolerance: 0.1 };
        let layout = PairLayout::new(&errors, width, 240.0);
        assert!((layout.error(layout.column(0.07)) - 0.07).abs() < 1e-9);
        assert!((layout.fraction(layout.row(0.3)) - 0.3).abs() < 1e-9);

        let layout = TimelineLayout::new(&all.request, None, width);
        let side = all.request.real.as_ref().expect("a real side");
        assert!(layout.instant(layout.column(1_234_567_890)).abs_diff(1_234_567_890) <= 1);
        let token = layout.token_at(side, layout.column(side.tokens_ns[50])).expect("a token is there");
        assert!((layout.column(side.tokens_ns[token]) - layout.column(side.tokens_ns[50])).abs() < 0.01);
        assert_eq!(layout.token_at(side, layout.column(all.request.arrival_ns) - 10.0), None);
        let (top, bottom) = layout.rows(Origin::Simulated);
        assert_eq!(layout.lane_at((top + bottom) / 2.0), Some(Origin::Simulated));
        assert_eq!(layout.lane_at(2.0), None);

        let layout = StepsLayout::new(&all.steps, width);
        let lane = all.steps.real.as_ref().expect("a real side");
        let middle = |bin: usize| layout.times.pixel((lane.starts_ns[bin] + lane.ends_ns[bin]) as f64 / 2.0);
        assert_eq!(layout.bin_at(lane, middle(42)), Some(42));
        let gap = (lane.ends_ns[50] + lane.starts_ns[51]) as f64 / 2.0;
        assert_eq!(layout.bin_at(lane, layout.times.pixel(gap)), None, "between two steps is none");
        let (quantity, origin, top, _) = layout.lanes[5];
        assert_eq!(layout.lane_at(top + 3.0), Some((quantity, origin)));

        let layout = StripLayout::of_load(&all.curves, width, 96.0);
        assert!((layout.value(layout.column(7e9)) - 7e9).abs() < 1.0);
        let layout = StripLayout::of_histogram(&all.prompts, Counted::PromptTokens, width, 96.0);
        assert!((layout.value(layout.column(700.0)) - 700.0).abs() < 1e-6);

        let layout = RunsLayout::new(&all.runs, width);
        let compared = all.runs.real[0].1[2].as_f64();
        assert!((layout.nanos(2, layout.column(2, compared)) / compared - 1.0).abs() < 1e-6);
        let at = (layout.column(2, compared), layout.row_at(2.5 * 30.0 + 28.0).expect("a row"));
        assert_eq!(at.1, 2);
        assert_eq!(layout.nearest(at.0, 2.5 * 30.0 + 28.0).map(|mark| mark.0), Some(2));
    }
}

#[test]
fn stalls_are_gaps_of_more_than_three_medians_longest_first() {
    let tokens_ns = vec![0, 10, 20, 30, 61, 71, 171, 181, 191];
    let mut side = TimelineSide { tokens_ns, has_tokens: true, ..TimelineSide::default() };
    assert_eq!(stalls(&side), [(6, 100), (4, 31)]);
    side.tokens_ns[4] = 60;
    assert_eq!(stalls(&side), [(6, 100)], "three medians are none yet");
    side.has_tokens = false;
    assert!(stalls(&side).is_empty());
}

#[test]
fn gaps_between_tokens_are_seen_at_any_density() {
    // Five thousand tokens on 340 pixels, with one gap of a tenth of the whole.
    let mut tokens_ns: Vec<u64> = (0..5_000).map(|token| token * 1_000).collect();
    tokens_ns[2_500..].iter_mut().for_each(|token| *token += 500_000);
    let completion_ns = 5_500_000;
    let side = TimelineSide { tokens_ns, has_tokens: true, completion_ns, ..TimelineSide::default() };
    let request = RequestTimeline { real: Some(side), ..RequestTimeline::default() };
    let svg =
        svg(&Sheet::new(Theme::LIGHT, (340, TIMELINE_HEIGHT)), |area, look| draw_timeline(area, &request, None, look));
    assert!(svg.len() < 300_000, "thinned to the screen: {} bytes", svg.len());
    assert!(labels(&svg).iter().any(|label| label.text == "501.0 µs"), "the gap is told");
}

#[test]
fn words_tell_the_numbers() {
    let all = All::usual();
    let mut scatter =
        Scatter { num_requests: 3, ids: vec![1, 2, 3], real_ns: vec![10, 10, 10], sim_ns: vec![10, 11, 15] };
    fn figure(scatter: &Scatter) -> ScatterFigure<'_> {
        ScatterFigure { metric: Metric::Ttft, scatter, tolerance: 0.1, highlighted: None }
    }
    let words = scatter_summary(&figure(&scatter));
    assert!(words.contains("3 requests, 3 of them drawn: 2 are within ±10.0 %, 2 are slower"), "{words}");
    scatter.num_requests = 9;
    assert!(scatter_summary(&figure(&scatter)).contains("of those drawn, 2 are"));
    let words = pairs_summary(&PairFigure { metric: Metric::E2e, pairs: &all.pairs, tolerance: 0.1 });
    assert!(words.contains("E2E of 400 requests") && words.contains("73.4 % within ±10.0 %"), "{words}");
    let words = timeline_summary(&all.request);
    assert!(words.contains("Real: waits 18.00 ms, prefill 35.00 ms, 230 tokens in "), "{words}");
    let words = steps_summary(&all.steps);
    assert!(words.contains("Real: 150 steps, at most ") && words.contains("Simulated: 150 steps"), "{words}");
    assert!(load_summary(&all.curves).starts_with("Requests over time, running: at most "));
    assert_eq!(
        histogram_summary(&all.prompts, Counted::PromptTokens),
        "1,637 requests with prompts of 3 to 8,000 tokens."
    );
    assert_eq!(
        histogram_summary(&all.arrivals, Counted::Arrivals).split_once(" arrive between 0 ns and 180").map(|_| ()),
        Some(())
    );
    let words = runs_summary(&all.runs);
    assert!(words.starts_with("6 real runs and the simulation. P50: real "), "{words}");
    let words = waterfall_summary(&attribution(breakdown(&all.parts)));
    assert!(words.contains("Queueing -3.000 ms: real 12.00 ms, simulated 9.000 ms; Prefill +15.00 ms"), "{words}");
}

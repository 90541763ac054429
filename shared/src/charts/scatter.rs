//! Simulated against real, a point a request: on the diagonal the simulation is right.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{SMALL, TEXT, draw_columns, time_labels};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width};
use crate::charts::{Axis, Look, Scale, format_duration};
use crate::explore::answers::Scatter;
use crate::metrics::Metric;
use crate::report::{magnitude, thousands};

const MARGIN_LEFT: f64 = 46.0;
const MARGIN_RIGHT: f64 = 16.0;
const MARGIN_TOP: f64 = 30.0;
const MARGIN_BOTTOM: f64 = 42.0;
/// Pixels from tick to tick, at least; the same on both axes.
const APART: f64 = 40.0;
/// A pointer this near to a point means it.
const REACH: f64 = 14.0;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterFigure<'a> {
    /// Which metric.
    pub metric: Metric,
    /// The requests.
    pub scatter: &'a Scatter,
    /// Largest relative error accepted, as a fraction; the band.
    pub tolerance: f64,
    /// The request looked at, by its id.
    pub highlighted: Option<u32>,
}

impl ScatterFigure<'_> {
    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let pairs = self.scatter.real_ns.iter().zip(&self.scatter.sim_ns);
        pairs.map(|(real, sim)| (*real as f64, *sim as f64))
    }

    fn num_within(&self) -> usize {
        self.pairs().filter(|(real, sim)| libm::fabs(sim - real) <= self.tolerance * real).count()
    }
}

/// Where a scatter puts its points, in logical pixels: a square, with the same scale on both axes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterLayout {
    /// Real times, left to right.
    pub real: Scale,
    /// Simulated times, bottom to top.
    pub sim: Scale,
    /// (Column, row) of each request, in their order.
    pub points: Vec<(f64, f64)>,
}

impl ScatterLayout {
    /// The layout of `figure` in `width` × `height` logical pixels.
    pub fn new(figure: &ScatterFigure, axis: Axis, width: f64, height: f64) -> Self {
        let all = || figure.pairs().flat_map(|(real, sim)| [real, sim]);
        let smallest = all().fold(f64::INFINITY, f64::min).min(all().fold(0.0, f64::max));
        let largest = all().fold(0.0, f64::max);
        let make = |left: f64| {
            let room = (width - left - MARGIN_RIGHT).min(height - MARGIN_TOP - MARGIN_BOTTOM).max(40.0);
            let left = left.max((width - room) / 2.0);
            let (top, right) = (MARGIN_TOP, left + room);
            let real = Scale::new(axis, smallest, largest, (left, right));
            (real, Scale::new(axis, smallest, largest, (top + room, top)))
        };
        // Labels of the rows stand left of the plot: it begins where they end.
        let labels =
            make(MARGIN_LEFT).1.ticks_apart(APART).into_iter().map(|tick| text_width(&tick.label, TEXT) + 12.0);
        let (real, sim) = make(labels.fold(MARGIN_LEFT, f64::max));
        let points = figure.pairs().map(|(x, y)| (real.pixel(x), sim.pixel(y))).collect();
        ScatterLayout { real, sim, points }
    }

    /// Place of the request nearest to a pixel, if one is near it.
    pub fn nearest(&self, x: f64, y: f64) -> Option<usize> {
        let distances = self.points.iter().map(|(column, row)| libm::hypot(column - x, row - y));
        let near = distances.enumerate().filter(|(_, distance)| *distance <= REACH);
        near.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(index, _)| index)
    }
}

/// Draws the scatter over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_scatter(area: &Area, figure: &ScatterFigure, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let layout = ScatterLayout::new(figure, look.axis, width, height);
    draw_ground(&brush, &layout, figure, look, width)?;
    let opacity = if layout.points.len() > 2_000 { 0.25 } else { 0.45 };
    for point in &layout.points {
        brush.speck(*point, 1.75, look.theme.sim, opacity)?;
    }
    let place = figure.highlighted.and_then(|id| figure.scatter.ids.iter().position(|known| *known == id));
    let Some((place, at)) = place.and_then(|place| Some((place, *layout.points.get(place)?))) else { return Ok(()) };
    brush.ring(at, 6.0, look.theme.ink, look.theme.background)?;
    brush.dot(at, 2.5, look.theme.sim, look.theme.background)?;
    let time = |times: &[u64]| times.get(place).map_or(String::new(), |time| format_duration(*time as f64));
    let (real, sim) = (time(&figure.scatter.real_ns), time(&figure.scatter.sim_ns));
    let words = format!("#{}: {real} → {sim}", figure.scatter.ids[place]);
    let begin = title_column(&layout) + text_width(&title(figure, &layout), TEXT) + 16.0;
    let words = cut_to_width(&words, SMALL, width - 12.0 - begin);
    let end = layout.real.end().max(begin + text_width(&words, SMALL));
    brush.word(&words, (end, 13.0), SMALL, look.theme.ink, HPos::Right)
}

fn title_column(layout: &ScatterLayout) -> f64 {
    (layout.real.start() - 34.0).max(12.0)
}

fn title(figure: &ScatterFigure, layout: &ScatterLayout) -> String {
    format!("simulated {} ({})", figure.metric.label(), layout.sim.unit().symbol())
}

fn draw_ground(brush: &Brush, layout: &ScatterLayout, figure: &ScatterFigure, look: &Look, width: f64) -> Drawn {
    let theme = &look.theme;
    let (left, right) = (layout.real.start(), layout.real.end());
    let (bottom, top) = (layout.sim.start(), layout.sim.end());
    draw_columns(brush, (&layout.real, &time_labels(&layout.real, APART)), (top, bottom), width, theme)?;
    let rows: Vec<(f64, String)> =
        layout.sim.ticks_apart(APART).into_iter().map(|tick| (layout.sim.pixel(tick.nanos), tick.label)).collect();
    for (row, _) in &rows {
        brush.line(&[(left, *row), (right, *row)], theme.grid, 1.0)?;
    }
    brush.labels_in_column(&rows, left - 8.0, TEXT, theme.muted)?;
    // The band's edges are straight on both axes, but where they leave the plot: they are followed.
    let edge = |factor: f64| {
        let columns = (0..=96).map(|step| left + (right - left) * f64::from(step) / 96.0);
        columns
            .map(|column| (column, layout.sim.pixel(layout.real.nanos(column) * factor.max(0.0))))
            .collect::<Vec<_>>()
    };
    let band: Vec<(f64, f64)> =
        edge(1.0 - figure.tolerance).into_iter().chain(edge(1.0 + figure.tolerance).into_iter().rev()).collect();
    brush.shape(&band, theme.muted, 0.13)?;
    brush.line(&[(left, bottom), (right, top)], theme.real, 1.25)?;
    let scale_word = if look.axis == Axis::Log { ", log scale" } else { "" };
    let words = format!("real {} ({}{scale_word})", figure.metric.label(), layout.real.unit().symbol());
    brush.word(&words, ((left + right) / 2.0, bottom + 31.0), TEXT, theme.ink, HPos::Center)?;
    brush.word(&title(figure, layout), (title_column(layout), 13.0), TEXT, theme.muted, HPos::Left)?;
    if right - left < 150.0 {
        return Ok(());
    }
    brush.word("simulated slower", (left + 8.0, top + 12.0), SMALL, theme.muted, HPos::Left)?;
    brush.word("simulated faster", (right - 8.0, bottom - 12.0), SMALL, theme.muted, HPos::Right)
}

/// What the figure shows, in words: for those who cannot see it.
pub fn scatter_summary(figure: &ScatterFigure) -> String {
    let num_drawn = figure.pairs().count();
    let slower = figure.pairs().filter(|(real, sim)| sim > real).count();
    let which = if figure.scatter.num_requests > num_drawn { "of those drawn, " } else { "" };
    format!(
        "Simulated against real {} of {} requests, {} of them drawn: {which}{} are within ±{}, {} are slower in the \
         simulation.",
        figure.metric.label(),
        thousands(figure.scatter.num_requests as u64),
        thousands(num_drawn as u64),
        thousands(figure.num_within() as u64),
        magnitude(figure.tolerance),
        thousands(slower as u64),
    )
}

//! Relative errors of the requests one by one, as a CDF with the tolerance behind it.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{SMALL, TEXT, draw_columns};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width};
use crate::charts::{Look, Scale};
use crate::metrics::Metric;
use crate::report::{magnitude, percent, thousands};
use crate::schema::comparison::PairErrors;

const MARGIN_LEFT: f64 = 40.0;
const MARGIN_RIGHT: f64 = 16.0;
const MARGIN_TOP: f64 = 30.0;
const MARGIN_BOTTOM: f64 = 42.0;
/// Scales count in millionths.
const MILLION: f64 = 1e6;
const MARKED: [(f64, &str); 3] = [(0.05, "P5"), (0.5, "P50"), (0.95, "P95")];

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairFigure<'a> {
    /// Which metric.
    pub metric: Metric,
    /// Its errors.
    pub pairs: &'a PairErrors,
    /// Largest relative error accepted, as a fraction.
    pub tolerance: f64,
}

impl PairFigure<'_> {
    fn error_at(&self, fraction: f64) -> Option<f64> {
        let at = self.pairs.fractions.partition_point(|known| *known < fraction);
        self.pairs.rel_errors.get(at.min(self.pairs.rel_errors.len().checked_sub(1)?)).copied()
    }

    /// Errors on the axis: all, or without the outermost hundredths where these are so far out that the rest would be
    /// one line.
    fn range(&self) -> (f64, f64) {
        let ends = |low: f64, high: f64| Some((self.error_at(low)?.min(0.0), self.error_at(high)?.max(0.0)));
        let (low, high) = ends(0.0, 1.0).unwrap_or((0.0, 0.0));
        let (inner_low, inner_high) = ends(0.01, 0.99).unwrap_or((0.0, 0.0));
        let inner = (inner_high - inner_low).max(2.0 * self.tolerance);
        let (low, high) = if high - low > 3.0 * inner { (inner_low, inner_high) } else { (low, high) };
        let air = 1.15 * self.tolerance;
        (low.min(-air).max(-1e6), high.max(air).min(1e6))
    }
}

/// Where the figure puts its data, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLayout {
    errors: Scale,
    /// Pixel row of fraction 1.
    pub top: f64,
    /// Pixel row of fraction 0.
    pub bottom: f64,
}

impl PairLayout {
    /// The layout of `figure` in `width` × `height` logical pixels.
    pub fn new(figure: &PairFigure, width: f64, height: f64) -> Self {
        let (top, bottom) = (MARGIN_TOP, (height - MARGIN_BOTTOM).max(MARGIN_TOP + 40.0));
        let (low, high) = figure.range();
        let columns = (MARGIN_LEFT, (width - MARGIN_RIGHT).max(MARGIN_LEFT + 40.0));
        PairLayout { errors: Scale::signed(low * MILLION, high * MILLION, columns), top, bottom }
    }

    /// Pixel column of a relative error; errors beyond the axis are on its edges.
    pub fn column(&self, error: f64) -> f64 {
        self.errors.pixel(error * MILLION)
    }

    /// Relative error at a pixel column: the inverse of [`PairLayout::column`].
    pub fn error(&self, column: f64) -> f64 {
        self.errors.nanos(column) / MILLION
    }

    /// Pixel row of a fraction.
    pub fn row(&self, fraction: f64) -> f64 {
        self.bottom + fraction.clamp(0.0, 1.0) * (self.top - self.bottom)
    }

    /// Fraction at a pixel row: the inverse of [`PairLayout::row`].
    pub fn fraction(&self, row: f64) -> f64 {
        ((row - self.bottom) / (self.top - self.bottom)).clamp(0.0, 1.0)
    }
}

/// Draws the errors over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_pairs(area: &Area, figure: &PairFigure, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let (layout, theme) = (PairLayout::new(figure, width, height), &look.theme);
    let (left, right) = (layout.errors.start(), layout.errors.end());
    let (from, to) = (layout.column(-figure.tolerance), layout.column(figure.tolerance));
    brush.block((from, layout.top), (to, layout.bottom), theme.muted, 0.13)?;
    let label = |place: f64| match place / 1e4 {
        value if value > 0.0 => format!("+{value}"),
        value => format!("{value}"),
    };
    let labels: Vec<(f64, String)> =
        layout.errors.places_apart(48.0).into_iter().map(|place| (place, label(place))).collect();
    draw_columns(&brush, (&layout.errors, &labels), (layout.top, layout.bottom), width, theme)?;
    let rows: Vec<(f64, String)> =
        [0u32, 25, 50, 75, 100].map(|percent| (layout.row(f64::from(percent) / 100.0), percent.to_string())).to_vec();
    for (row, _) in &rows {
        brush.line(&[(left, *row), (right, *row)], theme.grid, 1.0)?;
    }
    brush.labels_in_column(&rows, left - 8.0, TEXT, theme.muted)?;
    let zero = layout.column(0.0);
    brush.line(&[(zero, layout.top), (zero, layout.bottom)], theme.real, 1.5)?;
    draw_curve(&brush, &layout, figure, look)?;
    let words = format!("relative error of {} (%)", figure.metric.label());
    brush.word(&words, ((left + right) / 2.0, layout.bottom + 31.0), TEXT, theme.ink, HPos::Center)?;
    const ROWS: &str = "% of requests";
    brush.word(ROWS, (12.0, 13.0), TEXT, theme.muted, HPos::Left)?;
    let room = right - 12.0 - text_width(ROWS, TEXT) - 16.0;
    brush.word(&cut_to_width(&within(figure), TEXT, room), (right, 13.0), TEXT, theme.ink, HPos::Right)
}

fn draw_curve(brush: &Brush, layout: &PairLayout, figure: &PairFigure, look: &Look) -> Drawn {
    let theme = &look.theme;
    let (low, high) = (layout.errors.range().0 / MILLION, layout.errors.range().1 / MILLION);
    let points = figure.pairs.rel_errors.iter().zip(&figure.pairs.fractions);
    let shown = points.filter(|(error, _)| (low..=high).contains(*error));
    let curve: Vec<(f64, f64)> =
        shown.map(|(error, fraction)| (layout.column(*error), layout.row(*fraction))).collect();
    brush.line(&curve, theme.sim, 2.25)?;
    for (fraction, label) in MARKED {
        let Some(error) = figure.error_at(fraction).filter(|error| (low..=high).contains(error)) else { continue };
        let at = (layout.column(error), layout.row(fraction));
        brush.ring(at, 4.0, theme.sim, theme.background)?;
        // Right of the curve there is room: it rises.
        let words = format!("{label} {}", percent(error));
        let width = text_width(&words, SMALL);
        let is_right = at.0 + 10.0 + width <= layout.errors.end();
        let (column, anchor) = if is_right { (at.0 + 10.0, HPos::Left) } else { (at.0 - 10.0, HPos::Right) };
        // Rows of P5 and P95 are near the edges: their words go inside.
        let row = (at.1 + 8.0).clamp(layout.top + 12.0, layout.bottom - 10.0);
        brush.word(&words, (column, row), SMALL, theme.ink, anchor)?;
    }
    Ok(())
}

fn within(figure: &PairFigure) -> String {
    format!("{} within ±{}", magnitude(figure.pairs.share_within), magnitude(figure.tolerance))
}

/// What the figure shows, in words: for those who cannot see it.
pub fn pairs_summary(figure: &PairFigure) -> String {
    let marks = MARKED
        .into_iter()
        .filter_map(|(fraction, label)| figure.error_at(fraction).map(|error| format!("{label} {}", percent(error))));
    format!(
        "Relative errors of {} of {} requests, each against itself: {}; {}.",
        figure.metric.label(),
        thousands(figure.pairs.num_pairs as u64),
        within(figure),
        marks.collect::<Vec<_>>().join(", ")
    )
}

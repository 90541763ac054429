//! The cumulative distribution of one metric, real and simulated: the figure everything else explains.

use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, spread, text_width, without_overlap};
use crate::charts::{
    Axis, CdfFigure, CdfSeries, FractionScale, Fractions, Lettering, Role, Scale, Theme, cdf_figure_summary,
};
use crate::schema::comparison::MetricComparison;
use crate::stats::{CentiNanos, Percentile};

/// How to draw, whatever is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Colours.
    pub theme: Theme,
    /// Spread of the times.
    pub axis: Axis,
    /// Spread of the quantiles.
    pub fractions: Fractions,
    /// Device pixels to a logical one.
    pub scale: f64,
    /// How the backend sets words.
    pub text: Lettering,
}

impl Look {
    /// Both axes even, `scale` device pixels to a logical one.
    pub fn new(theme: Theme, scale: f64, text: Lettering) -> Self {
        Look { theme, axis: Axis::default(), fractions: Fractions::default(), scale, text }
    }
}

/// Where a CDF puts its data, in logical pixels. Pure, so a cursor and a test can ask it too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CdfLayout {
    /// Times, left to right.
    pub times: Scale,
    /// Fractions, bottom to top.
    pub fractions: FractionScale,
    /// Pixel row of fraction 1.
    pub top: f64,
    /// Pixel row of fraction 0.
    pub bottom: f64,
    /// First pixel column of the plot.
    pub left: f64,
    /// Last pixel column of the plot.
    pub right: f64,
}

const MARGIN_LEFT: f64 = 46.0;
const MARGIN_RIGHT: f64 = 38.0;
const MARGIN_TOP: f64 = 34.0;
const MARGIN_BOTTOM: f64 = 46.0;
const TEXT: f64 = 12.0;
/// Room above the plot for the letters at the curves' ends, where there are several series.
const LETTERS: f64 = 16.0;
/// Percentiles marked where they are known.
pub(super) const MARKED: [(Percentile, &str); 3] =
    [(Percentile::P50, "P50"), (Percentile::P90, "P90"), (Percentile::P99, "P99")];
pub(super) const DASH: (f64, f64) = (7.0, 4.0);
/// Dashes of thin lines, and dots of a "what if".
const SHORT_DASH: (f64, f64) = (5.0, 3.0);
pub(super) const DOTS: (f64, f64) = (2.0, 3.0);

impl CdfLayout {
    /// The layout of `figure` in `width` × `height` logical pixels; all its series are inside.
    pub fn new(figure: &CdfFigure, (axis, fractions): (Axis, Fractions), width: f64, height: f64) -> Self {
        let top = MARGIN_TOP + if figure.series.len() > 1 { LETTERS } else { 0.0 };
        let bottom = (height - MARGIN_BOTTOM).max(top + 40.0);
        let fractions = FractionScale::new(fractions, figure.num_values(), (bottom, top));
        let words = ticks(&fractions).into_iter().map(|(_, label)| text_width(&label, TEXT) + 12.0);
        let left = words.fold(MARGIN_LEFT, f64::max);
        let right = (width - MARGIN_RIGHT).max(left + 40.0);
        let (smallest, largest) = figure.range();
        let times = Scale::new(axis, smallest, largest, (left, right));
        CdfLayout { times, fractions, top, bottom, left, right }
    }

    /// Pixel row of a fraction.
    pub fn row(&self, fraction: f64) -> f64 {
        self.fractions.pixel(fraction)
    }

    /// Fraction at a pixel row: the inverse of [`CdfLayout::row`].
    pub fn fraction(&self, row: f64) -> f64 {
        self.fractions.fraction(row)
    }

    fn curve(&self, fractions: &[f64], times: &[CentiNanos]) -> Vec<(f64, f64)> {
        let times: Vec<f64> = times.iter().map(|time| time.as_f64()).collect();
        let points = self.fractions.along(fractions, &times).into_iter();
        points.map(|(row, time)| (self.times.pixel(time), row)).collect()
    }
}

fn ticks(fractions: &FractionScale) -> Vec<(f64, String)> {
    fractions.ticks(&[0, 25, 50, 75, 100])
}

/// Draws the CDF of `metric` over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_cdf(area: &Area, metric: &MetricComparison, look: &Look) -> Drawn {
    draw_cdf_of(area, &CdfFigure::of(metric), look)
}

/// Draws any CDF over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_cdf_of(area: &Area, figure: &CdfFigure, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let layout = CdfLayout::new(figure, (look.axis, look.fractions), width, height);
    draw_grid(&brush, &layout, figure, look)?;
    draw_legend(&brush, &layout, &look.theme)?;
    // The quiet ones first: what is looked at lies on top.
    for role in [Role::Whole, Role::Other, Role::WhatIf, Role::Focus] {
        for series in figure.series.iter().filter(|series| series.role == role) {
            draw_curves(&brush, &layout, series, &look.theme)?;
        }
    }
    if figure.series.len() > 1 {
        draw_letters(&brush, &layout, figure, &look.theme)?;
    }
    let focused = figure.series.iter().filter(|series| series.role == Role::Focus);
    focused.take(1).try_for_each(|series| draw_marks(&brush, &layout, series, &look.theme))
}

fn draw_grid(brush: &Brush, layout: &CdfLayout, figure: &CdfFigure, look: &Look) -> Drawn {
    let theme = &look.theme;
    let fractions = ticks(&layout.fractions);
    let boxes: Vec<(f64, f64)> = fractions.iter().map(|(fraction, _)| (layout.row(*fraction), TEXT)).collect();
    let shown = without_overlap(&boxes, (0.0, f64::INFINITY), 0.0);
    for ((fraction, label), _) in fractions.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
        let row = layout.row(*fraction);
        brush.line(&[(layout.left, row), (layout.right, row)], theme.grid, 1.0)?;
        brush.word(label, (layout.left - 8.0, row), TEXT, theme.muted, HPos::Right)?;
    }
    let ticks = layout.times.ticks();
    let column = |nanos: f64| layout.times.pixel(nanos);
    let boxes: Vec<(f64, f64)> = ticks.iter().map(|tick| (column(tick.nanos), text_width(&tick.label, TEXT))).collect();
    let shown = without_overlap(&boxes, (0.0, layout.right + MARGIN_RIGHT), 4.0);
    for (tick, _) in ticks.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
        let column = column(tick.nanos);
        brush.line(&[(column, layout.top), (column, layout.bottom)], theme.grid, 1.0)?;
        brush.word(&tick.label, (column, layout.bottom + 15.0), TEXT, theme.muted, HPos::Center)?;
    }
    let scale_word = if look.axis == Axis::Log { ", log scale" } else { "" };
    let title = format!("{} ({}{scale_word})", figure.metric.label(), layout.times.unit().symbol());
    brush.word(&title, ((layout.left + layout.right) / 2.0, layout.bottom + 35.0), TEXT, theme.ink, HPos::Center)?;
    brush.word(&format!("% of {}", figure.noun()), (12.0, 13.0), TEXT, theme.muted, HPos::Left)
}

/// The legend sits top right; its words' widths are those of the embedded font.
fn draw_legend(brush: &Brush, layout: &CdfLayout, theme: &Theme) -> Drawn {
    let row = 13.0;
    let sim_line = layout.right - 60.0 - 34.0;
    let real_line = sim_line - 16.0 - 26.0 - 34.0;
    brush.line(&[(real_line, row), (real_line + 26.0, row)], theme.real, 2.25)?;
    brush.word("Real", (real_line + 33.0, row), TEXT, theme.ink, HPos::Left)?;
    brush.dashed(&[(sim_line, row), (sim_line + 26.0, row)], theme.sim, 2.25, DASH)?;
    brush.word("Simulated", (sim_line + 33.0, row), TEXT, theme.ink, HPos::Left)
}

/// Colours of a series' real and simulated side.
pub(super) fn accents(role: Role, theme: &Theme) -> (RGBColor, RGBColor) {
    let share = match role {
        Role::Focus | Role::WhatIf => return (theme.real, theme.sim),
        Role::Other => 0.7,
        Role::Whole => 0.4,
    };
    (theme.faded(theme.real, share), theme.faded(theme.sim, share))
}

fn draw_curves(brush: &Brush, layout: &CdfLayout, series: &CdfSeries, theme: &Theme) -> Drawn {
    let real = layout.curve(series.fractions, series.real_ns);
    let sim = layout.curve(series.fractions, series.sim_ns);
    let (real_color, sim_color) = accents(series.role, theme);
    let (width, dash) = match series.role {
        Role::Focus => (2.25, DASH),
        Role::Other => (1.5, SHORT_DASH),
        Role::Whole => (1.0, SHORT_DASH),
        Role::WhatIf => (2.25, DOTS),
    };
    // The shaded gap is the error: its area is the Wasserstein distance.
    if series.role == Role::Focus && !real.is_empty() && !sim.is_empty() {
        let gap: Vec<(f64, f64)> = real.iter().chain(sim.iter().rev()).copied().collect();
        brush.shape(&gap, theme.muted, 0.10)?;
    }
    brush.line(&real, real_color, width)?;
    brush.dashed(&sim, sim_color, width, dash)
}

/// The label of each series at its curves' ends, so that no series is told by its colour alone.
fn draw_letters(brush: &Brush, layout: &CdfLayout, figure: &CdfFigure, theme: &Theme) -> Drawn {
    const SIZE: f64 = TEXT - 1.0;
    let mut ends: Vec<(f64, String, RGBColor)> = Vec::new();
    for series in figure.series.iter().filter(|series| !series.label.is_empty()) {
        // Words need all of their colour to be read, and a ghost has none.
        let colors = if series.role == Role::Whole { (theme.muted, theme.muted) } else { (theme.real, theme.sim) };
        let label = cut_to_width(&series.label, SIZE, 96.0);
        let end = |times: &[CentiNanos]| times.last().map(|time| layout.times.pixel(time.as_f64()));
        let sides = [(end(series.real_ns), colors.0), (end(series.sim_ns), colors.1)];
        // A letter stands at both ends, a longer name at one.
        let most = if label.chars().count() <= 2 { 2 } else { 1 };
        let both = sides.into_iter().filter_map(|(end, color)| end.map(|end| (end, label.clone(), color)));
        ends.extend(both.take(most));
    }
    let boxes: Vec<(f64, f64)> = ends.iter().map(|(end, label, _)| (*end, text_width(label, SIZE))).collect();
    let places = spread(&boxes, (layout.left, layout.right + MARGIN_RIGHT - 4.0), 4.0);
    for ((end, label, color), place) in ends.iter().zip(places) {
        let Some(place) = place else { continue };
        let row = layout.top - LETTERS + 1.0;
        brush.line(&[(place, row + 6.0), (*end, layout.top)], theme.faded(*color, 0.5), 1.0)?;
        brush.word(label, (place, row), SIZE, *color, HPos::Center)?;
    }
    Ok(())
}

fn draw_marks(brush: &Brush, layout: &CdfLayout, series: &CdfSeries, theme: &Theme) -> Drawn {
    let known = |percentile: Percentile| series.percentiles.iter().find(|row| row.0 == percentile);
    let rows: Vec<_> = MARKED.into_iter().filter_map(|(percentile, label)| Some((known(percentile)?, label))).collect();
    let boxes: Vec<(f64, f64)> = rows.iter().map(|(row, _)| (layout.row(row.0.fraction()), TEXT - 1.0)).collect();
    let shown = without_overlap(&boxes, (0.0, f64::INFINITY), 0.0);
    for (((percentile, real, sim), label), is_shown) in rows.into_iter().zip(shown) {
        let height = layout.row(percentile.fraction());
        let ends = [(layout.left, height), (layout.right, height)];
        brush.dashed(&ends, theme.muted, 1.0, (1.0, 4.0))?;
        if is_shown {
            brush.word(label, (layout.right + 7.0, height), TEXT - 1.0, theme.muted, HPos::Left)?;
        }
        let dot = |time: &CentiNanos, color: RGBColor, inside: RGBColor| {
            let at = (layout.times.pixel(time.as_f64()), height);
            brush.dot(at, 3.5, color, theme.background)?;
            brush.dot(at, 1.5, inside, inside)
        };
        dot(real, theme.real, theme.real)?;
        dot(sim, theme.sim, theme.background)?;
    }
    Ok(())
}

/// What the figure shows, in words: for those who cannot see it.
pub fn cdf_summary(metric: &MetricComparison) -> String {
    cdf_figure_summary(&CdfFigure::of(metric))
}

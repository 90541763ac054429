//! The cumulative distribution of one metric, real and simulated: the figure everything else explains.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use crate::charts::brush::{Brush, Drawn};
use crate::charts::{Axis, Lettering, Scale, Theme, format_duration};
use crate::metrics::Metric;
use crate::report::thousands;
use crate::schema::comparison::MetricComparison;
use crate::stats::{CentiNanos, Percentile};

/// How to draw, whatever is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Colours.
    pub theme: Theme,
    /// Spread of the times.
    pub axis: Axis,
    /// Device pixels to a logical one.
    pub scale: f64,
    /// How the backend sets words.
    pub text: Lettering,
}

/// Where a CDF puts its data, in logical pixels. Pure, so a cursor and a test can ask it too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CdfLayout {
    /// Times, left to right.
    pub times: Scale,
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
const MARKED: [(Percentile, &str); 3] = [(Percentile::P50, "P50"), (Percentile::P90, "P90"), (Percentile::P99, "P99")];
const DASH: (f64, f64) = (7.0, 4.0);

impl CdfLayout {
    /// The layout of `metric` in a figure of `width` × `height` logical pixels.
    pub fn new(metric: &MetricComparison, axis: Axis, width: f64, height: f64) -> Self {
        let (left, right) = (MARGIN_LEFT, (width - MARGIN_RIGHT).max(MARGIN_LEFT + 40.0));
        let (top, bottom) = (MARGIN_TOP, (height - MARGIN_BOTTOM).max(MARGIN_TOP + 40.0));
        let smallest = metric.real.min.min(metric.sim.min).as_f64();
        let largest = metric.real.max.max(metric.sim.max).as_f64();
        CdfLayout { times: Scale::new(axis, smallest, largest, (left, right)), top, bottom, left, right }
    }

    /// Pixel row of a fraction.
    pub fn row(&self, fraction: f64) -> f64 {
        self.bottom + fraction.clamp(0.0, 1.0) * (self.top - self.bottom)
    }

    fn curve(&self, fractions: &[f64], times: &[CentiNanos]) -> Vec<(f64, f64)> {
        let points = fractions.iter().zip(times);
        points.map(|(fraction, time)| (self.times.pixel(time.as_f64()), self.row(*fraction))).collect()
    }
}

/// Draws the CDF of `metric` over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_cdf<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    metric: &MetricComparison,
    look: &Look,
) -> Drawn<DB> {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (f64::from(width) / look.scale, f64::from(height) / look.scale);
    let brush = Brush { area, scale: look.scale, text: look.text };
    let layout = CdfLayout::new(metric, look.axis, width, height);
    area.fill(&look.theme.background)?;
    draw_grid(&brush, &layout, metric, look)?;
    draw_legend(&brush, &layout, &look.theme)?;
    draw_curves(&brush, &layout, metric, &look.theme)?;
    draw_marks(&brush, &layout, metric, &look.theme)
}

fn draw_grid<DB: DrawingBackend>(
    brush: &Brush<DB>,
    layout: &CdfLayout,
    metric: &MetricComparison,
    look: &Look,
) -> Drawn<DB> {
    let theme = &look.theme;
    for percent in [0, 25, 50, 75, 100] {
        let row = layout.row(f64::from(percent) / 100.0);
        brush.line(&[(layout.left, row), (layout.right, row)], theme.grid, 1.0)?;
        brush.word(&format!("{percent}"), (layout.left - 8.0, row), TEXT, theme.muted, HPos::Right)?;
    }
    for tick in layout.times.ticks() {
        let column = layout.times.pixel(tick.nanos);
        brush.line(&[(column, layout.top), (column, layout.bottom)], theme.grid, 1.0)?;
        brush.word(&tick.label, (column, layout.bottom + 15.0), TEXT, theme.muted, HPos::Center)?;
    }
    let scale_word = if look.axis == Axis::Log { ", log scale" } else { "" };
    let title = format!("{} ({}{scale_word})", metric.metric.label(), layout.times.unit().symbol());
    brush.word(&title, ((layout.left + layout.right) / 2.0, layout.bottom + 35.0), TEXT, theme.ink, HPos::Center)?;
    let noun = if metric.metric == Metric::Itl { "% of gaps" } else { "% of requests" };
    brush.word(noun, (12.0, 13.0), TEXT, theme.muted, HPos::Left)
}

/// The legend sits top right; its words' widths are those of the embedded font.
fn draw_legend<DB: DrawingBackend>(brush: &Brush<DB>, layout: &CdfLayout, theme: &Theme) -> Drawn<DB> {
    let row = 13.0;
    let sim_line = layout.right - 60.0 - 34.0;
    let real_line = sim_line - 16.0 - 26.0 - 34.0;
    brush.line(&[(real_line, row), (real_line + 26.0, row)], theme.real, 2.25)?;
    brush.word("Real", (real_line + 33.0, row), TEXT, theme.ink, HPos::Left)?;
    brush.dashed(&[(sim_line, row), (sim_line + 26.0, row)], theme.sim, 2.25, DASH)?;
    brush.word("Simulated", (sim_line + 33.0, row), TEXT, theme.ink, HPos::Left)
}

fn draw_curves<DB: DrawingBackend>(
    brush: &Brush<DB>,
    layout: &CdfLayout,
    metric: &MetricComparison,
    theme: &Theme,
) -> Drawn<DB> {
    let real = layout.curve(&metric.curve.fractions, &metric.curve.real_ns);
    let sim = layout.curve(&metric.curve.fractions, &metric.curve.sim_ns);
    // The shaded gap is the error: its area is the Wasserstein distance.
    let gap: Vec<(f64, f64)> = real.iter().chain(sim.iter().rev()).copied().collect();
    if gap.len() > 2 {
        brush.shape(&gap, theme.muted, 0.10)?;
    }
    brush.line(&real, theme.real, 2.25)?;
    brush.dashed(&sim, theme.sim, 2.25, DASH)
}

fn draw_marks<DB: DrawingBackend>(
    brush: &Brush<DB>,
    layout: &CdfLayout,
    metric: &MetricComparison,
    theme: &Theme,
) -> Drawn<DB> {
    for (percentile, label) in MARKED {
        let Some(row) = metric.percentiles.iter().find(|row| row.percentile == percentile) else { continue };
        let height = layout.row(percentile.fraction());
        let ends = [(layout.left, height), (layout.right, height)];
        brush.dashed(&ends, theme.muted, 1.0, (1.0, 4.0))?;
        brush.word(label, (layout.right + 7.0, height), TEXT - 1.0, theme.muted, HPos::Left)?;
        let dot = |time: CentiNanos, color: RGBColor, inside: RGBColor| {
            let at = (layout.times.pixel(time.as_f64()), height);
            brush.dot(at, 3.5, color, theme.background)?;
            brush.dot(at, 1.5, inside, inside)
        };
        dot(row.real_ns, theme.real, theme.real)?;
        dot(row.sim_ns, theme.sim, theme.background)?;
    }
    Ok(())
}

/// What the figure shows, in words: for those who cannot see it.
pub fn cdf_summary(metric: &MetricComparison) -> String {
    let noun = if metric.metric == Metric::Itl { "gaps" } else { "requests" };
    let mut text = format!(
        "Cumulative distribution of {} over {} {noun}, real as a solid line and simulated as a dashed one.",
        metric.metric.label(),
        thousands(metric.num_values as u64)
    );
    for (percentile, label) in MARKED {
        if let Some(row) = metric.percentiles.iter().find(|row| row.percentile == percentile) {
            let (real, sim) = (format_duration(row.real_ns.as_f64()), format_duration(row.sim_ns.as_f64()));
            text.push_str(&format!(" {label}: real {real}, simulated {sim}."));
        }
    }
    text
}

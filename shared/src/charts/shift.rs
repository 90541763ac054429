//! The shift curve: how much later or earlier each quantile is simulated, with the band that holds the whole truth.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use crate::charts::brush::{Brush, Drawn};
use crate::charts::{Look, Scale, format_signed_duration};
use crate::schema::comparison::{MetricComparison, ShiftCurve};

const MARGIN_LEFT: f64 = 62.0;
const MARGIN_RIGHT: f64 = 38.0;
const MARGIN_TOP: f64 = 34.0;
const MARGIN_BOTTOM: f64 = 46.0;
const TEXT: f64 = 12.0;

/// Where a shift figure puts its data, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftLayout {
    /// Shifts, bottom to top.
    pub shifts: Scale,
    /// First pixel column of the plot.
    pub left: f64,
    /// Last pixel column of the plot.
    pub right: f64,
}

impl ShiftLayout {
    /// The layout of `shift` in a figure of `width` × `height` logical pixels.
    pub fn new(shift: &ShiftCurve, width: f64, height: f64) -> Self {
        let all = || shift.low_ns.iter().chain(&shift.high_ns).chain(&shift.shift_ns).map(|time| time.as_f64());
        let (low, high) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
        let (left, right) = (MARGIN_LEFT, (width - MARGIN_RIGHT).max(MARGIN_LEFT + 40.0));
        let bottom = (height - MARGIN_BOTTOM).max(MARGIN_TOP + 40.0);
        ShiftLayout { shifts: Scale::around_zero(low, high, (bottom, MARGIN_TOP)), left, right }
    }

    /// Pixel column of a fraction.
    pub fn column(&self, fraction: f64) -> f64 {
        self.left + fraction.clamp(0.0, 1.0) * (self.right - self.left)
    }

    fn points<'a>(&self, shift: &'a ShiftCurve, times: &'a [crate::stats::CentiNanos]) -> Vec<(f64, f64)> {
        let points = shift.fractions.iter().zip(times);
        points.map(|(fraction, time)| (self.column(*fraction), self.shifts.pixel(time.as_f64()))).collect()
    }
}

/// Draws the shift curve of `metric` over the whole of `area`; nothing where it has none.
///
/// # Errors
/// When the backend fails.
pub fn draw_shift<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    metric: &MetricComparison,
    look: &Look,
) -> Drawn<DB> {
    area.fill(&look.theme.background)?;
    let Some(shift) = &metric.shift else { return Ok(()) };
    let (width, height) = area.dim_in_pixel();
    let layout = ShiftLayout::new(shift, f64::from(width) / look.scale, f64::from(height) / look.scale);
    let brush = Brush { area, scale: look.scale, text: look.text };
    draw_axes(&brush, &layout, metric, look)?;
    let low = layout.points(shift, &shift.low_ns);
    let high = layout.points(shift, &shift.high_ns);
    let band: Vec<(f64, f64)> = low.iter().chain(high.iter().rev()).copied().collect();
    brush.shape(&band, look.theme.sim, 0.16)?;
    let zero = layout.shifts.pixel(0.0);
    brush.line(&[(layout.left, zero), (layout.right, zero)], look.theme.real, 1.5)?;
    brush.line(&layout.points(shift, &shift.shift_ns), look.theme.sim, 2.25)
}

fn draw_axes<DB: DrawingBackend>(
    brush: &Brush<DB>,
    layout: &ShiftLayout,
    metric: &MetricComparison,
    look: &Look,
) -> Drawn<DB> {
    let theme = &look.theme;
    let bottom = layout.shifts.start();
    for tick in layout.shifts.ticks() {
        let row = layout.shifts.pixel(tick.nanos);
        brush.line(&[(layout.left, row), (layout.right, row)], theme.grid, 1.0)?;
        brush.word(&tick.label, (layout.left - 8.0, row), TEXT, theme.muted, HPos::Right)?;
    }
    for percent in [0, 25, 50, 75, 90, 100] {
        let column = layout.column(f64::from(percent) / 100.0);
        brush.line(&[(column, MARGIN_TOP), (column, bottom)], theme.grid, 1.0)?;
        brush.word(&format!("{percent}"), (column, bottom + 15.0), TEXT, theme.muted, HPos::Center)?;
    }
    let label = metric.metric.label();
    let centre = ((layout.left + layout.right) / 2.0, bottom + 35.0);
    brush.word(&format!("quantile of {label} (%)"), centre, TEXT, theme.ink, HPos::Center)?;
    let title = format!("simulated − real ({})", layout.shifts.unit().symbol());
    brush.word(&title, (12.0, 13.0), TEXT, theme.muted, HPos::Left)?;
    let confidence = metric.bootstrap.map_or(0.0, |blocks| blocks.confidence * 100.0);
    let words = format!("{confidence:.0} % band for the whole curve");
    brush.word(&words, (layout.right, 13.0), TEXT, theme.muted, HPos::Right)
}

/// What the figure shows, in words: for those who cannot see it.
pub fn shift_summary(metric: &MetricComparison) -> String {
    let Some(shift) = &metric.shift else {
        return format!("Too few requests for a shift curve of {}.", metric.metric.label());
    };
    let apart = |index: usize| shift.low_ns[index].0 > 0 || shift.high_ns[index].0 < 0;
    let certain = (0..shift.fractions.len()).filter(|index| apart(*index)).count();
    let ends = || shift.shift_ns.iter().map(|time| time.as_f64());
    let (low, high) = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
    format!(
        "Simulated minus real {} at each quantile: from {} to {}; the band excludes zero at {certain} of {} quantiles.",
        metric.metric.label(),
        format_signed_duration(low),
        format_signed_duration(high),
        shift.fractions.len()
    )
}

//! The shift curve: how much later or earlier each quantile is simulated, with the band that holds the whole truth.

use std::borrow::Cow;

use plotters::style::text_anchor::HPos;

use crate::charts::brush::Brush;
use crate::charts::cdf::{DASH, DOTS, accents};
use crate::charts::scale::Tick;
use crate::charts::series::time_at;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, spread, text_width, without_overlap};
use crate::charts::{FractionScale, Fractions, Look, Role, Scale, format_signed_duration};
use crate::explore::answers::{Reduced, WhatIfMetric};
use crate::metrics::Metric;
use crate::schema::comparison::{Curve, MetricComparison};
use crate::stats::CentiNanos;

/// A plot under this height is a low one.
const LOW: f64 = 150.0;
const MARGIN_LEFT: f64 = 62.0;
const MARGIN_RIGHT: f64 = 38.0;
const TEXT: f64 = 12.0;
/// Size of the labels at the lines' ends.
const LETTER: f64 = 11.0;

/// Simulated minus real of one bundle, selection or "what if".
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftSeries<'a> {
    /// Its letter, or a word or two: stands at the end of its line where there are several.
    pub label: String,
    /// How it is drawn.
    pub role: Role,
    /// Values behind it; 0 where that is not told.
    pub num_values: usize,
    /// Fractions, ascending.
    pub fractions: Cow<'a, [f64]>,
    /// Simulated - real at them, ns.
    pub shift_ns: Cow<'a, [CentiNanos]>,
    /// Lower and upper edge of the band, ns; empty without one.
    pub band_ns: (&'a [CentiNanos], &'a [CentiNanos]),
}

impl<'a> ShiftSeries<'a> {
    /// The curve of a comparison with its band; `None` where it has none.
    pub fn of_comparison(label: &str, role: Role, metric: &'a MetricComparison) -> Option<Self> {
        let shift = metric.shift.as_ref()?;
        Some(ShiftSeries {
            label: label.to_owned(),
            role,
            num_values: metric.num_values,
            fractions: Cow::Borrowed(&shift.fractions),
            shift_ns: Cow::Borrowed(&shift.shift_ns),
            band_ns: (&shift.low_ns, &shift.high_ns),
        })
    }

    /// The curve of a part of a run, which has no band.
    pub fn of_selection(label: &str, role: Role, reduced: &Reduced) -> Self {
        let curve = &reduced.curve;
        ShiftSeries::of_curves(label, role, curve, (&curve.fractions, &curve.sim_ns), reduced.num_values)
    }

    /// A "what if" against the real side of `curve`, which stands on `num_values`.
    pub fn of_what_if(label: &str, curve: &Curve, num_values: usize, metric: &WhatIfMetric) -> Self {
        ShiftSeries::of_curves(label, Role::WhatIf, curve, (&metric.fractions, &metric.times_ns), num_values)
    }

    fn of_curves(
        label: &str,
        role: Role,
        real: &Curve,
        (fractions, times): (&[f64], &[CentiNanos]),
        num_values: usize,
    ) -> Self {
        // The ends of a curve are single values: only quantiles with ten beyond them are worth a difference.
        let last = (1.0 - 10.0 / num_values.max(1) as f64).max(0.99);
        let is_known = !real.fractions.is_empty() && real.fractions.len() == real.real_ns.len();
        let points = fractions.iter().zip(times).filter(|(fraction, _)| (0.01..=last).contains(*fraction) && is_known);
        let shift = points.map(|(fraction, time)| {
            let real = CentiNanos(libm::round(100.0 * time_at(&real.fractions, &real.real_ns, *fraction)) as i64);
            (*fraction, *time - real)
        });
        let (fractions, shift_ns): (Vec<f64>, Vec<CentiNanos>) = shift.unzip();
        let (fractions, shift_ns) = (Cow::Owned(fractions), Cow::Owned(shift_ns));
        ShiftSeries { label: label.to_owned(), role, num_values, fractions, shift_ns, band_ns: (&[], &[]) }
    }

    /// Values its last fraction can be told apart with.
    fn num_told(&self) -> usize {
        match self.fractions.last() {
            Some(last) if *last < 1.0 => libm::round(1.0 / (1.0 - last)).min(1e12) as usize,
            _ => self.num_values,
        }
    }
}

/// Everything one shift figure shows.
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftFigure<'a> {
    /// Which metric.
    pub metric: Metric,
    /// Confidence of the bands, 0..1; `None` without any.
    pub confidence: Option<f64>,
    /// The series, in order of their letters.
    pub series: Vec<ShiftSeries<'a>>,
}

impl<'a> ShiftFigure<'a> {
    /// The figure of one comparison; `None` where it has no shift curve.
    pub fn of(metric: &'a MetricComparison) -> Option<Self> {
        let series = vec![ShiftSeries::of_comparison("", Role::Focus, metric)?];
        let confidence = Some(metric.bootstrap.map_or(0.0, |blocks| blocks.confidence));
        Some(ShiftFigure { metric: metric.metric, confidence, series })
    }
}

/// Where a shift figure puts its data, in logical pixels. Under 220 pixels of height its margins are narrow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftLayout {
    /// Shifts, bottom to top.
    pub shifts: Scale,
    /// Fractions, left to right.
    pub fractions: FractionScale,
    /// First pixel row of the plot.
    pub top: f64,
    /// Last pixel row of the plot.
    pub bottom: f64,
    /// First pixel column of the plot.
    pub left: f64,
    /// Last pixel column of the plot.
    pub right: f64,
}

impl ShiftLayout {
    /// The layout of `figure` in `width` × `height` logical pixels.
    pub fn new(figure: &ShiftFigure, fractions: Fractions, width: f64, height: f64) -> Self {
        let all = figure.series.iter().flat_map(|series| {
            let (low, high) = series.band_ns;
            low.iter().chain(high).chain(series.shift_ns.iter()).map(|time| time.as_f64())
        });
        let (low, high) = all.fold((0.0, 0.0), |(low, high): (f64, f64), time| (low.min(time), high.max(time)));
        let (above, below) = if height < 220.0 { (26.0, 40.0) } else { (34.0, 46.0) };
        let (top, bottom) = (above, (height - below).max(above + 40.0));
        let shifts = Scale::signed(low, high, (bottom, top));
        let words = ticks(&shifts).into_iter().map(|tick| text_width(&tick.label, TEXT) + 12.0);
        let left = words.fold(MARGIN_LEFT, f64::max);
        let letters = figure.series.iter().map(|series| text_width(&series.label, LETTER) + 12.0);
        let margin =
            if figure.series.len() > 1 { letters.fold(MARGIN_RIGHT, f64::max).min(96.0) } else { MARGIN_RIGHT };
        let right = (width - margin).max(left + 40.0);
        let num_told = figure.series.iter().map(ShiftSeries::num_told).max().unwrap_or(0);
        let fractions = FractionScale::new(fractions, num_told, (left, right));
        ShiftLayout { shifts, fractions, top, bottom, left, right }
    }

    /// Pixel column of a fraction.
    pub fn column(&self, fraction: f64) -> f64 {
        self.fractions.pixel(fraction)
    }

    /// Fraction at a pixel column: the inverse of [`ShiftLayout::column`].
    pub fn fraction(&self, column: f64) -> f64 {
        self.fractions.fraction(column)
    }

    fn points(&self, series: &ShiftSeries, times: &[CentiNanos]) -> Vec<(f64, f64)> {
        let times: Vec<f64> = times.iter().map(|time| time.as_f64()).collect();
        let points = self.fractions.along(&series.fractions, &times).into_iter();
        points.map(|(column, time)| (column, self.shifts.pixel(time))).collect()
    }
}

/// A low figure has a tick every few lines of text.
fn ticks(shifts: &Scale) -> Vec<Tick> {
    let is_low = libm::fabs(shifts.end() - shifts.start()) < LOW;
    shifts.ticks_apart(if is_low { 26.0 } else { 64.0 })
}

/// Draws the shift curve of `metric` over the whole of `area`; nothing where it has none.
///
/// # Errors
/// When the backend fails.
pub fn draw_shift(area: &Area, metric: &MetricComparison, look: &Look) -> Drawn {
    match ShiftFigure::of(metric) {
        Some(figure) => draw_shift_of(area, &figure, look),
        None => area.fill(look.theme.background),
    }
}

/// Draws any shift figure over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_shift_of(area: &Area, figure: &ShiftFigure, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let layout = ShiftLayout::new(figure, look.fractions, width, height);
    draw_axes(&brush, &layout, figure, look)?;
    // Only the band of what is looked at: several on each other say nothing.
    if let Some(series) = figure.series.iter().find(|series| series.role == Role::Focus) {
        let (low, high) = (layout.points(series, series.band_ns.0), layout.points(series, series.band_ns.1));
        let band: Vec<(f64, f64)> = low.iter().chain(high.iter().rev()).copied().collect();
        brush.shape(&band, look.theme.sim, 0.16)?;
    }
    let zero = layout.shifts.pixel(0.0);
    brush.line(&[(layout.left, zero), (layout.right, zero)], look.theme.real, 1.5)?;
    for role in [Role::Whole, Role::Other, Role::WhatIf, Role::Focus] {
        for series in figure.series.iter().filter(|series| series.role == role) {
            let points = layout.points(series, &series.shift_ns);
            let (_, color) = accents(role, &look.theme);
            match role {
                Role::Focus => brush.line(&points, color, 2.25)?,
                Role::Other => brush.line(&points, color, 1.5)?,
                Role::Whole => brush.dashed(&points, color, 1.0, DASH)?,
                Role::WhatIf => brush.dashed(&points, color, 2.25, DOTS)?,
            }
        }
    }
    if figure.series.len() > 1 { draw_letters(&brush, &layout, figure, look) } else { Ok(()) }
}

/// The label of each series right of its line.
fn draw_letters(brush: &Brush, layout: &ShiftLayout, figure: &ShiftFigure, look: &Look) -> Drawn {
    let end = |series: &ShiftSeries| series.shift_ns.last().map(|time| layout.shifts.pixel(time.as_f64()));
    let ends: Vec<(f64, &ShiftSeries)> =
        figure.series.iter().filter_map(|series| Some((end(series)?, series))).collect();
    let boxes: Vec<(f64, f64)> = ends.iter().map(|(row, _)| (*row, LETTER)).collect();
    let rows = spread(&boxes, (layout.top - 6.0, layout.bottom + 6.0), 1.0);
    for ((_, series), row) in ends.iter().zip(rows) {
        let Some(row) = row else { continue };
        let label = cut_to_width(&series.label, LETTER, 84.0);
        let color = if series.role == Role::Whole { look.theme.muted } else { look.theme.sim };
        brush.word(&label, (layout.right + 6.0, row), LETTER, color, HPos::Left)?;
    }
    Ok(())
}

fn draw_axes(brush: &Brush, layout: &ShiftLayout, figure: &ShiftFigure, look: &Look) -> Drawn {
    let theme = &look.theme;
    let (top, bottom) = (layout.top, layout.bottom);
    for tick in ticks(&layout.shifts) {
        let row = layout.shifts.pixel(tick.nanos);
        brush.line(&[(layout.left, row), (layout.right, row)], theme.grid, 1.0)?;
        brush.word(&tick.label, (layout.left - 8.0, row), TEXT, theme.muted, HPos::Right)?;
    }
    let ticks = layout.fractions.ticks(&[0, 25, 50, 75, 90, 100]);
    let boxes: Vec<(f64, f64)> =
        ticks.iter().map(|(fraction, label)| (layout.column(*fraction), text_width(label, TEXT))).collect();
    let shown = without_overlap(&boxes, (0.0, layout.right + MARGIN_RIGHT), 4.0);
    for ((fraction, label), _) in ticks.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
        let column = layout.column(*fraction);
        brush.line(&[(column, top), (column, bottom)], theme.grid, 1.0)?;
        brush.word(label, (column, bottom + 15.0), TEXT, theme.muted, HPos::Center)?;
    }
    let is_low = bottom - top < LOW;
    let centre = ((layout.left + layout.right) / 2.0, bottom + if is_low { 31.0 } else { 35.0 });
    brush.word(&format!("quantile of {} (%)", figure.metric.label()), centre, TEXT, theme.ink, HPos::Center)?;
    let title = format!("simulated − real ({})", layout.shifts.unit().symbol());
    brush.word(&title, (12.0, 13.0), TEXT, theme.muted, HPos::Left)?;
    let Some(confidence) = figure.confidence else { return Ok(()) };
    let words = format!("{:.0} % band for the whole curve", confidence * 100.0);
    let room = layout.right - 12.0 - text_width(&title, TEXT) - 12.0;
    let words = if text_width(&words, TEXT) <= room { words } else { format!("{:.0} % band", confidence * 100.0) };
    brush.word(&words, (layout.right, 13.0), TEXT, theme.muted, HPos::Right)
}

/// What the figure shows, in words: for those who cannot see it.
pub fn shift_summary(metric: &MetricComparison) -> String {
    match ShiftFigure::of(metric) {
        Some(figure) => shift_figure_summary(&figure),
        None => format!("Too few requests for a shift curve of {}.", metric.metric.label()),
    }
}

/// The same of any shift figure.
pub fn shift_figure_summary(figure: &ShiftFigure) -> String {
    let mut text = format!("Simulated minus real {} at each quantile:", figure.metric.label());
    for series in &figure.series {
        let ends = || series.shift_ns.iter().map(|time| time.as_f64());
        let (low, high) = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
        let name = if series.label.is_empty() { String::new() } else { format!(" {},", series.label) };
        text.push_str(&format!("{name} from {} to {}", format_signed_duration(low), format_signed_duration(high)));
        let (lows, highs) = series.band_ns;
        if !lows.is_empty() {
            let apart = lows.iter().zip(highs).filter(|(low, high)| low.0 > 0 || high.0 < 0).count();
            text.push_str(&format!("; the band excludes zero at {apart} of {} quantiles", lows.len()));
        }
        text.push('.');
    }
    text
}

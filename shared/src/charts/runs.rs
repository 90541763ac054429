//! Every real run against the simulation: how far repeats of one workload are from each other, percentile by percentile.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{SMALL, TEXT, draw_columns};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width};
use crate::charts::{Look, Scale, format_duration};
use crate::explore::answers::RunStrip;
use crate::report::percent;
use crate::stats::CentiNanos;

const MARGIN_LEFT: f64 = 52.0;
const MARGIN_RIGHT: f64 = 16.0;
const MARGIN_TOP: f64 = 28.0;
const MARGIN_BOTTOM: f64 = 44.0;
const PITCH: f64 = 30.0;
/// Scales count in millionths.
const MILLION: f64 = 1e6;
/// Below this width, times are left to the table.
const NARROW: f64 = 520.0;
/// Room for `12.34 ms → 13.45 ms`.
const TIMES: f64 = 150.0;
/// A pointer this near to a mark means it.
const REACH: f64 = 12.0;

/// A mark of the strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMark {
    /// A real run, by its place; 0 is the compared one.
    Real(usize),
    /// The simulation.
    Simulated,
}

/// Height of the figure of that many percentiles, in logical pixels.
pub fn runs_height(num_percentiles: usize) -> u32 {
    (MARGIN_TOP + PITCH * num_percentiles.max(1) as f64 + MARGIN_BOTTOM) as u32
}

/// Where the figure puts its marks, in logical pixels. Each row is relative to the mean of its real runs, so that
/// noise is as wide at P50 as at P99.
#[derive(Clone, Debug, PartialEq)]
pub struct RunsLayout {
    errors: Scale,
    means: Vec<f64>,
    marks: Vec<(usize, RunMark, f64, f64)>,
    width: f64,
}

impl RunsLayout {
    /// The layout of `strip` in `width` logical pixels.
    pub fn new(strip: &RunStrip, width: f64) -> Self {
        let of = |times: &[CentiNanos], row: usize| times.get(row).map(|time| time.as_f64());
        let means: Vec<f64> = (0..strip.labels.len())
            .map(|row| {
                let known: Vec<f64> = strip.real.iter().filter_map(|(_, times)| of(times, row)).collect();
                if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
            })
            .collect();
        let mut errors = Vec::new();
        for (row, mean) in means.iter().enumerate() {
            // The compared run last: it lies on top of its repeats.
            let repeats = strip.real.iter().enumerate().rev();
            let real = repeats.filter_map(|(run, (_, times))| Some((RunMark::Real(run), of(times, row)?)));
            let all = real.chain(of(&strip.sim, row).map(|time| (RunMark::Simulated, time)));
            errors.extend(all.map(|(mark, time)| (row, mark, relative(time, *mean))));
        }
        let ends = || errors.iter().map(|(_, _, error)| error * MILLION);
        let (low, high) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
        let end = if width < NARROW { width - MARGIN_RIGHT } else { width - MARGIN_RIGHT - TIMES };
        let scale = Scale::signed(low, high, (MARGIN_LEFT, end.max(MARGIN_LEFT + 40.0)));
        let place = |(row, mark, error): (usize, RunMark, f64)| (row, mark, scale.pixel(error * MILLION), row_of(row));
        RunsLayout { marks: errors.into_iter().map(place).collect(), errors: scale, means, width }
    }

    /// Pixel column of a time in a row, ns.
    pub fn column(&self, row: usize, nanos: f64) -> f64 {
        self.errors.pixel(relative(nanos, self.means.get(row).copied().unwrap_or(0.0)) * MILLION)
    }

    /// Time at a pixel column of a row, ns: the inverse of [`RunsLayout::column`].
    pub fn nanos(&self, row: usize, column: f64) -> f64 {
        self.means.get(row).map_or(0.0, |mean| mean * (1.0 + self.errors.nanos(column) / MILLION))
    }

    /// The row at a pixel row.
    pub fn row_at(&self, y: f64) -> Option<usize> {
        let row = libm::floor((y - MARGIN_TOP) / PITCH);
        (row >= 0.0 && row < self.means.len() as f64).then_some(row as usize)
    }

    /// Row and mark nearest to a pixel, if one is near it.
    pub fn nearest(&self, x: f64, y: f64) -> Option<(usize, RunMark)> {
        let distances =
            self.marks.iter().map(|(row, mark, column, at)| ((*row, *mark), libm::hypot(column - x, at - y)));
        let near = distances.filter(|(_, distance)| *distance <= REACH);
        near.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(mark, _)| mark)
    }

    fn columns(&self, row: usize) -> impl Iterator<Item = (RunMark, f64)> + '_ {
        self.marks.iter().filter(move |mark| mark.0 == row).map(|mark| (mark.1, mark.2))
    }
}

fn row_of(row: usize) -> f64 {
    MARGIN_TOP + PITCH * (row as f64 + 0.5)
}

fn relative(nanos: f64, mean: f64) -> f64 {
    // Beyond a thousand times there is nothing to compare.
    if mean > 0.0 { ((nanos - mean) / mean).clamp(-1.0, 1e3) } else { 0.0 }
}

/// Draws the strip over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_runs(area: &Area, strip: &RunStrip, look: &Look) -> Drawn {
    let (brush, width, _) = Brush::on(area, look)?;
    let (layout, theme) = (RunsLayout::new(strip, width), &look.theme);
    let bottom = MARGIN_TOP + PITCH * strip.labels.len().max(1) as f64;
    let label = |place: f64| match place / 1e4 {
        value if value > 0.0 => format!("+{value}"),
        value => format!("{value}"),
    };
    let labels: Vec<(f64, String)> =
        layout.errors.places_apart(48.0).into_iter().map(|place| (place, label(place))).collect();
    draw_columns(&brush, (&layout.errors, &labels), (MARGIN_TOP, bottom), width, theme)?;
    let zero = layout.errors.pixel(0.0);
    brush.line(&[(zero, MARGIN_TOP), (zero, bottom)], theme.faded(theme.muted, 0.7), 1.0)?;
    draw_legend(&brush, strip, width, look)?;
    for (row, label) in strip.labels.iter().enumerate() {
        draw_row(&brush, &layout, strip, (row, label), look)?;
    }
    let middle = (layout.errors.start() + layout.errors.end()) / 2.0;
    brush.word("% from the mean of the real runs", (middle, bottom + 32.0), TEXT, theme.ink, HPos::Center)
}

fn draw_row(brush: &Brush, layout: &RunsLayout, strip: &RunStrip, (row, label): (usize, &str), look: &Look) -> Drawn {
    let (theme, at) = (&look.theme, row_of(row));
    let label = cut_to_width(&label.to_ascii_uppercase(), SMALL, MARGIN_LEFT - 20.0);
    brush.word(&label, (MARGIN_LEFT - 10.0, at), SMALL, theme.ink, HPos::Right)?;
    let real = || layout.columns(row).filter(|(mark, _)| *mark != RunMark::Simulated).map(|(_, column)| column);
    let (low, high) = (real().fold(f64::INFINITY, f64::min), real().fold(f64::NEG_INFINITY, f64::max));
    // What repeats of the real run are apart is what no simulation can be blamed for.
    if high > low {
        brush.block((low, at - 8.0), (high, at + 8.0), theme.real, 0.15)?;
        brush.line(&[(low, at), (high, at)], theme.faded(theme.real, 0.6), 1.0)?;
    }
    for (mark, column) in layout.columns(row) {
        match mark {
            RunMark::Real(0) => brush.dot((column, at), 4.0, theme.real, theme.background)?,
            RunMark::Real(_) => brush.dot((column, at), 2.5, theme.faded(theme.real, 0.75), theme.background)?,
            RunMark::Simulated => brush.ring((column, at), 5.0, theme.sim, theme.background)?,
        }
    }
    let (Some(real), Some(sim)) = (strip.real.first().and_then(|(_, times)| times.get(row)), strip.sim.get(row)) else {
        return Ok(());
    };
    if layout.width < NARROW {
        return Ok(());
    }
    let words = format!("{} → {}", format_duration(real.as_f64()), format_duration(sim.as_f64()));
    let words = cut_to_width(&words, SMALL, TIMES - 6.0);
    brush.word(&words, (layout.width - MARGIN_RIGHT, at), SMALL, theme.muted, HPos::Right)
}

fn draw_legend(brush: &Brush, strip: &RunStrip, width: f64, look: &Look) -> Drawn {
    let theme = &look.theme;
    let mut column = 16.0;
    brush.dot((column, 13.0), 4.0, theme.real, theme.background)?;
    brush.word("Real", (column + 10.0, 13.0), SMALL, theme.ink, HPos::Left)?;
    column += 10.0 + text_width("Real", SMALL) + 18.0;
    if strip.real.len() > 1 {
        let words = format!("{} more", strip.real.len() - 1);
        brush.dot((column, 13.0), 2.5, theme.faded(theme.real, 0.75), theme.background)?;
        brush.word(&words, (column + 8.0, 13.0), SMALL, theme.ink, HPos::Left)?;
        column += 8.0 + text_width(&words, SMALL) + 18.0;
    }
    brush.ring((column, 13.0), 5.0, theme.sim, theme.background)?;
    brush.word("Simulated", (column + 10.0, 13.0), SMALL, theme.ink, HPos::Left)?;
    let used = column + 10.0 + text_width("Simulated", SMALL) + 16.0;
    if width < NARROW || used + TIMES > width {
        return Ok(());
    }
    brush.word("real → simulated", (width - MARGIN_RIGHT, 13.0), SMALL, theme.muted, HPos::Right)
}

/// What the figure shows, in words: for those who cannot see it.
pub fn runs_summary(strip: &RunStrip) -> String {
    let layout = RunsLayout::new(strip, 860.0);
    let rows = strip.labels.iter().enumerate().filter_map(|(row, label)| {
        let mean = layout.means[row];
        let known = || strip.real.iter().filter_map(|(_, times)| times.get(row)).map(|time| time.as_f64());
        let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        let sim = strip.sim.get(row)?.as_f64();
        Some(format!(
            " {}: real {} to {}, simulated {} ({} from their mean).",
            label.to_ascii_uppercase(),
            format_duration(low),
            format_duration(high),
            format_duration(sim),
            percent(relative(sim, mean))
        ))
    });
    format!("{} real runs and the simulation.{}", strip.real.len(), rows.collect::<String>())
}

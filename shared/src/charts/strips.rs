//! Strips to select on: how full both systems were, when requests arrived, how long their prompts are.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{ORIGINS, SMALL, accent, count, count_labels, draw_columns, draw_path, time_labels};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width};
use crate::charts::{Axis, Look, Scale, format_duration};
use crate::explore::answers::Histogram;
use crate::report::thousands;
use crate::schema::Origin;
use crate::schema::curves::{Curves, SideCurves};

/// Height of a strip, logical pixels.
pub const STRIP_HEIGHT: u32 = 96;

const MARGIN: f64 = 14.0;
const MARGIN_TOP: f64 = 20.0;
const MARGIN_BOTTOM: f64 = 22.0;

/// Where a strip puts its values, in logical pixels: what a brush over it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StripLayout {
    /// Times in ns, or tokens, left to right.
    pub values: Scale,
    /// First pixel row of the plot.
    pub top: f64,
    /// Last pixel row of the plot.
    pub bottom: f64,
}

impl StripLayout {
    fn new(axis: Axis, (from, to): (f64, f64), width: f64, height: f64) -> Self {
        let columns = (MARGIN, (width - MARGIN).max(MARGIN + 40.0));
        let bottom = (height - MARGIN_BOTTOM).max(MARGIN_TOP + 20.0);
        StripLayout { values: Scale::exact(axis, from, to, columns), top: MARGIN_TOP, bottom }
    }

    /// The layout of the load strip of `curves`.
    pub fn of_load(curves: &Curves, width: f64, height: f64) -> Self {
        let from = curves.from_ns as f64;
        let lists = [&curves.real, &curves.sim].map(|side| side.num_in_system.len().max(side.num_running.len()));
        let num_bins = lists[0].max(lists[1]) as f64;
        StripLayout::new(Axis::Linear, (from, from + num_bins * curves.bin_ns as f64), width, height)
    }

    /// The layout of a histogram. Prompt lengths of very different sizes are on a log axis.
    pub fn of_histogram(histogram: &Histogram, of: Counted, width: f64, height: f64) -> Self {
        let from = histogram.edges.first().copied().unwrap_or(0.0);
        let to = histogram.edges.last().copied().unwrap_or(0.0);
        let is_wide = of == Counted::PromptTokens && to > 16.0 * from.max(1.0);
        StripLayout::new(if is_wide { Axis::Log } else { Axis::Linear }, (from, to), width, height)
    }

    /// Pixel column of a value; values outside are on the edges.
    pub fn column(&self, value: f64) -> f64 {
        self.values.pixel(value)
    }

    /// Value at a pixel column: the inverse of [`StripLayout::column`].
    pub fn value(&self, column: f64) -> f64 {
        self.values.nanos(column)
    }
}

/// What a histogram counts requests by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Planned arrival, ns.
    Arrivals,
    /// Prompt tokens.
    PromptTokens,
}

/// A line of the load strip: its name, and its values of a run.
type LoadLine = (&'static str, fn(&SideCurves) -> &[f64]);

/// What the load strip shows of a run: those in the system, or running and waiting where both runs tell them.
fn load_lines(curves: &Curves) -> Vec<LoadLine> {
    let is_split = !curves.real.num_running.is_empty() && !curves.sim.num_running.is_empty();
    match is_split {
        true => vec![("running", |side| &side.num_running), ("waiting", |side| &side.num_waiting)],
        false => vec![("in the system", |side| &side.num_in_system)],
    }
}

fn peak(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Draws how full both systems were over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_load_strip(area: &Area, curves: &Curves, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let (layout, theme) = (StripLayout::of_load(curves, width, height), &look.theme);
    let lines = load_lines(curves);
    let most = lines.iter().flat_map(|(_, of)| [peak(of(&curves.real)), peak(of(&curves.sim))]).fold(0.0, f64::max);
    let counts = Scale::exact(Axis::Linear, 0.0, most.max(1.0), (layout.bottom, layout.top + 2.0));
    draw_ground(&brush, &layout, &time_labels(&layout.values, 64.0), width, look)?;
    let middle = |bin: usize| curves.from_ns as f64 + (bin as f64 + 0.5) * curves.bin_ns as f64;
    let path = |values: &[f64]| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(bin, value)| (layout.column(middle(bin)), counts.pixel(*value))).collect()
    };
    // Waiting is filled under its line: told from running without its colour.
    for origin in ORIGINS {
        let side = if origin == Origin::Real { &curves.real } else { &curves.sim };
        let color = accent(origin, theme);
        if let Some((_, of)) = lines.get(1) {
            let line = path(of(side));
            let ends = line.last().into_iter().chain(line.first()).map(|(column, _)| (*column, layout.bottom));
            let filled: Vec<(f64, f64)> = line.iter().copied().chain(ends).collect();
            brush.shape(&filled, color, 0.18)?;
            draw_path(&brush, origin, &line, theme.faded(color, 0.7), 1.0)?;
        }
        draw_path(&brush, origin, &path(lines[0].1(side)), color, 1.75)?;
    }
    let what = if lines.len() == 1 { "In the system" } else { "Running, and waiting filled" };
    let title = format!("{what}, over time ({})", layout.values.unit().symbol());
    let key = if width < 560.0 { "" } else { "real solid, simulated dashed · " };
    draw_title(&brush, &title, &format!("{key}at most {}", count(most)), width, look)
}

/// Draws a histogram over the whole of `area`: the area of a bar is the number of its requests.
///
/// # Errors
/// When the backend fails.
pub fn draw_histogram(area: &Area, histogram: &Histogram, of: Counted, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let (layout, theme) = (StripLayout::of_histogram(histogram, of, width, height), &look.theme);
    let labels = match of {
        Counted::Arrivals => time_labels(&layout.values, 64.0),
        Counted::PromptTokens => count_labels(&layout.values, 64.0),
    };
    draw_ground(&brush, &layout, &labels, width, look)?;
    let bars = histogram.edges.windows(2).zip(&histogram.counts);
    let bars: Vec<(f64, f64, f64)> = bars
        .map(|(edges, count)| {
            let (begin, end) = (layout.column(edges[0]), layout.column(edges[1]));
            (begin, end, f64::from(*count) / (end - begin).max(1.0))
        })
        .collect();
    let most = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
    for (begin, end, height) in bars.iter().filter(|bar| bar.2 > 0.0) {
        let top = layout.bottom - ((layout.bottom - layout.top - 2.0) * height / most).max(1.5);
        // A hair of ground between bars that have room for it.
        let end = if end - begin > 4.0 { end - 1.0 } else { end.max(begin + 1.0) };
        brush.block((*begin, top), (end, layout.bottom), theme.faded(theme.muted, 0.6), 1.0)?;
    }
    let total = thousands(histogram.counts.iter().map(|count| u64::from(*count)).sum());
    let title = match of {
        Counted::Arrivals => format!("Arrivals over time ({})", layout.values.unit().symbol()),
        Counted::PromptTokens => "Prompt lengths (tokens)".to_owned(),
    };
    draw_title(&brush, &title, &format!("{total} requests"), width, look)
}

fn draw_ground(brush: &Brush, layout: &StripLayout, labels: &[(f64, String)], width: f64, look: &Look) -> Drawn {
    draw_columns(brush, (&layout.values, labels), (layout.top, layout.bottom), width, &look.theme)?;
    let ground = [(layout.values.start(), layout.bottom), (layout.values.end(), layout.bottom)];
    brush.line(&ground, look.theme.faded(look.theme.muted, 0.5), 1.0)
}

fn draw_title(brush: &Brush, title: &str, unit: &str, width: f64, look: &Look) -> Drawn {
    let room = width - 2.0 * MARGIN - text_width(unit, SMALL) - 12.0;
    brush.word(&cut_to_width(title, SMALL, room), (MARGIN, 10.0), SMALL, look.theme.ink, HPos::Left)?;
    brush.word(unit, (width - MARGIN, 10.0), SMALL, look.theme.muted, HPos::Right)
}

/// What the load strip shows, in words.
pub fn load_summary(curves: &Curves) -> String {
    let words = load_lines(curves).into_iter().map(|(what, of)| {
        format!("{what}: at most {} real, {} simulated", count(peak(of(&curves.real))), count(peak(of(&curves.sim))))
    });
    format!("Requests over time, {}.", words.collect::<Vec<_>>().join("; "))
}

/// What a histogram shows, in words.
pub fn histogram_summary(histogram: &Histogram, of: Counted) -> String {
    let total = thousands(histogram.counts.iter().map(|count| u64::from(*count)).sum());
    let ends = (histogram.edges.first().copied().unwrap_or(0.0), histogram.edges.last().copied().unwrap_or(0.0));
    match of {
        Counted::Arrivals => {
            format!("{total} requests arrive between {} and {}.", format_duration(ends.0), format_duration(ends.1))
        }
        Counted::PromptTokens => {
            format!("{total} requests with prompts of {} to {} tokens.", count(ends.0), count(ends.1))
        }
    }
}

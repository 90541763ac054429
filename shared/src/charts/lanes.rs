//! Engine steps of both runs over a window: what a step computes, KV blocks, running and waiting, how long it takes.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{ORIGINS, SMALL, TEXT, accent, count, draw_columns, draw_path, name, time_labels};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width};
use crate::charts::{Axis, Look, Scale, format_duration};
use crate::explore::answers::{StepLane, StepView};
use crate::report::thousands;
use crate::schema::Origin;

const MARGIN: f64 = 14.0;
const MARGIN_TOP: f64 = 4.0;
const MARGIN_BOTTOM: f64 = 44.0;
/// A group's words, its lanes one above the other, and the air under it.
const TITLE: f64 = 20.0;
const LANE: f64 = 46.0;
const BETWEEN: f64 = 4.0;
const AIR: f64 = 8.0;
/// From this width on the names of the runs stand left of their lanes, else in them.
const NARROW: f64 = 520.0;
const NAMES: f64 = 84.0;
/// Pixels from one stroke of a hatching to the next.
const HATCH: f64 = 4.0;

/// What a pair of lanes shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepQuantity {
    /// Prefill tokens, and on them a token for each sequence that decodes.
    Batch,
    /// KV blocks in use.
    KvBlocks,
    /// Sequences running and waiting.
    Sequences,
    /// Duration of a step, and the host's share of it.
    Duration,
}

impl StepQuantity {
    const ALL: [StepQuantity; 4] =
        [StepQuantity::Batch, StepQuantity::KvBlocks, StepQuantity::Sequences, StepQuantity::Duration];

    fn title(self) -> &'static str {
        match self {
            StepQuantity::Batch => "Tokens a step: prefill filled, decode hatched",
            StepQuantity::KvBlocks => "KV blocks in use",
            StepQuantity::Sequences => "Sequences: running as a line, waiting filled",
            StepQuantity::Duration => "Duration of a step, host time filled",
        }
    }

    /// The filled part and the whole, a bin.
    fn values(self, lane: &StepLane) -> (Vec<f64>, Vec<f64>) {
        let none = || vec![0.0; lane.starts_ns.len()];
        match self {
            StepQuantity::Batch => {
                let both = lane.prefill_tokens.iter().zip(&lane.decode_seqs);
                (lane.prefill_tokens.clone(), both.map(|(prefill, decode)| prefill + decode).collect())
            }
            StepQuantity::KvBlocks => (none(), lane.kv_blocks.clone()),
            StepQuantity::Sequences => (lane.waiting.clone(), lane.running.clone()),
            StepQuantity::Duration => (lane.host_ns.clone(), lane.duration_ns.clone()),
        }
    }

    fn words(self, value: f64) -> String {
        if self == StepQuantity::Duration { format_duration(value) } else { count(value) }
    }
}

/// Height of the figure in logical pixels: lanes only for the runs that have steps.
pub fn steps_height(view: &StepView) -> u32 {
    let lanes = StepsLayout::new(view, 340.0).lanes;
    let bottom = lanes.last().map_or(MARGIN_TOP + LANE, |lane| lane.3);
    (bottom + MARGIN_BOTTOM) as u32
}

/// Where the figure puts its lanes, in logical pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct StepsLayout {
    /// The run's clock, ns.
    pub times: Scale,
    /// Each lane: what, whose, first and last pixel row.
    pub lanes: Vec<(StepQuantity, Origin, f64, f64)>,
}

impl StepsLayout {
    /// The layout of `view` in `width` logical pixels.
    pub fn new(view: &StepView, width: f64) -> Self {
        let left = if width < NARROW { MARGIN } else { NAMES };
        let columns = (left, (width - MARGIN).max(left + 40.0));
        let times = Scale::exact(Axis::Linear, view.from_ns as f64, view.to_ns as f64, columns);
        let mut lanes = Vec::new();
        let mut row = MARGIN_TOP;
        for quantity in StepQuantity::ALL {
            row += TITLE;
            for origin in ORIGINS.into_iter().filter(|origin| side(view, *origin).is_some()) {
                lanes.push((quantity, origin, row, row + LANE));
                row += LANE + BETWEEN;
            }
            row += AIR;
        }
        if view.real.is_none() && view.sim.is_none() {
            lanes.clear();
        }
        StepsLayout { times, lanes }
    }

    /// The lane at a pixel row.
    pub fn lane_at(&self, row: f64) -> Option<(StepQuantity, Origin)> {
        let lane = self.lanes.iter().find(|(_, _, top, bottom)| (*top..=bottom + BETWEEN).contains(&row))?;
        Some((lane.0, lane.1))
    }

    /// Bin of `lane` at a pixel column; `None` where no step was at work.
    pub fn bin_at(&self, lane: &StepLane, column: f64) -> Option<usize> {
        let instant = self.times.nanos(column);
        let bin = lane.starts_ns.partition_point(|start| *start as f64 <= instant).checked_sub(1)?;
        (instant <= *lane.ends_ns.get(bin)? as f64).then_some(bin)
    }
}

fn side(view: &StepView, origin: Origin) -> Option<&StepLane> {
    match origin {
        Origin::Real => view.real.as_ref(),
        Origin::Simulated => view.sim.as_ref(),
    }
}

/// Draws the steps over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_steps(area: &Area, view: &StepView, look: &Look) -> Drawn {
    let (brush, width, _) = Brush::on(area, look)?;
    let (layout, theme) = (StepsLayout::new(view, width), &look.theme);
    let Some(last) = layout.lanes.last().map(|lane| lane.3) else {
        return brush.word("Neither run tells its steps", (width / 2.0, 30.0), TEXT, theme.muted, HPos::Center);
    };
    let first = layout.lanes[0].2;
    draw_columns(&brush, (&layout.times, &time_labels(&layout.times, 64.0)), (first, last), width, theme)?;
    let title = format!("Time since the run began ({})", layout.times.unit().symbol());
    let middle = (layout.times.start() + layout.times.end()) / 2.0;
    brush.word(&title, (middle, last + 31.0), TEXT, theme.ink, HPos::Center)?;
    for quantity in StepQuantity::ALL {
        let most = most(view, quantity);
        let lanes: Vec<_> = layout.lanes.iter().filter(|lane| lane.0 == quantity).collect();
        let Some(top) = lanes.first().map(|lane| lane.2) else { continue };
        let words = format!("at most {}", quantity.words(most));
        let room = width - 2.0 * MARGIN - text_width(&words, SMALL) - 12.0;
        // Titles lie on the grid: it gives way to them.
        brush.block((0.0, top - TITLE + 1.0), (width, top - 2.0), theme.background, 1.0)?;
        brush.word(&cut_to_width(quantity.title(), SMALL, room), (MARGIN, top - 10.0), SMALL, theme.ink, HPos::Left)?;
        brush.word(&words, (width - MARGIN, top - 10.0), SMALL, theme.muted, HPos::Right)?;
        for (_, origin, top, bottom) in lanes {
            if let Some(lane) = side(view, *origin) {
                draw_lane(&brush, &layout, (quantity, *origin, lane), (*top, *bottom, most), look)?;
            }
        }
    }
    Ok(())
}

fn most(view: &StepView, quantity: StepQuantity) -> f64 {
    let sides = ORIGINS.into_iter().filter_map(|origin| side(view, origin));
    let values = sides.flat_map(|lane| {
        let (filled, whole) = quantity.values(lane);
        filled.into_iter().chain(whole)
    });
    values.fold(0.0, f64::max)
}

fn draw_lane(
    brush: &Brush,
    layout: &StepsLayout,
    (quantity, origin, lane): (StepQuantity, Origin, &StepLane),
    (top, bottom, most): (f64, f64, f64),
    look: &Look,
) -> Drawn {
    let (theme, color) = (&look.theme, accent(origin, &look.theme));
    let rows = Scale::exact(Axis::Linear, 0.0, most.max(1.0), (bottom, top + 2.0));
    brush.line(&[(layout.times.start(), bottom), (layout.times.end(), bottom)], theme.faded(theme.muted, 0.5), 1.0)?;
    let (filled, whole) = quantity.values(lane);
    for run in runs(lane, layout) {
        let area = |values: &[f64]| outline(lane, layout, &rows, values, run.clone());
        let closed = |path: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let ends = path.last().into_iter().chain(path.first()).map(|(column, _)| (*column, bottom));
            path.iter().copied().chain(ends).collect()
        };
        let (lower, upper) = (area(&filled), area(&whole));
        if quantity == StepQuantity::KvBlocks {
            brush.shape(&closed(&upper), theme.faded(color, 0.2), 1.0)?;
        } else {
            let share = if quantity == StepQuantity::Batch { 0.7 } else { 0.45 };
            brush.shape(&closed(&lower), theme.faded(color, share), 1.0)?;
        }
        if quantity == StepQuantity::Batch {
            draw_hatching(brush, lane, layout, &rows, (&filled, &whole), run.clone(), theme.faded(color, 0.75))?;
        }
        draw_path(brush, origin, &upper, color, 1.25)?;
    }
    if layout.times.start() >= NAMES {
        return brush.word(name(origin), (MARGIN, (top + bottom) / 2.0), SMALL, color, HPos::Left);
    }
    // The name lies on the data: it has its own ground.
    let width = text_width(name(origin), SMALL);
    let at = (layout.times.start() + 3.0, top + 9.0);
    brush.block((at.0 - 3.0, at.1 - 7.0), (at.0 + width + 3.0, at.1 + 7.0), theme.background, 0.85)?;
    brush.word(name(origin), at, SMALL, color, HPos::Left)
}

/// Bins that follow each other without a gap one can see.
fn runs(lane: &StepLane, layout: &StepsLayout) -> Vec<std::ops::Range<usize>> {
    let count = lane.starts_ns.len().min(lane.ends_ns.len());
    let mut runs = Vec::new();
    let mut first = 0;
    for bin in 1..=count {
        let column = |ns: u64| layout.times.pixel(ns as f64);
        if bin == count || column(lane.starts_ns[bin]) - column(lane.ends_ns[bin - 1]) > 1.0 {
            runs.push(first..bin);
            first = bin;
        }
    }
    runs
}

/// The upper edge of `values` over a run of bins.
fn outline(
    lane: &StepLane,
    layout: &StepsLayout,
    rows: &Scale,
    values: &[f64],
    run: std::ops::Range<usize>,
) -> Vec<(f64, f64)> {
    let bins = run.filter_map(|bin| Some((lane.starts_ns[bin], lane.ends_ns[bin], *values.get(bin)?)));
    let corners = bins.flat_map(|(start, end, value)| {
        let row = rows.pixel(value);
        [(layout.times.pixel(start as f64), row), (layout.times.pixel(end as f64), row)]
    });
    corners.collect()
}

fn draw_hatching(
    brush: &Brush,
    lane: &StepLane,
    layout: &StepsLayout,
    rows: &Scale,
    (filled, whole): (&[f64], &[f64]),
    run: std::ops::Range<usize>,
    color: plotters::style::RGBColor,
) -> Drawn {
    for bin in run {
        let (Some(low), Some(high)) = (filled.get(bin), whole.get(bin)) else { continue };
        let column = |ns: u64| layout.times.pixel(ns as f64);
        let (begin, end) = (column(lane.starts_ns[bin]), column(lane.ends_ns[bin]));
        let mut stroke = libm::ceil(begin / HATCH) * HATCH;
        while stroke < end {
            brush.line(&[(stroke, rows.pixel(*low)), (stroke, rows.pixel(*high))], color, 1.0)?;
            stroke += HATCH;
        }
    }
    Ok(())
}

/// What the figure shows, in words: for those who cannot see it.
pub fn steps_summary(view: &StepView) -> String {
    let mut text = format!(
        "Engine steps from {} to {}.",
        format_duration(view.from_ns as f64),
        format_duration(view.to_ns as f64)
    );
    for origin in ORIGINS {
        let Some(lane) = side(view, origin) else {
            text.push_str(&format!(" {}: no steps told.", name(origin)));
            continue;
        };
        let peak = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            " {}: {} steps, at most {} prefill tokens, {} sequences decoding, {} KV blocks, {} running, {} waiting, \
             {} a step.",
            name(origin),
            thousands(lane.num_steps as u64),
            count(peak(&lane.prefill_tokens)),
            count(peak(&lane.decode_seqs)),
            count(peak(&lane.kv_blocks)),
            count(peak(&lane.running)),
            count(peak(&lane.waiting)),
            format_duration(peak(&lane.duration_ns)),
        ));
    }
    text
}

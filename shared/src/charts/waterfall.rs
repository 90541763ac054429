//! The attribution of E2E as a waterfall: each part begins where the one before it ended, so that parts that cancel
//! are seen to.

use plotters::style::text_anchor::HPos;

use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::text_width;
use crate::charts::{Look, Scale, Theme, format_duration, format_signed_duration};
use crate::report::thousands;
use crate::schema::attribution::{Attribution, Breakdown};

const MARGIN_LEFT: f64 = 142.0;
/// Room for `real → simulated` in words.
const MARGIN_RIGHT: f64 = 190.0;
const MARGIN_TOP: f64 = 46.0;
const MARGIN_BOTTOM: f64 = 46.0;
const TEXT: f64 = 12.0;
/// Room for the difference of a bar.
const LABEL: f64 = 58.0;
/// Below this width, words stand above their bars.
const NARROW: f64 = 560.0;

/// One bar: from the sum of the differences before it to the sum with its own, mean ns a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is.
    pub label: &'static str,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Mean of the part, real and simulated.
    pub means: (f64, f64),
}

/// The bars of a breakdown: its parts, then the whole from zero.
pub fn waterfall_bars(e2e: &Breakdown) -> Vec<Bar> {
    let mean = |total: i64| e2e.mean(total).as_f64();
    let mut before = 0;
    let parts = e2e.parts.iter().map(|row| {
        let from = before;
        before = row.diff_ns.saturating_add(before);
        let means = (mean(row.real_ns as i64), mean(row.sim_ns as i64));
        Bar { label: row.part.label(), from: mean(from), to: mean(before), means }
    });
    let mut bars: Vec<Bar> = parts.collect();
    let means = (mean(e2e.real_ns as i64), mean(e2e.sim_ns as i64));
    bars.push(Bar { label: "E2E", from: 0.0, to: mean(e2e.diff_ns), means });
    bars
}

/// Height of the figure in logical pixels.
pub fn waterfall_height(attribution: &Attribution, width: f64) -> u32 {
    let pitch = if width < NARROW { 46 } else { 41 };
    let num_bars = attribution.e2e.parts.len() as u32 + 1;
    (MARGIN_TOP + MARGIN_BOTTOM) as u32 + pitch * num_bars
}

/// Where bars and words stand. A narrow figure has the words above the bars.
struct Frame {
    times: Scale,
    width: f64,
    pitch: f64,
    is_narrow: bool,
}

/// Draws the waterfall over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_waterfall(area: &Area, attribution: &Attribution, look: &Look) -> Drawn {
    let (brush, width, height) = Brush::on(area, look)?;
    let bars = waterfall_bars(&attribution.e2e);
    let ends = || bars.iter().flat_map(|bar| [bar.from, bar.to]);
    let is_narrow = width < NARROW;
    let (lowest, highest) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    // Beyond the bars on both sides there is room for their labels.
    let room = |end: f64| if end == 0.0 { 0.0 } else { LABEL };
    let (left, margin) = match is_narrow {
        true => (14.0 + room(lowest), 14.0 + room(highest)),
        false => (MARGIN_LEFT + room(lowest), MARGIN_RIGHT),
    };
    let columns = (left, (width - margin).max(left + 40.0));
    let times = Scale::signed(lowest, highest, columns);
    let (top, bottom) = (MARGIN_TOP, (height - MARGIN_BOTTOM).max(MARGIN_TOP + 40.0));
    let mut labels = Vec::new();
    for tick in times.ticks() {
        let column = times.pixel(tick.nanos);
        let (color, width) = if tick.nanos == 0.0 { (look.theme.muted, 1.5) } else { (look.theme.grid, 1.0) };
        brush.line(&[(column, top), (column, bottom)], color, width)?;
        labels.push((column, tick.label));
    }
    brush.labels_in_row(&labels, bottom + 15.0, TEXT, look.theme.muted, (1.0, width - 1.0))?;
    let num_requests = thousands(attribution.e2e.num_requests);
    let title = format!("Simulated − real, mean of {num_requests} requests ({})", times.unit().symbol());
    let middle = if is_narrow { width / 2.0 } else { (columns.0 + columns.1) / 2.0 };
    brush.word(&title, (middle, bottom + 35.0), TEXT, look.theme.ink, HPos::Center)?;
    legend(&brush, width, &look.theme)?;
    let frame = Frame { times, width, pitch: (bottom - top) / bars.len() as f64, is_narrow };
    for (index, bar) in bars.iter().enumerate() {
        draw_bar(&brush, bar, &frame, top + (index as f64 + 0.5) * frame.pitch, look)?;
    }
    Ok(())
}

fn draw_bar(brush: &Brush, bar: &Bar, frame: &Frame, middle: f64, look: &Look) -> Drawn {
    let (theme, pitch) = (&look.theme, frame.pitch);
    let means = format!("{} → {}", format_duration(bar.means.0), format_duration(bar.means.1));
    let (words, row, half) = match frame.is_narrow {
        true => (middle - 0.25 * pitch, middle + 0.2 * pitch, (0.2 * pitch).min(12.0)),
        false => (middle, middle, (0.30 * pitch).min(16.0)),
    };
    let (begin, edge) = if frame.is_narrow { (14.0, HPos::Left) } else { (MARGIN_LEFT - 14.0, HPos::Right) };
    // A narrow figure's words lie on the grid: it gives way to them.
    if frame.is_narrow {
        brush.block((0.0, words - 8.0), (frame.width, words + 8.0), theme.background, 1.0)?;
    }
    brush.word(bar.label, (begin, words), TEXT, theme.ink, edge)?;
    brush.word(&means, (frame.width - 12.0, words), TEXT, theme.ink, HPos::Right)?;
    let (from, to) = (frame.times.pixel(bar.from), frame.times.pixel(bar.to));
    let color = if bar.to < bar.from { theme.real } else { theme.sim };
    if bar.to != bar.from {
        // A difference of no width is still a line.
        let to_edge = if libm::fabs(to - from) < 1.0 { from + 1.0 } else { to };
        brush.block((from, row - half), (to_edge, row + half), color, 0.85)?;
    }
    if bar.label != "E2E" && !frame.is_narrow {
        brush.dashed(&[(to, row + half), (to, row + pitch - half)], theme.muted, 1.0, (2.0, 3.0))?;
    }
    let label = format_signed_duration(bar.to - bar.from);
    let limits = match frame.is_narrow {
        true => (2.0, frame.width - 2.0),
        false => (MARGIN_LEFT - 8.0, frame.width - 12.0 - text_width(&means, TEXT) - 10.0),
    };
    let (place, color, anchor) = match beside(bar, (from, to), text_width(&label, TEXT), limits) {
        Some((place, anchor)) => (place, theme.ink, anchor),
        None => ((from + to) / 2.0, theme.background, HPos::Center),
    };
    brush.word(&label, (place, row), TEXT, color, anchor)
}

/// Where the label of a bar stands: beyond the end it grows towards, else beyond the other one; in it (`None`) where
/// there is room for neither.
fn beside(bar: &Bar, (from, to): (f64, f64), width: f64, (first, last): (f64, f64)) -> Option<(f64, HPos)> {
    const GAP: f64 = 7.0;
    let (begin, end) = (from.min(to), from.max(to));
    let left = (begin - GAP - width >= first).then_some((begin - GAP, HPos::Right));
    let right = (end + GAP + width <= last).then_some((end + GAP, HPos::Left));
    if bar.to < bar.from { left.or(right) } else { right.or(left) }
}

/// Which colour is which: the longer side's.
fn legend(brush: &Brush, width: f64, theme: &Theme) -> Drawn {
    let row = 16.0;
    let mut column = 12.0;
    for (color, words, length) in [(theme.sim, "simulated takes longer", 158.0), (theme.real, "real takes longer", 0.0)]
    {
        brush.block((column, row - 5.0), (column + 14.0, row + 5.0), color, 0.85)?;
        brush.word(words, (column + 20.0, row), TEXT, theme.ink, HPos::Left)?;
        column += 20.0 + length;
    }
    let row = if width < NARROW { row + 18.0 } else { row };
    brush.word("real → simulated", (width - 12.0, row), TEXT, theme.muted, HPos::Right)
}

/// What the figure shows, in words: for those who cannot see it.
pub fn waterfall_summary(attribution: &Attribution) -> String {
    let bars = waterfall_bars(&attribution.e2e).into_iter();
    let parts = bars.map(|bar| {
        let (real, sim) = (format_duration(bar.means.0), format_duration(bar.means.1));
        format!("{} {}: real {real}, simulated {sim}", bar.label, format_signed_duration(bar.to - bar.from))
    });
    let num_requests = thousands(attribution.e2e.num_requests);
    format!("Simulated minus real, mean of {num_requests} requests. {}.", parts.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::attribution::{Part, PartRow};

    #[test]
    fn bars_begin_where_the_one_before_ended_and_the_last_is_their_sum() {
        let row = |part, real_ns: u64, sim_ns: u64| PartRow {
            part,
            real_ns,
            sim_ns,
            diff_ns: sim_ns as i64 - real_ns as i64,
            rel_error: None,
            contribution: None,
        };
        let parts = vec![row(Part::Queueing, 0, 40), row(Part::Prefill, 100, 20), row(Part::Decode, 300, 420)];
        let e2e = Breakdown { num_requests: 2, real_ns: 400, sim_ns: 480, diff_ns: 80, rel_error: None, parts };
        let bars = waterfall_bars(&e2e);
        let spans: Vec<(f64, f64)> = bars.iter().map(|bar| (bar.from, bar.to)).collect();
        assert_eq!(spans, [(0.0, 20.0), (20.0, -20.0), (-20.0, 40.0), (0.0, 40.0)]);
        assert_eq!(bars[1].means, (50.0, 10.0));
    }

    #[test]
    fn a_label_stands_where_its_bar_points_to() {
        let bar = |from: f64, to: f64| Bar { label: "Decode", from, to, means: (0.0, 0.0) };
        let place = |one: &Bar, limits| beside(one, (one.from, one.to), 40.0, limits).map(|(place, _)| place);
        assert_eq!(place(&bar(100.0, 200.0), (0.0, 300.0)), Some(207.0));
        assert_eq!(place(&bar(200.0, 100.0), (0.0, 300.0)), Some(93.0));
        assert_eq!(place(&bar(200.0, 20.0), (0.0, 300.0)), Some(207.0), "no room on its left");
        assert_eq!(place(&bar(20.0, 280.0), (0.0, 300.0)), None);
    }

    #[test]
    fn a_part_of_nothing_has_no_bar() {
        let breakdown = |decode: u64| Breakdown {
            num_requests: 1,
            real_ns: 300,
            sim_ns: decode,
            diff_ns: decode as i64 - 300,
            rel_error: None,
            parts: vec![PartRow {
                part: Part::Decode,
                real_ns: 300,
                sim_ns: decode,
                diff_ns: decode as i64 - 300,
                rel_error: None,
                contribution: None,
            }],
        };
        let num_bars = |decode: u64| {
            let attribution = crate::charts::tests::attribution(breakdown(decode));
            let sheet = crate::charts::Sheet::new(Theme::LIGHT, (640, 200));
            crate::charts::svg(&sheet, |area, look| draw_waterfall(area, &attribution, look))
                .matches("<polygon")
                .count()
        };
        // Two of them are the legend's.
        assert_eq!([num_bars(300), num_bars(301)], [2, 4]);
    }
}

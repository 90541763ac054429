//! The attribution of E2E as a waterfall: each part begins where the one before it ended, so that parts that cancel
//! are seen to.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use crate::charts::brush::{Brush, Drawn};
use crate::charts::{Look, Scale, Theme, format_duration, format_signed_duration};
use crate::schema::attribution::{Attribution, Breakdown};

const MARGIN_LEFT: f64 = 142.0;
/// Room for `real → simulated` in words.
const MARGIN_RIGHT: f64 = 190.0;
const MARGIN_TOP: f64 = 46.0;
const MARGIN_BOTTOM: f64 = 46.0;
const TEXT: f64 = 12.0;

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
        before += row.diff_ns;
        let means = (mean(row.real_ns as i64), mean(row.sim_ns as i64));
        Bar { label: row.part.label(), from: mean(from), to: mean(before), means }
    });
    let mut bars: Vec<Bar> = parts.collect();
    let means = (mean(e2e.real_ns as i64), mean(e2e.sim_ns as i64));
    bars.push(Bar { label: "E2E", from: 0.0, to: mean(e2e.diff_ns), means });
    bars
}

/// Draws the waterfall over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_waterfall<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    attribution: &Attribution,
    look: &Look,
) -> Drawn<DB> {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (f64::from(width) / look.scale, f64::from(height) / look.scale);
    let brush = Brush { area, scale: look.scale, text: look.text };
    area.fill(&look.theme.background)?;
    let bars = waterfall_bars(&attribution.e2e);
    let ends = || bars.iter().flat_map(|bar| [bar.from, bar.to]);
    let (left, right) = (MARGIN_LEFT, (width - MARGIN_RIGHT).max(MARGIN_LEFT + 40.0));
    let times = Scale::around_zero(ends().fold(0.0, f64::min), ends().fold(0.0, f64::max), (left, right));
    let (top, bottom) = (MARGIN_TOP, height - MARGIN_BOTTOM);
    for tick in times.ticks() {
        let column = times.pixel(tick.nanos);
        let (color, width) = if tick.nanos == 0.0 { (look.theme.muted, 1.5) } else { (look.theme.grid, 1.0) };
        brush.line(&[(column, top), (column, bottom)], color, width)?;
        brush.word(&tick.label, (column, bottom + 15.0), TEXT, look.theme.muted, HPos::Center)?;
    }
    let title =
        format!("Simulated − real, mean of {} requests ({})", attribution.e2e.num_requests, times.unit().symbol());
    brush.word(&title, ((left + right) / 2.0, bottom + 35.0), TEXT, look.theme.ink, HPos::Center)?;
    legend(&brush, width, &look.theme)?;
    let pitch = (bottom - top) / bars.len() as f64;
    for (index, bar) in bars.iter().enumerate() {
        let row = top + (index as f64 + 0.5) * pitch;
        draw_bar(&brush, bar, &times, (row, pitch), look)?;
        let (real, sim) = bar.means;
        let words = format!("{} → {}", format_duration(real), format_duration(sim));
        brush.word(&words, (width - 12.0, row), TEXT, look.theme.ink, HPos::Right)?;
    }
    Ok(())
}

fn draw_bar<DB: DrawingBackend>(
    brush: &Brush<DB>,
    bar: &Bar,
    times: &Scale,
    (row, pitch): (f64, f64),
    look: &Look,
) -> Drawn<DB> {
    let theme = &look.theme;
    let half = (0.30 * pitch).min(16.0);
    let (from, to) = (times.pixel(bar.from), times.pixel(bar.to));
    let color = if bar.to < bar.from { theme.real } else { theme.sim };
    brush.word(bar.label, (MARGIN_LEFT - 14.0, row), TEXT, theme.ink, HPos::Right)?;
    // A difference of no width is still a line.
    let to_edge = if (to - from).abs() < 1.0 { from + 1.0 } else { to };
    let corners = [(from, row - half), (to_edge, row - half), (to_edge, row + half), (from, row + half)];
    brush.shape(&corners, color, 0.85)?;
    if bar.label != "E2E" {
        brush.dashed(&[(to, row + half), (to, row + pitch - half)], theme.muted, 1.0, (2.0, 3.0))?;
    }
    // Beside the bar where there is room, else in it.
    const ROOM: f64 = 72.0;
    let (begin, end) = (from.min(to), from.max(to));
    let (place, color, anchor) = if end + ROOM < times.pixel(f64::INFINITY) + 48.0 {
        (end + 7.0, theme.ink, HPos::Left)
    } else if begin - ROOM > MARGIN_LEFT {
        (begin - 7.0, theme.ink, HPos::Right)
    } else {
        ((begin + end) / 2.0, theme.background, HPos::Center)
    };
    brush.word(&format_signed_duration(bar.to - bar.from), (place, row), TEXT, color, anchor)
}

/// Which colour is which: the longer side's.
fn legend<DB: DrawingBackend>(brush: &Brush<DB>, width: f64, theme: &Theme) -> Drawn<DB> {
    let row = 16.0;
    let mut column = 12.0;
    for (color, words, length) in [(theme.sim, "simulated takes longer", 158.0), (theme.real, "real takes longer", 0.0)]
    {
        let corners =
            [(column, row - 5.0), (column + 14.0, row - 5.0), (column + 14.0, row + 5.0), (column, row + 5.0)];
        brush.shape(&corners, color, 0.85)?;
        brush.word(words, (column + 20.0, row), TEXT, theme.ink, HPos::Left)?;
        column += 20.0 + length;
    }
    brush.word("real → simulated", (width - 12.0, row), TEXT, theme.muted, HPos::Right)
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
}

//! Queue, batch and KV curves: panels above each other on one clock, the real run over the simulated one.

use plotters::style::text_anchor::HPos;

use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::{Axis, Look, Scale};
use crate::report::thousands;
use crate::schema::curves::{Curves, SideCurves};

const MARGIN_LEFT: f64 = 58.0;
const MARGIN_RIGHT: f64 = 16.0;
const MARGIN_TOP: f64 = 30.0;
const MARGIN_BOTTOM: f64 = 46.0;
/// Height of a panel with its title.
const PITCH: f64 = 118.0;
const TITLE: f64 = 24.0;
const TEXT: f64 = 12.0;
const WIDTH: f64 = 1.75;

/// One panel: what it shows, and both sides' values a bin; an empty side does not tell.
struct Panel<'a> {
    title: &'static str,
    real: &'a [f64],
    sim: &'a [f64],
}

/// The panels that at least one run tells something of.
fn panels(curves: &Curves) -> Vec<Panel<'_>> {
    type Values = fn(&SideCurves) -> &[f64];
    let all: [(&str, Values); 5] = [
        ("Requests in the system", |side| &side.num_in_system),
        ("Sequences running", |side| &side.num_running),
        ("Sequences waiting", |side| &side.num_waiting),
        ("KV blocks in use", |side| &side.kv_blocks_used),
        ("Tokens in the step at work", |side| &side.step_tokens),
    ];
    // Running and waiting together are those in the system, where both runs tell them.
    let is_split = !curves.real.num_running.is_empty() && !curves.sim.num_running.is_empty();
    let panel = |(title, values): (&'static str, Values)| {
        let (real, sim) = (values(&curves.real), values(&curves.sim));
        (!real.is_empty() || !sim.is_empty()).then_some(Panel { title, real, sim })
    };
    all.into_iter().skip(usize::from(is_split)).filter_map(panel).collect()
}

/// Height of the figure in logical pixels: as many panels as there is something to show.
pub fn curves_height(curves: &Curves) -> u32 {
    (MARGIN_TOP + PITCH * panels(curves).len() as f64 + MARGIN_BOTTOM) as u32
}

/// Draws the curves over the whole of `area`.
///
/// # Errors
/// When the backend fails.
pub fn draw_curves(area: &Area, curves: &Curves, look: &Look) -> Drawn {
    let (brush, width, _) = Brush::on(area, look)?;
    let num_bins = curves.real.num_in_system.len() as u64;
    let (from, to) = (curves.from_ns as f64, (curves.from_ns + num_bins * curves.bin_ns) as f64);
    let (left, right) = (MARGIN_LEFT, (width - MARGIN_RIGHT).max(MARGIN_LEFT + 40.0));
    let times = Scale::new(Axis::Linear, from, to, (left, right));
    draw_legend(&brush, look)?;
    let panels = panels(curves);
    for (index, panel) in panels.iter().enumerate() {
        let top = MARGIN_TOP + PITCH * index as f64 + TITLE;
        let bottom = MARGIN_TOP + PITCH * (index + 1) as f64 - 8.0;
        draw_panel(&brush, panel, curves, &times, (left, right, top, bottom), look)?;
    }
    let bottom = MARGIN_TOP + PITCH * panels.len() as f64 - 8.0;
    let labels: Vec<(f64, String)> =
        times.ticks().into_iter().map(|tick| (times.pixel(tick.nanos), tick.label)).collect();
    brush.labels_in_row(&labels, bottom + 15.0, TEXT, look.theme.muted, (1.0, width - 1.0))?;
    let title = format!("Time since the run began ({})", times.unit().symbol());
    brush.word(&title, ((left + right) / 2.0, bottom + 36.0), TEXT, look.theme.ink, HPos::Center)
}

fn draw_legend(brush: &Brush, look: &Look) -> Drawn {
    let (row, theme) = (14.0, &look.theme);
    brush.line(&[(MARGIN_LEFT, row), (MARGIN_LEFT + 26.0, row)], theme.real, 2.25)?;
    brush.word("Real", (MARGIN_LEFT + 33.0, row), TEXT, theme.ink, HPos::Left)?;
    brush.dashed(&[(MARGIN_LEFT + 78.0, row), (MARGIN_LEFT + 104.0, row)], theme.sim, 2.25, (7.0, 4.0))?;
    brush.word("Simulated", (MARGIN_LEFT + 111.0, row), TEXT, theme.ink, HPos::Left)
}

fn draw_panel(
    brush: &Brush,
    panel: &Panel,
    curves: &Curves,
    times: &Scale,
    (left, right, top, bottom): (f64, f64, f64, f64),
    look: &Look,
) -> Drawn {
    let theme = &look.theme;
    let most = panel.real.iter().chain(panel.sim).copied().fold(0.0, f64::max);
    let counts = Scale::new(Axis::Linear, 0.0, most, (bottom, top));
    for place in counts.places() {
        let row = counts.pixel(place);
        brush.line(&[(left, row), (right, row)], theme.grid, 1.0)?;
        let label = if place < 1_000.0 { format!("{place}") } else { thousands(place as u64) };
        brush.word(&label, (left - 8.0, row), TEXT, theme.muted, HPos::Right)?;
    }
    for tick in times.ticks() {
        let column = times.pixel(tick.nanos);
        brush.line(&[(column, top), (column, bottom)], theme.grid, 1.0)?;
    }
    let untold = |name: &str| format!("{} (the {name} run does not tell)", panel.title);
    let title = match (panel.real.is_empty(), panel.sim.is_empty()) {
        (true, _) => untold("real"),
        (_, true) => untold("simulated"),
        _ => panel.title.to_owned(),
    };
    brush.word_within(&title, (left, top - 12.0), TEXT, theme.ink, right + MARGIN_RIGHT - 4.0 - left)?;
    let path = |values: &[f64]| -> Vec<(f64, f64)> {
        let middle = |bin: usize| curves.from_ns as f64 + (bin as f64 + 0.5) * curves.bin_ns as f64;
        values.iter().enumerate().map(|(bin, value)| (times.pixel(middle(bin)), counts.pixel(*value))).collect()
    };
    brush.line(&path(panel.real), theme.real, WIDTH)?;
    brush.dashed(&path(panel.sim), theme.sim, WIDTH, (5.0, 3.0))
}

/// What the figure shows, in words: for those who cannot see it.
pub fn curves_summary(curves: &Curves) -> String {
    let peak = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let words = panels(curves).into_iter().map(|panel| {
        let side = |values: &[f64]| match values.is_empty() {
            true => "not told".to_owned(),
            false => format!("{:.1}", peak(values)),
        };
        format!("{}: at most {} real, {} simulated.", panel.title, side(panel.real), side(panel.sim))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::curves::CurveSource;

    fn curves() -> Curves {
        let real = SideCurves {
            source: CurveSource::Steps,
            num_in_system: vec![1.0, 3.0, 2.0],
            num_running: vec![1.0, 2.0, 2.0],
            num_waiting: vec![0.0, 1.0, 0.0],
            kv_blocks_used: vec![10.0, 2_500.0, 20.0],
            step_tokens: vec![7.0, 0.0, 2.0],
        };
        let sim =
            SideCurves { source: CurveSource::Stamps, kv_blocks_used: vec![], step_tokens: vec![], ..real.clone() };
        Curves { from_ns: 0, bin_ns: 1_000_000_000, real, sim }
    }

    #[test]
    fn a_panel_is_shown_where_one_side_tells_and_says_which_does_not() {
        let summary = curves_summary(&curves());
        assert!(summary.starts_with("Sequences running: at most 2.0 real, 2.0 simulated."), "{summary}");
        assert!(summary.contains("KV blocks in use: at most 2500.0 real, not told simulated."), "{summary}");
        let svg = crate::charts::curves_svg(&curves(), crate::charts::Theme::LIGHT, 640);
        for word in ["KV blocks in use (the simulated run does not tell)", "2,000", "Time since the run began (s)"] {
            assert!(svg.contains(&format!("{word}\n</text>")), "{word}");
        }
    }

    #[test]
    fn without_times_of_scheduling_the_system_is_one_count() {
        let mut curves = curves();
        (curves.sim.num_running, curves.sim.num_waiting) = (vec![], vec![]);
        assert!(curves_summary(&curves).starts_with("Requests in the system: at most 3.0 real, 3.0 simulated."));
    }
}

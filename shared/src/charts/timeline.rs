//! One request token by token: waiting, prefill, every token and every stall, real above simulated on one clock.

use plotters::style::text_anchor::HPos;

use crate::charts::axes::{ORIGINS, SMALL, TEXT, accent, draw_columns, name, time_labels};
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};
use crate::charts::words::{cut_to_width, text_width, without_overlap};
use crate::charts::{Axis, Look, Scale, format_duration};
use crate::explore::answers::{RequestTimeline, TimelineSide};
use crate::report::thousands;
use crate::schema::Origin;

/// Height of the figure, logical pixels.
pub const TIMELINE_HEIGHT: u32 = 190;

const MARGIN: f64 = 14.0;
/// Row of the first lane's words; its body, and what is under it, follow.
const FIRST: f64 = 34.0;
const PITCH: f64 = 58.0;
const BODY: (f64, f64) = (9.0, 33.0);
/// Tokens nearer to each other than this are one mark.
const FINEST: f64 = 1.5;
/// A gap this many times as long as the request's median one is a stall.
const STALL: f64 = 3.0;
/// A pointer this near to a token means it.
const REACH: f64 = 8.0;

/// Where the figure puts a request, in logical pixels. Its ticks count from the arrival, its functions take the
/// run's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelineLayout {
    arrival_ns: u64,
    /// Time since arrival.
    times: Scale,
}

impl TimelineLayout {
    /// The layout of `request` in `width` logical pixels: all of it, or the window `from..to` of the run's clock, ns.
    pub fn new(request: &RequestTimeline, window: Option<(u64, u64)>, width: f64) -> Self {
        let since = |ns: u64| ns as f64 - request.arrival_ns as f64;
        let ends = [&request.real, &request.sim].into_iter().flatten().flat_map(|side| {
            [side.completion_ns, side.tokens_ns.last().copied().unwrap_or(0), side.scheduled_ns.unwrap_or(0)]
        });
        let end = ends.map(since).fold(1.0, f64::max);
        let (from, to) = window.map_or((-0.015 * end, 1.015 * end), |(from, to)| (since(from), since(to)));
        let columns = (MARGIN, (width - MARGIN).max(MARGIN + 40.0));
        TimelineLayout { arrival_ns: request.arrival_ns, times: Scale::exact(Axis::Linear, from, to, columns) }
    }

    /// Pixel column of an instant of the run's clock; instants outside the window are on its edges.
    pub fn column(&self, ns: u64) -> f64 {
        self.times.pixel(ns as f64 - self.arrival_ns as f64)
    }

    /// Instant at a pixel column, ns of the run's clock: the inverse of [`TimelineLayout::column`].
    pub fn instant(&self, column: f64) -> u64 {
        (self.arrival_ns as f64 + libm::round(self.times.nanos(column))).max(0.0) as u64
    }

    /// First and last pixel row of a lane's body.
    pub fn rows(&self, lane: Origin) -> (f64, f64) {
        let first = FIRST + if lane == Origin::Real { 0.0 } else { PITCH };
        (first + BODY.0, first + BODY.1)
    }

    /// The lane at a pixel row.
    pub fn lane_at(&self, row: f64) -> Option<Origin> {
        ORIGINS.into_iter().find(|lane| {
            let (top, bottom) = self.rows(*lane);
            (top - BODY.0..=bottom + PITCH - BODY.1 - BODY.0).contains(&row)
        })
    }

    /// Index of the token of `side` nearest to a pixel column, if one is near it.
    pub fn token_at(&self, side: &TimelineSide, column: f64) -> Option<usize> {
        let instant = self.instant(column);
        let next = side.tokens_ns.partition_point(|token| *token < instant);
        let candidates = [next.checked_sub(1), (next < side.tokens_ns.len()).then_some(next)];
        let distance = |index: &usize| libm::fabs(self.column(side.tokens_ns[*index]) - column);
        let shown = |index: &usize| self.is_shown(side.tokens_ns[*index]) && distance(index) <= REACH;
        candidates.into_iter().flatten().filter(shown).min_by(|one, other| distance(one).total_cmp(&distance(other)))
    }

    fn is_shown(&self, ns: u64) -> bool {
        let (from, to) = self.times.range();
        (from..=to).contains(&(ns as f64 - self.arrival_ns as f64))
    }
}

/// Gaps between tokens that are more than three times the request's median one: (index of the token after it, ns),
/// longest first. Needs all token times and at least four gaps.
pub fn stalls(side: &TimelineSide) -> Vec<(usize, u64)> {
    let gaps: Vec<u64> = side.tokens_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    if !side.has_tokens || gaps.len() < 4 {
        return Vec::new();
    }
    let mut sorted = gaps.clone();
    sorted.sort_unstable();
    let median = (sorted[(sorted.len() - 1) / 2] as f64 + sorted[sorted.len() / 2] as f64) / 2.0;
    let long = gaps.into_iter().enumerate().filter(|(_, gap)| *gap as f64 > STALL * median);
    let mut stalls: Vec<(usize, u64)> = long.map(|(index, gap)| (index + 1, gap)).collect();
    crate::order::sort_by_key(&mut stalls, |(index, gap)| (std::cmp::Reverse(*gap), *index));
    stalls
}

/// Draws `request` over the whole of `area`, all of it or a window of the run's clock.
///
/// # Errors
/// When the backend fails.
pub fn draw_timeline(area: &Area, request: &RequestTimeline, window: Option<(u64, u64)>, look: &Look) -> Drawn {
    let (brush, width, _) = Brush::on(area, look)?;
    let (layout, theme) = (TimelineLayout::new(request, window, width), &look.theme);
    let room = width - 2.0 * MARGIN;
    let words = format!(
        "Request {} · {} prompt tokens · arrives at {}",
        request.request_id,
        thousands(request.num_prefill_tokens.into()),
        format_duration(request.arrival_ns as f64)
    );
    brush.word_within(&words, (MARGIN, 13.0), TEXT, theme.ink, room)?;
    let last = layout.rows(Origin::Simulated).1 + 16.0;
    let labels = time_labels(&layout.times, 64.0);
    draw_columns(&brush, (&layout.times, &labels), (layout.rows(Origin::Real).0, last), width, theme)?;
    let title = format!("Time since arrival ({})", layout.times.unit().symbol());
    brush.word(&title, (width / 2.0, last + 31.0), TEXT, theme.ink, HPos::Center)?;
    for (lane, side) in [(Origin::Real, &request.real), (Origin::Simulated, &request.sim)] {
        let row = layout.rows(lane).0 - BODY.0;
        let words =
            format!("{} · {}", name(lane), side.as_ref().map_or("no output".to_owned(), |side| told(request, side)));
        // Words lie on the grid: it gives way to them.
        let words = cut_to_width(&words, SMALL, room);
        let end = MARGIN + text_width(&words, SMALL) + 4.0;
        brush.block((MARGIN - 4.0, row - 7.0), (end, row + 7.0), theme.background, 1.0)?;
        brush.word(&words, (MARGIN, row), SMALL, theme.muted, HPos::Left)?;
        if let Some(side) = side {
            draw_lane(&brush, &layout, request, (lane, side), look)?;
        }
    }
    Ok(())
}

/// A side in figures: how long it waited, its prefill, its tokens.
fn told(request: &RequestTimeline, side: &TimelineSide) -> String {
    let span = |from: u64, to: u64| format_duration(to.saturating_sub(from) as f64);
    let first = side.tokens_ns.first().copied().unwrap_or(side.completion_ns);
    let mut parts = match side.scheduled_ns {
        Some(scheduled) => {
            vec![
                format!("waits {}", span(request.arrival_ns, scheduled)),
                format!("prefill {}", span(scheduled, first)),
            ]
        }
        None => vec![format!("TTFT {}", span(request.arrival_ns, first))],
    };
    let decode = span(first, side.completion_ns);
    parts.push(match side.has_tokens {
        true => format!("{} tokens in {decode}", thousands(side.tokens_ns.len() as u64)),
        false => format!("decode {decode}, no token times"),
    });
    match side.num_preemptions {
        None | Some(0) => {}
        Some(1) => parts.push("1 preemption".to_owned()),
        Some(count) => parts.push(format!("{count} preemptions")),
    }
    match stalls(side).len() {
        0 => {}
        1 => parts.push("1 stall".to_owned()),
        count => parts.push(format!("{count} stalls")),
    }
    parts.join(" · ")
}

fn draw_lane(
    brush: &Brush,
    layout: &TimelineLayout,
    request: &RequestTimeline,
    (lane, side): (Origin, &TimelineSide),
    look: &Look,
) -> Drawn {
    let theme = &look.theme;
    let color = accent(lane, theme);
    let (top, bottom) = layout.rows(lane);
    let middle = (top + bottom) / 2.0;
    let first = side.tokens_ns.first().copied().unwrap_or(side.completion_ns);
    let scheduled = side.scheduled_ns.unwrap_or(first);
    let columns = |from: u64, to: u64| (layout.column(from), layout.column(to));
    // Waiting is a thin light bar, prefill a high one: filled if real, hollow if simulated.
    let (begin, end) = columns(request.arrival_ns, scheduled);
    if end - begin > 0.5 {
        brush.block((begin, middle - 4.0), (end, middle + 4.0), theme.faded(color, 0.3), 1.0)?;
    }
    let (begin, end) = columns(scheduled, first);
    if end - begin > 0.5 {
        brush.block((begin, top + 3.0), (end, bottom - 3.0), theme.faded(color, share(lane)), 1.0)?;
        brush.frame((begin, top + 3.0), (end, bottom - 3.0), color, 1.0)?;
    }
    let (begin, end) = columns(first, side.completion_ns);
    if side.has_tokens {
        brush.line(&[(begin, middle), (end, middle)], theme.faded(color, 0.45), 1.0)?;
        draw_tokens(brush, layout, &side.tokens_ns, (top, bottom), look, lane)?;
        draw_stalls(brush, layout, side, bottom, look)?;
    } else {
        brush.dashed(&[(begin, middle), (end, middle)], color, 1.5, (1.5, 3.0))?;
    }
    if layout.is_shown(request.arrival_ns) {
        let column = layout.column(request.arrival_ns);
        brush.line(&[(column, top), (column, bottom)], theme.ink, 1.5)?;
        brush.shape(&[(column, middle - 4.0), (column + 6.0, middle), (column, middle + 4.0)], theme.ink, 1.0)?;
    }
    if !layout.is_shown(side.completion_ns) {
        return Ok(());
    }
    let at = (layout.column(side.completion_ns), middle);
    match lane {
        Origin::Real => brush.dot(at, 4.0, color, theme.background),
        Origin::Simulated => brush.ring(at, 4.0, color, theme.background),
    }
}

/// How much of its colour the body of a prefill keeps.
fn share(lane: Origin) -> f64 {
    if lane == Origin::Real { 0.75 } else { 0.12 }
}

/// One mark a token, and one for all that fall on the same place: gaps stay gaps.
fn draw_tokens(
    brush: &Brush,
    layout: &TimelineLayout,
    tokens: &[u64],
    (top, bottom): (f64, f64),
    look: &Look,
    lane: Origin,
) -> Drawn {
    let color = accent(lane, &look.theme);
    let mut before = f64::NEG_INFINITY;
    for token in tokens.iter().filter(|token| layout.is_shown(**token)) {
        let column = layout.column(*token);
        if column - before >= FINEST {
            brush.line(&[(column, top + 3.0), (column, bottom - 3.0)], color, 1.0)?;
            before = column;
        }
    }
    Ok(())
}

/// A bar under each stall, the longest with their length.
fn draw_stalls(brush: &Brush, layout: &TimelineLayout, side: &TimelineSide, bottom: f64, look: &Look) -> Drawn {
    let mut labels = Vec::new();
    let mut marked: Vec<(f64, f64)> = Vec::new();
    for (index, gap) in stalls(side) {
        let (begin, end) = (layout.column(side.tokens_ns[index - 1]), layout.column(side.tokens_ns[index]));
        let is_new = marked.iter().all(|(from, to)| end < *from || begin > *to);
        if end - begin < 1.0 || !is_new || marked.len() >= 200 {
            continue;
        }
        marked.push((begin, end));
        brush.line(&[(begin, bottom + 3.0), (end, bottom + 3.0)], look.theme.ink, 2.0)?;
        labels.push(((begin + end) / 2.0, format_duration(gap as f64)));
    }
    let boxes: Vec<(f64, f64)> = labels.iter().map(|(at, label)| (*at, text_width(label, SMALL - 1.0))).collect();
    let edges = (2.0, layout.times.end() + MARGIN - 2.0);
    let shown = without_overlap(&boxes, edges, 6.0);
    for ((at, label), _) in labels.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
        brush.word(label, (*at, bottom + 11.0), SMALL - 1.0, look.theme.ink, HPos::Center)?;
    }
    Ok(())
}

/// What the figure shows, in words: for those who cannot see it.
pub fn timeline_summary(request: &RequestTimeline) -> String {
    let side = |lane: Origin, side: &Option<TimelineSide>| {
        let words = side.as_ref().map_or("no output".to_owned(), |side| told(request, side).replace(" · ", ", "));
        format!("{}: {words}.", name(lane))
    };
    format!(
        "Request {} with {} prompt tokens. {} {}",
        request.request_id,
        thousands(request.num_prefill_tokens.into()),
        side(Origin::Real, &request.real),
        side(Origin::Simulated, &request.sim)
    )
}

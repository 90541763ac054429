//! The line under a figure that leaves the page: where its numbers are from.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;

use crate::charts::Look;
use crate::charts::brush::{Brush, Drawn};

/// Logical pixels that a figure grows by for its provenance.
pub const PROVENANCE_HEIGHT: u32 = 24;

const MARGIN: f64 = 12.0;
const TEXT: f64 = 10.0;

/// Draws a figure on all but the lowest [`PROVENANCE_HEIGHT`] of `area`, and there `text`, cut to fit; without a text
/// the figure has all of it.
///
/// # Errors
/// When the backend fails.
pub fn draw_with_provenance<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    text: Option<&str>,
    look: &Look,
    draw: impl FnOnce(&DrawingArea<DB, Shift>, &Look) -> Drawn<DB>,
) -> Drawn<DB> {
    let Some(text) = text else { return draw(area, look) };
    let line = libm::round(f64::from(PROVENANCE_HEIGHT) * look.scale) as u32;
    let above = area.dim_in_pixel().1.saturating_sub(line);
    let (figure, below) = area.split_vertically(above);
    draw(&figure, look)?;
    let (brush, width, height) = Brush::on(&below, look)?;
    brush.word_within(text, (MARGIN, height / 2.0 - 2.0), TEXT, look.theme.muted, width - 2.0 * MARGIN)
}

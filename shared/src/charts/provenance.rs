//! The line under a figure that leaves the page: where its numbers are from.

use crate::charts::Look;
use crate::charts::brush::Brush;
use crate::charts::surface::{Area, Drawn};

/// Logical pixels that a figure grows by for its provenance.
pub const PROVENANCE_HEIGHT: u32 = 24;

const MARGIN: f64 = 12.0;
const TEXT: f64 = 10.0;

/// Draws a figure on all but the lowest [`PROVENANCE_HEIGHT`] of `area`, and there `text`, cut to fit; without a text
/// the figure has all of it.
///
/// # Errors
/// When the backend fails.
pub fn draw_with_provenance(
    area: &Area,
    text: Option<&str>,
    look: &Look,
    draw: impl FnOnce(&Area, &Look) -> Drawn,
) -> Drawn {
    let Some(text) = text else { return draw(area, look) };
    let line = libm::round(f64::from(PROVENANCE_HEIGHT) * look.scale) as u32;
    let above = area.size().1.saturating_sub(line);
    let (figure, below) = area.split_at_row(above);
    draw(&figure, look)?;
    let (brush, width, height) = Brush::on(&below, look)?;
    brush.word_within(text, (MARGIN, height / 2.0 - 2.0), TEXT, look.theme.muted, width - 2.0 * MARGIN)
}

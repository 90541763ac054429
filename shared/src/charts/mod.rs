//! Figures: one drawing for SVG, PNG and the browser's canvas, and the one formatter of times.
//!
//! Knows comparisons and pixels; not files, windows or the browser.

mod brush;
mod cdf;
mod curves;
mod export;
mod scale;
mod shift;
mod theme;
mod units;
mod waterfall;

pub use brush::Lettering;
pub use cdf::{CdfLayout, Look, cdf_summary, draw_cdf};
pub use curves::{curves_height, curves_summary, draw_curves};
#[cfg(feature = "native")]
pub use export::cdf_png;
pub use export::{attribution_svg, cdf_svg, curves_svg, shift_svg};
pub use scale::{Axis, Scale};
pub use shift::{ShiftLayout, draw_shift, shift_summary};
pub use theme::{FONT_FAMILY, Theme};
pub use units::{Unit, format_duration, format_rate, format_signed_duration};
pub use waterfall::{Bar, draw_waterfall, waterfall_bars};

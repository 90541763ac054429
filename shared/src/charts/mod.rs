//! Figures: one drawing for SVG, PNG and the browser's canvas, and the one formatter of times.
//!
//! Knows comparisons and pixels; not files, windows or the browser. Real is solid and filled, simulated is dashed and
//! hollow, everywhere.

mod brush;
mod cdf;
mod curves;
mod export;
mod fractions;
mod provenance;
mod scale;
mod series;
mod shift;
mod theme;
mod units;
mod waterfall;
mod words;

pub use brush::Lettering;
pub use cdf::{CdfLayout, Look, cdf_summary, draw_cdf, draw_cdf_of};
pub use curves::{curves_height, curves_summary, draw_curves};
#[cfg(feature = "native")]
pub use export::cdf_png;
pub use export::{
    Sheet, attribution_svg, cdf_figure_svg, cdf_svg, curves_svg, shift_figure_svg, shift_svg, waterfall_svg,
};
pub use fractions::{FractionScale, Fractions};
pub use provenance::{PROVENANCE_HEIGHT, draw_with_provenance};
pub use scale::{Axis, Scale, Tick};
pub use series::{CdfFigure, CdfSeries, Role, cdf_figure_summary};
pub use shift::{
    ShiftFigure, ShiftLayout, ShiftSeries, draw_shift, draw_shift_of, shift_figure_summary, shift_summary,
};
pub use theme::{FONT_FAMILY, Theme};
pub use units::{Unit, format_duration, format_rate, format_signed_duration};
pub use waterfall::{Bar, draw_waterfall, waterfall_bars};
pub use words::{cut_to_width, text_width};

#[cfg(test)]
mod tests;

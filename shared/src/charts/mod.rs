//! Figures: one drawing for SVG, PNG and the browser's canvas, and the one formatter of times.
//!
//! Knows comparisons and pixels; not files, windows or the browser. Real is solid and filled, simulated is dashed and
//! hollow, everywhere.

mod axes;
mod brush;
mod cdf;
mod curves;
mod export;
mod fractions;
mod lanes;
mod pairs;
mod provenance;
mod runs;
mod scale;
mod scatter;
mod series;
mod shift;
mod strips;
mod surface;
mod theme;
mod timeline;
mod units;
mod waterfall;
mod words;

pub use axes::count as format_count;
pub use brush::Lettering;
pub use cdf::{CdfLayout, Look, cdf_summary, draw_cdf, draw_cdf_of};
pub use curves::{curves_height, curves_summary, draw_curves};
#[cfg(feature = "native")]
pub use export::cdf_png;
pub use export::{Sheet, attribution_svg, cdf_svg, curves_svg, shift_svg, svg, svg_without_font, with_font};
pub use fractions::{FractionScale, Fractions};
pub use lanes::{StepQuantity, StepsLayout, draw_steps, steps_height, steps_summary};
pub use pairs::{PairFigure, PairLayout, draw_pairs, pairs_summary};
pub use provenance::{PROVENANCE_HEIGHT, draw_with_provenance};
pub use runs::{RunMark, RunsLayout, draw_runs, runs_height, runs_summary};
pub use scale::{Axis, Scale, Tick};
pub use scatter::{ScatterFigure, ScatterLayout, draw_scatter, scatter_summary};
pub use series::{CdfFigure, CdfSeries, Role, cdf_figure_summary};
pub use shift::{
    ShiftFigure, ShiftLayout, ShiftSeries, draw_shift, draw_shift_of, shift_figure_summary, shift_summary,
};
pub use strips::{
    Counted, STRIP_HEIGHT, StripLayout, draw_histogram, draw_load_strip, histogram_summary, load_summary,
};
pub use surface::{Area, DrawingError, Drawn, Surface};
pub use theme::{FONT_FAMILY, Theme};
pub use timeline::{TIMELINE_HEIGHT, TimelineLayout, draw_timeline, stalls, timeline_summary};
pub use units::{Unit, format_duration, format_rate, format_signed_duration};
pub use waterfall::{Bar, draw_waterfall, waterfall_bars, waterfall_height, waterfall_summary};
pub use words::{cut_to_width, text_width};

#[cfg(test)]
mod tests;

//! Colours and the font of every figure. Real and simulated keep theirs everywhere: figures, tables, site.

use plotters::style::RGBColor;

/// The embedded font's name; one word, so that it needs no quotes in a canvas or SVG.
pub const FONT_FAMILY: &str = "Fidelio";

/// The embedded font as the PNG drawing reads it: Inter, digits of one width, Latin only.
#[cfg(feature = "native")]
pub(super) const FONT_TTF: &[u8] = include_bytes!("../../assets/Inter-Regular.ttf");

/// The same font, smaller, as an SVG carries it.
pub(super) const FONT_WOFF2: &[u8] = include_bytes!("../../assets/Inter-Regular.woff2");

/// A set of colours. Real is a blue, simulated a vermilion: told apart by people of every colour
/// vision, and never by colour alone, because simulated is dashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Behind everything.
    pub background: RGBColor,
    /// What is read first.
    pub ink: RGBColor,
    /// Labels.
    pub muted: RGBColor,
    /// Grid lines.
    pub grid: RGBColor,
    /// The real run.
    pub real: RGBColor,
    /// The simulated run.
    pub sim: RGBColor,
}

impl Theme {
    /// Dark ink on white.
    pub const LIGHT: Theme = Theme {
        background: RGBColor(255, 255, 255),
        ink: RGBColor(23, 26, 33),
        muted: RGBColor(91, 98, 112),
        grid: RGBColor(229, 232, 238),
        real: RGBColor(15, 98, 189),
        sim: RGBColor(201, 76, 0),
    };

    /// Light ink on near-black.
    pub const DARK: Theme = Theme {
        background: RGBColor(22, 25, 32),
        ink: RGBColor(233, 236, 242),
        muted: RGBColor(157, 165, 180),
        grid: RGBColor(45, 50, 61),
        real: RGBColor(110, 178, 255),
        sim: RGBColor(255, 150, 84),
    };
}

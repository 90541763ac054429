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

    /// For those who ask for more contrast: darker inks, a grid that can be seen.
    pub const HIGH_CONTRAST_LIGHT: Theme = Theme {
        background: RGBColor(255, 255, 255),
        ink: RGBColor(0, 0, 0),
        muted: RGBColor(51, 56, 66),
        grid: RGBColor(176, 182, 194),
        real: RGBColor(0, 62, 135),
        sim: RGBColor(148, 46, 0),
    };

    /// The same on black.
    pub const HIGH_CONTRAST_DARK: Theme = Theme {
        background: RGBColor(0, 0, 0),
        ink: RGBColor(255, 255, 255),
        muted: RGBColor(208, 214, 224),
        grid: RGBColor(92, 99, 112),
        real: RGBColor(150, 205, 255),
        sim: RGBColor(255, 178, 120),
    };

    /// `color` thinned towards the background: `share` of it is left. Opaque, so that it is the same however often it
    /// is drawn and on every backend.
    pub(super) fn faded(&self, color: RGBColor, share: f64) -> RGBColor {
        let mix =
            |color: u8, ground: u8| libm::round(share * f64::from(color) + (1.0 - share) * f64::from(ground)) as u8;
        let ground = self.background;
        RGBColor(mix(color.0, ground.0), mix(color.1, ground.1), mix(color.2, ground.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2's contrast ratio.
    fn contrast(one: RGBColor, other: RGBColor) -> f64 {
        let channel = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) }
        };
        let luminance =
            |color: RGBColor| 0.2126 * channel(color.0) + 0.7152 * channel(color.1) + 0.0722 * channel(color.2);
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn words_and_accents_can_be_read_on_their_ground() {
        for (theme, least) in [
            (Theme::LIGHT, 4.5),
            (Theme::DARK, 4.5),
            (Theme::HIGH_CONTRAST_LIGHT, 7.0),
            (Theme::HIGH_CONTRAST_DARK, 7.0),
        ] {
            for color in [theme.ink, theme.muted, theme.real, theme.sim] {
                let ratio = contrast(color, theme.background);
                assert!(ratio >= least, "{color:?} on {:?}: {ratio:.2}", theme.background);
            }
        }
    }
}

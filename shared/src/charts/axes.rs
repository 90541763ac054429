//! What several figures have alike: ticks that give way to each other, and how the two origins are drawn and named.

use plotters::style::RGBColor;

use crate::charts::brush::Brush;
use crate::charts::surface::Drawn;
use crate::charts::{Scale, Theme};
use crate::report::thousands;
use crate::schema::Origin;

pub(super) const TEXT: f64 = 12.0;
/// Labels inside of figures.
pub(super) const SMALL: f64 = 11.0;

/// Both origins, the real one first.
pub(super) const ORIGINS: [Origin; 2] = [Origin::Real, Origin::Simulated];

/// The name of an origin in a figure.
pub(super) fn name(origin: Origin) -> &'static str {
    match origin {
        Origin::Real => "Real",
        Origin::Simulated => "Simulated",
    }
}

/// The accent of an origin.
pub(super) fn accent(origin: Origin, theme: &Theme) -> RGBColor {
    match origin {
        Origin::Real => theme.real,
        Origin::Simulated => theme.sim,
    }
}

/// The line of an origin: real solid, simulated dashed.
pub(super) fn draw_path(brush: &Brush, origin: Origin, points: &[(f64, f64)], color: RGBColor, width: f64) -> Drawn {
    match origin {
        Origin::Real => brush.line(points, color, width),
        Origin::Simulated => brush.dashed(points, color, width, (5.0, 3.0)),
    }
}

/// Grid lines of `scale` between two rows, labelled under the lower one where there is room inside `0..=width`.
pub(super) fn draw_columns(
    brush: &Brush,
    (scale, labels): (&Scale, &[(f64, String)]),
    (top, bottom): (f64, f64),
    width: f64,
    theme: &Theme,
) -> Drawn {
    for (value, _) in labels {
        let column = scale.pixel(*value);
        brush.line(&[(column, top), (column, bottom)], theme.grid, 1.0)?;
    }
    let placed: Vec<(f64, String)> = labels.iter().map(|(value, label)| (scale.pixel(*value), label.clone())).collect();
    brush.labels_in_row(&placed, bottom + 13.0, TEXT, theme.muted, (1.0, width - 1.0))
}

/// Ticks of an axis of times, no more than one every `pixels`, with what they say.
pub(super) fn time_labels(scale: &Scale, pixels: f64) -> Vec<(f64, String)> {
    scale.ticks_apart(pixels).into_iter().map(|tick| (tick.nanos, tick.label)).collect()
}

/// Ticks of an axis of counts: whole numbers only, no more than one every `pixels`.
pub(super) fn count_labels(scale: &Scale, pixels: f64) -> Vec<(f64, String)> {
    let whole = scale.places_apart(pixels).into_iter().filter(|place| *place >= 0.0 && libm::floor(*place) == *place);
    whole.map(|place| (place, count(place))).collect()
}

/// A count: `12`, `4,096`, and with one decimal where it is a mean: `3.5`.
pub fn count(value: f64) -> String {
    match value {
        value if libm::fabs(value - libm::round(value)) < 0.05 || value >= 1_000.0 => {
            thousands(libm::round(value) as u64)
        }
        value => format!("{value:.1}"),
    }
}

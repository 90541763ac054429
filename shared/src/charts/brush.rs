//! Draws in logical pixels: strokes, dashes, dots and words at any resolution.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

use crate::charts::surface::DrawingError;
use crate::charts::words::{cut_to_width, text_width, without_overlap};
use crate::charts::{Area, Drawn, FONT_FAMILY, Look};

/// What a backend makes of a font size and a position: they differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lettering {
    /// Size to ask for, over the size wanted.
    size: f64,
    /// How far below the position to ask for the words, in sizes.
    drop: f64,
}

impl Lettering {
    /// The browser's canvas takes both as they are.
    pub const CANVAS: Lettering = Lettering { size: 1.0, drop: 0.0 };
    /// plotters' SVG backend divides sizes by 1.24.
    pub const SVG: Lettering = Lettering { size: 1.24, drop: 0.0 };
    /// plotters' bitmap backend counts line heights, and centres what lies above the baseline too high.
    pub const BITMAP: Lettering = Lettering { size: 1.21, drop: 0.1 };

    /// Size to ask for, over the size wanted.
    #[cfg(test)]
    pub(super) fn size(self) -> f64 {
        self.size
    }
}

/// Draws in logical pixels on an area that has `scale` device pixels to each.
pub(super) struct Brush<'a> {
    area: Area<'a>,
    pub scale: f64,
    pub text: Lettering,
}

impl<'a> Brush<'a> {
    /// A brush for the whole of `area`, which it clears, and its size in logical pixels.
    pub fn on(area: &Area<'a>, look: &Look) -> Result<(Self, f64, f64), DrawingError> {
        area.fill(look.theme.background)?;
        let (width, height) = area.size();
        let brush = Brush { area: area.clone(), scale: look.scale, text: look.text };
        Ok((brush, f64::from(width) / look.scale, f64::from(height) / look.scale))
    }

    fn device(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (libm::round(x * self.scale) as i32, libm::round(y * self.scale) as i32)
    }

    fn stroke(&self, color: RGBColor, width: f64) -> ShapeStyle {
        color.stroke_width(libm::round(width * self.scale).max(1.0) as u32)
    }

    /// A solid line. Points that fall on one device pixel are drawn once.
    pub fn line(&self, points: &[(f64, f64)], color: RGBColor, width: f64) -> Drawn {
        let mut path: Vec<(i32, i32)> = points.iter().map(|point| self.device(*point)).collect();
        path.dedup();
        if path.len() < 2 {
            return Ok(());
        }
        self.area.path(path, &self.stroke(color, width))
    }

    /// A dashed line: `on` pixels drawn, `off` left out.
    pub fn dashed(&self, points: &[(f64, f64)], color: RGBColor, width: f64, (on, off): (f64, f64)) -> Drawn {
        dashes(points, on, off).iter().try_for_each(|dash| self.line(dash, color, width))
    }

    /// A faint filled shape.
    pub fn shape(&self, points: &[(f64, f64)], color: RGBColor, opacity: f64) -> Drawn {
        let mut path: Vec<(i32, i32)> = points.iter().map(|point| self.device(*point)).collect();
        path.dedup();
        if path.len() < 3 {
            return Ok(());
        }
        self.area.polygon(path, &color.mix(opacity).filled())
    }

    /// A dot ringed in `ring`.
    pub fn dot(&self, at: (f64, f64), radius: f64, fill: RGBColor, ring: RGBColor) -> Drawn {
        self.circle(at, radius + 1.0, &ring.filled())?;
        self.circle(at, radius, &fill.filled())
    }

    /// A hollow dot: a ring of `color` with `inside` in it.
    pub fn ring(&self, at: (f64, f64), radius: f64, color: RGBColor, inside: RGBColor) -> Drawn {
        self.dot(at, radius, color, inside)?;
        self.dot(at, radius - 2.0, inside, inside)
    }

    /// A dot without a ring, seen through.
    pub fn speck(&self, at: (f64, f64), radius: f64, color: RGBColor, opacity: f64) -> Drawn {
        self.circle(at, radius, &color.mix(opacity).filled())
    }

    fn circle(&self, at: (f64, f64), radius: f64, style: &ShapeStyle) -> Drawn {
        self.area.circle(self.device(at), libm::round(radius * self.scale).max(1.0) as u32, style)
    }

    /// A filled rectangle from one corner to the other.
    pub fn block(&self, from: (f64, f64), to: (f64, f64), color: RGBColor, opacity: f64) -> Drawn {
        self.shape(&[from, (to.0, from.1), to, (from.0, to.1)], color, opacity)
    }

    /// The outline of such a rectangle.
    pub fn frame(&self, from: (f64, f64), to: (f64, f64), color: RGBColor, width: f64) -> Drawn {
        self.line(&[from, (to.0, from.1), to, (from.0, to.1), from], color, width)
    }

    /// A word that begins at `at` and is cut where it would be wider than `room`.
    pub fn word_within(&self, text: &str, at: (f64, f64), size: f64, color: RGBColor, room: f64) -> Drawn {
        match cut_to_width(text, size, room) {
            cut if cut.is_empty() => Ok(()),
            cut => self.word(&cut, at, size, color, HPos::Left),
        }
    }

    /// Labels centred on their columns in one row; those that would touch one before them or leave `edges` are left
    /// out.
    pub fn labels_in_row(
        &self,
        labels: &[(f64, String)],
        row: f64,
        size: f64,
        color: RGBColor,
        edges: (f64, f64),
    ) -> Drawn {
        let boxes: Vec<(f64, f64)> = labels.iter().map(|(at, label)| (*at, text_width(label, size))).collect();
        let shown = without_overlap(&boxes, edges, 4.0);
        let shown = labels.iter().zip(shown).filter(|(_, is_shown)| *is_shown);
        shown
            .map(|(label, _)| label)
            .try_for_each(|(at, label)| self.word(label, (*at, row), size, color, HPos::Center))
    }

    /// Labels that end at one column, each at its row; those that would touch one before them are left out.
    pub fn labels_in_column(&self, labels: &[(f64, String)], column: f64, size: f64, color: RGBColor) -> Drawn {
        let boxes: Vec<(f64, f64)> = labels.iter().map(|(row, _)| (*row, size)).collect();
        let shown = without_overlap(&boxes, (f64::NEG_INFINITY, f64::INFINITY), 0.0);
        let shown = labels.iter().zip(shown).filter(|(_, is_shown)| *is_shown);
        shown
            .map(|(label, _)| label)
            .try_for_each(|(row, label)| self.word(label, (column, *row), size, color, HPos::Right))
    }

    /// A word at `at`, vertically centred on it.
    pub fn word(&self, text: &str, at: (f64, f64), size: f64, color: RGBColor, anchor: HPos) -> Drawn {
        let font = FontDesc::new(FontFamily::Name(FONT_FAMILY), size * self.scale * self.text.size, FontStyle::Normal);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(anchor, VPos::Center));
        self.area.words(text, &style, self.device((at.0, at.1 + size * self.text.drop)))
    }
}

/// Cuts a polyline into dashes by its length, so that the pattern is even on steep and flat parts.
fn dashes(points: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(f64, f64)>> {
    let (mut all, mut dash) = (Vec::new(), Vec::new());
    let (mut is_on, mut left) = (true, on);
    for pair in points.windows(2) {
        let ((mut x, mut y), (to_x, to_y)) = (pair[0], pair[1]);
        if is_on && dash.is_empty() {
            dash.push((x, y));
        }
        let mut length = libm::hypot(to_x - x, to_y - y);
        while length > left {
            let share = left / length;
            (x, y, length) = (x + share * (to_x - x), y + share * (to_y - y), length - left);
            dash.push((x, y));
            if is_on {
                all.push(std::mem::take(&mut dash));
            }
            is_on = !is_on;
            left = if is_on { on } else { off };
        }
        left -= length;
        if is_on {
            dash.push((to_x, to_y));
        }
    }
    if dash.len() > 1 {
        all.push(dash);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners_and_keep_their_pattern() {
        let cut = dashes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], 6.0, 2.0);
        assert_eq!(cut[0], [(0.0, 0.0), (6.0, 0.0)]);
        assert_eq!(cut[1], [(8.0, 0.0), (10.0, 0.0), (10.0, 4.0)]);
        assert_eq!(cut[2], [(10.0, 6.0), (10.0, 10.0)]);
        assert_eq!(cut.len(), 3);
    }

    #[test]
    fn a_line_of_no_length_has_no_dash_to_draw_wrong() {
        assert!(dashes(&[(1.0, 1.0)], 6.0, 2.0).is_empty());
        assert!(dashes(&[], 6.0, 2.0).is_empty());
    }
}

//! What figures are drawn on. Every backend of plotters is one; behind it a figure is compiled once, not once a backend.

use std::cell::RefCell;
use std::rc::Rc;

use plotters::prelude::DrawingBackend;
use plotters::style::{RGBColor, ShapeStyle, TextStyle};

/// Why nothing could be drawn, in the backend's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DrawingError(String);

/// What drawing ends in.
pub type Drawn = Result<(), DrawingError>;

/// The strokes that figures are made of, in device pixels.
pub trait Surface {
    /// Width and height.
    fn size(&self) -> (u32, u32);
    /// A filled rectangle between two corners.
    fn clear(&mut self, from: (i32, i32), to: (i32, i32), color: &ShapeStyle) -> Drawn;
    /// An open line.
    fn path(&mut self, points: &[(i32, i32)], style: &ShapeStyle) -> Drawn;
    /// A filled shape.
    fn polygon(&mut self, points: &[(i32, i32)], style: &ShapeStyle) -> Drawn;
    /// A filled circle.
    fn circle(&mut self, center: (i32, i32), radius: u32, style: &ShapeStyle) -> Drawn;
    /// Words, anchored as their style says.
    fn words(&mut self, text: &str, style: &TextStyle, at: (i32, i32)) -> Drawn;
    /// Says that all is drawn.
    fn finish(&mut self) -> Drawn;
}

impl<B: DrawingBackend> Surface for B {
    fn size(&self) -> (u32, u32) {
        self.get_size()
    }

    fn clear(&mut self, from: (i32, i32), to: (i32, i32), color: &ShapeStyle) -> Drawn {
        self.draw_rect(from, to, color, true).map_err(failed)
    }

    fn path(&mut self, points: &[(i32, i32)], style: &ShapeStyle) -> Drawn {
        self.draw_path(points.iter().copied(), style).map_err(failed)
    }

    fn polygon(&mut self, points: &[(i32, i32)], style: &ShapeStyle) -> Drawn {
        self.fill_polygon(points.iter().copied(), style).map_err(failed)
    }

    fn circle(&mut self, center: (i32, i32), radius: u32, style: &ShapeStyle) -> Drawn {
        self.draw_circle(center, radius, style, true).map_err(failed)
    }

    fn words(&mut self, text: &str, style: &TextStyle, at: (i32, i32)) -> Drawn {
        self.draw_text(text, style, at).map_err(failed)
    }

    fn finish(&mut self) -> Drawn {
        self.present().map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> DrawingError {
    DrawingError(error.to_string())
}

/// A surface, or the part of it between two rows. Copies are of the same surface.
#[derive(Clone)]
pub struct Area<'a> {
    surface: Rc<RefCell<dyn Surface + 'a>>,
    top: i32,
    size: (u32, u32),
}

impl<'a> Area<'a> {
    /// All of a surface.
    pub fn of(surface: impl Surface + 'a) -> Self {
        let size = surface.size();
        Area { surface: Rc::new(RefCell::new(surface)), top: 0, size }
    }

    /// Width and height, device pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The part above a row, and the part from it on.
    pub fn split_at_row(&self, row: u32) -> (Self, Self) {
        let (width, height) = self.size;
        let row = row.min(height);
        let above = Area { size: (width, row), ..self.clone() };
        let below = Area { top: self.top + row as i32, size: (width, height - row), ..self.clone() };
        (above, below)
    }

    /// Says that all of the surface is drawn.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn finish(&self) -> Drawn {
        self.surface.borrow_mut().finish()
    }

    pub(super) fn fill(&self, color: RGBColor) -> Drawn {
        let (width, height) = (self.size.0 as i32, self.size.1 as i32);
        self.surface.borrow_mut().clear((0, self.top), (width, self.top + height), &ShapeStyle::from(color).filled())
    }

    pub(super) fn path(&self, points: Vec<(i32, i32)>, style: &ShapeStyle) -> Drawn {
        self.surface.borrow_mut().path(&self.placed_all(points), style)
    }

    pub(super) fn polygon(&self, points: Vec<(i32, i32)>, style: &ShapeStyle) -> Drawn {
        self.surface.borrow_mut().polygon(&self.placed_all(points), style)
    }

    pub(super) fn circle(&self, center: (i32, i32), radius: u32, style: &ShapeStyle) -> Drawn {
        self.surface.borrow_mut().circle(self.placed(center), radius, style)
    }

    pub(super) fn words(&self, text: &str, style: &TextStyle, at: (i32, i32)) -> Drawn {
        self.surface.borrow_mut().words(text, style, self.placed(at))
    }

    fn placed(&self, (x, y): (i32, i32)) -> (i32, i32) {
        (x, y + self.top)
    }

    fn placed_all(&self, mut points: Vec<(i32, i32)>) -> Vec<(i32, i32)> {
        points.iter_mut().for_each(|point| point.1 += self.top);
        points
    }
}

#[cfg(test)]
mod tests;

//! Where rows of a long table lie: of a million only those that are seen are there, and browsers cap how high anything
//! may be. Pure arithmetic.

use std::ops::Range;

/// Height of a row, pixels; the style sheet says the same.
pub const ROW: f64 = 30.0;
/// Height of the body, at most: every browser can still lay this out.
pub const TALLEST: f64 = 12_000_000.0;

/// Rows in a body that scrolls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roll {
    /// How many.
    pub num_rows: usize,
    /// Height of what is seen of them, pixels.
    pub seen: f64,
}

impl Roll {
    /// Height of the body.
    pub fn height(self) -> f64 {
        self.full().min(TALLEST)
    }

    /// Rows that are seen, whole or in part, when the body is scrolled to a pixel.
    pub fn rows(self, scroll: f64) -> Range<usize> {
        let above = self.above(scroll);
        let first = (above / ROW).floor() as usize;
        let end = ((above + self.seen) / ROW).ceil() as usize;
        first.min(self.num_rows)..end.min(self.num_rows)
    }

    /// Pixel of the body at which a row begins, when it is scrolled so.
    pub fn top(self, scroll: f64, row: usize) -> f64 {
        self.farthest(self.height()).min(scroll).max(0.0) + row as f64 * ROW - self.above(scroll)
    }

    /// Where to scroll so that a row is seen whole: not at all when it is.
    pub fn showing(self, scroll: f64, row: usize) -> f64 {
        let (above, top) = (self.above(scroll), row as f64 * ROW);
        let wanted = if top < above {
            top
        } else if top + ROW > above + self.seen {
            top + ROW - self.seen
        } else {
            return scroll;
        };
        let (full, short) = (self.farthest(self.full()), self.farthest(self.height()));
        if full > 0.0 { (wanted / full).clamp(0.0, 1.0) * short } else { 0.0 }
    }

    /// Height of all rows, had browsers no limit.
    fn full(self) -> f64 {
        self.num_rows as f64 * ROW
    }

    fn farthest(self, height: f64) -> f64 {
        (height - self.seen).max(0.0)
    }

    /// Pixels of rows above what is seen: in proportion, where the body is not as high as all rows.
    fn above(self, scroll: f64) -> f64 {
        let (full, short) = (self.farthest(self.full()), self.farthest(self.height()));
        if short > 0.0 { (scroll / short).clamp(0.0, 1.0) * full } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_lie_where_they_would_without_us() {
        let roll = Roll { num_rows: 100, seen: 300.0 };
        assert_eq!((roll.height(), roll.rows(0.0), roll.rows(45.0)), (3_000.0, 0..10, 1..12));
        assert!((roll.top(45.0, 7) - 210.0).abs() < 1e-9);
        assert_eq!(roll.rows(1e9), 90..100);
        let none = Roll { num_rows: 0, seen: 300.0 };
        assert_eq!((none.height(), none.rows(0.0), none.showing(0.0, 0)), (0.0, 0..0, 0.0));
    }

    #[test]
    fn a_million_rows_fit_and_each_can_be_reached() {
        let roll = Roll { num_rows: 1_000_000, seen: 420.0 };
        assert_eq!(roll.height(), TALLEST);
        assert_eq!(roll.rows(TALLEST - 420.0), 999_986..1_000_000);
        for row in [0, 1, 13, 14, 500_000, 777_777, 999_985, 999_999] {
            for from in [0.0, 3e6, TALLEST - 420.0] {
                let scroll = roll.showing(from, row);
                let top = roll.top(scroll, row) - scroll;
                assert!((-0.01..=390.01).contains(&top), "row {row} from {from} is at {top}");
                assert!(roll.rows(scroll).contains(&row));
                assert!((0.0..=TALLEST - 420.0).contains(&scroll));
            }
        }
    }

    #[test]
    fn a_row_that_is_seen_moves_nothing() {
        let roll = Roll { num_rows: 1_000, seen: 300.0 };
        assert_eq!(roll.showing(600.0, 25), 600.0);
        assert_eq!(roll.showing(600.0, 3), 90.0);
        assert_eq!(roll.showing(0.0, 10), 30.0);
    }
}

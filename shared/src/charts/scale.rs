//! The horizontal axis: data to pixels and back, and where its ticks stand. Pure arithmetic, same bits everywhere.

use crate::charts::Unit;

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Equal differences are equal lengths.
    #[default]
    Linear,
    /// Equal ratios are equal lengths.
    Log,
}

/// Maps nanoseconds `from..=to` onto pixels `left..=right`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    axis: Axis,
    from: f64,
    to: f64,
    left: f64,
    right: f64,
}

/// One tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where, in nanoseconds.
    pub nanos: f64,
    /// What it says, without unit.
    pub label: String,
}

impl Scale {
    /// An axis that holds `smallest..=largest` with some air. A linear one starts at zero when that
    /// costs less than half of its length.
    pub fn new(axis: Axis, smallest: f64, largest: f64, pixels: (f64, f64)) -> Self {
        let (from, to) = match axis {
            Axis::Linear => {
                let air = (0.04 * (largest - smallest)).max(0.01 * largest).max(1.0);
                (if smallest <= 0.5 * largest { 0.0 } else { (smallest - air).max(0.0) }, largest + air)
            }
            Axis::Log => {
                // A zero would stretch the axis for ever: six decades are shown.
                let largest = largest.max(1.0);
                let smallest = smallest.max(largest * 1e-6).max(1.0).min(largest);
                let air = libm::pow(largest / smallest, 0.04).max(1.02);
                (smallest / air, largest * air)
            }
        };
        Scale { axis, from, to, left: pixels.0, right: pixels.1 }
    }

    /// An axis of exactly `from..=to`, without air: a window. One of no length is given some.
    pub fn exact(axis: Axis, from: f64, to: f64, pixels: (f64, f64)) -> Self {
        let from = if axis == Axis::Log { from.max(1.0) } else { from };
        let to = to.max(from + (1e-9 * libm::fabs(from)).max(1.0));
        Scale { axis, from, to, left: pixels.0, right: pixels.1 }
    }

    /// A linear axis of differences: it holds zero and `smallest..=largest`, either of which may be negative.
    pub fn signed(smallest: f64, largest: f64, pixels: (f64, f64)) -> Self {
        let (smallest, largest) = (smallest.min(0.0), largest.max(0.0));
        let air = (0.08 * (largest - smallest)).max(1.0);
        Scale { axis: Axis::Linear, from: smallest - air, to: largest + air, left: pixels.0, right: pixels.1 }
    }

    /// First pixel.
    pub fn start(&self) -> f64 {
        self.left
    }

    /// Last pixel.
    pub fn end(&self) -> f64 {
        self.right
    }

    /// First and last value.
    pub fn range(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// Pixel of a time; times outside land on the edges.
    pub fn pixel(&self, nanos: f64) -> f64 {
        let share = match self.axis {
            Axis::Linear => (nanos - self.from) / (self.to - self.from),
            Axis::Log => libm::log(nanos.max(1e-3) / self.from) / libm::log(self.to / self.from),
        };
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// Time at a pixel: the inverse of [`Scale::pixel`].
    pub fn nanos(&self, pixel: f64) -> f64 {
        let share = ((pixel - self.left) / (self.right - self.left)).clamp(0.0, 1.0);
        match self.axis {
            Axis::Linear => self.from + share * (self.to - self.from),
            Axis::Log => self.from * libm::pow(self.to / self.from, share),
        }
    }

    /// The unit its labels are in.
    pub fn unit(&self) -> Unit {
        Unit::of(self.to.max(-self.from))
    }

    /// Round values, no more than fit a label every 64 pixels.
    pub fn places(&self) -> Vec<f64> {
        self.places_apart(64.0)
    }

    /// Round values, no more than one every `pixels`.
    pub fn places_apart(&self, pixels: f64) -> Vec<f64> {
        let most = ((self.right - self.left).abs() / pixels).max(2.0);
        match self.axis {
            Axis::Log if self.to / self.from > 8.0 => self.decades(most),
            _ => self.steps(most),
        }
    }

    /// The same as times, with what they say.
    pub fn ticks(&self) -> Vec<Tick> {
        self.ticks_apart(64.0)
    }

    /// The same, no more than one every `pixels`.
    pub fn ticks_apart(&self, pixels: f64) -> Vec<Tick> {
        let unit = self.unit().nanos();
        self.places_apart(pixels).into_iter().map(|nanos| Tick { nanos, label: plain(nanos / unit) }).collect()
    }

    fn steps(&self, most: f64) -> Vec<f64> {
        let rough = (self.to - self.from) / most;
        let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let first = libm::ceil(self.from / step) as i64;
        let last = libm::floor(self.to / step) as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn decades(&self, most: f64) -> Vec<f64> {
        let first = libm::floor(libm::log10(self.from)) as i32;
        let last = libm::ceil(libm::log10(self.to)) as i32;
        let digit_sets: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let places = |digits: &[f64]| -> Vec<f64> {
            let powers = (first..=last).map(|exponent| libm::pow(10.0, f64::from(exponent)));
            let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * power));
            all.filter(|nanos| (self.from..=self.to).contains(nanos)).collect()
        };
        let fitting = digit_sets.iter().map(|digits| places(digits)).find(|places| places.len() as f64 <= most + 1.0);
        fitting.unwrap_or_else(|| places(&[1.0]))
    }
}

/// A tick's number without needless zeros: `0`, `2.5`, `0.001`.
fn plain(value: f64) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_times_are_inverse_on_both_axes() {
        for axis in [Axis::Linear, Axis::Log] {
            let scale = Scale::new(axis, 2e6, 23e6, (50.0, 650.0));
            for nanos in [2e6, 3.3e6, 17_283_962.5, 23e6] {
                assert!((scale.nanos(scale.pixel(nanos)) / nanos - 1.0).abs() < 1e-9, "{axis:?} {nanos}");
            }
            assert!(scale.pixel(2e6) < scale.pixel(23e6));
            assert_eq!(scale.pixel(1e12), 650.0);
        }
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |scale: Scale| scale.ticks().into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(Scale::new(Axis::Linear, 2e6, 23e6, (0.0, 500.0))), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(Scale::new(Axis::Linear, 13.4e6, 18e6, (0.0, 400.0))), ["14", "15", "16", "17", "18"]);
        assert_eq!(labels(Scale::new(Axis::Log, 2e5, 23e6, (0.0, 500.0))), ["0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(
            labels(Scale::new(Axis::Log, 0.0, 9e9, (0.0, 300.0))),
            ["0.00001", "0.0001", "0.001", "0.01", "0.1", "1", "10"]
        );
    }

    #[test]
    fn a_sample_of_one_value_still_has_an_axis() {
        for axis in [Axis::Linear, Axis::Log] {
            for value in [0.0, 1.0, 5e6] {
                let scale = Scale::new(axis, value, value, (0.0, 300.0));
                assert!(scale.pixel(value).is_finite());
                assert!(!scale.ticks().is_empty(), "{axis:?} {value}");
            }
        }
    }
}

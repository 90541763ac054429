//! The axis of fractions: quantiles to pixels and back, evenly or with the tail drawn out. Pure arithmetic.

/// How quantiles are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fractions {
    /// Equal shares of the values are equal lengths.
    #[default]
    Even,
    /// Each further nine has the same length: a log scale of 1 / (1 - p).
    Tail,
}

/// Maps fractions `0..=1` onto pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FractionScale {
    fractions: Fractions,
    /// Share of the values beyond the last fraction that can be told apart from one.
    finest: f64,
    zero: f64,
    one: f64,
}

impl FractionScale {
    /// An axis for samples of `num_values`: none of them tells more than the fraction `1 - 1 / num_values`, where the
    /// drawn-out axis ends. `pixels` are those of fraction 0 and of the last one.
    pub fn new(fractions: Fractions, num_values: usize, pixels: (f64, f64)) -> Self {
        let finest = 1.0 / num_values.max(10) as f64;
        FractionScale { fractions, finest, zero: pixels.0, one: pixels.1 }
    }

    /// Pixel of a fraction; beyond what can be told apart it is that of 1.
    pub fn pixel(&self, fraction: f64) -> f64 {
        let fraction = fraction.clamp(0.0, 1.0);
        let share = match self.fractions {
            Fractions::Even => fraction,
            Fractions::Tail => libm::log((1.0 - fraction).max(self.finest)) / libm::log(self.finest),
        };
        self.zero + share * (self.one - self.zero)
    }

    /// Fraction at a pixel: the inverse of [`FractionScale::pixel`]. Pixels outside give the ends.
    pub fn fraction(&self, pixel: f64) -> f64 {
        let share = ((pixel - self.zero) / (self.one - self.zero)).clamp(0.0, 1.0);
        match self.fractions {
            Fractions::Even => share,
            Fractions::Tail => 1.0 - libm::pow(self.finest, share),
        }
    }

    /// Fractions worth a tick, and what they say in percent: `0`, `50`, `99.9`. `even` are those of an even axis.
    pub fn ticks(&self, even: &[u32]) -> Vec<(f64, String)> {
        if self.fractions == Fractions::Even {
            return even.iter().map(|percent| (f64::from(*percent) / 100.0, percent.to_string())).collect();
        }
        let mut ticks = vec![(0.0, "0".to_owned()), (0.5, "50".to_owned())];
        for nines in 1..=12 {
            let beyond = libm::pow(10.0, -f64::from(nines));
            if beyond < self.finest * (1.0 - 1e-9) {
                break;
            }
            let decimals = (nines as usize).saturating_sub(2);
            ticks.push((1.0 - beyond, format!("{:.decimals$}", 100.0 - 100.0 * beyond)));
        }
        ticks
    }

    /// Points of a curve of `times` at `fractions`, as (pixel of the fraction, time): on a drawn-out axis a straight
    /// line between two quantiles is a bent one, so more are put between them.
    pub(super) fn along(&self, fractions: &[f64], times: &[f64]) -> Vec<(f64, f64)> {
        let known: Vec<(f64, f64)> = fractions.iter().copied().zip(times.iter().copied()).collect();
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(known.len());
        for (index, (fraction, time)) in known.iter().enumerate() {
            if let Some((before, from)) = index.checked_sub(1).map(|index| known[index]) {
                let apart = libm::fabs(self.pixel(*fraction) - self.pixel(before));
                let pieces = if self.fractions == Fractions::Tail { (apart / 4.0).clamp(1.0, 64.0) as u32 } else { 1 };
                for piece in 1..pieces {
                    let share = f64::from(piece) / f64::from(pieces);
                    // Even in pixels, so that the bend is smooth where the axis is most drawn out.
                    let pixel = self.pixel(before) + share * (self.pixel(*fraction) - self.pixel(before));
                    let between = (self.fraction(pixel) - before) / (fraction - before);
                    points.push((pixel, from + between.clamp(0.0, 1.0) * (time - from)));
                }
            }
            points.push((self.pixel(*fraction), *time));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_pixels_are_inverse_on_both_axes() {
        for fractions in [Fractions::Even, Fractions::Tail] {
            let scale = FractionScale::new(fractions, 10_000, (400.0, 40.0));
            for fraction in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999] {
                assert!((scale.fraction(scale.pixel(fraction)) - fraction).abs() < 1e-12, "{fractions:?} {fraction}");
            }
            assert_eq!((scale.pixel(0.0), scale.pixel(1.0)), (400.0, 40.0));
            assert_eq!(scale.fraction(1e9), 0.0);
        }
    }

    #[test]
    fn a_tail_has_as_many_nines_as_the_sample_tells() {
        let labels = |num_values| {
            let ticks = FractionScale::new(Fractions::Tail, num_values, (0.0, 1.0)).ticks(&[]);
            ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>()
        };
        assert_eq!(labels(0), ["0", "50", "90"]);
        assert_eq!(labels(999), ["0", "50", "90", "99"]);
        assert_eq!(labels(10_000), ["0", "50", "90", "99", "99.9", "99.99"]);
        let nines = FractionScale::new(Fractions::Tail, 1000, (0.0, 300.0));
        assert!((nines.pixel(0.9) - 100.0).abs() < 1e-9 && (nines.pixel(0.99) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn between_two_quantiles_a_tail_is_bent() {
        let scale = FractionScale::new(Fractions::Tail, 1000, (0.0, 300.0));
        let points = scale.along(&[0.0, 0.9], &[0.0, 90.0]);
        assert!(points.len() > 10);
        for (pixel, time) in points {
            assert!((scale.fraction(pixel) * 100.0 - time).abs() < 1e-9);
        }
        assert_eq!(FractionScale::new(Fractions::Even, 9, (0.0, 9.0)).along(&[0.0, 1.0], &[1.0, 2.0]).len(), 2);
    }
}

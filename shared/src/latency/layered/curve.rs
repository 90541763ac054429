//! A piecewise linear curve through measured points.

/// Times at ascending sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    sizes: Vec<f64>,
    times: Vec<f64>,
}

impl Curve {
    /// A curve through points with distinct sizes, in any order.
    ///
    /// # Errors
    /// Fewer than two points, or one size twice.
    pub fn new(mut points: Vec<(f64, f64)>) -> Result<Self, String> {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() < 2 {
            return Err(format!("has {} measured points, a curve needs at least 2", points.len()));
        }
        if let Some(pair) = points.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("has the size {} twice", pair[0].0));
        }
        let (sizes, times) = points.into_iter().unzip();
        Ok(Curve { sizes, times })
    }

    /// The time at `size`: that of the smallest measured size below it, linear beyond the largest.
    pub fn at(&self, size: f64) -> f64 {
        let (index, fraction) = bracket(&self.sizes, size);
        self.times[index] + (self.times[index + 1] - self.times[index]) * fraction
    }

    /// The largest measured size.
    pub fn end(&self) -> f64 {
        self.sizes[self.sizes.len() - 1]
    }
}

/// The segment of `axis` that holds `size`, and where in it: 0 at its lower end, above 1 beyond the
/// axis, never below 0.
pub(super) fn bracket(axis: &[f64], size: f64) -> (usize, f64) {
    let index = axis.partition_point(|knot| *knot <= size).saturating_sub(1).min(axis.len() - 2);
    let fraction = (size - axis[index]) / (axis[index + 1] - axis[index]);
    (index, fraction.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_flat_before_its_points_and_linear_between_and_beyond_them() {
        let curve = Curve::new(vec![(4.0, 40.0), (2.0, 10.0), (8.0, 44.0)]).expect("three points");
        let times = [0.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0].map(|size| curve.at(size));
        assert_eq!(times, [10.0, 10.0, 25.0, 40.0, 42.0, 44.0, 48.0]);
        assert_eq!(curve.end(), 8.0);
        assert!(Curve::new(vec![(1.0, 1.0)]).is_err());
        assert!(Curve::new(vec![(1.0, 1.0), (1.0, 2.0)]).expect_err("twice").contains("size 1 twice"));
    }
}

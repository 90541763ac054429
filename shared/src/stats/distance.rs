//! Distances between two empirical distributions, as effect sizes.

use crate::stats::Sorted;

/// Kolmogorov-Smirnov D: the largest vertical gap between the two empirical distribution functions, 0..=1.
pub fn kolmogorov_smirnov(a: &Sorted, b: &Sorted) -> f64 {
    let (na, nb) = (a.values().len() as i128, b.values().len() as i128);
    let mut largest = 0i128;
    walk(a, b, |below_a, below_b, _| {
        largest = largest.max((below_a as i128 * nb - below_b as i128 * na).abs());
    });
    largest as f64 / (na * nb) as f64
}

/// Wasserstein-1, the area between the two empirical distribution functions, apart by its sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wasserstein {
    /// Area where `b` is the larger, ns.
    pub above: f64,
    /// Area where `b` is the smaller, ns.
    pub below: f64,
}

impl Wasserstein {
    /// The distance: both areas, ns.
    pub fn distance(&self) -> f64 {
        self.above + self.below
    }
}

/// Wasserstein-1 from `a` to `b`. `above - below` is the difference of the means.
pub fn wasserstein(a: &Sorted, b: &Sorted) -> Wasserstein {
    let (na, nb) = (a.values().len() as i128, b.values().len() as i128);
    let (mut above, mut below) = (0i128, 0i128);
    walk(a, b, |below_a, below_b, width| {
        let gap = (below_a as i128 * nb - below_b as i128 * na) * i128::from(width);
        *(if gap > 0 { &mut above } else { &mut below }) += gap.abs();
    });
    let area = |sum: i128| sum as f64 / (na * nb) as f64;
    Wasserstein { above: area(above), below: area(below) }
}

/// Calls `visit(values of a so far, values of b so far, width to the next distinct value)` at every
/// distinct value of the pooled sample, ascending.
fn walk(a: &Sorted, b: &Sorted, mut visit: impl FnMut(usize, usize, u64)) {
    let (a, b) = (a.values(), b.values());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let here = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => *x.min(y),
            (Some(x), None) => *x,
            (None, Some(y)) => *y,
            (None, None) => return,
        };
        while a.get(i) == Some(&here) {
            i += 1;
        }
        while b.get(j) == Some(&here) {
            j += 1;
        }
        let next = a.get(i).into_iter().chain(b.get(j)).min().copied().unwrap_or(here);
        visit(i, j, next - here);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(values: &[u64]) -> Sorted {
        Sorted::new(values.to_vec()).expect("not empty")
    }

    #[test]
    fn distances_of_small_samples_are_those_computed_by_hand() {
        let (a, b) = (sorted(&[1, 2, 3, 4]), sorted(&[3, 4, 5, 6]));
        assert_eq!(kolmogorov_smirnov(&a, &b), 0.5);
        assert_eq!(wasserstein(&a, &b), Wasserstein { above: 2.0, below: 0.0 });
        let (a, b) = (sorted(&[0, 0, 10]), sorted(&[0, 5]));
        // F_a - F_b: 2/3 - 1/2 on [0, 5), 2/3 - 1 on [5, 10).
        assert_eq!(kolmogorov_smirnov(&a, &b), 1.0 / 3.0);
        let apart = wasserstein(&a, &b);
        assert!((apart.above - 5.0 / 6.0).abs() < 1e-12 && (apart.below - 5.0 / 3.0).abs() < 1e-12);
        assert!((apart.distance() - 2.5).abs() < 1e-12);
    }

    #[test]
    fn a_sample_is_at_distance_zero_from_itself() {
        let a = sorted(&[5, 7, 7, 9]);
        assert_eq!((kolmogorov_smirnov(&a, &a), wasserstein(&a, &a).distance()), (0.0, 0.0));
    }
}

//! Distances between two empirical distributions, as effect sizes.

use crate::stats::Sorted;

/// Kolmogorov-Smirnov D: the largest vertical gap between the two empirical distribution functions, 0..=1.
pub fn kolmogorov_smirnov(a: &Sorted, b: &Sorted) -> f64 {
    let (na, nb) = (a.values().len() as i128, b.values().len() as i128);
    let mut largest = 0i128;
    if na == nb {
        largest = largest_lead(a.values(), b.values()) as i128 * na;
    } else {
        walk(a, b, |below_a, below_b, _| {
            largest = largest.max((below_a as i128 * nb - below_b as i128 * na).abs());
        });
    }
    largest as f64 / (na * nb) as f64
}

/// Of two ascending lists of one length, how many more values of the one than of the other lie at or below any value.
/// Without a branch on the values, which nobody could guess. Equal values of both are passed together and change
/// nothing, further ones of one side only lead on to where the count is meant.
fn largest_lead(a: &[u64], b: &[u64]) -> usize {
    let (mut i, mut j, mut largest) = (0usize, 0usize, 0);
    // Where one list is at its end, its lead only shrinks.
    while i < a.len() && j < b.len() {
        let (of_a, of_b) = (a[i], b[j]);
        i += usize::from(of_a <= of_b);
        j += usize::from(of_b <= of_a);
        largest = largest.max(i.abs_diff(j));
    }
    largest
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
    if na == nb {
        // Of samples of one size, the distances of values of one rank.
        for (a, b) in a.values().iter().zip(b.values()) {
            above += i128::from(b.saturating_sub(*a));
            below += i128::from(a.saturating_sub(*b));
        }
        (above, below) = (above * na, below * na);
    } else {
        walk(a, b, |below_a, below_b, width| {
            let gap = (below_a as i128 * nb - below_b as i128 * na) * i128::from(width);
            *(if gap > 0 { &mut above } else { &mut below }) += gap.abs();
        });
    }
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

    /// What is computed on the shortest way is what the areas and gaps between the functions are, to the bit.
    #[test]
    fn short_ways_and_long_ones_agree() {
        let mut stream = crate::random::Stream::new(4, "distance");
        for round in 0..200 {
            let mut draw = |count: u64| {
                // Many equal values, or none.
                let bound = if round % 2 == 0 { 1 + stream.below(12) } else { 1 << 40 };
                sorted(&(0..count).map(|_| stream.below(bound)).collect::<Vec<_>>())
            };
            let a = draw(1 + round % 50);
            let b = draw(if round % 3 == 0 { 1 + round % 50 } else { 1 + round * 7 % 61 });
            let (na, nb) = (a.values().len() as i128, b.values().len() as i128);
            let (mut largest, mut above, mut below) = (0, 0, 0);
            walk(&a, &b, |below_a, below_b, width| {
                let gap = below_a as i128 * nb - below_b as i128 * na;
                largest = largest.max(gap.abs());
                *(if gap > 0 { &mut above } else { &mut below }) += gap.abs() * i128::from(width);
            });
            let over = |sum: i128| sum as f64 / (na * nb) as f64;
            assert_eq!(kolmogorov_smirnov(&a, &b), over(largest), "{a:?} {b:?}");
            assert_eq!(wasserstein(&a, &b), Wasserstein { above: over(above), below: over(below) }, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_sample_is_at_distance_zero_from_itself() {
        let a = sorted(&[5, 7, 7, 9]);
        assert_eq!((kolmogorov_smirnov(&a, &a), wasserstein(&a, &a).distance()), (0.0, 0.0));
    }
}

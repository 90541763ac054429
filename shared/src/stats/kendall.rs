//! Kendall's tau: how far two orders of the same things agree.

/// Kendall's tau-b of pairs `(a[i], b[i])`: 1 when both orders agree, -1 when one is the other reversed;
/// ties count for neither and shrink the scale. `None` when all of one side are equal. O(n log n).
///
/// # Panics
/// When the two sides differ in length.
pub fn kendall_tau<A: Ord + Copy, B: Ord + Copy>(a: &[A], b: &[B]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "every value of one side has one of the other");
    let mut pairs: Vec<(A, B)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_unstable();
    let tied_both = tied_pairs(&pairs);
    let tied_a = tied_pairs(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let mut right: Vec<B> = pairs.iter().map(|pair| pair.1).collect();
    // Pairs that the second side orders against the first are those a merge sort must swap.
    let swaps = sort_counting(&mut right);
    let tied_b = tied_pairs(&right);
    let all = (a.len() as u64) * (a.len() as u64).saturating_sub(1) / 2;
    let scale = (all - tied_a) as f64 * (all - tied_b) as f64;
    let ordered = (all + tied_both - tied_a - tied_b) as f64;
    (scale > 0.0).then(|| (ordered - 2.0 * swaps as f64) / libm::sqrt(scale))
}

/// Pairs of equal values in a sorted list.
fn tied_pairs<T: PartialEq>(sorted: &[T]) -> u64 {
    sorted.chunk_by(|a, b| a == b).map(|run| run.len() as u64 * (run.len() as u64 - 1) / 2).sum()
}

/// Sorts, and returns how many pairs stood the wrong way round.
fn sort_counting<T: Ord + Copy>(values: &mut [T]) -> u64 {
    let middle = values.len() / 2;
    if middle == 0 {
        return 0;
    }
    let mut swaps = sort_counting(&mut values[..middle]) + sort_counting(&mut values[middle..]);
    let merged = {
        let (mut left, mut right) = values.split_at(middle);
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let (Some(first), Some(second)) = (left.first(), right.first()) {
            if second < first {
                swaps += left.len() as u64;
                merged.push(*second);
                right = &right[1..];
            } else {
                merged.push(*first);
                left = &left[1..];
            }
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
        merged
    };
    values.copy_from_slice(&merged);
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By its definition, every pair looked at.
    fn slow(a: &[u32], b: &[u32]) -> f64 {
        let (mut score, mut scale_a, mut scale_b) = (0, 0, 0);
        for i in 0..a.len() {
            for j in 0..i {
                let (x, y) = (a[i].cmp(&a[j]) as i64, b[i].cmp(&b[j]) as i64);
                score += x * y;
                scale_a += x * x;
                scale_b += y * y;
            }
        }
        score as f64 / ((scale_a * scale_b) as f64).sqrt()
    }

    #[test]
    fn known_values_come_out() {
        let order: Vec<u32> = (0..50).collect();
        let reversed: Vec<u32> = order.iter().rev().copied().collect();
        assert_eq!(kendall_tau(&order, &order), Some(1.0));
        assert_eq!(kendall_tau(&order, &reversed), Some(-1.0));
        // SciPy's documentation: stats.kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]).
        let tau = kendall_tau(&[12, 2, 1, 12, 2], &[1, 4, 7, 1, 0]).expect("not all tied");
        assert!((tau - -0.471_404_520_791_031_7).abs() < 1e-15, "{tau}");
        // Five swaps in 21 pairs.
        assert_eq!(kendall_tau(&[1, 2, 3, 4, 5, 6, 7], &[3, 1, 2, 6, 4, 5, 7]), Some(1.0 - 2.0 * 4.0 / 21.0));
    }

    #[test]
    fn nothing_can_be_said_of_values_that_are_all_equal() {
        assert_eq!(kendall_tau(&[7, 7, 7], &[1, 2, 3]), None);
        assert_eq!(kendall_tau::<u32, u32>(&[], &[]), None);
        assert_eq!(kendall_tau(&[1], &[1]), None);
    }

    #[test]
    fn lists_full_of_ties_match_the_definition() {
        let mut state = 1u32;
        let mut random = move |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % limit
        };
        for length in 2..60 {
            let a: Vec<u32> = (0..length).map(|_| random(9)).collect();
            let b: Vec<u32> = (0..length).map(|_| random(5)).collect();
            let expected = slow(&a, &b);
            match kendall_tau(&a, &b) {
                Some(tau) => assert!((tau - expected).abs() < 1e-12, "{a:?} {b:?}: {tau}, {expected}"),
                None => assert!(expected.is_nan(), "{a:?} {b:?}"),
            }
        }
    }
}

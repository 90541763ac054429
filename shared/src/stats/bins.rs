//! Quarters of a sample: bins of about equal count that never part equal values.

/// Below this, a quarter would hold a single value.
const MIN_VALUES: usize = 8;

/// Indices of `values` in up to four bins by ascending value, each in ascending index. A bin begins at an order
/// statistic of rank `n / 4`, `n / 2`, `3 n / 4`; equal values stay together, so there may be fewer. None at all of
/// fewer than eight values, or of values that are all equal.
pub fn quartile_bins(values: &[u64]) -> Vec<Vec<usize>> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    if sorted.len() < MIN_VALUES || sorted.first() == sorted.last() {
        return Vec::new();
    }
    let mut begins: Vec<u64> = (1..4).map(|quarter| sorted[sorted.len() * quarter / 4]).collect();
    begins.dedup();
    let mut bins = vec![Vec::new(); begins.len() + 1];
    for (index, value) in values.iter().enumerate() {
        bins[begins.partition_point(|begin| begin <= value)].push(index);
    }
    bins.retain(|bin| !bin.is_empty());
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_equal_where_values_differ_and_ties_stay_together() {
        let sizes = |values: &[u64]| quartile_bins(values).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[8, 7, 6, 5, 4, 3, 2, 1]), [2, 2, 2, 2]);
        assert_eq!(quartile_bins(&[8, 7, 6, 5, 4, 3, 2, 1])[0], [6, 7], "the smallest values, by index");
        // Ranks 2 and 4 hold a one, rank 6 a three: the second bin begins there.
        assert_eq!(sizes(&[1, 1, 1, 1, 1, 2, 3, 4]), [6, 2], "five ones cannot be parted");
        assert_eq!(sizes(&[1, 2, 2, 2, 2, 2, 2, 2]), [1, 7]);
    }

    #[test]
    fn too_few_or_equal_values_have_no_quarters() {
        assert!(quartile_bins(&[1, 2, 3, 4, 5, 6, 7]).is_empty());
        assert!(quartile_bins(&[5; 20]).is_empty());
    }
}

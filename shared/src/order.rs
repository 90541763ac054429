//! Sorting where speed is no concern: one compiled sort for every kind of item. The standard one is compiled anew for each,
//! eight kilobytes at a time, and most of what a page must load would be sorts. What is sorted by the million (samples,
//! table keys) is sorted directly.

use std::cmp::Ordering;

/// Sorts by a key; equals keep their order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts by a comparison; equals keep their order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let order = positions(items.len(), &mut |a, b| compare(&items[a], &items[b]));
    place(items, order);
}

/// `0..count` in order.
fn positions(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
    order
}

/// Puts at each place what was at `order[place]`, one cycle after the other.
fn place<T>(items: &mut [T], mut order: Vec<usize>) {
    for start in 0..items.len() {
        let mut here = start;
        loop {
            let from = std::mem::replace(&mut order[here], here);
            if from == start || from == here {
                break;
            }
            items.swap(here, from);
            here = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn it_sorts_as_the_standard_library_does_and_keeps_equals_in_order() {
        let mut stream = Stream::new(11, "order");
        for count in [0, 1, 2, 3, 10, 257, 2_000] {
            let items: Vec<(u64, usize)> = (0..count).map(|index| (stream.below(40), index)).collect();
            let (mut ours, mut theirs) = (items.clone(), items);
            sort_by_key(&mut ours, |item| std::cmp::Reverse(item.0));
            theirs.sort_by_key(|item| std::cmp::Reverse(item.0));
            assert_eq!(ours, theirs);
        }
    }
}

//! Counts over time: how many requests are in a system, run, wait, or blocks are held, as step functions of time.

use std::collections::BTreeMap;

use crate::schema::{RequestRow, StepRow};
use crate::time::Nanos;

/// A count that changes at instants.
pub(super) struct Level {
    /// (instant, count from then on), instants ascending; 0 before the first.
    changes: Vec<(u64, u64)>,
}

impl Level {
    /// Requests between two of their instants; those that lack one, or have no output, are not counted.
    pub fn of_requests(
        rows: &[RequestRow],
        from: fn(&RequestRow) -> Option<Nanos>,
        to: fn(&RequestRow) -> Option<Nanos>,
    ) -> Self {
        let spans = rows.iter().filter(|row| row.has_output()).filter_map(|row| Some((from(row)?, to(row)?, 1)));
        Level::of_spans(spans)
    }

    /// Requests from arrival to completion.
    pub fn in_system(rows: &[RequestRow]) -> Self {
        Level::of_requests(rows, |row| Some(row.arrival), |row| row.completion)
    }

    /// A count of the step rows, over all replicas.
    pub fn of_steps(rows: &[StepRow], count: fn(&StepRow) -> u64) -> Self {
        let mut of_replicas = BTreeMap::<u32, Vec<&StepRow>>::new();
        for row in StepRow::by_start(rows) {
            of_replicas.entry(row.replica_id).or_default().push(row);
        }
        let spans = of_replicas.values().flat_map(|rows| {
            let held = StepRow::held_until(rows);
            rows.iter().zip(held).map(|(row, until)| (row.start, until, count(row))).collect::<Vec<_>>()
        });
        Level::of_spans(spans)
    }

    fn of_spans(spans: impl Iterator<Item = (Nanos, Nanos, u64)>) -> Self {
        let mut deltas: Vec<(u64, i64)> = Vec::new();
        for (from, to, count) in spans.filter(|(from, to, count)| from < to && *count > 0) {
            let count = count.min(i64::MAX as u64) as i64;
            deltas.extend([(from.0, count), (to.0, -count)]);
        }
        crate::order::sort_by(&mut deltas, Ord::cmp);
        let (mut changes, mut level): (Vec<(u64, u64)>, i64) = (Vec::new(), 0);
        for (at, delta) in deltas {
            level = level.saturating_add(delta);
            let count = level.unsigned_abs();
            match changes.last_mut() {
                Some(last) if last.0 == at => last.1 = count,
                _ => changes.push((at, count)),
            }
        }
        Level { changes }
    }

    /// The highest count that lasts.
    pub fn peak(&self) -> u64 {
        self.changes.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// Mean over `from..to`, weighted by time; `None` of no time.
    pub fn mean(&self, from: Nanos, to: Nanos) -> Option<f64> {
        let span = to.checked_sub(from).filter(|span| span.0 > 0)?;
        self.means(from, span, 1).first().copied()
    }

    /// Means of `count` bins of `width` from `from` on.
    pub fn means(&self, from: Nanos, width: Nanos, count: usize) -> Vec<f64> {
        let begin = self.changes.partition_point(|(at, _)| *at <= from.0);
        let mut level = begin.checked_sub(1).map_or(0, |index| self.changes[index].1);
        let mut rest = self.changes[begin..].iter().peekable();
        let mut at = from.0;
        let bin = |index: usize| {
            let end = from.0.saturating_add(width.0.saturating_mul(index as u64 + 1));
            let mut area = 0u128;
            while let Some((next, count)) = rest.next_if(|(next, _)| *next < end) {
                area += u128::from(level) * u128::from(next - at);
                (at, level) = (*next, *count);
            }
            area += u128::from(level) * u128::from(end - at);
            at = end;
            area as f64 / width.0 as f64
        };
        (0..count).map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_areas_over_time_wherever_the_bins_lie() {
        // 1 over 0..10, 2 over 10..20, 1 over 20..30.
        let spans = [(0, 20), (10, 30)].map(|(from, to)| (Nanos(from), Nanos(to), 1));
        let level = Level::of_spans(spans.into_iter());
        assert_eq!(level.changes, [(0, 1), (10, 2), (20, 1), (30, 0)]);
        assert_eq!(level.means(Nanos(0), Nanos(10), 4), [1.0, 2.0, 1.0, 0.0]);
        assert_eq!(level.means(Nanos(5), Nanos(10), 3), [1.5, 1.5, 0.5]);
        assert_eq!((level.mean(Nanos(0), Nanos(30)), level.mean(Nanos(3), Nanos(3))), (Some(4.0 / 3.0), None));
        assert_eq!(level.peak(), 2);
    }

    #[test]
    fn who_leaves_as_another_comes_is_not_counted_with_it() {
        let spans = [(0, 10), (10, 20)].map(|(from, to)| (Nanos(from), Nanos(to), 1));
        assert_eq!(Level::of_spans(spans.into_iter()).peak(), 1);
    }

    #[test]
    fn replicas_add_up_and_idle_time_counts_as_nothing() {
        let step = |replica_id, start, end, num_running| StepRow {
            replica_id,
            start: Nanos(start),
            end: Nanos(end),
            num_running,
            ..StepRow::default()
        };
        let rows = [step(0, 0, 10, 3), step(1, 5, 15, 2), step(0, 20, 30, 1)];
        let level = Level::of_steps(&rows, |row| row.num_running);
        assert_eq!(level.means(Nanos(0), Nanos(5), 7), [3.0, 5.0, 2.0, 0.0, 1.0, 1.0, 0.0]);
    }
}

//! Engine steps, arranged to be asked: which step gave the token of this instant, and how long no device computed.

use std::collections::BTreeMap;

use crate::schema::StepRow;
use crate::time::Nanos;

/// The steps of a run by replica.
pub(super) struct StepIndex {
    replicas: Vec<ReplicaSteps>,
}

/// The steps of one replica.
pub(super) struct ReplicaSteps {
    /// By end, then start.
    by_end: Vec<Span>,
    host: HostTime,
}

/// One step: `[start, start + host]` is the host's, the rest of it the device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: Nanos,
    pub end: Nanos,
    pub host: Nanos,
    pub has_prefill: bool,
}

impl StepIndex {
    /// Arranges the rows of a file, in any order.
    pub fn new(rows: &[StepRow]) -> Self {
        let mut of_replicas = BTreeMap::<u32, Vec<Span>>::new();
        for row in rows {
            // A host time beyond the step's own end would be counted twice.
            let host = row.host.min(row.end.saturating_sub(row.start));
            let span = Span { start: row.start, end: row.end, host, has_prefill: row.num_prefill_tokens > 0 };
            of_replicas.entry(row.replica_id).or_default().push(span);
        }
        let replicas = of_replicas.into_values().map(|mut by_end| {
            crate::order::sort_by_key(&mut by_end, |span: &Span| (span.end, span.start));
            ReplicaSteps { host: HostTime::new(&by_end), by_end }
        });
        StepIndex { replicas: replicas.collect() }
    }

    /// The replica that served a request with these token times: the one whose steps ended at most of them. Rows
    /// do not say it. `None` where no step ended at the first.
    pub fn replica_of(&self, tokens: &[Nanos]) -> Option<&ReplicaSteps> {
        let first = *tokens.first()?;
        let mut candidates: Vec<&ReplicaSteps> =
            self.replicas.iter().filter(|replica| replica.ending(first, Nanos::ZERO, &mut 0).is_some()).collect();
        let mut rest = tokens[1..].iter();
        while candidates.len() > 1 {
            let Some(time) = rest.next() else { break };
            let narrowed: Vec<&ReplicaSteps> = candidates
                .iter()
                .copied()
                .filter(|replica| replica.ending(*time, Nanos::ZERO, &mut 0).is_some())
                .collect();
            if !narrowed.is_empty() {
                candidates = narrowed;
            }
        }
        candidates.first().copied()
    }
}

impl ReplicaSteps {
    /// The step that ended at `end`. Of several, the first that began at `since` or later, else the last: the one
    /// that leaves the least unexplained. `near` is where the step of the token before was found: a request's next
    /// token mostly comes of the next step.
    pub fn ending(&self, end: Nanos, since: Nanos, near: &mut usize) -> Option<Span> {
        const LOOK_AHEAD: usize = 4;
        let ahead = self.by_end[(*near).min(self.by_end.len())..].iter().take(LOOK_AHEAD);
        let passed = ahead.take_while(|span| span.end < end).count();
        let mut place = *near + passed;
        let is_at = |place: usize| self.by_end.get(place).is_some_and(|span| span.end == end);
        if !is_at(place) || place == *near {
            place = self.by_end.partition_point(|span| span.end < end);
        }
        *near = place;
        let same_end = self.by_end[place..].iter().take_while(|span| span.end == end);
        let mut last = None;
        for span in same_end {
            if span.start >= since {
                return Some(*span);
            }
            last = Some(*span);
        }
        last
    }

    /// Time in `from..=to` in which the host worked and no device computed.
    pub fn host_within(&self, from: Nanos, to: Nanos) -> Nanos {
        Nanos(self.host.until(to) - self.host.until(from))
    }
}

/// When the host worked and no device computed: intervals apart from each other, with running sums.
struct HostTime {
    /// (begin, end, host time before it).
    intervals: Vec<(u64, u64, u64)>,
}

impl HostTime {
    /// A sweep over the beginnings and ends of host and device time. Steps overlap in pipelines and when they are
    /// scheduled asynchronously: host time hidden behind another step's device time delays nobody.
    fn new(spans: &[Span]) -> Self {
        let mut changes: Vec<(u64, i32, i32)> = Vec::with_capacity(spans.len() * 4);
        for span in spans {
            let computes = span.start + span.host;
            changes.extend([(span.start.0, 1, 0), (computes.0, -1, 1), (span.end.0, 0, -1)]);
        }
        crate::order::sort_by_key(&mut changes, |change| change.0);
        let (mut intervals, mut total): (Vec<(u64, u64, u64)>, u64) = (Vec::new(), 0);
        let (mut hosts, mut devices, mut previous) = (0, 0, 0);
        for (at, host, device) in changes {
            if hosts > 0 && devices == 0 && at > previous {
                intervals.push((previous, at, total));
                total += at - previous;
            }
            (hosts, devices, previous) = (hosts + host, devices + device, at);
        }
        HostTime { intervals }
    }

    /// Host time before `time`.
    fn until(&self, time: Nanos) -> u64 {
        let later = self.intervals.partition_point(|interval| interval.0 < time.0);
        let Some((begin, end, before)) = later.checked_sub(1).map(|index| self.intervals[index]) else { return 0 };
        before + (time.0.min(end) - begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(replica_id: u32, start: u64, host: u64, end: u64) -> StepRow {
        StepRow { replica_id, start: Nanos(start), host: Nanos(host), end: Nanos(end), ..StepRow::default() }
    }

    #[test]
    fn host_time_behind_another_steps_device_counts_as_nothing() {
        // One step alone, host 100..103; then two that overlap: the second's host lies behind the first's device.
        let index = StepIndex::new(&[row(0, 100, 3, 110), row(0, 120, 2, 140), row(0, 130, 5, 150)]);
        let replica = index.replica_of(&[Nanos(110)]).expect("a step ends at 110");
        let within = |from, to| replica.host_within(Nanos(from), Nanos(to)).0;
        assert_eq!(within(0, 200), 5);
        assert_eq!((within(101, 121), within(102, 103), within(125, 150)), (3, 1, 0));
    }

    #[test]
    fn a_request_belongs_to_the_replica_whose_steps_end_at_its_tokens() {
        let rows = [row(0, 0, 1, 10), row(1, 0, 2, 10), row(0, 10, 1, 20), row(1, 10, 2, 21)];
        let index = StepIndex::new(&rows);
        let host = |tokens: &[u64]| {
            let tokens: Vec<Nanos> = tokens.iter().map(|time| Nanos(*time)).collect();
            index.replica_of(&tokens).map(|replica| replica.host_within(Nanos(0), Nanos(10)).0)
        };
        assert_eq!((host(&[10, 20]), host(&[10, 21])), (Some(1), Some(2)));
        assert_eq!((host(&[21]), host(&[11])), (Some(2), None));
    }

    #[test]
    fn of_steps_that_end_together_the_one_after_the_last_token_is_taken() {
        let index = StepIndex::new(&[row(0, 0, 1, 30), row(0, 10, 2, 30), row(0, 20, 3, 30), row(0, 30, 1, 40)]);
        let replica = &index.replicas[0];
        let host = |end, since| replica.ending(Nanos(end), Nanos(since), &mut 0).map(|span| span.host.0);
        assert_eq!((host(30, 10), host(30, 25), host(40, 30), host(35, 30)), (Some(2), Some(3), Some(1), None));
        let mut near = 2;
        assert_eq!(replica.ending(Nanos(30), Nanos(0), &mut near).map(|span| span.host.0), Some(1), "from any place");
    }
}

//! One request on one side, split into its parts: integers that sum to its E2E.

use crate::compare::attribution::steps::StepIndex;
use crate::metrics::{Metric, Timeline};
use crate::schema::attribution::{Part, Split};
use crate::schema::{RequestRow, Run};
use crate::time::Nanos;

/// Spans of one request, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    queueing: u64,
    prefill: u64,
    prefill_host: u64,
    decode: u64,
    decode_host: u64,
    preemption: u64,
}

impl Parts {
    /// A part of E2E. Queueing and prefill known as one are kept as prefill.
    pub fn of_e2e(&self, part: Part) -> u64 {
        match part {
            Part::Queueing => self.queueing,
            Part::Prefill | Part::FirstToken => self.prefill,
            Part::Decode => self.decode,
            Part::Preemption => self.preemption,
            Part::Host => self.prefill_host + self.decode_host,
        }
    }

    /// A part of TTFT.
    pub fn of_ttft(&self, part: Part) -> u64 {
        match part {
            Part::Queueing => self.queueing,
            Part::Prefill | Part::FirstToken => self.prefill,
            Part::Host => self.prefill_host,
            Part::Decode | Part::Preemption => 0,
        }
    }
}

/// Splits every request of one side; `lines` are its compared requests.
///
/// # Errors
/// What this side lacks to be split so finely.
pub(super) fn split_run<'a>(
    run: &Run,
    lines: impl Iterator<Item = (&'a RequestRow, Timeline<'a>)>,
    split: Split,
) -> Result<Vec<Parts>, String> {
    let index = match (split, &run.steps, &run.tokens) {
        (Split::Steps, None, _) => return Err("engine steps".to_owned()),
        (Split::Steps, _, None) => return Err("token times".to_owned()),
        (Split::Steps, Some(steps), Some(tokens)) => Some((StepIndex::new(steps), tokens)),
        _ => None,
    };
    let parts = lines.map(|(row, line)| {
        let whole = by_stamps(&line, split).ok_or_else(|| "times of first scheduling".to_owned())?;
        let Some((index, tokens)) = &index else { return Ok(whole) };
        let times = tokens.of(row.request_id);
        let times = &times[..times.len().min(line.num_tokens() as usize)];
        // A line's row is of the real run, whichever side this is.
        let own = run.requests.get(row.request_id as usize).unwrap_or(row);
        by_steps(whole, own, times, index)
            .ok_or_else(|| format!("steps that end when tokens came (request {})", row.request_id))
    });
    parts.collect()
}

/// Queueing, prefill and decode, from the metrics that end where they end.
fn by_stamps(line: &Timeline<'_>, split: Split) -> Option<Parts> {
    let (ttft, e2e) = (line.value(Metric::Ttft)?, line.value(Metric::E2e)?);
    let queueing = match split {
        Split::FirstToken => 0,
        Split::Stamps | Split::Steps => line.value(Metric::SchedulingDelay)?,
    };
    Some(Parts { queueing, prefill: ttft - queueing, decode: e2e - ttft, ..Parts::default() })
}

/// Takes host time and stalls out of prefill and decode; what is taken is what is given, so the sum stays.
///
/// A gap between two tokens is the step that ends with the second. What lies before that step is a stall: the
/// request was preempted, or no batch took it. When it was preempted, the step computes its tokens again, so its
/// device time belongs to the preemption too. `None` where a token is no step's end.
fn by_steps(whole: Parts, row: &RequestRow, times: &[Nanos], index: &StepIndex) -> Option<Parts> {
    let mut parts = whole;
    let first = *times.first()?;
    let replica = index.replica_of(times)?;
    parts.prefill_host = replica.host_within(row.arrival + Nanos(whole.queueing), first).0;
    parts.prefill -= parts.prefill_host;
    let mut near = 0;
    for gap in times.windows(2) {
        let (since, until) = (gap[0], gap[1]);
        if until == since {
            continue;
        }
        let step = replica.ending(until, since, &mut near)?;
        let begun = step.start.max(since);
        let stall = (begun - since).0;
        // A step begun before the token came (pipelines, asynchronous scheduling) hid a part of its host time.
        let host = (step.start + step.host).saturating_sub(begun).0.min((until - begun).0);
        let is_recomputed = stall > 0 && step.has_prefill && row.num_preemptions != Some(0);
        let again = if is_recomputed { (until - begun).0 - host } else { 0 };
        parts.preemption += stall + again;
        parts.decode_host += host;
        parts.decode -= stall + again + host;
    }
    Some(parts)
}

//! A run as a trace for ui.perfetto.dev and chrome://tracing: JSON of the Trace Event Format, as a stream.
//!
//! Every replica is a process: its steps are slices, the batch and its host and device time within; how
//! much runs, waits and lies in the KV cache are counters. The requests are a process of their own, each
//! an asynchronous slice with its phases within; those that were not served are instants.
//!
//! Choices that the readers of the format force:
//! - Slices are begin and end events (`B`, `E`), not complete ones (`X`). Perfetto turns the number of
//!   microseconds into nanoseconds by truncation, so 1.005 is 1004 ns to it; a complete event's end, the sum
//!   of two truncated numbers, can then lie after the start of the next, which Perfetto drops. Equal
//!   begin and end times stay equal, whatever is made of them.
//! - `traceEvents` comes first: Perfetto has ignored all that follows a key it does not know.
//! - A replica's first thread has the process's number and all numbers differ, because Perfetto looks
//!   threads up by their number alone; none is 0, which is the idle task.

mod event;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::schema::{Origin, RequestRow, RequestStatus, Run, StepPhases, StepRow, Writer};
use crate::time::Nanos;

use event::{Arg, Event, Events, Place, write_text};

/// The process and the thread of the requests.
const REQUESTS: Place = Place { process: 1, thread: 1 };
/// Replica `r` is process `FIRST_REPLICA + r`.
const FIRST_REPLICA: u64 = 2;
/// Between the numbers of the threads of one process.
const THREAD_STRIDE: u64 = 1_000_000;
/// Counter tracks: name, and the unit that its one series is called by.
const COUNTERS: [(&str, &str); 3] = [("running", "sequences"), ("waiting", "sequences"), ("KV blocks", "used")];

/// What a trace says of its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceAbout {
    /// Name of the run.
    pub run: String,
    /// Measured or predicted, where the run says so.
    pub origin: Option<Origin>,
}

/// Writes a trace event by event; nothing is kept but a few numbers a replica.
pub struct TraceWriter<W: Write> {
    events: Events<W>,
    about: TraceAbout,
    replicas: BTreeMap<u32, Replica>,
    has_requests: bool,
}

/// What is remembered of a replica.
#[derive(Default)]
struct Replica {
    /// When the last step of each thread ends.
    threads: Vec<Nanos>,
    /// When the last of its steps ends.
    busy_until: Nanos,
    /// Counters as last written.
    counts: Option<[u64; 3]>,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// When the output fails, as for every other method.
    pub fn begin(output: W, about: TraceAbout) -> io::Result<Self> {
        let events = Events::begin(output)?;
        Ok(TraceWriter { events, about, replicas: BTreeMap::new(), has_requests: false })
    }

    /// Writes a step. The steps of one replica are expected in the order of their starts: counters are
    /// drawn as they come, and fall to zero between a step's end and a later start. Steps that overlap, as
    /// those of a pipeline do, are put on further threads.
    ///
    /// # Errors
    /// When the output fails.
    pub fn step(&mut self, row: &StepRow) -> io::Result<()> {
        let end = row.end.max(row.start);
        let process = FIRST_REPLICA + u64::from(row.replica_id);
        let main = Place { process, thread: process };
        let replica = self.replicas.entry(row.replica_id).or_default();
        if replica.threads.is_empty() {
            self.events.name("process_name", main, &format!("replica {}", row.replica_id))?;
        } else if replica.busy_until < row.start {
            let idle_since = replica.busy_until;
            count(&mut self.events, main, replica, idle_since, [0; 3])?;
        }
        let free = replica.threads.iter().position(|last_end| *last_end <= row.start);
        let thread = free.unwrap_or(replica.threads.len());
        let place = Place { process, thread: process + thread as u64 * THREAD_STRIDE };
        if free.is_none() {
            let name = if thread == 0 { "steps".to_owned() } else { format!("steps {}", thread + 1) };
            self.events.name("thread_name", place, &name)?;
            replica.threads.push(end);
        }
        replica.threads[thread] = end;
        replica.busy_until = replica.busy_until.max(end);
        count(&mut self.events, main, replica, row.start, [row.num_running, row.num_waiting, row.kv_blocks_used])?;

        let kind = match (row.num_prefill_tokens, row.num_decode_seqs) {
            (0, 0) => "step",
            (_, 0) => "prefill",
            (0, _) => "decode",
            _ => "prefill and decode",
        };
        let mut args = vec![
            ("step_index", Arg::Number(row.step_index)),
            ("prefill_tokens", Arg::Number(row.num_prefill_tokens)),
            ("decode_sequences", Arg::Number(row.num_decode_seqs)),
            ("context_tokens", Arg::Number(row.context_tokens)),
            ("host_ns", Arg::Number(row.host.0)),
            ("device_ns", Arg::Number(row.device.0)),
        ];
        if let Some(StepPhases { schedule, prepare, launch, wait, sample }) = row.phases {
            args.push(("schedule_ns", Arg::Number(schedule.0)));
            args.push(("prepare_ns", Arg::Number(prepare.0)));
            args.push(("launch_ns", Arg::Number(launch.0)));
            args.push(("wait_ns", Arg::Number(wait.0)));
            args.push(("sample_ns", Arg::Number(sample.0)));
        }
        self.slice('B', place, row.start, kind, &args)?;
        if row.host > Nanos::ZERO && row.device > Nanos::ZERO {
            // The row has no order of the two; the host prepares what the device computes.
            let handed_over = after(row.start, row.host).min(end);
            let computed = after(handed_over, row.device).min(end);
            self.slice('B', place, row.start, "host", &[])?;
            self.slice('E', place, handed_over, "host", &[])?;
            self.slice('B', place, handed_over, "device", &[])?;
            self.slice('E', place, computed, "device", &[])?;
        }
        self.slice('E', place, end, kind, &[])
    }

    fn slice(
        &mut self,
        phase: char,
        place: Place,
        time: Nanos,
        name: &str,
        args: &[(&str, Arg<'_>)],
    ) -> io::Result<()> {
        self.events.write(&Event { phase, place, time: Some(time), name, category: "step", args, ..Event::default() })
    }

    /// Writes a request: queued, prefill and decode as far as its row tells them; phases without length
    /// are left out. One that was refused or failed is marked where its row ends.
    ///
    /// # Errors
    /// When the output fails.
    pub fn request(&mut self, row: &RequestRow) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_requests, true) {
            self.events.name("process_name", REQUESTS, "requests")?;
            self.events.name("thread_name", REQUESTS, "not served")?;
        }
        let mut args = vec![
            ("request_id", Arg::Number(u64::from(row.request_id))),
            ("prefill_tokens", Arg::Number(u64::from(row.num_prefill_tokens))),
            ("decode_tokens", Arg::Number(u64::from(row.num_decode_tokens_actual))),
            ("decode_tokens_asked", Arg::Number(u64::from(row.num_decode_tokens))),
        ];
        args.extend(row.num_preemptions.map(|count| ("preemptions", Arg::Number(u64::from(count)))));
        args.extend(row.error_msg.as_deref().map(|text| ("error", Arg::Text(text))));

        let phases = phases(row);
        let last = phases.last().map_or(row.arrival, |phase| phase.end);
        let is_served = row.status == RequestStatus::Ok;
        if is_served || last > row.arrival {
            let whole = Phase { name: "request", start: row.arrival, end: last };
            self.async_event('b', row, &whole, &args)?;
            for phase in &phases {
                self.async_event('b', row, phase, &[])?;
                self.async_event('e', row, phase, &[])?;
            }
            self.async_event('e', row, &whole, &[])?;
        }
        if is_served {
            return Ok(());
        }
        self.events.write(&Event {
            phase: 'i',
            place: REQUESTS,
            time: Some(last),
            name: row.status.as_str(),
            category: "request",
            args: &args,
            ..Event::default()
        })
    }

    fn async_event(&mut self, phase: char, row: &RequestRow, span: &Phase, args: &[(&str, Arg<'_>)]) -> io::Result<()> {
        self.events.write(&Event {
            phase,
            place: REQUESTS,
            time: Some(if phase == 'b' { span.start } else { span.end }),
            name: span.name,
            category: "request",
            id: Some(row.request_id),
            args,
        })
    }

    /// Brings the counters to zero, closes the document, flushes the output and gives it back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        for (replica_id, replica) in &mut self.replicas {
            let process = FIRST_REPLICA + u64::from(*replica_id);
            let idle_since = replica.busy_until;
            count(&mut self.events, Place { process, thread: process }, replica, idle_since, [0; 3])?;
        }
        let mut output = self.events.end()?;
        let times = match self.about.origin {
            Some(Origin::Real) => "measured",
            Some(Origin::Simulated) => "predicted",
            None => "unknown",
        };
        let writer = Writer::this();
        write!(output, "\"displayTimeUnit\":\"ns\",\"otherData\":{{\"run\":")?;
        write_text(&mut output, &self.about.run)?;
        write!(output, ",\"times\":\"{times}\",\"writer\":")?;
        write_text(&mut output, &format!("{} {}", writer.name, writer.version))?;
        output.write_all(b"}}\n")?;
        output.flush()?;
        Ok(output)
    }
}

/// Writes the trace of a whole run: steps in the order of their starts, then requests in that of their ids.
/// A run without steps has requests only.
///
/// # Errors
/// When the output fails.
pub fn write_trace<W: Write>(run: &Run, output: W) -> io::Result<W> {
    let about = TraceAbout { run: run.name.clone(), origin: run.meta.origin() };
    let mut writer = TraceWriter::begin(output, about)?;
    for row in StepRow::by_start(run.steps.as_deref().unwrap_or_default()) {
        writer.step(row)?;
    }
    for row in &run.requests {
        writer.request(row)?;
    }
    writer.finish()
}

/// Writes the counters that changed.
fn count<W: Write>(
    events: &mut Events<W>,
    place: Place,
    replica: &mut Replica,
    time: Nanos,
    counts: [u64; 3],
) -> io::Result<()> {
    for (index, (name, unit)) in COUNTERS.into_iter().enumerate() {
        if replica.counts.is_none_or(|written| written[index] != counts[index]) {
            let args = [(unit, Arg::Number(counts[index]))];
            events.write(&Event { phase: 'C', place, time: Some(time), name, args: &args, ..Event::default() })?;
        }
    }
    replica.counts = Some(counts);
    Ok(())
}

/// A part of a request's life.
struct Phase {
    name: &'static str,
    start: Nanos,
    end: Nanos,
}

/// What a row tells, one after the other; a time before the one it should follow is taken as that one.
fn phases(row: &RequestRow) -> Vec<Phase> {
    let until_first_token = if row.scheduled.is_some() { "prefill" } else { "queued and prefill" };
    let until_completion = if row.first_token.is_some() { "decode" } else { until_first_token };
    let ends = [("queued", row.scheduled), (until_first_token, row.first_token), (until_completion, row.completion)];
    let mut start = row.arrival;
    let mut phases = Vec::with_capacity(ends.len());
    for (name, end) in ends {
        let Some(end) = end.filter(|end| *end > start) else { continue };
        phases.push(Phase { name, start, end });
        start = end;
    }
    phases
}

/// A time that much later, or the last there is: a foreign row may hold any numbers.
fn after(time: Nanos, span: Nanos) -> Nanos {
    Nanos(time.0.saturating_add(span.0))
}

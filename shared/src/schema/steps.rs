//! `step_metrics.csv`: one row an engine iteration.

use std::io::{Read, Write};

use crate::schema::table::{Column, TableReader};
use crate::schema::{DataError, write_error};
use crate::time::Nanos;

/// One engine step. `start + host + device = end` for an in-process engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepRow {
    /// Position in the replica's steps, from 0.
    pub step_index: u64,
    /// Which copy of the engine.
    pub replica_id: u32,
    /// When the batch was chosen.
    pub start: Nanos,
    /// When its tokens were there.
    pub end: Nanos,
    /// Host time within the step: scheduling, preparing, sampling, bookkeeping.
    pub host: Nanos,
    /// Device time within the step.
    pub device: Nanos,
    /// Prefill tokens computed.
    pub num_prefill_tokens: u64,
    /// Sequences that decoded one token.
    pub num_decode_seqs: u64,
    /// Tokens the decoding sequences read, their own included.
    pub context_tokens: u64,
    /// KV blocks in use after the batch was chosen.
    pub kv_blocks_used: u64,
    /// Sequences running after the batch was chosen.
    pub num_running: u64,
    /// Sequences waiting after the batch was chosen.
    pub num_waiting: u64,
    /// What the host did meanwhile, where the engine tells it.
    pub phases: Option<StepPhases>,
}

/// The host's phases of one step, in order. Of a GPU, `launch` and `wait` pass while the device computes: they are not
/// to be added to its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepPhases {
    /// From the step's start to the engine's call: the step before is recorded, arrivals admitted, the batch chosen.
    pub schedule: Nanos,
    /// Laying out the batch: blocks, positions, tokens.
    pub prepare: Nanos,
    /// Handing work to the device.
    pub launch: Nanos,
    /// Waiting for the device's result.
    pub wait: Nanos,
    /// From the result to tokens.
    pub sample: Nanos,
}

impl StepRow {
    /// All of `rows` by start, then end, replica and index: files hold them as they ended.
    pub fn by_start(rows: &[StepRow]) -> Vec<&StepRow> {
        let mut sorted: Vec<&StepRow> = rows.iter().collect();
        crate::order::sort_by_key(&mut sorted, |row| (row.start, row.end, row.replica_id, row.step_index));
        sorted
    }

    /// Until when the counts of each step hold, for the steps of one replica by start: until the next one starts or,
    /// when none does before all are over, until the replica is idle.
    pub fn held_until(by_start: &[&StepRow]) -> Vec<Nanos> {
        let mut busy_until = Nanos::ZERO;
        let held = by_start.iter().enumerate().map(|(index, row)| {
            busy_until = busy_until.max(row.end);
            by_start.get(index + 1).map_or(busy_until, |next| next.start.min(busy_until))
        });
        held.collect()
    }
}

const HEADER: [&str; 12] = [
    "step_index",
    "replica_id",
    "start_time_ns",
    "end_time_ns",
    "host_ns",
    "device_ns",
    "num_prefill_tokens",
    "num_decode_seqs",
    "context_tokens",
    "kv_blocks_used",
    "num_running",
    "num_waiting",
];

/// After these, in files of engines that tell them.
const PHASES: [&str; 5] = ["schedule_ns", "prepare_ns", "launch_ns", "wait_ns", "sample_ns"];

/// Reads and checks a whole file, in file order.
///
/// # Errors
/// The first broken cell, or a step that ends before it starts.
pub fn read_steps(file: &str, input: impl Read) -> Result<Vec<StepRow>, DataError> {
    let mut table = TableReader::new(file, input)?;
    let columns = table.all_required(&HEADER)?;
    let phases: Option<Vec<_>> = PHASES.iter().map(|name| table.optional(name)).collect();
    let mut rows = Vec::new();
    while table.next_row()? {
        let cell = |index: usize| table.integer(columns[index]);
        let time = |index: usize| table.time(columns[index]);
        let row = StepRow {
            step_index: cell(0)?,
            replica_id: table.small_integer(columns[1])?,
            start: time(2)?,
            end: time(3)?,
            host: time(4)?,
            device: time(5)?,
            num_prefill_tokens: cell(6)?,
            num_decode_seqs: cell(7)?,
            context_tokens: cell(8)?,
            kv_blocks_used: cell(9)?,
            num_running: cell(10)?,
            num_waiting: cell(11)?,
            phases: phases.as_deref().map_or(Ok(None), |columns| read_phases(&table, columns))?,
        };
        if row.end < row.start {
            return Err(table.error(columns[3], format!("{} is before start_time_ns {}", row.end, row.start)));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The phases of the current row: all of them, or none when the first is blank.
fn read_phases<R: Read>(table: &TableReader<R>, columns: &[Column]) -> Result<Option<StepPhases>, DataError> {
    if table.optional_time(columns[0])?.is_none() {
        return Ok(None);
    }
    let time = |index: usize| table.time(columns[index]);
    Ok(Some(StepPhases { schedule: time(0)?, prepare: time(1)?, launch: time(2)?, wait: time(3)?, sample: time(4)? }))
}

/// Writes steps as they happen. The first row decides whether the file has columns for the host's phases.
pub struct StepWriter<W: Write> {
    csv: csv::Writer<W>,
    /// Decided with the header, which is written with the first row.
    has_phases: Option<bool>,
}

impl<W: Write> StepWriter<W> {
    /// A file without rows yet.
    pub fn new(output: W) -> Self {
        StepWriter { csv: csv::Writer::from_writer(output), has_phases: None }
    }

    fn header(&mut self, has_phases: bool) -> Result<(), DataError> {
        self.has_phases = Some(has_phases);
        let names = HEADER.iter().chain(PHASES.iter().filter(|_| has_phases));
        self.csv.write_record(names).map_err(|error| write_error("step_metrics.csv", &error))
    }

    /// Writes one step.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, row: &StepRow) -> Result<(), DataError> {
        if self.has_phases.is_none() {
            self.header(row.phases.is_some())?;
        }
        let cells = [
            row.step_index,
            u64::from(row.replica_id),
            row.start.0,
            row.end.0,
            row.host.0,
            row.device.0,
            row.num_prefill_tokens,
            row.num_decode_seqs,
            row.context_tokens,
            row.kv_blocks_used,
            row.num_running,
            row.num_waiting,
        ];
        let phases = self.has_phases.is_some_and(|has_phases| has_phases).then(|| match row.phases {
            None => [const { String::new() }; 5],
            Some(StepPhases { schedule, prepare, launch, wait, sample }) => {
                [schedule, prepare, launch, wait, sample].map(|time| time.0.to_string())
            }
        });
        self.csv
            .write_record(cells.iter().map(u64::to_string).chain(phases.into_iter().flatten()))
            .map_err(|error| write_error("step_metrics.csv", &error))
    }

    /// Flushes what is buffered; a file without rows has its header then.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(&mut self) -> Result<(), DataError> {
        if self.has_phases.is_none() {
            self.header(false)?;
        }
        self.csv.flush().map_err(|error| DataError::new("step_metrics.csv", format!("cannot write: {error}")))
    }
}

//! `step_metrics.csv`: one row an engine iteration.

use std::io::{Read, Write};

use crate::schema::table::TableReader;
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
}

impl StepRow {
    /// All of `rows` by start, then end, replica and index: files hold them as they ended.
    pub fn by_start(rows: &[StepRow]) -> Vec<&StepRow> {
        let mut sorted: Vec<&StepRow> = rows.iter().collect();
        sorted.sort_by_key(|row| (row.start, row.end, row.replica_id, row.step_index));
        sorted
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

/// Reads and checks a whole file, in file order.
///
/// # Errors
/// The first broken cell, or a step that ends before it starts.
pub fn read_steps(file: &str, input: impl Read) -> Result<Vec<StepRow>, DataError> {
    let mut table = TableReader::new(file, input)?;
    let columns = table.all_required(&HEADER)?;
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
        };
        if row.end < row.start {
            return Err(table.error(columns[3], format!("{} is before start_time_ns {}", row.end, row.start)));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Writes steps as they happen.
pub struct StepWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> StepWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W) -> Result<Self, DataError> {
        let mut csv = csv::Writer::from_writer(output);
        csv.write_record(HEADER).map_err(|error| write_error("step_metrics.csv", &error))?;
        Ok(StepWriter { csv })
    }

    /// Writes one step.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, row: &StepRow) -> Result<(), DataError> {
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
        self.csv
            .write_record(cells.map(|cell| cell.to_string()))
            .map_err(|error| write_error("step_metrics.csv", &error))
    }

    /// Flushes what is buffered.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(&mut self) -> Result<(), DataError> {
        self.csv.flush().map_err(|error| DataError::new("step_metrics.csv", format!("cannot write: {error}")))
    }
}

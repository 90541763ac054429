//! A workload's `trace_lengths.csv` and `trace_intervals.csv`: what is asked, and when.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use crate::schema::requests::check_id;
use crate::schema::table::TableReader;
use crate::schema::{DataError, hex, write_error};
use crate::time::Nanos;

/// One request of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadRow {
    /// Which prompt it asks; the id in `prompts.jsonl`, or a made-up one when only lengths are known.
    pub prompt_id: String,
    /// Prompt length in tokens.
    pub num_prefill_tokens: u32,
    /// Output length asked for, in tokens.
    pub num_decode_tokens: u32,
    /// Gap to the request before it.
    pub inter_arrival: Nanos,
    /// Running sum of the gaps.
    pub arrival: Nanos,
}

/// Requests in id order (the id is the position) and, therefore, in arrival order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// One row a request.
    pub rows: Vec<WorkloadRow>,
}

impl Workload {
    /// The workload's identity: SHA-256 over its canonical length and interval rows, in hex. Prompts
    /// and prompt ids are not in it, so a bundle without texts is still the same workload.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for (id, row) in self.rows.iter().enumerate() {
            let line = format!(
                "{id},{},{},{},{}\n",
                row.num_prefill_tokens, row.num_decode_tokens, row.inter_arrival, row.arrival
            );
            hash.update(line.as_bytes());
        }
        hex(&hash.finalize())
    }

    /// Joins the rows of both tables; each comes with the file name errors should say.
    ///
    /// # Errors
    /// When one has more rows than the other.
    pub fn join(
        (lengths_file, rows): (&str, &mut Vec<WorkloadRow>),
        (intervals_file, times): (&str, &[(Nanos, Nanos)]),
    ) -> Result<Self, DataError> {
        if rows.len() != times.len() {
            let problem = format!("has {} rows, `{lengths_file}` has {}", times.len(), rows.len());
            return Err(DataError::new(intervals_file, problem));
        }
        for (row, (gap, arrival)) in rows.iter_mut().zip(times) {
            (row.inter_arrival, row.arrival) = (*gap, *arrival);
        }
        Ok(Workload { rows: std::mem::take(rows) })
    }

    /// Writes `trace_lengths.csv`.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_lengths(&self, output: impl Write) -> Result<(), DataError> {
        const FILE: &str = "trace_lengths.csv";
        let mut csv = csv::Writer::from_writer(output);
        let fail = |error: csv::Error| write_error(FILE, &error);
        csv.write_record(["request_id", "prompt_id", "num_prefill_tokens", "num_decode_tokens"]).map_err(fail)?;
        for (id, row) in self.rows.iter().enumerate() {
            let (prefill, decode) = (row.num_prefill_tokens.to_string(), row.num_decode_tokens.to_string());
            csv.write_record([&id.to_string(), &row.prompt_id, &prefill, &decode]).map_err(fail)?;
        }
        csv.flush().map_err(|error| DataError::new(FILE, format!("cannot write: {error}")))
    }

    /// Writes `trace_intervals.csv`.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_intervals(&self, output: impl Write) -> Result<(), DataError> {
        const FILE: &str = "trace_intervals.csv";
        let mut csv = csv::Writer::from_writer(output);
        let fail = |error: csv::Error| write_error(FILE, &error);
        csv.write_record(["request_id", "inter_arrival_ns", "arrival_time_ns"]).map_err(fail)?;
        for (id, row) in self.rows.iter().enumerate() {
            let cells = [id.to_string(), row.inter_arrival.to_string(), row.arrival.to_string()];
            csv.write_record(cells).map_err(fail)?;
        }
        csv.flush().map_err(|error| DataError::new(FILE, format!("cannot write: {error}")))
    }
}

/// Reads `trace_lengths.csv` alone; arrivals stay zero.
///
/// # Errors
/// The first broken cell or invariant, by file, line and column.
pub fn read_lengths(file: &str, input: impl Read) -> Result<Vec<WorkloadRow>, DataError> {
    let mut table = TableReader::new(file, input)?;
    let id = table.required("request_id")?;
    let prompt = table.optional("prompt_id");
    let prefill = table.required("num_prefill_tokens")?;
    let decode = table.required("num_decode_tokens")?;
    let mut rows = Vec::new();
    while table.next_row()? {
        check_id(file, table.line(), rows.len() as u64, table.integer(id)?)?;
        let prompt_id = prompt.map_or(Ok(None), |column| table.text(column))?.unwrap_or_default();
        rows.push(WorkloadRow {
            prompt_id: prompt_id.to_owned(),
            num_prefill_tokens: table.small_integer(prefill)?,
            num_decode_tokens: table.small_integer(decode)?,
            ..WorkloadRow::default()
        });
    }
    if rows.is_empty() {
        return Err(DataError::new(file, "holds no request: it has a header and nothing else"));
    }
    Ok(rows)
}

/// Reads `trace_intervals.csv` alone: (gap, arrival) a request.
///
/// # Errors
/// The first broken cell, or an arrival that is not the running sum of the gaps.
pub fn read_intervals(file: &str, input: impl Read) -> Result<Vec<(Nanos, Nanos)>, DataError> {
    let mut table = TableReader::new(file, input)?;
    let id = table.required("request_id")?;
    let gap = table.required("inter_arrival_ns")?;
    let arrival = table.required("arrival_time_ns")?;
    let mut rows: Vec<(Nanos, Nanos)> = Vec::new();
    let mut sum = Nanos::ZERO;
    while table.next_row()? {
        check_id(file, table.line(), rows.len() as u64, table.integer(id)?)?;
        let span = table.time(gap)?;
        // Two times that were taken fit 64 bits together; a sum that is too late is no arrival that is taken.
        sum += span;
        let time = table.time(arrival)?;
        if time != sum {
            let problem = format!("{time} is not the running sum of inter_arrival_ns, {sum}");
            return Err(table.error(arrival, problem));
        }
        rows.push((span, time));
    }
    Ok(rows)
}

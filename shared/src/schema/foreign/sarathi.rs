//! `request_metrics.csv` in seconds, as Sarathi-Serve's engine and Vidur write it: spans, not stamps.
//!
//! Columns as of microsoft/sarathi-serve (`sarathi/metrics/constants.py`) and microsoft/vidur
//! (`vidur/metrics/constants.py`), both at their `main` of 2024. Arrivals are rebuilt from the gaps
//! between them, so time zero is the first arrival. Every span is rounded to a nanosecond once.

use std::io::Read;

use serde_json::json;

use crate::schema::foreign::{ForeignFormat, recognised};
use crate::schema::requests::in_id_order;
use crate::schema::table::{Column, TableReader};
use crate::schema::{DataError, RequestRow, RequestStatus, RunMeta, Writer};
use crate::time::Nanos;

/// Spans of one request that must add up agree to this, in seconds: sums of doubles as the tools make them.
const AGREEMENT: f64 = 1e-6;

/// The header is that of the tools' table, not of ours.
pub(crate) fn is_in_seconds<R: Read>(table: &TableReader<R>) -> bool {
    let has = |name| table.optional(name).is_some();
    has("request_e2e_time") && has("prefill_e2e_time") && !has("arrival_time_ns")
}

/// Which of the two programs wrote the table, by a column only it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// The engine: it pauses requests.
    Sarathi,
    /// The simulator: it knows the model's share of the execution time.
    Vidur,
    /// Neither column is there.
    Unknown,
}

/// Where each column stands.
struct Columns {
    id: Column,
    e2e: Column,
    scheduling_delay: Column,
    busy: Column,
    execution: Column,
    preemption: Column,
    prefill_e2e: Column,
    prefill_busy: Column,
    gap: Column,
    prefill_tokens: Column,
    decode_tokens: Column,
    restarts: Option<Column>,
}

impl Columns {
    fn of<R: Read>(table: &TableReader<R>) -> Result<Self, DataError> {
        Ok(Columns {
            // Vidur's own name, and the one it has in published tables.
            id: table.optional("Request Id").map_or_else(|| table.required("request_id"), Ok)?,
            e2e: table.required("request_e2e_time")?,
            scheduling_delay: table.required("request_scheduling_delay")?,
            busy: table.required("request_execution_plus_preemption_time")?,
            execution: table.required("request_execution_time")?,
            preemption: table.required("request_preemption_time")?,
            prefill_e2e: table.required("prefill_e2e_time")?,
            prefill_busy: table.required("prefill_time_execution_plus_preemption")?,
            gap: table.required("request_inter_arrival_delay")?,
            prefill_tokens: table.required("request_num_prefill_tokens")?,
            decode_tokens: table.required("request_num_decode_tokens")?,
            restarts: table.optional("request_num_restarts"),
        })
    }
}

/// One request as the table has it: arrival is the gap to the request before, the other times are spans.
struct Record {
    line: u64,
    gap: f64,
    row: RequestRow,
}

/// Reads and checks a whole table, sorted by request, and tells `meta` what was recognised.
///
/// # Errors
/// The first broken cell, or spans of a request that contradict each other, by file, line and column.
pub(crate) fn read<R: Read>(mut table: TableReader<R>, meta: &mut RunMeta) -> Result<Vec<RequestRow>, DataError> {
    let program = match (table.optional("request_num_pauses"), table.optional("request_model_execution_time")) {
        (Some(_), None) => Program::Sarathi,
        (None, Some(_)) => Program::Vidur,
        _ => Program::Unknown,
    };
    let columns = Columns::of(&table)?;
    let mut records = Vec::new();
    while table.next_row()? {
        records.push(record(&table, &columns, program)?);
    }
    let file = table.file().to_owned();
    let records = in_id_order(&file, records, |record| (record.line, record.row.request_id))?;
    describe(meta, program);
    stamps(&file, records)
}

/// Adds the arrivals up, and puts the spans after them.
fn stamps(file: &str, records: Vec<Record>) -> Result<Vec<RequestRow>, DataError> {
    let mut arrived = 0.0;
    let mut rows = Vec::with_capacity(records.len());
    for Record { line, gap, mut row } in records {
        // The first request's gap is to a request before the run, where there is one at all.
        arrived += if rows.is_empty() { 0.0 } else { gap };
        let arrival = Nanos::from_secs_f64(arrived).filter(|time| *time <= crate::schema::table::MAX_TIME);
        row.arrival = arrival.ok_or_else(|| {
            let problem = format!("{arrived} s is later than any time of a run");
            DataError::new(file, problem).at_line(line).in_column("request_inter_arrival_delay")
        })?;
        for span in [&mut row.scheduled, &mut row.first_token, &mut row.completion] {
            *span = span.map(|span| row.arrival + span);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn record<R: Read>(table: &TableReader<R>, columns: &Columns, program: Program) -> Result<Record, DataError> {
    let num_decode_tokens = table.small_integer(columns.decode_tokens)?;
    let e2e = table.optional_seconds(columns.e2e)?;
    let row = RequestRow {
        request_id: request_id(table, columns.id)?,
        num_prefill_tokens: table.small_integer(columns.prefill_tokens)?,
        num_decode_tokens,
        ..RequestRow::default()
    };
    let gap = table.optional_seconds(columns.gap)?.unwrap_or_default();
    let Some(e2e) = e2e else {
        let message = "had not ended when the run did".to_owned();
        let row = RequestRow { status: RequestStatus::Error, error_msg: Some(message), ..row };
        return Ok(Record { line: table.line(), gap, row });
    };
    let delay = table.seconds(columns.scheduling_delay)?;
    let prefill = table.seconds(columns.prefill_e2e)?;
    check_spans(table, columns, program, e2e, delay, prefill)?;
    let row = RequestRow {
        scheduled: Nanos::from_secs_f64(delay),
        first_token: Nanos::from_secs_f64(prefill),
        completion: Nanos::from_secs_f64(e2e),
        num_decode_tokens_actual: num_decode_tokens,
        num_preemptions: match columns.restarts {
            Some(column) if !table.cell(column).is_empty() => Some(table.small_integer(column)?),
            _ => None,
        },
        ..row
    };
    Ok(Record { line: table.line(), gap, row })
}

/// `0_12` (replica and request) or `12`.
fn request_id<R: Read>(table: &TableReader<R>, column: Column) -> Result<u32, DataError> {
    let text = table.text(column)?.ok_or_else(|| table.error(column, "is blank"))?;
    let number = text.rsplit_once('_').map_or(text, |(_, number)| number);
    let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let id = is_digits.then(|| number.parse().ok()).flatten();
    id.ok_or_else(|| table.error(column, format!("`{text}` does not end in the request's number")))
}

/// The parts of a request's time make its whole. In Vidur's pipelines, execution is summed over stages
/// that overlap, so there only the prompt's parts are held to this.
fn check_spans<R: Read>(
    table: &TableReader<R>,
    columns: &Columns,
    program: Program,
    e2e: f64,
    delay: f64,
    prefill: f64,
) -> Result<(), DataError> {
    let differs = |column, what: &str, whole: f64, parts: f64| {
        let problem = format!("{whole} s is not {what} = {parts} s");
        // Doubles of long runs lose digits with their size.
        let agreed = AGREEMENT + 1e-12 * whole;
        if libm::fabs(whole - parts) <= agreed { Ok(()) } else { Err(table.error(column, problem)) }
    };
    let prefill_parts = delay + table.seconds(columns.prefill_busy)?;
    differs(
        columns.prefill_e2e,
        "request_scheduling_delay + prefill_time_execution_plus_preemption",
        prefill,
        prefill_parts,
    )?;
    if program != Program::Vidur {
        let busy = table.seconds(columns.busy)?;
        let parts = table.seconds(columns.execution)? + table.seconds(columns.preemption)?;
        differs(columns.busy, "request_execution_time + request_preemption_time", busy, parts)?;
        let parts = delay + busy;
        differs(columns.e2e, "request_scheduling_delay + request_execution_plus_preemption_time", e2e, parts)?;
    }
    if prefill < delay {
        let problem = format!("{prefill} s is less than request_scheduling_delay {delay} s");
        return Err(table.error(columns.prefill_e2e, problem));
    }
    if e2e < prefill {
        return Err(table.error(columns.e2e, format!("{e2e} s is less than prefill_e2e_time {prefill} s")));
    }
    Ok(())
}

fn describe(meta: &mut RunMeta, program: Program) {
    recognised(meta, ForeignFormat::SecondsTable);
    let (run_type, name) = match program {
        Program::Sarathi => ("real", "sarathi"),
        Program::Vidur => ("vidur", "vidur"),
        Program::Unknown => return,
    };
    let run_type = meta.run_type.get_or_insert_with(|| run_type.to_owned());
    if run_type == "real" {
        meta.backend.get_or_insert_with(|| name.to_owned());
    } else {
        meta.simulator.get_or_insert_with(|| json!({ "name": name }));
    }
    meta.writer.get_or_insert_with(|| Writer { name: name.to_owned(), version: "of unknown version".to_owned() });
}

//! `request_metrics.csv`: one row a request, planned arrival to completion.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::schema::table::{MAX_SPAN, TableReader};
use crate::schema::{DataError, write_error};
use crate::time::Nanos;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestStatus {
    /// It produced its tokens.
    #[default]
    Ok,
    /// The engine failed it.
    Error,
    /// The engine refused it.
    Rejected,
}

impl RequestStatus {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestStatus::Ok => "ok",
            RequestStatus::Error => "error",
            RequestStatus::Rejected => "rejected",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "ok" => Some(RequestStatus::Ok),
            "error" => Some(RequestStatus::Error),
            "rejected" => Some(RequestStatus::Rejected),
            _ => None,
        }
    }
}

/// One row. Times are nanoseconds since the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRow {
    /// `0..N-1`, the row's position once sorted.
    pub request_id: u32,
    /// When the workload planned it to arrive.
    pub arrival: Nanos,
    /// When a client really sent it, where one did; the plan is `arrival`.
    pub sent: Option<Nanos>,
    /// When an engine step first held it.
    pub scheduled: Option<Nanos>,
    /// When its first token was there; none for a failed, rejected or zero-token request.
    pub first_token: Option<Nanos>,
    /// When its last token was there; derived from the token rows when a file lacks it.
    pub completion: Option<Nanos>,
    /// Prompt length in tokens.
    pub num_prefill_tokens: u32,
    /// Output length asked for.
    pub num_decode_tokens: u32,
    /// Output length produced, at most the length asked for.
    pub num_decode_tokens_actual: u32,
    /// How it ended.
    pub status: RequestStatus,
    /// Times its KV blocks were taken back.
    pub num_preemptions: Option<u32>,
    /// Why it failed or was refused.
    pub error_msg: Option<String>,
}

impl RequestRow {
    /// It ended well and produced something: it counts in latencies.
    pub fn has_output(&self) -> bool {
        self.status == RequestStatus::Ok && self.num_decode_tokens_actual > 0
    }

    /// Its times come in the order in which they happen, within [`MAX_SPAN`]; else the column of the first
    /// that does not, and what is wrong with it.
    pub(crate) fn check_order(&self) -> Result<(), (&'static str, String)> {
        let ordered = [
            ("scheduled_time_ns", self.scheduled),
            ("first_token_time_ns", self.first_token),
            ("completion_time_ns", self.completion),
        ];
        let (mut previous_name, mut previous) = ("arrival_time_ns", self.arrival);
        for (name, time) in ordered {
            let Some(time) = time else { continue };
            if time < previous {
                return Err((name, format!("{time} is before {previous_name} {previous}")));
            }
            (previous_name, previous) = (name, time);
        }
        if let (Some(sent), Some(first)) = (self.sent, self.first_token)
            && first < sent
        {
            return Err(("sent_time_ns", format!("{sent} is after first_token_time_ns {first}")));
        }
        // A clock may have let a client send before the plan, but not years before.
        let earliest = self.sent.map_or(self.arrival, |sent| sent.min(self.arrival));
        if previous.saturating_sub(earliest) > MAX_SPAN {
            let problem = format!("{previous} is years after arrival_time_ns {}: not the same clock", self.arrival);
            return Err((previous_name, problem));
        }
        Ok(())
    }
}

const HEADER: [&str; 14] = [
    "request_id",
    "arrival_time_ns",
    "first_token_time_ns",
    "ttft_ns",
    "completion_time_ns",
    "num_prefill_tokens",
    "num_decode_tokens",
    "num_decode_tokens_actual",
    "status",
    "backend",
    "scheduled_time_ns",
    "num_preemptions",
    "error_msg",
    "sent_time_ns",
];

/// Reads and checks a whole file; rows come back sorted by `request_id`.
///
/// # Errors
/// The first broken cell or invariant, by file, line and column.
pub fn read_requests(file: &str, input: impl Read) -> Result<Vec<RequestRow>, DataError> {
    read_table(TableReader::new(file, input)?)
}

/// The same of a table whose header was looked at.
pub(crate) fn read_table<R: Read>(mut table: TableReader<R>) -> Result<Vec<RequestRow>, DataError> {
    let id = table.required("request_id")?;
    let arrival = table.required("arrival_time_ns")?;
    let first_token = table.required("first_token_time_ns")?;
    let ttft = table.optional("ttft_ns");
    let completion = table.optional("completion_time_ns");
    let prefill = table.required("num_prefill_tokens")?;
    let decode = table.required("num_decode_tokens")?;
    let actual = table.required("num_decode_tokens_actual")?;
    let status = table.optional("status");
    let scheduled = table.optional("scheduled_time_ns");
    let preemptions = table.optional("num_preemptions");
    let message = table.optional("error_msg");
    let sent = table.optional("sent_time_ns");

    let mut rows: Vec<(u64, RequestRow)> = Vec::new();
    while table.next_row()? {
        let optional = |column: Option<_>| column.map_or(Ok(None), |column| table.optional_time(column));
        let row = RequestRow {
            request_id: table.small_integer(id)?,
            arrival: table.time(arrival)?,
            sent: optional(sent)?,
            first_token: table.optional_time(first_token)?,
            completion: optional(completion)?,
            scheduled: optional(scheduled)?,
            num_prefill_tokens: table.small_integer(prefill)?,
            num_decode_tokens: table.small_integer(decode)?,
            num_decode_tokens_actual: table.small_integer(actual)?,
            status: match status.map_or(Ok(None), |column| table.text(column))? {
                None => RequestStatus::Ok,
                Some(word) => RequestStatus::parse(word).ok_or_else(|| {
                    let column = status.expect("the word came from this column");
                    table.error(column, format!("`{word}` is none of ok, error, rejected"))
                })?,
            },
            num_preemptions: match preemptions {
                Some(column) if !table.cell(column).is_empty() => Some(table.small_integer(column)?),
                _ => None,
            },
            error_msg: message.map_or(Ok(None), |column| table.text(column))?.map(str::to_owned),
        };
        check_row(&table, &row, optional(ttft)?)?;
        rows.push((table.line(), row));
    }
    let rows = in_id_order(table.file(), rows, |(line, row)| (*line, row.request_id))?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Sorts requests by id and checks that there are some and that ids are `0..N-1`; `place` gives a
/// request's line and id.
pub(crate) fn in_id_order<T>(
    file: &str,
    mut rows: Vec<T>,
    place: impl Fn(&T) -> (u64, u32),
) -> Result<Vec<T>, DataError> {
    if rows.is_empty() {
        return Err(DataError::new(file, "holds no request"));
    }
    crate::order::sort_by_key(&mut rows, |row| {
        let (line, id) = place(row);
        (id, line)
    });
    for (expected, row) in rows.iter().enumerate() {
        let (line, id) = place(row);
        check_id(file, line, expected as u64, u64::from(id))?;
    }
    Ok(rows)
}

/// Ids are `0..N-1`: after sorting, row `expected` must have that id.
pub(crate) fn check_id(file: &str, line: u64, expected: u64, found: u64) -> Result<(), DataError> {
    let problem = match found.cmp(&expected) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => format!("request {found} is there twice"),
        std::cmp::Ordering::Greater => format!("ids must be 0..N-1 without gaps: {expected} is missing before {found}"),
    };
    Err(DataError::new(file, problem).at_line(line).in_column("request_id"))
}

fn check_row<R: Read>(table: &TableReader<R>, row: &RequestRow, ttft: Option<Nanos>) -> Result<(), DataError> {
    let fail = |column: &str, problem: String| {
        Err(DataError::new(table.file(), problem).at_line(table.line()).in_column(column))
    };
    if row.num_decode_tokens_actual > row.num_decode_tokens {
        let problem = format!("{} tokens came of {} asked for", row.num_decode_tokens_actual, row.num_decode_tokens);
        return fail("num_decode_tokens_actual", problem);
    }
    if row.status == RequestStatus::Ok && row.num_decode_tokens_actual > 0 && row.first_token.is_none() {
        return fail("first_token_time_ns", "is blank though the request is `ok` and has tokens".to_owned());
    }
    if let Err((column, problem)) = row.check_order() {
        return fail(column, problem);
    }
    if let (Some(ttft), Some(first)) = (ttft, row.first_token) {
        let difference = first - row.arrival;
        if ttft != difference {
            let problem = format!("{ttft} is not first_token_time_ns - arrival_time_ns = {difference}");
            return fail("ttft_ns", problem);
        }
    }
    Ok(())
}

/// Writes rows one at a time, in the order given.
pub struct RequestWriter<W: Write> {
    csv: csv::Writer<W>,
    backend: String,
}

impl<W: Write> RequestWriter<W> {
    /// Writes the header; `backend` names what ran the requests (`candle-cpu`, `fidelio-sim`).
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W, backend: &str) -> Result<Self, DataError> {
        let mut csv = csv::Writer::from_writer(output);
        csv.write_record(HEADER).map_err(|error| write_error("request_metrics.csv", &error))?;
        Ok(RequestWriter { csv, backend: backend.to_owned() })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, row: &RequestRow) -> Result<(), DataError> {
        let time = |time: Option<Nanos>| time.map_or(String::new(), |time| time.0.to_string());
        let ttft = row.first_token.map(|first| first - row.arrival);
        self.csv
            .write_record([
                row.request_id.to_string(),
                row.arrival.0.to_string(),
                time(row.first_token),
                time(ttft),
                time(row.completion),
                row.num_prefill_tokens.to_string(),
                row.num_decode_tokens.to_string(),
                row.num_decode_tokens_actual.to_string(),
                row.status.as_str().to_owned(),
                self.backend.clone(),
                time(row.scheduled),
                row.num_preemptions.map_or(String::new(), |count| count.to_string()),
                row.error_msg.clone().unwrap_or_default(),
                time(row.sent),
            ])
            .map_err(|error| write_error("request_metrics.csv", &error))
    }

    /// Flushes what is buffered.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(&mut self) -> Result<(), DataError> {
        self.csv.flush().map_err(|error| DataError::new("request_metrics.csv", format!("cannot write: {error}")))
    }
}

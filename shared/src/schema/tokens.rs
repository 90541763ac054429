//! `token_metrics.csv`: one row a token, kept as one time column grouped by request.

use std::io::{Read, Write};

use crate::schema::table::TableReader;
use crate::schema::{DataError, write_error};
use crate::time::Nanos;

/// Marks a time that is not there; no time that is read is so late.
const ABSENT: u64 = u64::MAX;

/// Token times of a run: request `r` owns `times[offsets[r]..offsets[r + 1]]`, in token order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTimes {
    offsets: Vec<usize>,
    times: Vec<Nanos>,
}

impl TokenTimes {
    /// Groups the times of `per_request`, one list a request in id order.
    pub fn from_lists(per_request: &[Vec<Nanos>]) -> Self {
        let mut tokens = TokenTimes { offsets: vec![0], times: Vec::new() };
        for list in per_request {
            tokens.times.extend_from_slice(list);
            tokens.offsets.push(tokens.times.len());
        }
        tokens
    }

    /// Times of one request's tokens, non-decreasing; empty for a request that has none.
    pub fn of(&self, request_id: u32) -> &[Nanos] {
        let request = request_id as usize;
        match self.offsets.get(request..request + 2) {
            Some(range) => &self.times[range[0]..range[1]],
            None => &[],
        }
    }

    /// All tokens of the run.
    pub fn num_tokens(&self) -> usize {
        self.times.len()
    }
}

/// Reads and checks a whole file. Rows may come in any order (an engine writes them as they happen).
///
/// # Errors
/// The first broken cell or invariant, by file, line and column: an id not below `num_requests`, an
/// index twice or missing, a time that runs backwards, a latency that is not the difference.
pub fn read_tokens(file: &str, input: impl Read, num_requests: usize) -> Result<TokenTimes, DataError> {
    let mut table = TableReader::new(file, input)?;
    let id = table.required("request_id")?;
    let index = table.required("token_index")?;
    let time = table.required("token_time_ns")?;
    let latency = table.optional("token_latency_ns");

    let mut rows = Rows::new(num_requests);
    while table.next_row()? {
        let row = TokenRow {
            request: table.small_integer(id)?,
            index: table.small_integer(index)?,
            time: table.time(time)?,
            latency: latency.map_or(Ok(None), |column| table.optional_time(column))?,
        };
        if row.request as usize >= num_requests {
            let problem = format!("request {} is not in request_metrics.csv (it has {num_requests})", row.request);
            return Err(table.error(id, problem));
        }
        rows.push(row).map_err(|problem| match problem {
            Broken::Backwards(problem) => table.error(time, problem),
            Broken::Latency(problem) => table.error(latency.unwrap_or(time), problem),
        })?;
    }
    rows.finish(file)
}

/// One row of the file.
#[derive(Clone, Copy)]
struct TokenRow {
    request: u32,
    index: u32,
    time: Nanos,
    latency: Option<Nanos>,
}

/// What is wrong with a row that is in its place.
enum Broken {
    Backwards(String),
    Latency(String),
}

/// Rows read so far. While each request's tokens come in their order, as every engine writes them, a row is checked as
/// it comes and only its request and time are kept.
struct Rows {
    ids: Vec<u32>,
    times: Vec<u64>,
    /// Tokens of each request so far, and the time of the last.
    counts: Vec<usize>,
    last: Vec<Nanos>,
    /// Indices and latencies of all rows, from the first one out of order on.
    disordered: Option<(Vec<u32>, Vec<u64>)>,
}

impl Rows {
    fn new(num_requests: usize) -> Self {
        let (counts, last) = (vec![0; num_requests], vec![Nanos::ZERO; num_requests]);
        Rows { ids: Vec::new(), times: Vec::new(), counts, last, disordered: None }
    }

    fn push(&mut self, row: TokenRow) -> Result<(), Broken> {
        let request = row.request as usize;
        if self.disordered.is_none() && row.index as usize != self.counts[request] {
            self.disordered = Some((self.indices(), vec![ABSENT; self.ids.len()]));
        }
        match &mut self.disordered {
            Some((indices, latencies)) => {
                indices.push(row.index);
                latencies.push(row.latency.map_or(ABSENT, |span| span.0));
            }
            None => {
                let previous = if row.index == 0 { row.time } else { self.last[request] };
                check_gap(row, previous)?;
                self.last[request] = row.time;
            }
        }
        self.counts[request] += 1;
        self.ids.push(row.request);
        self.times.push(row.time.0);
        Ok(())
    }

    /// The indices of rows that came in order.
    fn indices(&self) -> Vec<u32> {
        let mut next = vec![0u32; self.counts.len()];
        let count = |id: &u32| {
            let index = next[*id as usize];
            next[*id as usize] += 1;
            index
        };
        self.ids.iter().map(count).collect()
    }

    fn finish(self, file: &str) -> Result<TokenTimes, DataError> {
        if let Some((indices, latencies)) = &self.disordered {
            return place(file, &self.counts, &self.ids, indices, &self.times, latencies);
        }
        let offsets = offsets(&self.counts);
        let mut next = offsets.clone();
        let mut placed = vec![Nanos::ZERO; self.times.len()];
        for (id, time) in self.ids.iter().zip(&self.times) {
            let slot = &mut next[*id as usize];
            placed[*slot] = Nanos(*time);
            *slot += 1;
        }
        Ok(TokenTimes { offsets, times: placed })
    }
}

fn offsets(counts: &[usize]) -> Vec<usize> {
    let mut sum = 0;
    let ends = counts.iter().map(|count| {
        sum += count;
        sum
    });
    std::iter::once(0).chain(ends).collect()
}

/// The row comes no earlier than the token before it, and its latency is the difference.
fn check_gap(row: TokenRow, previous: Nanos) -> Result<(), Broken> {
    let TokenRow { request, index, time, latency } = row;
    let Some(gap) = time.checked_sub(previous) else {
        let problem = format!("token {index} of request {request} is before token {}", index - 1);
        return Err(Broken::Backwards(problem));
    };
    match latency.filter(|latency| *latency != gap) {
        Some(latency) => Err(Broken::Latency(format!("{latency} is not the difference to the token before, {gap}"))),
        None => Ok(()),
    }
}

/// A counting sort by (request, index) that also finds gaps and doubles.
fn place(
    file: &str,
    counts: &[usize],
    ids: &[u32],
    indices: &[u32],
    times: &[u64],
    latencies: &[u64],
) -> Result<TokenTimes, DataError> {
    // Rows of ours span one line each; a quoted line break would shift the number, not the finding.
    let fail = |row: usize, column: &str, problem: String| {
        Err(DataError::new(file, problem).at_line(row as u64 + 2).in_column(column))
    };
    let offsets = offsets(counts);
    let mut placed = vec![Nanos(ABSENT); times.len()];
    for row in 0..times.len() {
        let (request, index) = (ids[row] as usize, indices[row] as usize);
        if index >= counts[request] {
            let problem =
                format!("request {request} has {} token rows, so index {index} leaves a gap", counts[request]);
            return fail(row, "token_index", problem);
        }
        let slot = &mut placed[offsets[request] + index];
        if slot.0 != ABSENT {
            return fail(row, "token_index", format!("request {request} has index {index} twice"));
        }
        *slot = Nanos(times[row]);
    }
    for row in 0..times.len() {
        let (request, index) = (ids[row] as usize, indices[row] as usize);
        let here = offsets[request] + index;
        let previous = if index == 0 { placed[here] } else { placed[here - 1] };
        let latency = Some(Nanos(latencies[row])).filter(|latency| latency.0 != ABSENT);
        let row_here = TokenRow { request: ids[row], index: indices[row], time: placed[here], latency };
        match check_gap(row_here, previous) {
            Ok(()) => {}
            Err(Broken::Backwards(problem)) => return fail(row, "token_time_ns", problem),
            Err(Broken::Latency(problem)) => return fail(row, "token_latency_ns", problem),
        }
    }
    Ok(TokenTimes { offsets, times: placed })
}

/// Writes token rows in the order they happen.
pub struct TokenWriter<W: Write> {
    csv: csv::Writer<W>,
    last: Vec<Nanos>,
    with_ids: bool,
}

impl<W: Write> TokenWriter<W> {
    /// Writes the header; `with_ids` adds the optional `token_id` column.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W, num_requests: usize, with_ids: bool) -> Result<Self, DataError> {
        let mut csv = csv::Writer::from_writer(output);
        let mut header = vec!["request_id", "token_index", "token_time_ns", "token_latency_ns"];
        if with_ids {
            header.push("token_id");
        }
        csv.write_record(header).map_err(|error| write_error("token_metrics.csv", &error))?;
        Ok(TokenWriter { csv, last: vec![Nanos::ZERO; num_requests], with_ids })
    }

    /// Writes one token; a request's tokens must come in order.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, request: u32, index: u32, time: Nanos, token: Option<u32>) -> Result<(), DataError> {
        let last = &mut self.last[request as usize];
        let gap = if index == 0 { Nanos::ZERO } else { time - *last };
        *last = time;
        let mut text = String::with_capacity(48);
        let token = token.unwrap_or_default();
        use std::fmt::Write as _;
        let written = if self.with_ids {
            write!(text, "{request},{index},{time},{gap},{token}")
        } else {
            write!(text, "{request},{index},{time},{gap}")
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        self.csv.write_record(text.split(',')).map_err(|error| write_error("token_metrics.csv", &error))
    }

    /// Flushes what is buffered.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(&mut self) -> Result<(), DataError> {
        self.csv.flush().map_err(|error| DataError::new("token_metrics.csv", format!("cannot write: {error}")))
    }
}

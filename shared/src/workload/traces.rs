//! Traces others published, recognised by their first line and read a row at a time. Knows bytes, not files.
//!
//! | trace | first line |
//! |---|---|
//! | Azure LLM inference 2023, 2024 | `TIMESTAMP,ContextTokens,GeneratedTokens` |
//! | Mooncake | `{"timestamp": 0, "input_length": 9, "output_length": 2, "hash_ids": [0]}`, times in ms |
//! | Vidur's lengths (arXiv, ShareGPT) | `num_prefill_tokens,num_decode_tokens,…` |
//! | Vidur's replay (Splitwise) | `arrived_at,num_prefill_tokens,num_decode_tokens`, times in seconds |
//! | tables of ours | `…,num_prefill_tokens,num_decode_tokens,…`, perhaps with `arrival_time_ns` |
//!
//! Columns may come in any order and with others between them. Times must not run backwards: a trace
//! out of order is refused at the line, because sorting it would need all of it in memory.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use crate::schema::table::{Column, MAX_LINE_BYTES, MAX_TIME, TableReader};
use crate::schema::{DataError, JsonLines, check_count, is_own_name};
use crate::time::Nanos;
use crate::workload::calendar;
use crate::workload::source::SourceRequest;

/// Tokens of one block of a Mooncake trace: each of its hashes stands for so many.
pub const MOONCAKE_BLOCK_TOKENS: u32 = 512;

/// What is told to someone whose file is none of them.
const KNOWN: &str = "traces have `num_prefill_tokens,num_decode_tokens` (perhaps with `arrived_at` in seconds or \
                     `arrival_time_ns`), `TIMESTAMP,ContextTokens,GeneratedTokens`, or a JSON object with \
                     `timestamp`, `input_length`, `output_length` on each line";

/// Reads the rows of one trace.
pub struct TraceReader<R: Read> {
    rows: Rows<R>,
    /// Time of the row before, on the trace's own clock.
    before: Nanos,
    /// The first row of a calendar is the start of the run.
    start: Option<Nanos>,
    num_rows: u64,
}

enum Rows<R: Read> {
    Table {
        table: Box<TableReader<BufReader<R>>>,
        prompt: Option<Column>,
        lengths: Option<(Column, Column)>,
        time: Option<TimeColumn>,
    },
    Mooncake(JsonLines<BufReader<R>>),
}

#[derive(Clone, Copy)]
enum TimeColumn {
    Nanos(Column),
    Seconds(Column),
    Calendar(Column),
}

impl TimeColumn {
    fn column(self) -> Column {
        let (TimeColumn::Nanos(column) | TimeColumn::Seconds(column) | TimeColumn::Calendar(column)) = self;
        column
    }
}

/// One line of a Mooncake trace.
#[derive(Deserialize)]
struct MooncakeRow {
    timestamp: serde_json::Number,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

impl<R: Read> TraceReader<R> {
    /// Recognises a trace of requests; `file` is the name errors will say.
    ///
    /// # Errors
    /// An unreadable input, or a first line of no known trace.
    pub fn requests(file: &str, input: R) -> Result<Self, DataError> {
        let reader = Self::open(file, input)?;
        if let Rows::Table { table, lengths: None, .. } = &reader.rows {
            let asked_first =
                if table.optional("ContextTokens").is_some() { "GeneratedTokens" } else { "num_prefill_tokens" };
            let error = table.required(asked_first).and_then(|_| table.required("num_decode_tokens"));
            return Err(with_known(error.err().unwrap_or_else(|| DataError::new(file, "holds no lengths"))));
        }
        Ok(reader)
    }

    /// Recognises a trace, or a table of nothing but times, for its times.
    ///
    /// # Errors
    /// An unreadable input, or a first line without a time.
    pub fn times(file: &str, input: R) -> Result<Self, DataError> {
        let reader = Self::open(file, input)?;
        if let Rows::Table { table, time: None, .. } = &reader.rows {
            let error = table.required("arrival_time_ns").err();
            return Err(with_known(error.unwrap_or_else(|| DataError::new(file, "holds no times"))));
        }
        Ok(reader)
    }

    fn open(file: &str, input: R) -> Result<Self, DataError> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let peeked = input.fill_buf().map_err(|error| DataError::new(file, format!("cannot read: {error}")))?;
        let text = peeked.strip_prefix(b"\xef\xbb\xbf").unwrap_or(peeked).trim_ascii_start();
        if text.first() == Some(&b'{') {
            let rows = Rows::Mooncake(JsonLines::new(file, input, MAX_LINE_BYTES as u64));
            return Ok(TraceReader { rows, before: Nanos::ZERO, start: None, num_rows: 0 });
        }
        let table = TableReader::new(file, input)?;
        let pair = |prefill, decode| table.optional(prefill).zip(table.optional(decode));
        let nanos = table.optional("arrival_time_ns").map(TimeColumn::Nanos);
        let seconds = || table.optional("arrived_at").map(TimeColumn::Seconds);
        let calendar = || table.optional("TIMESTAMP").map(TimeColumn::Calendar);
        let rows = Rows::Table {
            prompt: table.optional("prompt_id"),
            lengths: pair("num_prefill_tokens", "num_decode_tokens")
                .or_else(|| pair("ContextTokens", "GeneratedTokens")),
            time: nanos.or_else(seconds).or_else(calendar),
            table: Box::new(table),
        };
        Ok(TraceReader { rows, before: Nanos::ZERO, start: None, num_rows: 0 })
    }

    /// Its rows say when they arrive.
    pub fn has_times(&self) -> bool {
        !matches!(self.rows, Rows::Table { time: None, .. })
    }

    /// Tokens of one block, when its rows have block hashes.
    pub fn block_tokens(&self) -> Option<u32> {
        matches!(self.rows, Rows::Mooncake(_)).then_some(MOONCAKE_BLOCK_TOKENS)
    }

    fn read(&mut self) -> Result<Option<SourceRequest>, DataError> {
        let late = |time: Nanos| format!("{time} ns is later than any time of a run");
        match &mut self.rows {
            Rows::Mooncake(lines) => {
                let Some(line) = lines.next_line()? else { return Ok(None) };
                let parsed = serde_json::from_slice(line);
                let row: MooncakeRow = parsed.map_err(|error| {
                    let hint = "each line is {\"timestamp\": ms, \"input_length\": …, \"output_length\": …, \
                                \"hash_ids\": […]}";
                    lines.error(format!("is not a request of a Mooncake trace: {error}")).with_hint(hint)
                })?;
                let fail = |problem: String| lines.error(problem).in_column("timestamp");
                let time = nanos_of_millis(&row.timestamp)
                    .ok_or_else(|| fail(format!("{} ms is not a time of a run", row.timestamp)))?;
                if time > MAX_TIME {
                    return Err(fail(late(time)));
                }
                check_order(&mut self.before, time).map_err(|problem| fail(problem).with_hint(SORT))?;
                check_count(row.hash_ids.len(), row.input_length, MOONCAKE_BLOCK_TOKENS)
                    .map_err(|problem| lines.error(problem).in_column("hash_ids"))?;
                Ok(Some(SourceRequest {
                    prompt_id: String::new(),
                    num_prefill_tokens: row.input_length,
                    num_decode_tokens: Some(row.output_length),
                    arrival: Some(time),
                    hash_ids: row.hash_ids,
                }))
            }
            Rows::Table { table, prompt, lengths, time } => {
                if !table.next_row()? {
                    return Ok(None);
                }
                let mut row = SourceRequest::default();
                if let Some((prefill, decode)) = *lengths {
                    row.num_prefill_tokens = table.small_integer(prefill)?;
                    row.num_decode_tokens = Some(table.small_integer(decode)?);
                }
                if let Some(prompt) = *prompt {
                    let name = table.text(prompt)?.unwrap_or_default();
                    if !is_own_name(name, self.num_rows) {
                        row.prompt_id = name.to_owned();
                    }
                }
                if let Some(time) = *time {
                    let fail = |problem| table.error(time.column(), problem);
                    let found = time_of(table, time)?;
                    check_order(&mut self.before, found).map_err(|problem| fail(problem).with_hint(SORT))?;
                    let start = match time {
                        TimeColumn::Calendar(_) => *self.start.get_or_insert(found),
                        _ => Nanos::ZERO,
                    };
                    let arrival = found - start;
                    if arrival > MAX_TIME {
                        return Err(fail(late(arrival)));
                    }
                    row.arrival = Some(arrival);
                }
                self.num_rows += 1;
                Ok(Some(row))
            }
        }
    }
}

impl<R: Read> Iterator for TraceReader<R> {
    type Item = Result<SourceRequest, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

const SORT: &str = "sort the rows by time first";

fn check_order(before: &mut Nanos, time: Nanos) -> Result<(), String> {
    if time < *before {
        return Err("is earlier than the row before".to_owned());
    }
    *before = time;
    Ok(())
}

fn time_of<R: Read>(table: &TableReader<R>, column: TimeColumn) -> Result<Nanos, DataError> {
    match column {
        TimeColumn::Nanos(column) => table.time(column),
        TimeColumn::Seconds(column) => {
            let seconds = table.number(column)?;
            let time = Nanos::from_secs_f64(seconds).filter(|time| *time <= MAX_TIME);
            time.ok_or_else(|| table.error(column, format!("{seconds} s is not a time of a run")))
        }
        TimeColumn::Calendar(column) => {
            let text = table.text(column)?.ok_or_else(|| table.error(column, "is blank"))?;
            calendar::nanos_since_1970(text).ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                table.error(column, format!("`{shown}` is not a time")).with_hint(
                    "written as 2023-11-16 18:15:46.680590, from 1970 on, at most nine digits after the point",
                )
            })
        }
    }
}

/// Exact where the file says whole milliseconds, else to the nearest nanosecond.
fn nanos_of_millis(millis: &serde_json::Number) -> Option<Nanos> {
    match millis.as_u64() {
        Some(millis) => millis.checked_mul(1_000_000).map(Nanos),
        None => Nanos::from_secs_f64(millis.as_f64()? / 1e3),
    }
}

fn with_known(error: DataError) -> DataError {
    let hint = error.hint.as_deref().map_or_else(|| KNOWN.to_owned(), |hint| format!("{hint}; {KNOWN}"));
    error.with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<SourceRequest>, DataError> {
        TraceReader::requests("t.csv", text.as_bytes())?.collect()
    }

    fn rows(text: &str) -> Vec<(u64, u32, u32)> {
        let rows = read(text).unwrap_or_else(|error| panic!("{error}"));
        let row = |row: &SourceRequest| {
            let arrival = row.arrival.map_or(u64::MAX, |time| time.0);
            (arrival, row.num_prefill_tokens, row.num_decode_tokens.expect("given"))
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn azure_times_are_exact_and_start_at_the_first_row() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n\
                    2023-11-16 18:15:50.9951690,396,109\r\n";
        assert_eq!(rows(text), [(0, 374, 44), (4_314_579_000, 396, 109)]);
        let later = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 23:59:59.999999999+00:00,2,10\n\
                     2024-05-11 00:00:00+00:00,3,4";
        assert_eq!(rows(later), [(0, 2, 10), (1, 3, 4)]);
    }

    #[test]
    fn mooncake_lines_have_milliseconds_and_block_hashes() {
        let text = "\u{feff}{\"timestamp\": 7, \"input_length\": 513, \"output_length\": 6, \"hash_ids\": [3, 9]}\n\n\
                    {\"timestamp\": 7.5, \"input_length\": 5, \"output_length\": 1, \"round\": 2}";
        assert_eq!(rows(text), [(7_000_000, 513, 6), (7_500_000, 5, 1)]);
        let reader = TraceReader::requests("t.jsonl", text.as_bytes()).expect("a trace");
        assert_eq!((reader.block_tokens(), reader.has_times()), (Some(512), true));
        assert_eq!(read(text).expect("good")[0].hash_ids, [3, 9]);
    }

    #[test]
    fn vidur_s_lengths_have_no_times_and_its_replays_have_seconds() {
        let lengths = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n3772,54,3826,69.85\n";
        assert_eq!(rows(lengths), [(u64::MAX, 3772, 54)]);
        assert!(!TraceReader::requests("t.csv", lengths.as_bytes()).expect("a trace").has_times());
        assert_eq!(
            rows("arrived_at,num_prefill_tokens,num_decode_tokens\n0.25,9.0,2\n1.5,3,1\n"),
            [(250_000_000, 9, 2), (1_500_000_000, 3, 1)]
        );
        assert_eq!(rows("num_decode_tokens,x,arrival_time_ns,num_prefill_tokens\n1,a,5,2\n"), [(5, 2, 1)]);
    }

    #[test]
    fn a_bad_row_is_named_by_line_and_column() {
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,1,2\n";
        let mooncake = "{\"timestamp\": 5, \"input_length\": 5, \"output_length\": 6, \"hash_ids\": [3]}\n";
        for (text, line, column, words) in [
            (format!("{azure}2023-11-16 18:15:46.4,1,2"), 3, "TIMESTAMP", "is earlier than the row before"),
            (format!("{azure}2023-02-29 18:15:46.4,1,2"), 3, "TIMESTAMP", "`2023-02-29 18:15:46.4` is not a time"),
            (format!("{azure}2023-11-16 18:15:47,x,2"), 3, "ContextTokens", "`x` is not a whole number"),
            (format!("{azure}2023-11-16 18:15:47,1,-2"), 3, "GeneratedTokens", "`-2` is negative"),
            (format!("{mooncake}\n{}", mooncake.replace('5', "4")), 3, "timestamp", "is earlier than the row before"),
            (
                mooncake.replace("[3]", "[3, 4]"),
                1,
                "hash_ids",
                "2 hashes are more than the 1 blocks of 512 in 5 tokens",
            ),
            ("arrived_at,num_prefill_tokens,num_decode_tokens\n1e12,1,1".to_owned(), 2, "arrived_at", "not a time"),
        ] {
            let error = read(&text).expect_err(words);
            assert_eq!((error.line, error.column.as_deref()), (Some(line), Some(column)), "{error}");
            assert!(error.problem.contains(words), "{error}");
        }
        let field = read(&mooncake.replace("5", "-5")).expect_err("a negative length");
        assert!(field.line == Some(1) && field.hint.is_some(), "{field}");
    }

    #[test]
    fn a_file_that_is_no_trace_is_told_what_traces_look_like() {
        for (text, column) in [
            ("time,tokens\n1,2\n", "num_prefill_tokens"),
            ("TIMESTAMP,ContextTokens\n", "GeneratedTokens"),
            ("num_prefill_tokens\n", "num_decode_tokens"),
        ] {
            let error = read(text).expect_err("not a trace");
            assert_eq!((error.line, error.column.as_deref()), (Some(1), Some(column)), "{error}");
            assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("TIMESTAMP,ContextTokens")), "{error:?}");
        }
        let error = TraceReader::times("t.csv", &b"num_prefill_tokens,num_decode_tokens\n"[..]).err();
        assert_eq!(error.expect("no times").column.as_deref(), Some("arrival_time_ns"));
        assert!(read("").expect_err("empty").problem.contains("is empty"));
    }
}

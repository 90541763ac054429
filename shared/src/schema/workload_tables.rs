//! A workload's `trace_lengths.csv` and `trace_intervals.csv`, a request at a time.

use std::fmt::Write as _;
use std::io::{Read, Write};

use crate::schema::requests::check_id;
use crate::schema::table::{Column, TableReader};
use crate::schema::workload::UNNAMED;
use crate::schema::{DataError, WorkloadRow, write_error};
use crate::time::Nanos;

/// Writes `trace_lengths.csv` a request at a time.
pub struct LengthWriter<W: Write>(NumberedRows<W>);

impl<W: Write> LengthWriter<W> {
    /// Begins the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W) -> Result<Self, DataError> {
        let columns = ["request_id", "prompt_id", "num_prefill_tokens", "num_decode_tokens"];
        NumberedRows::new("trace_lengths.csv", output, &columns).map(LengthWriter)
    }

    /// Adds the next request.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, row: &WorkloadRow) -> Result<(), DataError> {
        let name = row.prompt_name(self.0.next_id);
        self.0.write(Some(&name), [u64::from(row.num_prefill_tokens), u64::from(row.num_decode_tokens)])
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(self) -> Result<(), DataError> {
        self.0.flush()
    }
}

/// Writes `trace_intervals.csv` a request at a time.
pub struct IntervalWriter<W: Write>(NumberedRows<W>);

impl<W: Write> IntervalWriter<W> {
    /// Begins the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W) -> Result<Self, DataError> {
        let columns = ["request_id", "inter_arrival_ns", "arrival_time_ns"];
        NumberedRows::new("trace_intervals.csv", output, &columns).map(IntervalWriter)
    }

    /// Adds the next request.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, row: &WorkloadRow) -> Result<(), DataError> {
        self.0.write(None, [row.inter_arrival.0, row.arrival.0])
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(self) -> Result<(), DataError> {
        self.0.flush()
    }
}

/// A CSV table whose rows are numbered from 0, then perhaps a name, then two numbers.
struct NumberedRows<W: Write> {
    file: &'static str,
    csv: csv::Writer<W>,
    next_id: u64,
    cell: String,
}

impl<W: Write> NumberedRows<W> {
    fn new(file: &'static str, output: W, columns: &[&str]) -> Result<Self, DataError> {
        let mut csv = csv::Writer::from_writer(output);
        csv.write_record(columns).map_err(|error| write_error(file, &error))?;
        Ok(NumberedRows { file, csv, next_id: 0, cell: String::new() })
    }

    fn write(&mut self, name: Option<&str>, numbers: [u64; 2]) -> Result<(), DataError> {
        let NumberedRows { csv, cell, next_id, .. } = self;
        let mut number = |csv: &mut csv::Writer<W>, value: u64| {
            cell.clear();
            let _ = write!(cell, "{value}");
            csv.write_field(&*cell)
        };
        let mut write = || {
            number(csv, *next_id)?;
            name.map_or(Ok(()), |name| csv.write_field(name))?;
            number(csv, numbers[0])?;
            number(csv, numbers[1])?;
            csv.write_record(None::<&[u8]>)
        };
        write().map_err(|error: csv::Error| write_error(self.file, &error))?;
        self.next_id += 1;
        Ok(())
    }

    fn flush(mut self) -> Result<(), DataError> {
        self.csv.flush().map_err(|error| write_error(self.file, &error))
    }
}

/// `name` says nothing but the request's number: what [`WorkloadRow::prompt_name`] makes of no name.
pub(crate) fn is_own_name(name: &str, request_id: u64) -> bool {
    let Some(number) = name.strip_prefix(UNNAMED) else { return false };
    // Without leading zeros, so that the name comes back as it was.
    let num_digits = request_id.checked_ilog10().unwrap_or(0) as usize + 1;
    number.len() == num_digits && number.parse() == Ok(request_id)
}

/// The rows of `trace_lengths.csv`, one at a time; arrivals stay zero.
pub struct LengthReader<R: Read> {
    table: TableReader<R>,
    id: Column,
    prompt: Option<Column>,
    prefill: Column,
    decode: Column,
    next_id: u64,
}

impl<R: Read> LengthReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it lacks a column.
    pub fn new(file: &str, input: R) -> Result<Self, DataError> {
        let table = TableReader::new(file, input)?;
        let id = table.required("request_id")?;
        let prompt = table.optional("prompt_id");
        let prefill = table.required("num_prefill_tokens")?;
        let decode = table.required("num_decode_tokens")?;
        Ok(LengthReader { table, id, prompt, prefill, decode, next_id: 0 })
    }

    fn read(&mut self) -> Result<Option<WorkloadRow>, DataError> {
        let table = &mut self.table;
        if !table.next_row()? {
            return Ok(None);
        }
        check_id(table.file(), table.line(), self.next_id, table.integer(self.id)?)?;
        let name = self.prompt.map_or(Ok(None), |column| table.text(column))?.unwrap_or_default();
        let row = WorkloadRow {
            prompt_id: if is_own_name(name, self.next_id) { String::new() } else { name.to_owned() },
            num_prefill_tokens: table.small_integer(self.prefill)?,
            num_decode_tokens: table.small_integer(self.decode)?,
            ..WorkloadRow::default()
        };
        self.next_id += 1;
        Ok(Some(row))
    }
}

impl<R: Read> Iterator for LengthReader<R> {
    type Item = Result<WorkloadRow, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Reads `trace_lengths.csv` alone; arrivals stay zero.
///
/// # Errors
/// The first broken cell or invariant, by file, line and column.
pub fn read_lengths(file: &str, input: impl Read) -> Result<Vec<WorkloadRow>, DataError> {
    let rows: Vec<WorkloadRow> = LengthReader::new(file, input)?.collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Err(DataError::new(file, "holds no request: it has a header and nothing else"));
    }
    Ok(rows)
}

/// Reads `trace_intervals.csv` alone: `each` takes request, gap and arrival.
///
/// # Errors
/// The first broken cell, or an arrival that is not the running sum of the gaps.
pub fn read_intervals(file: &str, input: impl Read, mut each: impl FnMut(u64, Nanos, Nanos)) -> Result<u64, DataError> {
    let mut table = TableReader::new(file, input)?;
    let id = table.required("request_id")?;
    let gap = table.required("inter_arrival_ns")?;
    let arrival = table.required("arrival_time_ns")?;
    let mut num_rows = 0;
    let mut sum = Nanos::ZERO;
    while table.next_row()? {
        check_id(file, table.line(), num_rows, table.integer(id)?)?;
        let span = table.time(gap)?;
        // Two times that were taken fit 64 bits together; a sum that is too late is no arrival that is taken.
        sum += span;
        let time = table.time(arrival)?;
        if time != sum {
            let problem = format!("{time} is not the running sum of inter_arrival_ns, {sum}");
            return Err(table.error(arrival, problem));
        }
        each(num_rows, span, time);
        num_rows += 1;
    }
    Ok(num_rows)
}

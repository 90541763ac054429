//! Streaming CSV with named columns: any order, extra columns ignored, CRLF and BOM taken, lines bounded.

use std::io::{self, BufRead, BufReader, Read};

use crate::decimal::decimal;
use crate::schema::DataError;
use crate::time::Nanos;

/// A line longer than this is refused: no table of ours has one, and an endless line must not fill memory.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Latest time taken: what a signed 64-bit column of another tool holds. Half of what [`Nanos`] could
/// hold, so that a step more or a rounding never overflows.
pub const MAX_TIME: Nanos = Nanos(i64::MAX as u64);

/// Longest latency taken, 2.9 years: quantiles count hundredths of a nanosecond in 64 bits, and a
/// longer one would not be printed as it is.
pub const MAX_SPAN: Nanos = Nanos(i64::MAX as u64 / 100);

/// Reads one CSV table. Columns are asked for by name once, then rows are read by position.
pub struct TableReader<R: Read> {
    file: String,
    csv: csv::Reader<BoundedLines<R>>,
    headers: Vec<String>,
    record: csv::ByteRecord,
}

/// A column found in the header.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    index: usize,
}

impl<R: Read> TableReader<R> {
    /// Reads the header of `input`; `file` is the name errors will say.
    ///
    /// # Errors
    /// An empty file, an unreadable one, or a header that names a column twice.
    pub fn new(file: &str, input: R) -> Result<Self, DataError> {
        let mut csv =
            csv::ReaderBuilder::new().flexible(false).trim(csv::Trim::Headers).from_reader(BoundedLines::new(input));
        let headers: Vec<String> = match csv.byte_headers() {
            Ok(record) => record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            Err(error) => return Err(from_csv(file, &error)),
        };
        if headers.is_empty() || headers == [""] {
            return Err(DataError::new(file, "is empty: it has no header line"));
        }
        for (index, name) in headers.iter().enumerate() {
            if !name.is_empty() && headers[..index].contains(name) {
                return Err(DataError::new(file, "the header names this column twice").at_line(1).in_column(name));
            }
        }
        Ok(TableReader { file: file.to_owned(), csv, headers, record: csv::ByteRecord::new() })
    }

    /// The column called `name`, if the header has it.
    pub fn optional(&self, name: &'static str) -> Option<Column> {
        self.headers.iter().position(|header| header == name).map(|index| Column { name, index })
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// When the header lacks it; the message lists what the header has.
    pub fn required(&self, name: &'static str) -> Result<Column, DataError> {
        self.optional(name).ok_or_else(|| {
            let shown: Vec<&str> = self.headers.iter().take(20).map(String::as_str).collect();
            DataError::new(&self.file, "the header lacks this required column")
                .at_line(1)
                .in_column(name)
                .with_hint(format!("the header has: {}", shown.join(", ")))
        })
    }

    /// The columns called `names`, in that order.
    ///
    /// # Errors
    /// As [`TableReader::required`], for the first that is missing.
    pub fn all_required<const N: usize>(&self, names: &[&'static str; N]) -> Result<[Column; N], DataError> {
        let columns: Vec<Column> = names.iter().map(|name| self.required(name)).collect::<Result<_, _>>()?;
        Ok(columns.try_into().expect("as many columns as names"))
    }

    /// Reads the next row; `false` at the end.
    ///
    /// # Errors
    /// A row of another length than the header, a line too long, or an input error.
    pub fn next_row(&mut self) -> Result<bool, DataError> {
        self.csv.read_byte_record(&mut self.record).map_err(|error| from_csv(&self.file, &error))
    }

    /// The line the current row began on, from 1.
    pub fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The bytes of one cell.
    pub fn cell(&self, column: Column) -> &[u8] {
        trim(self.record.get(column.index).unwrap_or_default())
    }

    /// One cell as text; `None` when blank.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self, column: Column) -> Result<Option<&str>, DataError> {
        match std::str::from_utf8(self.cell(column)) {
            Ok("") => Ok(None),
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(column, "is not UTF-8 text")),
        }
    }

    /// One cell as a non-negative integer; `None` when blank. An integral float (`12.0`), as pandas
    /// writes integer columns with gaps, is taken.
    ///
    /// # Errors
    /// When it is something else; the message shows what.
    pub fn optional_integer(&self, column: Column) -> Result<Option<u64>, DataError> {
        let cell = self.cell(column);
        if cell.is_empty() {
            return Ok(None);
        }
        if let Some(value) = parse_digits(cell) {
            return Ok(Some(value));
        }
        let shown = String::from_utf8_lossy(&cell[..cell.len().min(40)]);
        let number = std::str::from_utf8(cell).ok().and_then(decimal).ok_or(());
        match number {
            Ok(value) if value.is_nan() => Err(self.error(column, "is not a number (NaN)")),
            Ok(value) if value < 0.0 => Err(self.error(column, format!("`{shown}` is negative"))),
            Ok(value) if libm::floor(value) == value && value < 9_007_199_254_740_992.0 => Ok(Some(value as u64)),
            _ => Err(self.error(column, format!("`{shown}` is not a whole number that fits 64 bits"))),
        }
    }

    /// One cell as a non-negative integer.
    ///
    /// # Errors
    /// When it is blank or something else.
    pub fn integer(&self, column: Column) -> Result<u64, DataError> {
        self.optional_integer(column)?.ok_or_else(|| self.error(column, "is blank"))
    }

    /// One cell as an integer below 2^32.
    ///
    /// # Errors
    /// When it is blank, larger, or something else.
    pub fn small_integer(&self, column: Column) -> Result<u32, DataError> {
        let value = self.integer(column)?;
        u32::try_from(value).map_err(|_| self.error(column, format!("{value} is larger than 4294967295")))
    }

    /// One cell as a time; `None` when blank.
    ///
    /// # Errors
    /// When it is later than [`MAX_TIME`], or no integer.
    pub fn optional_time(&self, column: Column) -> Result<Option<Nanos>, DataError> {
        match self.optional_integer(column)?.map(Nanos) {
            Some(time) if time > MAX_TIME => Err(self.error(column, format!("{time} is later than any time of a run"))),
            time => Ok(time),
        }
    }

    /// One cell as a time.
    ///
    /// # Errors
    /// When it is blank, later than [`MAX_TIME`], or no integer.
    pub fn time(&self, column: Column) -> Result<Nanos, DataError> {
        self.optional_time(column)?.ok_or_else(|| self.error(column, "is blank"))
    }

    /// One cell as a finite number.
    ///
    /// # Errors
    /// When it is blank, NaN, infinite or not a number.
    pub fn number(&self, column: Column) -> Result<f64, DataError> {
        let text = self.text(column)?.ok_or_else(|| self.error(column, "is blank"))?;
        match decimal(text) {
            Some(value) if value.is_finite() => Ok(value),
            _ => Err(self.error(column, format!("`{text}` is not a finite number"))),
        }
    }

    /// One cell as a span in seconds; `None` when blank.
    ///
    /// # Errors
    /// When it is negative, longer than [`MAX_SPAN`], or not a finite number.
    pub fn optional_seconds(&self, column: Column) -> Result<Option<f64>, DataError> {
        if self.cell(column).is_empty() {
            return Ok(None);
        }
        match self.number(column)? {
            value if value < 0.0 => Err(self.error(column, format!("{value} s is negative"))),
            value if Nanos::from_secs_f64(value).is_some_and(|span| span <= MAX_SPAN) => Ok(Some(value)),
            value => Err(self.error(column, format!("{value} s is years long"))),
        }
    }

    /// One cell as a span in seconds.
    ///
    /// # Errors
    /// When it is blank, or as [`TableReader::optional_seconds`].
    pub fn seconds(&self, column: Column) -> Result<f64, DataError> {
        self.optional_seconds(column)?.ok_or_else(|| self.error(column, "is blank"))
    }

    /// An error about a cell of the current row.
    pub fn error(&self, column: Column, problem: impl Into<String>) -> DataError {
        DataError::new(&self.file, problem).at_line(self.line()).in_column(column.name)
    }

    /// The file name given to [`TableReader::new`].
    pub fn file(&self) -> &str {
        &self.file
    }
}

fn trim(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

fn parse_digits(cell: &[u8]) -> Option<u64> {
    if cell.is_empty() || cell.len() > 20 {
        return None;
    }
    cell.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn from_csv(file: &str, error: &csv::Error) -> DataError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let found = DataError::new(file, format!("the row has {len} cells, the header has {expected_len}"))
                .with_hint("the file may be cut off in the middle of a row");
            match pos {
                Some(pos) => found.at_line(pos.line()),
                None => found,
            }
        }
        csv::ErrorKind::Io(error) => DataError::new(file, error.to_string()),
        _ => DataError::new(file, error.to_string()),
    }
}

/// Passes bytes through, and fails when no row ends within [`MAX_LINE_BYTES`]. A line break inside
/// quotes ends no row, so one stray quote cannot make the rest of a file one row in memory.
struct BoundedLines<R: Read> {
    inner: BufReader<R>,
    since_newline: usize,
    is_quoted: bool,
}

impl<R: Read> BoundedLines<R> {
    fn new(inner: R) -> Self {
        BoundedLines { inner: BufReader::with_capacity(1 << 16, inner), since_newline: 0, is_quoted: false }
    }
}

impl<R: Read> Read for BoundedLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.inner.fill_buf()?;
        let count = available.len().min(out.len());
        let bytes = &available[..count];
        if self.is_quoted || bytes.contains(&b'"') {
            for byte in bytes {
                self.is_quoted ^= *byte == b'"';
                let ends_row = *byte == b'\n' && !self.is_quoted;
                self.since_newline = if ends_row { 0 } else { self.since_newline + 1 };
            }
        } else {
            self.since_newline = match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(last) => count - last - 1,
                None => self.since_newline + count,
            };
        }
        if self.since_newline > MAX_LINE_BYTES {
            let message = format!(
                "a row is longer than {MAX_LINE_BYTES} bytes: an endless line, or a quote that is never closed"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        out[..count].copy_from_slice(bytes);
        self.inner.consume(count);
        Ok(count)
    }
}

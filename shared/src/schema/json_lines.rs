//! JSON lines, one at a time: numbered, bounded, blank ones skipped, a byte-order mark taken.

use std::io::{BufRead, BufReader, Read};

use crate::schema::DataError;

/// Reads the lines of one file.
pub(crate) struct JsonLines<R: Read> {
    file: String,
    input: BufReader<R>,
    max_bytes: u64,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> JsonLines<R> {
    /// Lines of `input`; `file` is the name errors say, a line above `max_bytes` is refused.
    pub(crate) fn new(file: &str, input: R, max_bytes: u64) -> Self {
        let input = BufReader::with_capacity(1 << 16, input);
        JsonLines { file: file.to_owned(), input, max_bytes, line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, without white space at its ends; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, DataError> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = self.input.by_ref().take(self.max_bytes + 1).read_until(b'\n', &mut self.line);
            let length = read.map_err(|error| self.error(error.to_string()))?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 > self.max_bytes {
                return Err(self.error(format!("is longer than {} bytes", self.max_bytes)));
            }
            if !trimmed(&self.line).is_empty() {
                return Ok(Some(trimmed(&self.line)));
            }
        }
    }

    /// The current line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// An error about the current line.
    pub(crate) fn error(&self, problem: impl Into<String>) -> DataError {
        DataError::new(&self.file, problem).at_line(self.number)
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

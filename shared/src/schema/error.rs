//! The one error of reading and checking data: which file, line, column or field, what is wrong, what to do.

use std::fmt;

/// Why an artifact could not be read. Prints as one line: place, then problem; the hint is apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// File name as the reader was told it.
    pub file: String,
    /// Line in the file, from 1 (the header is line 1).
    pub line: Option<u64>,
    /// Column of a table or field of a JSON document.
    pub column: Option<String>,
    /// What is wrong, lower case, no full stop.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl DataError {
    /// An error about a whole file.
    pub fn new(file: impl Into<String>, problem: impl Into<String>) -> Self {
        DataError { file: file.into(), line: None, column: None, problem: problem.into(), hint: None }
    }

    /// Adds the line, from 1.
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Adds the column or field.
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// Adds what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.file)?;
        if let Some(line) = self.line {
            write!(out, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            let word = if self.file.ends_with(".csv") || self.file.ends_with(".gz") { "column" } else { "field" };
            write!(out, ", {word} `{column}`")?;
        }
        write!(out, ": {}", self.problem)
    }
}

impl std::error::Error for DataError {}

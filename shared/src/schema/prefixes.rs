//! A workload's `trace_prefixes.csv`: which blocks each prompt begins with, as hashes that equal prompts share.

use std::io::{Read, Write};

use crate::schema::requests::check_id;
use crate::schema::table::TableReader;
use crate::schema::{DataError, WorkloadRow, write_error};

const FILE: &str = "trace_prefixes.csv";

/// Block hashes of every prompt, in columns: two prompts whose first hashes are equal begin with the
/// same tokens. The last hash of a prompt may stand for a block that is not full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Tokens of one block.
    pub block_tokens: u32,
    /// Where each request's hashes begin, and where the last one's end.
    offsets: Vec<u64>,
    hashes: Vec<u64>,
}

impl Prefixes {
    /// Those of no request yet.
    pub fn new(block_tokens: u32) -> Self {
        Prefixes { block_tokens, offsets: vec![0], hashes: Vec::new() }
    }

    /// Adds the hashes of the next request.
    pub fn push(&mut self, hashes: impl IntoIterator<Item = u64>) {
        self.hashes.extend(hashes);
        self.offsets.push(self.hashes.len() as u64);
    }

    /// The hashes of one request, first block first.
    ///
    /// # Panics
    /// When there is no such request.
    pub fn of(&self, request_id: u32) -> &[u64] {
        let (start, end) = (self.offsets[request_id as usize], self.offsets[request_id as usize + 1]);
        &self.hashes[start as usize..end as usize]
    }

    /// How many requests there are.
    pub fn num_requests(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Hashes of all requests together.
    pub fn num_hashes(&self) -> usize {
        self.hashes.len()
    }
}

/// A prompt of `num_prefill_tokens` cannot have so many blocks.
pub(crate) fn check_count(num_hashes: usize, num_prefill_tokens: u32, block_tokens: u32) -> Result<(), String> {
    let most = num_prefill_tokens.div_ceil(block_tokens);
    if num_hashes as u64 <= u64::from(most) {
        return Ok(());
    }
    Err(format!("{num_hashes} hashes are more than the {most} blocks of {block_tokens} in {num_prefill_tokens} tokens"))
}

/// Writes `trace_prefixes.csv` a request at a time.
pub struct PrefixWriter<W: Write> {
    output: W,
    block_tokens: u32,
    next_id: u64,
}

impl<W: Write> PrefixWriter<W> {
    /// Begins the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(mut output: W, block_tokens: u32) -> Result<Self, DataError> {
        output.write_all(b"request_id,block_tokens,hash_ids\n").map_err(|error| write_error(FILE, &error))?;
        Ok(PrefixWriter { output, block_tokens, next_id: 0 })
    }

    /// Adds the next request.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, hashes: &[u64]) -> Result<(), DataError> {
        let mut write = || {
            write!(self.output, "{},{},", self.next_id, self.block_tokens)?;
            for (index, hash) in hashes.iter().enumerate() {
                let space = if index > 0 { " " } else { "" };
                write!(self.output, "{space}{hash}")?;
            }
            self.output.write_all(b"\n")
        };
        write().map_err(|error| write_error(FILE, &error))?;
        self.next_id += 1;
        Ok(())
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the output fails.
    pub fn flush(mut self) -> Result<(), DataError> {
        self.output.flush().map_err(|error| write_error(FILE, &error))
    }
}

/// Reads `trace_prefixes.csv` of the requests in `rows`.
///
/// # Errors
/// The first broken cell, a block size that changes, more blocks than the prompt has tokens for, or
/// another number of rows than there are requests.
pub fn read_prefixes(file: &str, input: impl Read, rows: &[WorkloadRow]) -> Result<Prefixes, DataError> {
    let mut table = TableReader::new(file, input)?;
    let id = table.required("request_id")?;
    let block = table.required("block_tokens")?;
    let hash_ids = table.required("hash_ids")?;
    let mut prefixes: Option<Prefixes> = None;
    let mut found: Vec<u64> = Vec::new();
    let mut num_rows = 0usize;
    while table.next_row()? {
        check_id(file, table.line(), num_rows as u64, table.integer(id)?)?;
        let row = rows.get(num_rows).ok_or_else(|| {
            table.error(id, format!("request {num_rows} is not in the workload, which has {}", rows.len()))
        })?;
        let block_tokens = table.small_integer(block)?;
        if block_tokens == 0 {
            return Err(table.error(block, "must be at least 1"));
        }
        let prefixes = prefixes.get_or_insert_with(|| Prefixes::new(block_tokens));
        if block_tokens != prefixes.block_tokens {
            let problem = format!("{block_tokens} is not the {} of the rows before", prefixes.block_tokens);
            return Err(table.error(block, problem));
        }
        found.clear();
        for word in table.cell(hash_ids).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            let hash = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).ok_or_else(|| {
                let shown = String::from_utf8_lossy(&word[..word.len().min(40)]);
                table.error(hash_ids, format!("`{shown}` is not a whole number that fits 64 bits"))
            })?;
            found.push(hash);
        }
        check_count(found.len(), row.num_prefill_tokens, block_tokens)
            .map_err(|problem| table.error(hash_ids, problem))?;
        prefixes.push(found.iter().copied());
        num_rows += 1;
    }
    if num_rows != rows.len() {
        return Err(DataError::new(file, format!("has {num_rows} rows, the workload has {} requests", rows.len())));
    }
    prefixes.ok_or_else(|| DataError::new(file, "holds no request: it has a header and nothing else"))
}

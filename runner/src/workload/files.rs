//! Input files of a workload: prompts, lengths, traces, output lengths by prompt, arrival times; plain or gzipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use fidelio_shared::schema::table::TableReader;
use fidelio_shared::schema::{self, DataError, LengthReader, PromptRow};
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::{Open, SourceRequest, TraceReader};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::config::DEMO_PROMPTS;

/// Names the prompts that ship with the program.
pub const BUILTIN_DEMO: &str = "builtin:demo";

/// Unpacked bytes taken of one file: a gzip bomb ends here.
const MAX_BYTES: u64 = 2 << 30;

/// A prompts file that was read.
#[derive(Clone, Debug)]
pub struct PromptFile {
    /// Its prompts, in order.
    pub prompts: Vec<PromptRow>,
    /// SHA-256 of its unpacked bytes.
    pub sha256: String,
}

/// Reads `builtin:demo` or a prompts file.
///
/// # Errors
/// When it cannot be read, or the first bad line.
pub fn read_prompt_file(path: &str) -> Result<PromptFile, DataError> {
    let mut input = Hashing { inner: open(path)?, hash: Sha256::new() };
    let prompts = schema::read_prompts(path, &mut input)?;
    Ok(PromptFile { prompts, sha256: schema::hex(&input.hash.finalize()) })
}

/// The rows of a table of lengths (`trace_lengths.csv`), opened as often as needed.
pub fn lengths_source(path: &str) -> Open<SourceRequest> {
    let path = path.to_owned();
    Box::new(move || {
        let rows = LengthReader::new(&path, open(&path)?)?;
        Ok(Box::new(rows.map(|row| {
            let row = row?;
            Ok(SourceRequest {
                prompt_id: row.prompt_id,
                num_prefill_tokens: row.num_prefill_tokens,
                num_decode_tokens: Some(row.num_decode_tokens),
                ..SourceRequest::default()
            })
        })))
    })
}

/// A trace that was recognised: its rows, opened as often as needed, and what they have.
pub struct TraceFile {
    /// Its rows, from the first on.
    pub rows: Open<SourceRequest>,
    /// They say when they arrive.
    pub has_times: bool,
    /// Tokens of a block, when they have block hashes.
    pub block_tokens: Option<u32>,
}

/// Looks at the first line of a trace.
///
/// # Errors
/// When it cannot be read, or is of no known trace.
pub fn trace_source(path: &str) -> Result<TraceFile, DataError> {
    let reader = TraceReader::requests(path, open(path)?)?;
    let (has_times, block_tokens, path) = (reader.has_times(), reader.block_tokens(), path.to_owned());
    let rows: Open<SourceRequest> = Box::new(move || Ok(Box::new(TraceReader::requests(&path, open(&path)?)?)));
    Ok(TraceFile { rows, has_times, block_tokens })
}

/// The arrival times of a table (`trace_intervals.csv`) or a trace, ascending, opened as often as needed.
pub fn times_source(path: &str) -> Open<Nanos> {
    let path = path.to_owned();
    Box::new(move || {
        let rows = TraceReader::times(&path, open(&path)?)?;
        Ok(Box::new(rows.map(|row| row.map(|row| row.arrival.unwrap_or_default()))))
    })
}

/// SHA-256 of a file's unpacked bytes, in hex.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &str) -> Result<String, DataError> {
    let mut input = Hashing { inner: open(path)?, hash: Sha256::new() };
    io::copy(&mut input, &mut io::sink()).map_err(|error| DataError::new(path, format!("cannot read: {error}")))?;
    Ok(schema::hex(&input.hash.finalize()))
}

/// Reads output lengths by `prompt_id` (`num_decode_tokens`); `trace_lengths.csv` is such a table.
///
/// # Errors
/// When it cannot be read, the first bad row, or a prompt with two different lengths.
pub fn read_decode_lengths(path: &str) -> Result<BTreeMap<String, u32>, DataError> {
    let mut table = TableReader::new(path, open(path)?)?;
    let prompt = table.required("prompt_id")?;
    let decode = table.required("num_decode_tokens")?;
    let mut lengths = BTreeMap::new();
    while table.next_row()? {
        let id = table.text(prompt)?.ok_or_else(|| table.error(prompt, "is blank"))?.to_owned();
        let length = table.small_integer(decode)?;
        if let Some(before) = lengths.insert(id, length).filter(|before| *before != length) {
            return Err(
                table.error(decode, format!("{length} contradicts {before} in an earlier row of the same prompt"))
            );
        }
    }
    Ok(lengths)
}

fn open(path: &str) -> Result<Box<dyn Read>, DataError> {
    if let Some(name) = path.strip_prefix("builtin:") {
        let unknown = || {
            DataError::new(path, format!("there is no built-in `{name}`"))
                .with_hint(format!("the only one is `{BUILTIN_DEMO}`"))
        };
        return if path == BUILTIN_DEMO { Ok(Box::new(DEMO_PROMPTS)) } else { Err(unknown()) };
    }
    let cannot = |error: io::Error| DataError::new(path, format!("cannot open: {error}"));
    let mut input = BufReader::with_capacity(1 << 16, File::open(path).map_err(cannot)?);
    let is_gzip = input.fill_buf().map_err(cannot)?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(Bounded { inner: MultiGzDecoder::new(input), left: MAX_BYTES })
    } else {
        Box::new(Bounded { inner: input, left: MAX_BYTES })
    })
}

/// Passes bytes through, and fails when there are too many.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| io::Error::other(format!("is larger than {} GiB unpacked", MAX_BYTES >> 30)))?;
        Ok(count)
    }
}

/// Passes bytes through and hashes them.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.hash.update(&out[..count]);
        Ok(count)
    }
}

//! A workload: what is asked, and when, and its identity. Its tables are in `workload_tables`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

use sha2::{Digest, Sha256};

use crate::schema::{DataError, IntervalWriter, LengthWriter, Prefixes, hex};
use crate::time::Nanos;

/// What a prompt that is only known by its request's number is called, before the number.
pub(super) const UNNAMED: &str = "request_";

/// One request of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadRow {
    /// Which prompt it asks; the id in `prompts.jsonl`. Empty, and so without an allocation, when it has
    /// no name but its number: [`WorkloadRow::prompt_name`].
    pub prompt_id: String,
    /// Prompt length in tokens.
    pub num_prefill_tokens: u32,
    /// Output length asked for, in tokens.
    pub num_decode_tokens: u32,
    /// Gap to the request before it.
    pub inter_arrival: Nanos,
    /// Running sum of the gaps.
    pub arrival: Nanos,
}

impl WorkloadRow {
    /// The prompt's id as files have it; `request_<id>` when it has no other.
    pub fn prompt_name(&self, request_id: u64) -> Cow<'_, str> {
        if self.prompt_id.is_empty() {
            Cow::Owned(format!("{UNNAMED}{request_id}"))
        } else {
            Cow::Borrowed(&self.prompt_id)
        }
    }
}

/// Requests in id order (the id is the position) and, therefore, in arrival order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// One row a request.
    pub rows: Vec<WorkloadRow>,
    /// What prompts have in common, when the trace says so.
    pub prefixes: Option<Prefixes>,
}

impl Workload {
    /// The workload's identity: see [`WorkloadHash`].
    pub fn sha256(&self) -> String {
        let mut hash = WorkloadHash::new(self.prefixes.as_ref().map(|prefixes| prefixes.block_tokens));
        for (id, row) in (0u32..).zip(&self.rows) {
            hash.add(row, self.prefixes.as_ref().map_or(&[], |prefixes| prefixes.of(id)));
        }
        hash.finish()
    }

    /// Writes `trace_lengths.csv`.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_lengths(&self, output: impl Write) -> Result<(), DataError> {
        let mut writer = LengthWriter::new(output)?;
        self.rows.iter().try_for_each(|row| writer.write(row))?;
        writer.flush()
    }

    /// Writes `trace_intervals.csv`.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_intervals(&self, output: impl Write) -> Result<(), DataError> {
        let mut writer = IntervalWriter::new(output)?;
        self.rows.iter().try_for_each(|row| writer.write(row))?;
        writer.flush()
    }
}

/// A workload's identity, taken a request at a time: SHA-256 over its canonical length and interval
/// rows and, where prompts have prefix hashes, over those. Prompts and prompt ids are not in it, so a
/// bundle without texts is still the same workload.
pub struct WorkloadHash {
    rows: Sha256,
    prefixes: Option<(u32, Sha256)>,
    next_id: u64,
    line: String,
}

impl WorkloadHash {
    /// Of no request yet; `block_tokens` when they will have prefix hashes.
    pub fn new(block_tokens: Option<u32>) -> Self {
        let prefixes = block_tokens.map(|block_tokens| (block_tokens, Sha256::new()));
        WorkloadHash { rows: Sha256::new(), prefixes, next_id: 0, line: String::new() }
    }

    /// Adds the next request.
    pub fn add(&mut self, row: &WorkloadRow, hash_ids: &[u64]) {
        let WorkloadRow { num_prefill_tokens, num_decode_tokens, inter_arrival, arrival, .. } = row;
        self.line.clear();
        let _ =
            writeln!(self.line, "{},{num_prefill_tokens},{num_decode_tokens},{inter_arrival},{arrival}", self.next_id);
        self.rows.update(self.line.as_bytes());
        if let Some((_, prefixes)) = &mut self.prefixes {
            prefixes.update(self.next_id.to_le_bytes());
            prefixes.update((hash_ids.len() as u64).to_le_bytes());
            hash_ids.iter().for_each(|hash| prefixes.update(hash.to_le_bytes()));
        }
        self.next_id += 1;
    }

    /// The identity, in hex.
    pub fn finish(mut self) -> String {
        if let Some((block_tokens, prefixes)) = self.prefixes {
            self.rows.update(format!("prefixes,{block_tokens},{}\n", hex(&prefixes.finalize())).as_bytes());
        }
        hex(&self.rows.finalize())
    }
}

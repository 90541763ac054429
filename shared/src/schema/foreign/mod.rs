//! Runs that other tools recorded in formats of their own, read as ours. Knows bytes, not files.
//!
//! A foreign file holds what its tool measured, and nothing is made up for it: settings it does not
//! say stay unknown, and a token's time that was never recorded stays absent.

pub(crate) mod sarathi;
pub(crate) mod vllm;

use serde_json::{Map, Value, json};

use crate::schema::table::TableReader;
use crate::schema::{DataError, Folder, RequestWriter, Run, RunMeta, write_json};

/// A format of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignFormat {
    /// `request_metrics.csv` in seconds, as Sarathi-Serve and Vidur write it.
    SecondsTable,
    /// `requests.jsonl`: the stamps a vLLM engine gave each request.
    VllmRecords,
}

impl ForeignFormat {
    /// The file that makes a folder a run of this format.
    pub fn file(self) -> &'static str {
        match self {
            ForeignFormat::SecondsTable => "request_metrics.csv",
            ForeignFormat::VllmRecords => "requests.jsonl",
        }
    }

    /// What reports call it.
    pub fn words(self) -> &'static str {
        match self {
            ForeignFormat::SecondsTable => "request_metrics.csv in seconds",
            ForeignFormat::VllmRecords => "requests.jsonl of vLLM stamps",
        }
    }
}

/// The foreign format of a folder's run; `None` when it is in ours, or is no run.
///
/// # Errors
/// When a file cannot be opened, or its header is broken.
pub fn recognise(folder: &mut dyn Folder) -> Result<Option<ForeignFormat>, DataError> {
    let file = folder.path_of(ForeignFormat::SecondsTable.file());
    if let Some(input) = folder.open(ForeignFormat::SecondsTable.file())? {
        let table = TableReader::new(&file, input)?;
        return Ok(sarathi::is_in_seconds(&table).then_some(ForeignFormat::SecondsTable));
    }
    let has_records = folder.open(ForeignFormat::VllmRecords.file())?.is_some();
    Ok(has_records.then_some(ForeignFormat::VllmRecords))
}

/// A foreign run as the files of ours, (name, bytes): what a bundle takes of it. The format it had and
/// the hash of the files it was read from stay with it.
///
/// # Errors
/// When a row cannot be written.
pub fn convert(run: &Run, format: &str, sha256: &str) -> Result<Vec<(&'static str, Vec<u8>)>, DataError> {
    let mut table = Vec::new();
    let backend = run.meta.writer.as_ref().map_or("unknown", |writer| writer.name.as_str());
    let mut writer = RequestWriter::new(&mut table, backend)?;
    run.requests.iter().try_for_each(|row| writer.write(row))?;
    writer.flush()?;
    drop(writer);
    let mut meta = run.meta.clone();
    let source = json!({ "format": format, "sha256": sha256 });
    meta.extra.insert("converted_from".to_owned(), source);
    Ok(vec![("run_meta.json", write_json(&meta)), ("request_metrics.csv", table)])
}

/// Says in `meta` what was recognised, without overwriting what a `run_meta.json` beside it said.
fn recognised(meta: &mut RunMeta, format: ForeignFormat) {
    meta.params.entry("format").or_insert_with(|| json!(format.words()));
}

/// A JSON object of the fields that are known.
fn known<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests;

//! `run_meta.json` and `workload_meta.json`: who made an artifact, when, with what.
//!
//! Every field is optional to readers, because foreign runs must open; what fidelio writes is complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema::DataError;

/// The version of the file formats written by this crate.
pub const SCHEMA_VERSION: &str = "v1";

/// What the `writer.name` of our own artifacts says.
pub const WRITER: &str = "fidelio";

/// The program that wrote an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// `fidelio` for ours.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Writer {
    /// This program.
    pub fn this() -> Self {
        Writer { name: WRITER.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// `run_meta.json`, of any run type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// `v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Who wrote it; absent in foreign runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
    /// Not unique across tools: never a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// `real`, `vidur` (simulated), `compare` or `vidur_profile`; readers also take `sim` and `profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_type: Option<String>,
    /// The LLM's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// ISO-8601 wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// ISO-8601 wall clock; written last, so its absence in a run of ours means an interrupted run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The code's commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The code had uncommitted changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_dirty: Option<bool>,
    /// What ran a real run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Operating system, processor, library versions.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub env: Map<String, Value>,
    /// Device name, driver, memory, clocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Value>,
    /// The resolved configuration; `params.scheduler` holds the settings two runs must share.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// The configuration root and the experiment it was composed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydra: Option<Value>,
    /// The workload's directory when it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_dir: Option<String>,
    /// The profiling root a simulation read, or a profile wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiling_root: Option<String>,
    /// `{name, version, latency_model}` of a simulated run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulator: Option<Value>,
    /// Compared real runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_run_dir: Option<String>,
    /// Compared simulated run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim_run_dir: Option<String>,
    /// SHA-256 of every input by role (`workload`, `profile`, `real_run`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// What the run says of itself: counts, warnings, closure errors.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub results: Map<String, Value>,
    /// Everything else a foreign tool wrote, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl RunMeta {
    /// Reads the document and checks what we must be able to rely on.
    ///
    /// # Errors
    /// Not JSON, a schema version of the future, or a run of ours that never ended.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, DataError> {
        let meta: RunMeta = read_json(file, bytes)?;
        check_version(file, meta.schema_version.as_deref())?;
        if meta.is_ours() && meta.ended_at.is_none() {
            return Err(DataError::new(file, "the run never ended: it was interrupted or is still going on")
                .in_column("ended_at")
                .with_hint("run it again; `--force` replaces what is there"));
        }
        Ok(meta)
    }

    /// fidelio wrote it, so what it lacks is missing, not unknown.
    pub fn is_ours(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.name == WRITER)
    }

    /// Simulated (`vidur`, `sim`), real, or not said.
    pub fn origin(&self) -> Option<Origin> {
        match self.run_type.as_deref() {
            Some("real") => Some(Origin::Real),
            Some("vidur" | "sim") => Some(Origin::Simulated),
            _ => None,
        }
    }
}

/// The two origins of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An engine computed it, a clock timed it.
    Real,
    /// A simulator predicted it.
    Simulated,
}

/// `workload_meta.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkloadMeta {
    /// `v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
    /// `workload_<10 hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_id: Option<String>,
    /// The LLM it was tokenised for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Seed of every random choice in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which tokenizer counted the prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_ref: Option<String>,
    /// ISO-8601 wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The code's commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// `prompts`, `trace_lengths`, `trace_intervals`, relative to the directory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, String>,
    /// The configuration root and the experiment it was composed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydra: Option<Value>,
    /// The resolved workload specification.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// [`crate::schema::Workload::sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Everything else a foreign tool wrote, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl WorkloadMeta {
    /// Reads the document.
    ///
    /// # Errors
    /// Not JSON, or a schema version of the future.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, DataError> {
        let meta: WorkloadMeta = read_json(file, bytes)?;
        check_version(file, meta.schema_version.as_deref())?;
        Ok(meta)
    }
}

/// Parses one JSON document, with the place of a mistake.
///
/// # Errors
/// Not JSON, or not of the type asked for.
pub fn read_json<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        let located = DataError::new(file, format!("is not what it should be: {error}"));
        if error.line() > 0 { located.at_line(error.line() as u64) } else { located }
    })
}

/// Writes one JSON document, two-space indented, ending in a line break.
pub fn write_json<T: Serialize>(document: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("documents of ours have string keys and finite numbers");
    bytes.push(b'\n');
    bytes
}

/// Refuses documents of a schema this program does not know.
///
/// # Errors
/// When `version` is given and not [`SCHEMA_VERSION`].
pub fn check_version(file: &str, version: Option<&str>) -> Result<(), DataError> {
    match version {
        None | Some(SCHEMA_VERSION) => Ok(()),
        Some(other) => Err(DataError::new(file, format!("schema `{other}` is not one this version knows"))
            .in_column("schema_version")
            .with_hint(format!(
                "this is fidelio {} and reads `{SCHEMA_VERSION}`; use a newer one",
                env!("CARGO_PKG_VERSION")
            ))),
    }
}

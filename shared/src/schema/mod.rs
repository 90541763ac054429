//! The file formats of fidelio, schema v1: one file an artifact; parse, check, write. Knows bytes, not files.

pub mod attribution;
pub mod certificate;
pub mod comparison;
pub mod curves;
mod error;
pub mod foreign;
mod json_lines;
mod load;
mod manifest;
mod meta;
mod prefixes;
mod prompts;
mod requests;
mod run;
mod steps;
pub mod table;
mod tokens;
pub mod windows;
mod workload;
mod workload_tables;

pub use error::DataError;
pub(crate) use json_lines::JsonLines;
pub use load::{Folder, load_rows, load_run, load_table_run, load_workload, read_document};
pub use manifest::{Manifest, ManifestFile};
pub use meta::{Origin, RunMeta, SCHEMA_VERSION, WRITER, WorkloadMeta, Writer, check_version, read_json, write_json};
pub(crate) use prefixes::check_count;
pub use prefixes::{PrefixWriter, Prefixes, read_prefixes};
pub use prompts::{PromptRow, read_prompts};
pub use requests::{RequestRow, RequestStatus, RequestWriter, read_requests};
pub use run::Run;
pub use steps::{StepPhases, StepRow, StepWriter, read_steps};
pub use tokens::{TokenTimes, TokenWriter, read_tokens};
pub use workload::{Workload, WorkloadHash, WorkloadRow};
pub(crate) use workload_tables::is_own_name;
pub use workload_tables::{IntervalWriter, LengthReader, LengthWriter, read_intervals, read_lengths};

use std::fmt::Write;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of `bytes`, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

fn write_error(file: &str, error: &impl std::fmt::Display) -> DataError {
    DataError::new(file, format!("cannot write: {error}"))
}

//! `manifest.json`, the first entry of a bundle: every file with its size and hash.

use serde::{Deserialize, Serialize};

use crate::schema::Writer;

/// What a bundle holds. No clock in it: the same inputs give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `v1`.
    pub schema_version: String,
    /// What made the bundle.
    pub writer: Writer,
    /// `comparison_<10 hex>`.
    pub comparison_id: String,
    /// When the comparison was made, ISO-8601 (the comparison's own `ended_at`, so that bundling the
    /// same comparison twice gives the same bytes).
    pub created_at: Option<String>,
    /// Prompt texts are inside.
    pub has_prompts: bool,
    /// Every other entry, in zip order.
    pub files: Vec<ManifestFile>,
}

/// One entry of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path inside the zip, `/`-separated.
    pub path: String,
    /// Uncompressed size in bytes.
    pub bytes: u64,
    /// SHA-256 of the uncompressed bytes, in hex.
    pub sha256: String,
}

//! `fidelio verify`: every hash and every number of a bundle, computed again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;
use fidelio_shared::bundle::{BundleReader, verify as verify_bundle};
use serde_json::json;

use crate::commands::Outcome;

/// Verifies the bundle at `path`.
///
/// # Errors
/// When it cannot be read, or the first file or number that is not what it should be.
pub fn verify(path: &Path) -> anyhow::Result<Outcome> {
    let doing = || format!("verifying `{}`", path.display());
    let file = File::open(path).with_context(doing)?;
    let mut bundle = BundleReader::open(BufReader::new(file)).with_context(doing)?;
    let found = verify_bundle(&mut bundle).with_context(doing)?;
    let text = format!(
        "verified {}: {} files have their hashes, {} percentiles of {} metrics and {} documents follow from the raw rows",
        found.comparison_id, found.num_files, found.num_percentiles, found.num_metrics, found.num_documents
    );
    Ok(Outcome::new(text, json!(found)))
}

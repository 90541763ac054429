//! `fidelio verify`: every hash and every number of a bundle, computed again; also of one inside a page.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::Context as _;
use fidelio_shared::bundle::{BundleReader, Verification, verify as verify_bundle};
use serde_json::json;

use crate::commands::Outcome;
use crate::standalone;

/// Verifies the bundle at `path`, or the one in the page there.
///
/// # Errors
/// When it cannot be read, or the first file or number that is not what it should be.
pub fn verify(path: &Path) -> anyhow::Result<Outcome> {
    verify_file(path).with_context(|| format!("verifying `{}`", path.display()))
}

fn verify_file(path: &Path) -> anyhow::Result<Outcome> {
    let mut file = File::open(path)?;
    let mut beginning = Vec::new();
    Read::by_ref(&mut file).take(16).read_to_end(&mut beginning)?;
    file.rewind()?;
    if !standalone::is_page(&beginning) {
        let found = verify_bundle(&mut BundleReader::open(BufReader::new(file))?)?;
        return Ok(Outcome::new(words(&found), json!(found)));
    }
    let mut page = Vec::new();
    file.read_to_end(&mut page)?;
    let bundle = standalone::bundle_in(&page)?;
    let found = verify_bundle(&mut BundleReader::open(Cursor::new(&bundle))?)?;
    // Its program could show anything: only one that this version writes is known.
    let is_ours = standalone::page(&bundle).is_ok_and(|ours| ours == page);
    let rest = if is_ours {
        "; the page around them is as this version writes it"
    } else {
        "; the page around them is not as this version writes it, so what it shows is not verified"
    };
    let mut json = json!(found);
    json["is_page_ours"] = json!(is_ours);
    Ok(Outcome::new(words(&found) + rest, json))
}

fn words(found: &Verification) -> String {
    format!(
        "verified {}: {} files have their hashes, {} percentiles of {} metrics and {} documents follow from the raw rows",
        found.comparison_id, found.num_files, found.num_percentiles, found.num_metrics, found.num_documents
    )
}

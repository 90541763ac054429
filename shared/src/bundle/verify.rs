//! Verifying a bundle: every hash, and every number computed again from the raw rows.

use std::io::{Read, Seek};

use serde::Serialize;

use crate::bundle::{BundleReader, COMPARISON};
use crate::report;
use crate::schema::comparison::Comparison;
use crate::schema::{DataError, Folder, write_json};

/// What was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// `comparison_<10 hex>`.
    pub comparison_id: String,
    /// Files whose size and hash agree with the manifest.
    pub num_files: usize,
    /// Metrics computed again, all equal.
    pub num_metrics: usize,
    /// Percentiles computed again, all equal.
    pub num_percentiles: usize,
    /// Tables and reports written again, all equal to the stored bytes.
    pub num_documents: usize,
}

/// Checks a whole bundle.
///
/// # Errors
/// The first file that is not what the manifest says, or the first number that does not follow from
/// the raw rows.
pub fn verify<R: Read + Seek>(bundle: &mut BundleReader<R>) -> Result<Verification, DataError> {
    let Some(manifest) = bundle.manifest().cloned() else {
        return Err(DataError::new("bundle", "has no manifest.json, so there is nothing to verify it against")
            .with_hint("`fidelio compare` and `fidelio bundle` make one from its run directories"));
    };
    for file in &manifest.files {
        check_file(bundle, &file.path, file.bytes)?;
    }
    let stored = bundle.comparison()?;
    let computed = bundle.recompute(&stored.options)?;
    // The writer may be an older version of this program; the numbers must be the same all the same.
    let computed = Comparison { writer: stored.writer.clone(), ..computed };
    if let Some((field, stored, computed)) = first_difference(&stored, &computed) {
        let problem = format!("says {stored}, the raw rows give {computed}");
        return Err(DataError::new(format!("{COMPARISON}/comparison.json"), problem).in_column(field));
    }
    let mut num_documents = 0;
    let summary = ("summary.md".to_owned(), report::comparison_markdown(&computed).into_bytes());
    for (path, expected) in report::tables(&computed).into_iter().chain([summary]) {
        let found = crate::schema::read_document(&mut bundle.folder(COMPARISON), &path)?;
        if found.as_deref() != Some(expected.as_slice()) {
            let problem = "is not what the raw rows give";
            return Err(DataError::new(format!("{COMPARISON}/{path}"), problem));
        }
        num_documents += 1;
    }
    Ok(Verification {
        comparison_id: manifest.comparison_id,
        num_files: manifest.files.len(),
        num_metrics: computed.metrics.len(),
        num_percentiles: computed.metrics.iter().map(|metric| metric.percentiles.len()).sum(),
        num_documents,
    })
}

fn check_file<R: Read + Seek>(bundle: &mut BundleReader<R>, path: &str, bytes: u64) -> Result<(), DataError> {
    let mut folder = bundle.folder("");
    let failed = |error: std::io::Error| DataError::new(path, error.to_string());
    let mut input = folder.open(path)?.ok_or_else(|| DataError::new(path, "is missing from the zip"))?;
    let length = std::io::copy(&mut input, &mut std::io::sink()).map_err(failed)?;
    if length != bytes {
        return Err(DataError::new(path, format!("is {length} bytes, the manifest says {bytes}")));
    }
    Ok(())
}

/// Where two documents first differ: field, stored value, computed value.
fn first_difference(stored: &Comparison, computed: &Comparison) -> Option<(String, String, String)> {
    let parse =
        |document: &Comparison| -> Option<serde_json::Value> { serde_json::from_slice(&write_json(document)).ok() };
    differ("", &parse(stored)?, &parse(computed)?)
}

fn differ(at: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<(String, String, String)> {
    use serde_json::Value::{Array, Object};
    match (a, b) {
        (Object(x), Object(y)) if x.len() == y.len() => x.iter().find_map(|(key, value)| match y.get(key) {
            Some(other) => differ(&format!("{at}.{key}"), value, other),
            None => Some((format!("{at}.{key}"), value.to_string(), "nothing".to_owned())),
        }),
        (Array(x), Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(index, (x, y))| differ(&format!("{at}[{index}]"), x, y))
        }
        (a, b) if a == b => None,
        (a, b) => Some((at.trim_start_matches('.').to_owned(), a.to_string(), b.to_string())),
    }
}

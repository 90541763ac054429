//! Verifying a bundle: every hash, and every number computed again from the raw rows.

use std::io::{Read, Seek};

use serde::Serialize;
use serde_json::Value;

use crate::bundle::reader::Contents;
use crate::bundle::{
    BundleReader, COMPARISON, MANIFEST, RUN_FILES, SIM_RUN, WORKLOAD, WORKLOAD_FILES, figures, real_run_name,
};
use crate::report;
use crate::schema::comparison::Comparison;
use crate::schema::{DataError, Folder, Manifest, RunMeta, Writer, read_document, read_json, write_json};

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
    check_identity(bundle, &manifest)?;
    let stored = bundle.comparison()?;
    let contents = bundle.load()?;
    let computed = contents.compare(&stored.options)?;
    // The writer may be an older version of this program; the numbers must be the same all the same.
    let computed = Comparison { writer: stored.writer.clone(), ..computed };
    let file = format!("{COMPARISON}/comparison.json");
    let raw = read_document(&mut bundle.folder(COMPARISON), "comparison.json")?.unwrap_or_default();
    // As values, not as the type: a field this program does not know must not pass for verified.
    let (raw, expected): (Value, Value) = (read_json(&file, &raw)?, read_json(&file, &write_json(&computed))?);
    if let Some((field, stored, computed)) = differ("", &raw, &expected) {
        let problem = format!("says {stored}, the raw rows give {computed}");
        return Err(DataError::new(file, problem).in_column(field));
    }
    let num_documents = check_documents(bundle, &manifest, contents, &computed)?;
    Ok(Verification {
        comparison_id: manifest.comparison_id,
        num_files: manifest.files.len(),
        num_metrics: computed.metrics.len(),
        num_percentiles: computed.metrics.iter().map(|metric| metric.percentiles.len()).sum(),
        num_documents,
    })
}

/// The manifest names the comparison that is inside, and nothing lies beside what a bundle consists of.
fn check_identity<R: Read + Seek>(bundle: &mut BundleReader<R>, manifest: &Manifest) -> Result<(), DataError> {
    let file = format!("{COMPARISON}/run_meta.json");
    let bytes = read_document(&mut bundle.folder(COMPARISON), "run_meta.json")?
        .ok_or_else(|| DataError::new(&file, "is missing from the bundle"))?;
    let meta = RunMeta::read(&file, &bytes)?;
    if meta.run_id.as_deref() != Some(manifest.comparison_id.as_str()) {
        let problem = format!("{:?} is not the comparison inside, {:?}", manifest.comparison_id, meta.run_id);
        return Err(DataError::new(MANIFEST, problem).in_column("comparison_id"));
    }
    let roles: Vec<String> =
        (0..).map(real_run_name).take_while(|role| bundle.has(role, "request_metrics.csv")).collect();
    let is_known = |path: &str| {
        let Some((role, file)) = path.split_once('/') else { return false };
        match role {
            COMPARISON => ["json", "md", "csv", "svg", "png"].iter().any(|known| file.ends_with(&format!(".{known}"))),
            WORKLOAD => WORKLOAD_FILES.contains(&file),
            SIM_RUN => RUN_FILES.contains(&file),
            role => roles.iter().any(|known| known == role) && RUN_FILES.contains(&file),
        }
    };
    match manifest.files.iter().find(|file| !is_known(&file.path)) {
        None => Ok(()),
        Some(file) => Err(DataError::new(&file.path, "is not a part of a bundle")),
    }
}

/// Writes every table, figure and summary again, compares the bytes and counts the documents. Words and
/// drawings may change between versions, so this asks it of bundles of this version only.
fn check_documents<R: Read + Seek>(
    bundle: &mut BundleReader<R>,
    manifest: &Manifest,
    contents: Contents,
    computed: &Comparison,
) -> Result<usize, DataError> {
    if manifest.writer != Writer::this() {
        return Ok(0);
    }
    let mut expected = report::tables(computed);
    expected.push(("summary.md".to_owned(), report::comparison_markdown(computed).into_bytes()));
    expected.extend(figures(computed));
    let mut num_documents = expected.len();
    for (path, expected) in expected {
        if read_document(&mut bundle.folder(COMPARISON), &path)?.as_deref() != Some(expected.as_slice()) {
            return Err(DataError::new(format!("{COMPARISON}/{path}"), "is not what the raw rows give"));
        }
    }
    for mut run in contents.real.into_iter().chain([contents.sim]) {
        let role = std::mem::take(&mut run.name);
        run.name = run.meta.run_id.clone().unwrap_or_default();
        let Some(found) = read_document(&mut bundle.folder(&role), "summary.md")? else { continue };
        // A run directory may have been given another name, which its summary says in the title.
        let body = |text: &str| text.split_once('\n').map_or(String::new(), |(_, body)| body.to_owned());
        if run.meta.is_ours() && body(&String::from_utf8_lossy(&found)) != body(&report::run_markdown(&run)) {
            return Err(DataError::new(format!("{role}/summary.md"), "is not what the raw rows give"));
        }
        num_documents += 1;
    }
    Ok(num_documents)
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

/// Where two documents first differ: field, first value, second value.
fn differ(at: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    use Value::{Array, Object};
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

//! Opening a bundle: names, sizes and hashes are checked before anything is believed.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::bundle::{COMPARISON, MANIFEST, MAX_ENTRIES, MAX_TOTAL_BYTES, SIM_RUN, WORKLOAD, bare, real_run_name};
use crate::compare;
use crate::schema::comparison::{CompareOptions, Comparison};
use crate::schema::{
    DataError, Folder, Manifest, Run, Workload, check_version, hex, load_table_run, load_workload, read_document,
    read_json,
};

/// An open bundle, or a zip of bare run directories made by hand.
pub struct BundleReader<R: Read + Seek> {
    zip: ZipArchive<R>,
    names: Vec<String>,
    manifest: Option<Manifest>,
    hashes: BTreeMap<String, (u64, String)>,
    /// Role folder (`real_run`, `sim_run`, `workload`) to the prefix it has in this zip.
    places: BTreeMap<String, String>,
    /// Unpacked size of all tables of runs and workload.
    num_row_bytes: u64,
    progress: Progress,
}

/// Who is told how many bytes have been unpacked.
#[derive(Default)]
struct Progress {
    num_bytes: u64,
    listener: Option<Box<dyn FnMut(u64)>>,
}

impl Progress {
    fn add(&mut self, num_bytes: u64) {
        self.num_bytes += num_bytes;
        if let Some(listener) = &mut self.listener {
            listener(self.num_bytes);
        }
    }
}

impl<R: Read + Seek> BundleReader<R> {
    /// Reads the directory of the zip and its manifest; nothing else is unpacked yet.
    ///
    /// # Errors
    /// Not a zip, cut off, hostile (absolute or climbing names, doubles, too many or too large
    /// entries), a manifest that does not fit, or no run inside.
    pub fn open(input: R) -> Result<Self, DataError> {
        let mut zip = ZipArchive::new(input).map_err(|error| not_a_zip(&error))?;
        let (names, num_row_bytes) = check_entries(&mut zip)?;
        let mut bundle = BundleReader {
            zip,
            names,
            manifest: None,
            hashes: BTreeMap::new(),
            places: BTreeMap::new(),
            num_row_bytes,
            progress: Progress::default(),
        };
        if let Some(bytes) = read_document(&mut bundle.folder(""), MANIFEST)? {
            let version: serde_json::Value = read_json(MANIFEST, &bytes)?;
            check_version(MANIFEST, version.get("schema_version").and_then(serde_json::Value::as_str))?;
            let manifest: Manifest = read_json(MANIFEST, &bytes)?;
            bundle.check_manifest(&manifest)?;
            bundle.manifest = Some(manifest);
        } else {
            bundle.places = bare::find(&mut bundle)?;
        }
        Ok(bundle)
    }

    /// The manifest; `None` for a zip made by hand.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Names of all entries, as the zip has them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A folder inside the bundle, by role.
    pub fn folder(&mut self, role: &str) -> ZipFolder<'_, R> {
        let prefix = match self.places.get(role) {
            Some(prefix) => prefix.clone(),
            None if role.is_empty() => String::new(),
            None => format!("{role}/"),
        };
        ZipFolder { bundle: self, name: role.to_owned(), prefix }
    }

    /// The stored comparison; for a zip made by hand it is computed from the runs, under a notice
    /// wherever they differ or do not say.
    ///
    /// # Errors
    /// Broken files, or runs that cannot be paired.
    pub fn comparison(&mut self) -> Result<Comparison, DataError> {
        let file = format!("{COMPARISON}/comparison.json");
        if self.manifest.is_some() {
            let bytes = read_document(&mut self.folder(COMPARISON), "comparison.json")?
                .ok_or_else(|| DataError::new(&file, "is missing from the bundle"))?;
            return Comparison::read(&file, &bytes);
        }
        self.recompute(&hand_made_options())
    }

    /// Bytes of tables that [`BundleReader::load`] unpacks.
    pub fn num_row_bytes(&self) -> u64 {
        self.num_row_bytes
    }

    /// From now on calls `listener` with the bytes unpacked since then, piece by piece as they are read.
    pub fn on_progress(&mut self, listener: impl FnMut(u64) + 'static) {
        self.progress = Progress { num_bytes: 0, listener: Some(Box::new(listener)) };
    }

    /// Computes the comparison again from the raw rows.
    ///
    /// # Errors
    /// Broken files, or runs that cannot be compared.
    pub fn recompute(&mut self, options: &CompareOptions) -> Result<Comparison, DataError> {
        self.load()?.compare(options)
    }

    /// Reads every run and the workload.
    ///
    /// # Errors
    /// When one of them is broken or the compared run is missing.
    pub fn load(&mut self) -> Result<Contents, DataError> {
        let mut real = Vec::new();
        for index in 0.. {
            let role = real_run_name(index);
            if !self.has(&role, "request_metrics.csv") {
                break;
            }
            real.push(load_table_run(&mut self.folder(&role))?);
        }
        if real.is_empty() {
            return Err(DataError::new("real_run/request_metrics.csv", "is missing from the bundle"));
        }
        Ok(Contents { real, sim: self.sim_run()?, workload: self.workload()? })
    }

    /// The compared real run.
    ///
    /// # Errors
    /// When it is missing or broken.
    pub fn real_run(&mut self) -> Result<Run, DataError> {
        load_table_run(&mut self.folder(&real_run_name(0)))
    }

    /// The simulated run.
    ///
    /// # Errors
    /// When it is missing or broken.
    pub fn sim_run(&mut self) -> Result<Run, DataError> {
        load_table_run(&mut self.folder(SIM_RUN))
    }

    /// The workload, when the bundle has one.
    ///
    /// # Errors
    /// When it is broken.
    pub fn workload(&mut self) -> Result<Option<Workload>, DataError> {
        if !self.has(WORKLOAD, "trace_lengths.csv") {
            return Ok(None);
        }
        load_workload(&mut self.folder(WORKLOAD)).map(|(_, workload)| Some(workload))
    }

    pub(super) fn has(&mut self, role: &str, file: &str) -> bool {
        let prefix = self.folder(role).prefix;
        self.zip.index_for_name(&format!("{prefix}{file}")).is_some()
    }

    fn check_manifest(&mut self, manifest: &Manifest) -> Result<(), DataError> {
        for file in &manifest.files {
            if self.zip.index_for_name(&file.path).is_none() {
                return Err(DataError::new(&file.path, "is in the manifest but not in the zip")
                    .with_hint("the bundle was changed or cut after it was made"));
            }
            self.hashes.insert(file.path.clone(), (file.bytes, file.sha256.clone()));
        }
        let extra = self.names.iter().find(|name| *name != MANIFEST && !self.hashes.contains_key(*name));
        match extra {
            None => Ok(()),
            Some(name) => Err(DataError::new(name, "is in the zip but not in the manifest")
                .with_hint("the bundle was changed after it was made")),
        }
    }
}

/// How a zip made by hand is compared: differences are told, not refused.
pub fn hand_made_options() -> CompareOptions {
    CompareOptions { allow_mismatch: true, ..CompareOptions::default() }
}

/// Everything a comparison is computed from.
pub struct Contents {
    /// The compared run, then its repeats.
    pub real: Vec<Run>,
    /// The simulated run.
    pub sim: Run,
    /// The workload, when the bundle has one.
    pub workload: Option<Workload>,
}

impl Contents {
    /// Computes the comparison.
    ///
    /// # Errors
    /// Runs that cannot be compared.
    pub fn compare(&self, options: &CompareOptions) -> Result<Comparison, DataError> {
        let compared = compare::compare(&self.real, &self.sim, self.workload.as_ref(), options);
        compared.map_err(|refusal| match refusal {
            compare::Refusal::Data(error) => error,
            other => DataError::new("bundle", other.to_string()),
        })
    }
}

/// One folder of an open bundle.
pub struct ZipFolder<'a, R: Read + Seek> {
    bundle: &'a mut BundleReader<R>,
    name: String,
    prefix: String,
}

impl<R: Read + Seek> Folder for ZipFolder<'_, R> {
    fn name(&self) -> String {
        if self.name.is_empty() { "bundle".to_owned() } else { self.name.clone() }
    }

    fn open<'b>(&'b mut self, file: &str) -> Result<Option<Box<dyn Read + 'b>>, DataError> {
        let path = format!("{}{file}", self.prefix);
        let Some(index) = self.bundle.zip.index_for_name(&path) else { return Ok(None) };
        let expected = self.bundle.hashes.get(&path).cloned();
        let BundleReader { zip, progress, .. } = &mut *self.bundle;
        let entry =
            zip.by_index(index).map_err(|error| DataError::new(&path, format!("cannot be unpacked: {error}")))?;
        let left = entry.size();
        let hash = Sha256::new();
        Ok(Some(Box::new(Checked { inner: entry, left, hash, expected, is_done: false, progress })))
    }
}

/// Reads an entry, never more than it declared, and compares size and hash with the manifest at its end.
struct Checked<'a, R: Read> {
    inner: R,
    left: u64,
    hash: Sha256,
    expected: Option<(u64, String)>,
    is_done: bool,
    progress: &'a mut Progress,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_done || out.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(out)?;
        let invalid = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem.to_owned());
        self.left = match self.left.checked_sub(count as u64) {
            Some(left) => left,
            None => return Err(invalid("unpacks to more than the zip declares")),
        };
        self.progress.add(count as u64);
        if self.expected.is_some() {
            self.hash.update(&out[..count]);
        }
        if count == 0 {
            self.is_done = true;
            if self.left > 0 {
                return Err(invalid("is cut off"));
            }
            let found = hex(&std::mem::take(&mut self.hash).finalize());
            if self.expected.as_ref().is_some_and(|(_, sha256)| *sha256 != found) {
                return Err(invalid("does not have the SHA-256 that the manifest gives: it was changed"));
            }
        }
        Ok(count)
    }
}

fn not_a_zip(error: &zip::result::ZipError) -> DataError {
    DataError::new("bundle", format!("is not a zip that can be read: {error}"))
        .with_hint("a bundle is the .zip that `fidelio bundle` writes; a download may have been cut off")
}

/// Checks names and sizes before anything is unpacked, and returns the names, and the size of the tables that are
/// not the comparison's.
fn check_entries<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<(Vec<String>, u64), DataError> {
    if zip.len() > MAX_ENTRIES {
        let problem = format!("has {} entries, more than the {MAX_ENTRIES} a bundle may have", zip.len());
        return Err(DataError::new("bundle", problem));
    }
    if zip.is_empty() {
        return Err(DataError::new("bundle", "is an empty zip"));
    }
    // The zip library keeps the last of them, other programs the first.
    if zip.has_duplicate_names() {
        return Err(DataError::new("bundle", "holds two entries of one name")
            .with_hint("no bundle of ours has such entries; do not unpack this file"));
    }
    let (mut total, mut num_row_bytes, mut names) = (0u64, 0, Vec::with_capacity(zip.len()));
    for index in 0..zip.len() {
        let broken =
            |error: zip::result::ZipError| DataError::new("bundle", format!("entry {index} cannot be read: {error}"));
        let entry = zip.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let climbs = name.split(['/', '\\']).any(|part| part == "..");
        if climbs || name.starts_with('/') || name.contains(['\\', '\0', ':']) {
            return Err(DataError::new("bundle", format!("holds an entry with an unsafe name, {name:?}"))
                .with_hint("no bundle of ours has such names; do not unpack this file"));
        }
        total = total.saturating_add(entry.size());
        if total > MAX_TOTAL_BYTES {
            let problem = format!("unpacks to more than {} GiB", MAX_TOTAL_BYTES >> 30);
            return Err(DataError::new("bundle", problem).with_hint("it may be a zip bomb; do not unpack it"));
        }
        if name.ends_with(".csv") && !name.starts_with(COMPARISON) {
            num_row_bytes += entry.size();
        }
        names.push(name);
    }
    Ok((names, num_row_bytes))
}

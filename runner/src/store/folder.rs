//! Artifact directories, and single files of other tools, as the schema reads them: plain or gzipped, by name.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fidelio_shared::schema::foreign::{self, ForeignFormat};
use fidelio_shared::schema::{DataError, Folder, Run, Workload, WorkloadMeta, load_run, load_workload, sha256_hex};
use flate2::read::MultiGzDecoder;

/// A directory on disk.
pub struct DirFolder {
    path: PathBuf,
}

impl DirFolder {
    /// The directory `path`.
    ///
    /// # Errors
    /// When it is none, or is one that an interrupted run left.
    pub fn open_dir(path: &Path) -> Result<Self, DataError> {
        let shown = path.display().to_string();
        if !path.is_dir() {
            let problem = if path.exists() { "is not a directory" } else { "does not exist" };
            return Err(DataError::new(shown, problem));
        }
        if path.extension().is_some_and(|extension| extension == "partial") {
            return Err(DataError::new(shown, "was left by an interrupted run: it is not complete")
                .with_hint("run it again; `--force` replaces what is there"));
        }
        Ok(DirFolder { path: path.to_path_buf() })
    }

    /// The directory `path`, complete or not.
    pub(super) fn unchecked(path: &Path) -> Self {
        DirFolder { path: path.to_path_buf() }
    }
}

impl Folder for DirFolder {
    fn name(&self) -> String {
        self.path.display().to_string().trim_end_matches('/').to_owned()
    }

    fn open<'a>(&'a mut self, file: &str) -> Result<Option<Box<dyn Read + 'a>>, DataError> {
        let plain = self.path.join(file);
        let packed = self.path.join(format!("{file}.gz"));
        let found = [plain, packed].into_iter().find(|path| path.is_file());
        found.map(|path| open_file(&path)).transpose()
    }
}

/// One file that is a whole run: a table in seconds under any name, or records beside their `meta.json`.
struct RunFile {
    path: PathBuf,
    format: ForeignFormat,
}

impl RunFile {
    fn of(path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let is_records = name.trim_end_matches(".gz").ends_with(".jsonl");
        let format = if is_records { ForeignFormat::VllmRecords } else { ForeignFormat::SecondsTable };
        RunFile { path: path.to_path_buf(), format }
    }

    /// Where `file` of the run's folder lies.
    fn place(&self, file: &str) -> Option<PathBuf> {
        match (file, self.format) {
            (file, format) if file == format.file() => Some(self.path.clone()),
            ("meta.json", ForeignFormat::VllmRecords) => Some(self.path.with_file_name(file)),
            _ => None,
        }
    }
}

impl Folder for RunFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open<'a>(&'a mut self, file: &str) -> Result<Option<Box<dyn Read + 'a>>, DataError> {
        let found = self.place(file).filter(|path| path.is_file());
        found.map(|path| open_file(&path)).transpose()
    }

    fn path_of(&self, file: &str) -> String {
        self.place(file).unwrap_or_else(|| self.path.join(file)).display().to_string()
    }
}

fn open_file<'a>(path: &Path) -> Result<Box<dyn Read + 'a>, DataError> {
    let input = File::open(path)
        .map_err(|error| DataError::new(path.display().to_string(), format!("cannot open: {error}")))?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if is_packed { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) })
}

/// The run at `path`: a directory, or the one file that another tool left.
fn open_run(path: &Path) -> Result<Box<dyn Folder>, DataError> {
    if path.is_file() { Ok(Box::new(RunFile::of(path))) } else { Ok(Box::new(DirFolder::open_dir(path)?)) }
}

/// Reads and checks a run: a directory, or the one file that another tool left.
///
/// # Errors
/// As [`load_run`] and [`DirFolder::open_dir`].
pub fn load_run_dir(path: &Path) -> Result<Run, DataError> {
    load_run(open_run(path)?.as_mut())
}

/// The foreign format of the run at `path`; `None` when it is in ours.
///
/// # Errors
/// As [`foreign::recognise`] and [`DirFolder::open_dir`].
pub fn foreign_format(path: &Path) -> Result<Option<ForeignFormat>, DataError> {
    foreign::recognise(open_run(path)?.as_mut())
}

/// Reads and checks a workload directory.
///
/// # Errors
/// As [`load_workload`] and [`DirFolder::open_dir`].
pub fn load_workload_dir(path: &Path) -> Result<(WorkloadMeta, Workload), DataError> {
    load_workload(&mut DirFolder::open_dir(path)?)
}

/// SHA-256 over the data files of an artifact or a foreign run (names and contents, metadata documents
/// excepted), so a moved directory is still recognised and a changed one refused.
///
/// # Errors
/// When a file cannot be read.
pub fn hash_directory(path: &Path) -> anyhow::Result<String> {
    hash_folder(open_run(path)?.as_mut())
}

/// Files an artifact's hash is over, where it has them.
const HASHED_FILES: [&str; 5] =
    ["request_metrics.csv", "requests.jsonl", "step_metrics.csv", "steps.csv", "token_metrics.csv"];

/// The same of a directory that may not be complete yet.
pub(super) fn hash_folder(folder: &mut dyn Folder) -> anyhow::Result<String> {
    let mut listing = String::new();
    for name in HASHED_FILES {
        let path = folder.path_of(name);
        let Some(mut input) = folder.open(name)? else { continue };
        let mut hash = <sha2::Sha256 as sha2::Digest>::new();
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            let count = input.read(&mut buffer).with_context(|| format!("reading `{path}`"))?;
            if count == 0 {
                break;
            }
            sha2::Digest::update(&mut hash, &buffer[..count]);
        }
        let digest = fidelio_shared::schema::hex(&sha2::Digest::finalize(hash));
        listing.push_str(&format!("{name} {digest}\n"));
    }
    Ok(sha256_hex(listing.as_bytes()))
}

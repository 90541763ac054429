//! Artifact directories as the schema reads them: plain or gzipped files by name.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
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
        let failed = |path: &Path, error: std::io::Error| {
            DataError::new(path.display().to_string(), format!("cannot open: {error}"))
        };
        if plain.is_file() {
            let input = File::open(&plain).map_err(|error| failed(&plain, error))?;
            return Ok(Some(Box::new(input)));
        }
        if packed.is_file() {
            let input = File::open(&packed).map_err(|error| failed(&packed, error))?;
            return Ok(Some(Box::new(MultiGzDecoder::new(input))));
        }
        Ok(None)
    }
}

/// Reads and checks a run directory.
///
/// # Errors
/// As [`load_run`] and [`DirFolder::open_dir`].
pub fn load_run_dir(path: &Path) -> Result<Run, DataError> {
    load_run(&mut DirFolder::open_dir(path)?)
}

/// Reads and checks a workload directory.
///
/// # Errors
/// As [`load_workload`] and [`DirFolder::open_dir`].
pub fn load_workload_dir(path: &Path) -> Result<(WorkloadMeta, Workload), DataError> {
    load_workload(&mut DirFolder::open_dir(path)?)
}

/// SHA-256 over the data files of an artifact (names and contents, metadata documents excepted), so a
/// moved directory is still recognised and a changed one refused.
///
/// # Errors
/// When a file cannot be read.
pub fn hash_directory(path: &Path) -> anyhow::Result<String> {
    hash_folder(&mut DirFolder::open_dir(path)?)
}

/// The same of a directory that may not be complete yet.
pub(super) fn hash_folder(folder: &mut DirFolder) -> anyhow::Result<String> {
    let path = folder.path.clone();
    let mut listing = String::new();
    for name in ["request_metrics.csv", "step_metrics.csv", "steps.csv", "token_metrics.csv"] {
        let Some(mut input) = folder.open(name)? else { continue };
        let mut hash = <sha2::Sha256 as sha2::Digest>::new();
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            let count = input.read(&mut buffer).with_context(|| format!("reading `{name}` in `{}`", path.display()))?;
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

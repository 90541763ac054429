//! A directory in the making: written beside its final place, locked, renamed when whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fidelio_shared::schema::{DataError, Run, RunMeta, load_rows};

use crate::error::Hinted;
use crate::store::dir::put_in_place;
use crate::store::folder::hash_folder;
use crate::store::{DirFolder, Kind};

/// An artifact directory that is not whole yet. Dropped without [`Staging::commit`], it stays as
/// `<name>.partial`, which no reader takes for a complete one.
pub struct Staging {
    target: PathBuf,
    partial: PathBuf,
    kind: Kind,
    /// Held until the end; its file is removed with it.
    lock: File,
    lock_path: PathBuf,
}

impl Staging {
    /// Where `target` is written until it is whole.
    pub fn partial_of(target: &Path) -> PathBuf {
        with_suffix(target, ".partial")
    }

    pub(super) fn create(target: &Path, kind: Kind, force: bool) -> anyhow::Result<Self> {
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).with_context(|| format!("making the directory `{}`", parent.display()))?;
        let lock_path = with_suffix(target, ".lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = open.with_context(|| format!("making the lock file `{}`", lock_path.display()))?;
        if let Err(error) = lock.try_lock() {
            if let TryLockError::Error(error) = error {
                return Err(error).with_context(|| format!("locking `{}`", lock_path.display()));
            }
            let problem = format!("another process is making `{}` right now", target.display());
            return Err(Hinted::new(problem, "wait for it to end, or choose another `--out`").into());
        }
        let partial = Self::partial_of(target);
        if partial.exists() {
            if kind.is_measured() && !force {
                let problem = format!("an interrupted run lies in `{}`", partial.display());
                return Err(Hinted::new(problem, "`--force` replaces it, `--out` puts the new one elsewhere").into());
            }
            fs::remove_dir_all(&partial).with_context(|| format!("clearing `{}`", partial.display()))?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("making the directory `{}`", partial.display()))?;
        Ok(Staging { target: target.to_path_buf(), partial, kind, lock, lock_path })
    }

    /// The directory's final name, what its files should call it.
    pub fn name(&self) -> String {
        self.target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Where files are written for now.
    pub fn dir(&self) -> &Path {
        &self.partial
    }

    /// Creates one file; `name` may have folders.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(&self, name: &str) -> anyhow::Result<BufWriter<File>> {
        let path = self.partial.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making the directory `{}`", parent.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("creating `{}`", path.display()))?;
        Ok(BufWriter::with_capacity(1 << 16, file))
    }

    /// Writes one file whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut file = self.file(name)?;
        let written = file.write_all(bytes).and_then(|()| file.flush());
        written.with_context(|| format!("writing `{}`", self.partial.join(name).display()))
    }

    /// Reads the tables written so far as the run that `meta` describes.
    ///
    /// # Errors
    /// When a file is broken.
    pub fn load(&self, meta: RunMeta) -> Result<Run, DataError> {
        load_rows(&mut DirFolder::unchecked(&self.partial), meta)
    }

    /// SHA-256 of the tables written so far, as [`crate::store::hash_directory`] gives it later.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn hash(&self) -> anyhow::Result<String> {
        hash_folder(&mut DirFolder::unchecked(&self.partial))
    }

    /// Writes the metadata last, makes it durable and gives the directory its name.
    ///
    /// # Errors
    /// When something cannot be written or renamed; the directory then stays partial.
    pub fn commit(self, meta: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.partial.join(self.kind.meta_name());
        let mut file = File::create(&path).with_context(|| format!("creating `{}`", path.display()))?;
        file.write_all(meta).and_then(|()| file.sync_all()).with_context(|| format!("writing `{}`", path.display()))?;
        put_in_place(&self.partial, &self.target)?;
        Ok(self.target.clone())
    }
}

impl Drop for Staging {
    /// The lock goes with the work, whole or not; nothing can be done if it cannot.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.lock_path);
        let _ = self.lock.unlock();
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

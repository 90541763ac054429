//! Single files that people are given: whole, or not there.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::error::Hinted;
use crate::store::Store;

impl Store {
    /// A file may be written at `target`: nothing is there, or a file that may be replaced.
    ///
    /// # Errors
    /// When something is there, and replacing was not asked for or it is no file.
    pub fn check_free_file(&self, target: &Path) -> anyhow::Result<()> {
        if target.exists() && !(self.force && target.is_file()) {
            let problem = format!("`{}` already exists", target.display());
            return Err(Hinted::new(problem, "`--force` replaces a file, another `--out` keeps it").into());
        }
        Ok(())
    }
}

/// Lets `fill` write a file beside `target`, then gives it that name.
///
/// # Errors
/// When `fill` fails, or the file cannot be named; what was written is then removed.
pub fn write_file(target: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("making the directory `{}`", parent.display()))?;
    let mut name = target.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = target.with_file_name(name);
    let named = || fs::rename(&partial, target).with_context(|| format!("naming `{}`", target.display()));
    fill(&partial).and_then(|()| named()).inspect_err(|_| {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&partial);
    })
}

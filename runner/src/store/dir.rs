//! Whole directories that people are given: written beside their place, named when whole.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::error::Hinted;
use crate::store::Store;

impl Store {
    /// A directory may be written at `target`: nothing is there, or something that may be replaced, which is an empty
    /// directory or one of our own.
    ///
    /// # Errors
    /// When something is there, and replacing was not asked for or it is not `is_ours`.
    pub fn check_free_dir(&self, target: &Path, is_ours: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
        if !target.exists() && !target.is_symlink() {
            return Ok(());
        }
        let shown = target.display();
        if !self.force {
            let hint = "`--force` replaces it, `--out` puts the new one elsewhere";
            return Err(Hinted::new(format!("`{shown}` already exists"), hint).into());
        }
        let is_empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
        if target.is_symlink() || !target.is_dir() || !(is_empty() || is_ours(target)) {
            let problem = format!("`{shown}` was not made by this verb: it is not replaced");
            return Err(Hinted::new(problem, "remove it yourself, or choose another `--out`").into());
        }
        Ok(())
    }
}

/// Lets `fill` write a directory beside `target`, then gives it that name; what had it is removed after that.
///
/// # Errors
/// When `fill` fails, or the directory cannot be named; what was written is then removed.
pub fn write_dir(target: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Some(name) = target.file_name() else {
        let problem = format!("`{}` is no name for a new directory", target.display());
        return Err(Hinted::new(problem, "choose another `--out`").into());
    };
    let mut partial = name.to_os_string();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = target.with_file_name(partial);
    let made = fs::create_dir_all(&partial).with_context(|| format!("making the directory `{}`", partial.display()));
    made.and_then(|()| fill(&partial)).and_then(|()| put_in_place(&partial, target)).inspect_err(|_| {
        // The error that led here is the one to report.
        let _ = fs::remove_dir_all(&partial);
    })
}

/// Gives the whole directory `partial` its name, setting aside and then removing what has it.
///
/// # Errors
/// When something cannot be renamed or removed.
pub(super) fn put_in_place(partial: &Path, target: &Path) -> anyhow::Result<()> {
    let rename = || {
        fs::rename(partial, target).with_context(|| format!("naming `{}` `{}`", partial.display(), target.display()))
    };
    if !target.exists() {
        return rename();
    }
    let mut old = target.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    old.push(format!(".replaced-{}", std::process::id()));
    let old = target.with_file_name(old);
    fs::rename(target, &old).with_context(|| format!("setting `{}` aside", target.display()))?;
    rename()?;
    fs::remove_dir_all(&old).with_context(|| format!("removing `{}`", old.display()))
}

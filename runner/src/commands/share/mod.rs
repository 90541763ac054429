//! `fidelio share`: the viewer and some bundles, as a folder for any static host or in S3-compatible storage.

mod contents;
mod upload;

pub use upload::to_storage;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use crate::commands::share::contents::{Contents, INDEX};
use crate::commands::{Context, Outcome};
use crate::store::write_dir;

/// Writes the site and `bundles` into the new folder `target`; its bare address opens all of them.
///
/// # Errors
/// When the viewer is not in this binary, a bundle does not verify, or the folder cannot be written; nothing
/// half-written remains.
pub fn to_folder(context: &Context, bundles: &[PathBuf], target: &Path) -> anyhow::Result<Outcome> {
    context.store.check_free_dir(target, is_share)?;
    let contents = Contents::of(bundles, context.talk)?;
    write_dir(target, |partial| {
        contents.files.iter().try_for_each(|file| {
            let path = partial.join(&file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making the directory `{}`", parent.display()))?;
            }
            let output = File::create(&path).with_context(|| format!("creating `{}`", path.display()))?;
            let mut output = BufWriter::with_capacity(1 << 16, output);
            file.copy(&mut output)?;
            output.flush().with_context(|| format!("writing `{}`", path.display()))
        })
    })?;
    let shown = target.display().to_string();
    let (num_files, num_bytes) = (contents.files.len(), contents.length());
    context.talk.detail(format!("{num_files} files, {num_bytes} bytes"));
    Ok(Outcome::new(
        shown.clone(),
        json!({ "path": shown, "bundles": contents.bundles(), "num_files": num_files, "num_bytes": num_bytes }),
    ))
}

/// A folder that this verb made.
fn is_share(dir: &Path) -> bool {
    let page = fs::read_to_string(dir.join(INDEX)).unwrap_or_default();
    page.contains("<meta name=\"fidelio-bundles\"") && dir.join("fidelio-viewer.js").is_file()
}

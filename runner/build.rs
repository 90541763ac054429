//! Embeds the built viewer (`viewer/dist`) into the binary; without it the binary builds too, and says so when asked.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    if cfg!(feature = "cuda") && cfg!(feature = "candle-cuda") {
        // The crate itself would be too late to say it; cudarc, which both configure, may refuse before this does.
        println!(
            "cargo::error=the features `cuda` and `candle-cuda` do not go together, one loads CUDA at run time, the \
             other links it: build with `--no-default-features --features candle-cuda`"
        );
        return Ok(());
    }
    let variable =
        |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("cargo sets {name}")));
    let viewer = variable("CARGO_MANIFEST_DIR")?.join("../viewer");
    let site = viewer.join("dist");
    let mut files = Vec::new();
    if site.join("index.html").is_file() {
        println!("cargo::rerun-if-changed={}", site.display());
        collect(&site, "", &mut files)?;
    } else {
        // A path that is missing would be taken for changed at every build: watch for its arrival instead.
        println!("cargo::rerun-if-changed={}", viewer.display());
    }
    commit();
    files.sort();
    fs::write(variable("OUT_DIR")?.join("site.rs"), table(&files))
}

/// The commit this is built from, for the metadata of every artifact; nothing outside a checkout.
fn commit() {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return };
    println!("cargo::rustc-env=FIDELIO_GIT_COMMIT={commit}");
    let is_dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    println!("cargo::rustc-env=FIDELIO_GIT_DIRTY={is_dirty}");
    // The log of HEAD grows with every commit and checkout; an edit makes the tree dirty.
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../shared/src");
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// Every file below `folder`, as (path in the site, path on disk).
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A name that is not Unicode is none that trunk wrote.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files)?;
        } else if !name.starts_with('.') {
            files.push((format!("{prefix}{name}"), path.canonicalize()?));
        }
    }
    Ok(())
}

fn table(files: &[(String, PathBuf)]) -> String {
    let mut source = String::from("&[\n");
    for (name, path) in files {
        let _ = writeln!(source, "    File {{ path: {name:?}, bytes: include_bytes!({path:?}) }},");
    }
    source.push(']');
    source
}

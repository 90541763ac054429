//! Files that are not good bundles, each broken in one way, and what the viewer must say of them.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::harness::{root, scratch};

/// A broken file.
pub struct BadFile {
    pub name: &'static str,
    pub file: PathBuf,
    /// Part of the explanation.
    pub says: &'static str,
}

/// One of each kind, made from a good bundle.
pub fn all(good: &Path) -> Vec<BadFile> {
    let dir = scratch("bad-files");
    let bytes = std::fs::read(good).expect("the bundle");
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.join(name);
        std::fs::write(&file, bytes).expect("written");
        file
    };
    let bad = |name, file, says| BadFile { name, file, says };
    let newer = |name: &str, bytes: Vec<u8>| match name {
        "manifest.json" => String::from_utf8_lossy(&bytes).replacen("\"v1\"", "\"v9\"", 1).into_bytes(),
        _ => bytes,
    };
    let changed = |name: &str, bytes: Vec<u8>| match name {
        "comparison/comparison.json" => String::from_utf8_lossy(&bytes).replacen("outside", "within!", 1).into_bytes(),
        _ => bytes,
    };
    vec![
        bad(
            "not-a-zip",
            write("table.csv", b"request_id,ttft_ns\n0,1\n"),
            "table.csv is something else, not a zip file",
        ),
        bad("cut-off", write("cut.zip", &bytes[..bytes.len() / 2]), "its end is missing"),
        bad("newer-schema", rewritten(good, &dir.join("newer.zip"), newer), "schema v9 is not one this version knows"),
        bad("bad-hash", rewritten(good, &dir.join("changed.zip"), changed), "SHA-256"),
        bad("hostile", zipped(&dir.join("hostile.zip"), &[("../../etc/cron.d/x", b"boo")]), "unsafe name"),
        bad(
            "other-zip",
            zipped(&dir.join("photos.zip"), &[("a.jpg", b"boo")]),
            "neither manifest.json nor any request_metrics.csv",
        ),
    ]
}

/// A zip made by hand of a real and a simulated run directory and their workload.
pub fn bare_runs() -> PathBuf {
    let data = root().join("tests/fixtures/qwen3_a100_spaced");
    let mut files = Vec::new();
    for folder in ["real_run", "vidur_run", "workload"] {
        for entry in std::fs::read_dir(data.join(folder)).expect("the fixture") {
            let path = entry.expect("an entry").path();
            let name = format!("spaced/{folder}/{}", path.file_name().expect("a name").to_string_lossy());
            files.push((name, std::fs::read(&path).expect("a file")));
        }
    }
    let entries: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    zipped(&scratch("bare-runs").join("bare.zip"), &entries)
}

fn zipped(target: &Path, entries: &[(&str, &[u8])]) -> PathBuf {
    let mut zip = ZipWriter::new(File::create(target).expect("a file"));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("a zip");
    target.to_owned()
}

/// `good` again, each entry's bytes passed through `change`.
fn rewritten(good: &Path, target: &Path, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> PathBuf {
    let mut zip = ZipArchive::new(File::open(good).expect("the bundle")).expect("a zip");
    let mut entries = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("read");
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let bytes = change(&name, bytes);
        entries.push((name, bytes));
    }
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    zipped(target, &entries)
}

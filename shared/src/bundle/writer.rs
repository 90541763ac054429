//! Writing a bundle: manifest first, fixed entry times, so that the same inputs give the same bytes.

use std::io::{self, Read, Seek, Write};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::bundle::MANIFEST;
use crate::schema::{DataError, Manifest, ManifestFile, SCHEMA_VERSION, Writer, hex, write_json};

/// Opens an entry's bytes; called twice, once to hash and once to pack.
pub type Open<'a> = Box<dyn Fn() -> io::Result<Box<dyn Read>> + 'a>;

/// Collects entries, then writes the zip in one go.
pub struct BundleWriter<'a> {
    comparison_id: String,
    created_at: Option<String>,
    has_prompts: bool,
    entries: Vec<(String, Open<'a>)>,
}

impl<'a> BundleWriter<'a> {
    /// A bundle of one comparison; `created_at` is the comparison's own time, not the clock's.
    pub fn new(comparison_id: &str, created_at: Option<String>, has_prompts: bool) -> Self {
        BundleWriter { comparison_id: comparison_id.to_owned(), created_at, has_prompts, entries: Vec::new() }
    }

    /// Adds one entry; `path` is `/`-separated and relative.
    pub fn add(&mut self, path: impl Into<String>, open: Open<'a>) {
        self.entries.push((path.into(), open));
    }

    /// Hashes every entry, then writes manifest and entries.
    ///
    /// # Errors
    /// When an entry cannot be read, changed between the two readings, or the output fails.
    pub fn write(self, output: impl Write + Seek) -> Result<Manifest, DataError> {
        let mut files = Vec::with_capacity(self.entries.len());
        for (path, open) in &self.entries {
            let (bytes, sha256) = copy_hashing(path, open, &mut io::sink())?;
            files.push(ManifestFile { path: path.clone(), bytes, sha256 });
        }
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION.to_owned(),
            writer: Writer::this(),
            comparison_id: self.comparison_id,
            created_at: self.created_at,
            has_prompts: self.has_prompts,
            files,
        };
        let mut zip = ZipWriter::new(output);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let failed =
            |path: &str, error: &dyn std::fmt::Display| DataError::new(path, format!("cannot be packed: {error}"));
        zip.start_file(MANIFEST, options).map_err(|error| failed(MANIFEST, &error))?;
        zip.write_all(&write_json(&manifest)).map_err(|error| failed(MANIFEST, &error))?;
        for ((path, open), file) in self.entries.iter().zip(&manifest.files) {
            let options = options.large_file(file.bytes > u64::from(u32::MAX));
            zip.start_file(path.as_str(), options).map_err(|error| failed(path, &error))?;
            let (_, sha256) = copy_hashing(path, open, &mut zip)?;
            if sha256 != file.sha256 {
                return Err(DataError::new(path, "changed while it was packed").with_hint("bundle again"));
            }
        }
        zip.finish().map_err(|error| failed("bundle", &error))?;
        Ok(manifest)
    }
}

fn copy_hashing(path: &str, open: &Open<'_>, output: &mut dyn Write) -> Result<(u64, String), DataError> {
    let failed = |error: io::Error| DataError::new(path, format!("cannot be packed: {error}"));
    let mut input = open().map_err(failed)?;
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0u64, vec![0u8; 1 << 16]);
    loop {
        let count = input.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok((total, hex(&hash.finalize())));
        }
        hash.update(&buffer[..count]);
        output.write_all(&buffer[..count]).map_err(failed)?;
        total += count as u64;
    }
}

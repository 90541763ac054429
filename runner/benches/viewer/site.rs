//! What the site weighs as a good host sends it: each file brotli-compressed as far as it goes.

use std::io::Write;
use std::path::Path;

/// Every file below `folder` with its bytes and those that travel.
pub fn weigh(folder: &Path) -> Vec<(String, usize, usize)> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort_by_key(|file| std::cmp::Reverse(file.2));
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, usize, usize)>) {
    for entry in std::fs::read_dir(folder).expect("the built site: `make viewer`") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            let name = path.strip_prefix(root).expect("below").display().to_string();
            // Fonts are compressed already: hosts send the shorter.
            files.push((name, bytes.len(), brotli_bytes(&bytes).min(bytes.len())));
        }
    }
}

/// Size after brotli at its highest quality.
fn brotli_bytes(bytes: &[u8]) -> usize {
    let mut out = Vec::new();
    {
        let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 24);
        writer.write_all(bytes).expect("memory");
    }
    out.len()
}

//! The built viewer inside the binary: its files and what they are. Knows no server.

use std::path::Path;

use crate::error::Hinted;

/// One file of the site.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Where it lies in the site, `/`-separated.
    pub path: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// Every file; empty when the binary was built before the viewer.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/site.rs"));

/// What the self-contained page is started with; no hosted site needs it.
pub const STANDALONE: &str = "standalone.js";
/// What keeps a hosted site for offline use; `fidelio view` is not to be kept.
pub const SERVICE_WORKER: &str = "sw.js";

/// The site is inside.
///
/// # Errors
/// When the binary was built before the viewer.
pub fn check_built_in() -> Result<(), Hinted> {
    match file("index.html") {
        Some(_) => Ok(()),
        None => Err(Hinted::new(
            "the viewer is not part of this binary",
            "`make viewer` builds it; then build fidelio again",
        )),
    }
}

/// The files that a host gives to browsers.
pub fn hosted() -> impl Iterator<Item = File> {
    FILES.iter().copied().filter(|file| file.path != STANDALONE)
}

/// The name of `file` in letters that need no escape in an address or a page.
pub fn address_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || ".-_".contains(letter) { letter } else { '_' };
    name.chars().map(safe).collect()
}

/// The file at exactly `path`.
pub fn file(path: &str) -> Option<File> {
    FILES.iter().find(|file| file.path == path).copied()
}

impl File {
    /// What it is, as a browser wants to hear it.
    pub fn mime(self) -> &'static str {
        mime(self.path)
    }
}

/// By the end of the name; a browser streams wasm only under its own type.
pub fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_site_has_a_type_of_its_own() {
        for file in FILES {
            assert_ne!(file.mime(), "application/octet-stream", "{}", file.path);
        }
        assert_eq!(mime("a/fidelio-viewer_bg.wasm"), "application/wasm");
    }

    #[test]
    fn only_exact_paths_are_files() {
        for path in ["", "/", "../Cargo.toml", "index.html/", "INDEX.HTML", "./index.html"] {
            assert!(file(path).is_none(), "{path}");
        }
    }
}

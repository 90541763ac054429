//! The built viewer inside the binary: its files and what they are. Knows no server.

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

/// The site is inside.
pub fn is_built_in() -> bool {
    file("index.html").is_some()
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

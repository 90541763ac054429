//! `fidelio view`: the built-in viewer and the bundles on loopback. Serves exact paths only, to this machine only.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tiny_http::{Header, Method, Request, Response, StatusCode};

use crate::error::Hinted;
use crate::{interrupt, site};

/// The outer fence; the page's own policy is stricter.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; \
                      connect-src 'self' blob: http: https:; worker-src 'self' blob:; object-src 'none'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves `bundles` and prints the address until Ctrl-C; opens the browser when `open` and there is one.
///
/// # Errors
/// The viewer is not in this binary, a bundle cannot be read, or the port is taken.
pub fn run(bundles: &[PathBuf], port: Option<u16>, open: bool) -> anyhow::Result<()> {
    let server = ViewServer::start(bundles, port)?;
    let mut out = io::stdout().lock();
    for url in server.urls() {
        writeln!(out, "{url}")?;
    }
    out.flush()?;
    if open && let Some(url) = server.urls().first() {
        open_browser(url);
    }
    server.serve(&interrupt::flag());
    Ok(())
}

/// A loopback server of the site and some bundles.
pub struct ViewServer {
    http: tiny_http::Server,
    port: u16,
    bundles: Vec<Served>,
}

/// One bundle and the only path that leads to it.
struct Served {
    path: String,
    file: PathBuf,
}

impl ViewServer {
    /// Checks the bundles and listens; `None` takes any free port.
    ///
    /// # Errors
    /// As [`run`].
    pub fn start(bundles: &[PathBuf], port: Option<u16>) -> anyhow::Result<Self> {
        if !site::is_built_in() {
            let hint = "`make viewer` builds it; then build fidelio again";
            return Err(Hinted::new("the viewer is not part of this binary", hint).into());
        }
        let bundles = bundles.iter().enumerate().map(served).collect::<anyhow::Result<Vec<_>>>()?;
        let wanted = port.unwrap_or(0);
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, wanted))
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("listening on 127.0.0.1:{wanted}"))?;
        let port = http.server_addr().to_ip().context("a loopback server has an address")?.port();
        Ok(ViewServer { http, port, bundles })
    }

    /// The addresses to open, one a bundle; the bare site when there is none.
    pub fn urls(&self) -> Vec<String> {
        let site = format!("http://127.0.0.1:{}/", self.port);
        match self.bundles.as_slice() {
            [] => vec![site],
            bundles => bundles.iter().map(|bundle| format!("{site}#bundle={}", bundle.path)).collect(),
        }
    }

    /// Answers until `is_over`.
    pub fn serve(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            if let Ok(Some(request)) = self.http.recv_timeout(Duration::from_millis(100)) {
                let answer = self.answer(&request);
                // A browser that went away is no concern of ours.
                let _ = request.respond(answer);
            }
        }
    }

    fn answer(&self, request: &Request) -> Response<Box<dyn Read + Send>> {
        if !self.is_local(request) {
            return plain(403, "this server answers to 127.0.0.1 and localhost only\n");
        }
        if !matches!(request.method(), Method::Get | Method::Head) {
            return plain(405, "only GET\n");
        }
        let path = request.url().split('?').next().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(file) = site::file(if path.is_empty() { "index.html" } else { path }) {
            return respond(200, Box::new(Cursor::new(file.bytes)), Some(file.bytes.len()), file.mime());
        }
        match self.bundles.iter().find(|bundle| bundle.path == path) {
            Some(bundle) => bundle.answer(),
            None => plain(404, "there is nothing here\n"),
        }
    }

    /// Another site's name that resolves to 127.0.0.1 (DNS rebinding) must not read bundles.
    fn is_local(&self, request: &Request) -> bool {
        let hosts = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        let mut given = request.headers().iter().filter(|header| header.field.equiv("Host"));
        match (given.next(), given.next()) {
            (Some(host), None) => hosts.iter().any(|known| host.value.as_str().eq_ignore_ascii_case(known)),
            _ => false,
        }
    }
}

impl Served {
    fn answer(&self) -> Response<Box<dyn Read + Send>> {
        let opened = fs::File::open(&self.file).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        match opened {
            Ok((file, bytes)) => respond(200, Box::new(file), usize::try_from(bytes).ok(), site::mime(&self.path)),
            Err(error) => plain(404, &format!("{} cannot be read any more: {error}\n", self.file.display())),
        }
    }
}

fn served((index, file): (usize, &PathBuf)) -> anyhow::Result<Served> {
    let reading = || format!("reading `{}`", file.display());
    let metadata = fs::metadata(file).with_context(reading)?;
    if !metadata.is_file() {
        let hint = "a bundle is the .zip that `fidelio bundle` writes";
        return Err(Hinted::new(format!("`{}` is not a file", file.display()), hint).into());
    }
    fs::File::open(file).with_context(reading)?;
    Ok(Served { path: format!("bundles/{index}/{}", path_name(file)), file: file.clone() })
}

/// The file's name in letters that need no escape in an address.
fn path_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || ".-_".contains(letter) { letter } else { '_' };
    name.chars().map(safe).collect()
}

fn plain(status: u16, text: &str) -> Response<Box<dyn Read + Send>> {
    let bytes = text.as_bytes().to_vec();
    let length = bytes.len();
    respond(status, Box::new(Cursor::new(bytes)), Some(length), site::mime(".txt"))
}

fn respond(
    status: u16,
    body: Box<dyn Read + Send>,
    length: Option<usize>,
    mime: &str,
) -> Response<Box<dyn Read + Send>> {
    let headers = [
        ("Content-Type", mime),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-cache"),
    ];
    let headers = headers.iter().filter_map(|(name, value)| Header::from_bytes(*name, *value).ok()).collect();
    // A known length is always announced: the viewer refuses what is too large before it comes.
    Response::new(StatusCode(status), headers, body, length, None).with_chunked_threshold(usize::MAX)
}

/// Best effort: the address is printed anyway.
fn open_browser(url: &str) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if has_display || cfg!(target_os = "macos") {
        let _ = Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

//! `fidelio view`: the built-in viewer and the bundles on loopback. Serves exact paths only, to this machine only.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::commands::view::http::{Answer, Request};
use crate::error::Hinted;
use crate::{interrupt, site};

mod http;

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
    listener: TcpListener,
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
        site::check_built_in()?;
        let bundles = bundles.iter().enumerate().map(served).collect::<anyhow::Result<Vec<_>>>()?;
        let wanted = port.unwrap_or(0);
        let listening = || format!("listening on 127.0.0.1:{wanted}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).with_context(listening)?;
        listener.set_nonblocking(true).with_context(listening)?;
        let port = listener.local_addr().with_context(listening)?.port();
        Ok(ViewServer { listener, port, bundles })
    }

    /// The addresses to open: of all bundles together where there are several, then of each; the bare site when there
    /// is none.
    pub fn urls(&self) -> Vec<String> {
        let site = format!("http://127.0.0.1:{}/", self.port);
        let keys: Vec<String> = self.bundles.iter().map(|bundle| format!("bundle={}", bundle.path)).collect();
        match keys.as_slice() {
            [] => vec![site],
            [one] => vec![format!("{site}#{one}")],
            all => [all.join("&")].iter().chain(all).map(|fragment| format!("{site}#{fragment}")).collect(),
        }
    }

    /// Answers until `is_over`, each connection on a thread of its own: a browser opens several at once.
    pub fn serve(self, is_over: &AtomicBool) {
        let server = Arc::new(self);
        while !is_over.load(Ordering::SeqCst) {
            let Ok((stream, _)) = server.listener.accept() else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            let server = Arc::clone(&server);
            thread::spawn(move || {
                // A browser that went away is no concern of ours.
                let _ = http::answer(stream, |request| server.answer(request));
            });
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        if !self.is_local(request) {
            return Answer::plain(403, "this server answers to 127.0.0.1 and localhost only\n");
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::plain(405, "only GET\n");
        }
        let path = request.path.strip_prefix('/').unwrap_or(&request.path);
        let name = if path.is_empty() { "index.html" } else { path };
        // Nothing is kept of a server that is gone when its terminal is. The page asks whether there is a service worker,
        // and a 404 would stand in the browser's log as a failure.
        if name == site::SERVICE_WORKER {
            return Answer::plain(200, "there is no service worker here\n");
        }
        if let Some(file) = site::hosted().find(|file| file.path == name) {
            return Answer::bytes(file.bytes, file.mime());
        }
        match self.bundles.iter().find(|bundle| bundle.path == path) {
            Some(bundle) => bundle.answer(),
            None => Answer::plain(404, "there is nothing here\n"),
        }
    }

    /// Another site's name that resolves to 127.0.0.1 (DNS rebinding) must not read bundles.
    fn is_local(&self, request: &Request) -> bool {
        let known = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        match request.hosts.as_slice() {
            [host] => known.iter().any(|known| known.eq_ignore_ascii_case(host)),
            _ => false,
        }
    }
}

impl Served {
    fn answer(&self) -> Answer {
        let opened = fs::File::open(&self.file).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        match opened {
            Ok((file, length)) => Answer::file(file, length, site::mime(&self.path)),
            Err(error) => Answer::plain(404, &format!("{} cannot be read any more: {error}\n", self.file.display())),
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
    Ok(Served { path: format!("bundles/{index}/{}", site::address_name(file)), file: file.clone() })
}

/// Best effort: the address is printed anyway.
fn open_browser(url: &str) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if has_display || cfg!(target_os = "macos") {
        let _ = Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

//! A static host of the test's own: files of a folder below some path, or single answers, each as well or badly served as
//! the test asks. It counts who asked, and can be down.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How one path is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    kind: Option<&'static str>,
    /// `None` is the file of that path.
    body: Option<Vec<u8>>,
    allows_others: bool,
    claimed_length: Option<Option<u64>>,
    cut_at: Option<usize>,
    bytes_per_second: Option<usize>,
}

impl Answer {
    /// The file as it is, for this host's own pages only.
    pub fn file() -> Answer {
        Answer {
            status: 200,
            kind: None,
            body: None,
            allows_others: false,
            claimed_length: None,
            cut_at: None,
            bytes_per_second: None,
        }
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer { body: Some(bytes.into()), ..Answer::file() }
    }

    /// A page that says no.
    pub fn status(status: u16) -> Answer {
        Answer { status, kind: Some("text/html"), ..Answer::bytes("<!doctype html><title>no</title><p>no") }
    }

    /// Pages of other hosts may read it (CORS).
    pub fn for_all(self) -> Answer {
        Answer { allows_others: true, ..self }
    }

    /// Says it is of another type.
    pub fn of_type(self, kind: &'static str) -> Answer {
        Answer { kind: Some(kind), ..self }
    }

    /// Says it is so long, or with `None` does not say.
    pub fn claiming(self, length: Option<u64>) -> Answer {
        Answer { claimed_length: Some(length), ..self }
    }

    /// Ends the connection after so many bytes.
    pub fn cut_at(self, bytes: usize) -> Answer {
        Answer { cut_at: Some(bytes), ..self }
    }

    /// Drips.
    pub fn dripping(self, bytes_per_second: usize) -> Answer {
        Answer { bytes_per_second: Some(bytes_per_second), ..self }
    }
}

/// What a path has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits {
    /// Requests that began.
    pub asked: usize,
    /// Requests whose asker left before the end.
    pub left: usize,
}

/// A running host; it ends with the test.
pub struct Host {
    port: u16,
    under: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    folder: PathBuf,
    answers: Mutex<HashMap<String, Answer>>,
    visits: Mutex<HashMap<String, Visits>>,
    has_fallback: AtomicBool,
    is_down: AtomicBool,
    is_over: AtomicBool,
}

impl Host {
    /// Serves the files below `folder` at `under`, which begins and ends with a slash. Everything else is 404.
    pub fn of(folder: &Path, under: &str) -> Host {
        assert!(under.starts_with('/') && under.ends_with('/'), "{under}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State { folder: folder.to_owned(), ..State::default() });
        let (shared, prefix) = (Arc::clone(&state), under.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (state, prefix) = (Arc::clone(&shared), prefix.clone());
                // Whoever leaves early leaves an error behind that is of no interest here.
                std::thread::spawn(move || drop(state.answer(stream, &prefix)));
            }
        });
        Host { port, under: under.to_owned(), state }
    }

    /// The built site, at a sub-path.
    pub fn of_site(under: &str) -> Host {
        let site = super::root().join("viewer/dist");
        assert!(site.join("index.html").is_file(), "`make viewer` builds the site");
        Host::of(&site, under)
    }

    /// The address of a path below the host's own.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{}{path}", self.port, self.under)
    }

    /// From now on answers a path, below the host's own, like this.
    pub fn answer(&self, path: &str, answer: Answer) {
        lock(&self.state.answers).insert(path.to_owned(), answer);
    }

    /// What a path has seen so far.
    pub fn visits(&self, path: &str) -> Visits {
        lock(&self.state.visits).get(path).copied().unwrap_or_default()
    }

    /// Every path that was asked for, in alphabetical order.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = lock(&self.state.visits).keys().cloned().collect();
        paths.sort();
        paths
    }

    /// Whether paths that are not there are answered with `index.html` and status 200, as some hosts do.
    pub fn set_fallback(&self, has_fallback: bool) {
        self.state.has_fallback.store(has_fallback, Ordering::Relaxed);
    }

    /// Whether it hangs up on everyone.
    pub fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::Relaxed);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream, prefix: &str) -> std::io::Result<()> {
        let head: Vec<String> =
            BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if self.is_down.load(Ordering::Relaxed) {
            return Ok(());
        }
        let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let Some(path) = path.strip_prefix(prefix) else { return self.send(&mut stream, "", Answer::status(404)) };
        let path = if path.is_empty() { "index.html" } else { path };
        lock(&self.visits).entry(path.to_owned()).or_default().asked += 1;
        let (path, answer) = self.choose(path);
        let sent = self.send(&mut stream, path, answer);
        if sent.is_err() {
            lock(&self.visits).entry(path.to_owned()).or_default().left += 1;
        }
        sent
    }

    /// The answer to a path, and the path of the file it may be.
    fn choose<'a>(&self, path: &'a str) -> (&'a str, Answer) {
        if let Some(answer) = lock(&self.answers).get(path) {
            (path, answer.clone())
        } else if path.split('/').all(|part| part != "..") && self.folder.join(path).is_file() {
            (path, Answer::file())
        } else if self.has_fallback.load(Ordering::Relaxed) && path != "index.html" {
            self.choose("index.html")
        } else {
            (path, Answer::status(404))
        }
    }

    fn send(&self, stream: &mut TcpStream, path: &str, answer: Answer) -> std::io::Result<()> {
        let body = answer.body.unwrap_or_else(|| std::fs::read(self.folder.join(path)).expect("a file to serve"));
        let kind = answer.kind.unwrap_or_else(|| kind_of(path));
        write!(
            stream,
            "HTTP/1.1 {} -\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: {kind}\r\n",
            answer.status
        )?;
        if answer.allows_others {
            write!(stream, "Access-Control-Allow-Origin: *\r\n")?;
        }
        if let Some(length) = answer.claimed_length.unwrap_or(Some(body.len() as u64)) {
            write!(stream, "Content-Length: {length}\r\n")?;
        }
        write!(stream, "\r\n")?;
        let body = &body[..answer.cut_at.unwrap_or(body.len()).min(body.len())];
        let Some(rate) = answer.bytes_per_second else { return stream.write_all(body) };
        for piece in body.chunks((rate / 20).max(1)) {
            stream.write_all(piece)?;
            stream.flush()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// What is inside stays whole even when a test fails while it holds it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html",
        "js" => "text/javascript",
        "css" => "text/css",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

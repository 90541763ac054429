//! As much of HTTP/1.1 as a browser on this machine needs to read files: one request a connection, GET and HEAD.
//!
//! Connections are closed after each answer, so no idle one can keep another waiting.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest request head taken.
const MAX_HEAD_BYTES: u64 = 16 << 10;
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The outer fence; the page's own policy is stricter.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; \
                      connect-src 'self' blob: http: https:; worker-src 'self' blob:; object-src 'none'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What was asked, and of whom.
pub struct Request {
    /// `GET`.
    pub method: String,
    /// The target without its query, as sent.
    pub path: String,
    /// Every `Host` header: there must be one.
    pub hosts: Vec<String>,
}

/// What goes back.
pub struct Answer {
    status: u16,
    mime: &'static str,
    length: u64,
    body: Box<dyn Read>,
}

impl Answer {
    /// Bytes of the binary.
    pub fn bytes(bytes: &'static [u8], mime: &'static str) -> Self {
        Answer { status: 200, mime, length: bytes.len() as u64, body: Box::new(bytes) }
    }

    /// A file, as long as it is now.
    pub fn file(file: File, length: u64, mime: &'static str) -> Self {
        Answer { status: 200, mime, length, body: Box::new(file.take(length)) }
    }

    /// A line for a person.
    pub fn plain(status: u16, text: &str) -> Self {
        let body = Cursor::new(text.as_bytes().to_vec());
        Answer { status, mime: "text/plain; charset=utf-8", length: text.len() as u64, body: Box::new(body) }
    }
}

/// Reads one request from `stream` and answers it.
///
/// # Errors
/// When the other side goes away, dawdles, or does not speak HTTP.
pub fn answer(mut stream: TcpStream, respond: impl FnOnce(&Request) -> Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let Some(request) = parse(&read_head(&mut stream)?) else {
        return write(&mut stream, Answer::plain(400, "this is not a request\n"), true);
    };
    let answer = respond(&request);
    write(&mut stream, answer, request.method != "HEAD")
}

/// Up to the empty line; empty when there is none within the limit.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while (head.len() as u64) < MAX_HEAD_BYTES {
        let count = stream.read(&mut part)?;
        head.extend_from_slice(&part[..count]);
        if head.windows(4).any(|window| window == b"\r\n\r\n") {
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
        if count == 0 {
            break;
        }
    }
    Ok(String::new())
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') || words.next().is_some() {
        return None;
    }
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let hosts = headers.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| host.trim().to_owned());
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Some(Request { method: method.to_owned(), path, hosts: hosts.collect() })
}

fn write(stream: &mut TcpStream, mut answer: Answer, with_body: bool) -> io::Result<()> {
    let reason = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        _ => "Method Not Allowed",
    };
    let Answer { status, mime, length, .. } = answer;
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\n\
         Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n"
    )?;
    if with_body {
        io::copy(&mut answer.body, stream)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_request_is_taken_apart_and_nonsense_refused() {
        let request = parse("GET /a.js?x=1 HTTP/1.1\r\nhost: localhost:1\r\nA: b\r\n\r\n").expect("a request");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/a.js"));
        assert_eq!(request.hosts, ["localhost:1"]);
        for head in ["", "GET", "GET / HTTP/2", "GET http://x/ HTTP/1.1\r\n\r\n", "GET / / HTTP/1.1\r\n\r\n"] {
            assert!(parse(head).is_none(), "{head}");
        }
    }
}

//! What `fidelio view` answers to those who are not its page.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::{Sample, View};

/// Sends `head` and reads the whole answer.
fn ask(view: &View, head: &str) -> (String, Vec<u8>) {
    let address = view.site().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).expect("the server listens");
    let head = head.replace("HOST", &address);
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

#[test]
fn view_serves_exact_paths_with_their_types_and_a_policy() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    for (path, mime) in [
        ("/", "text/html; charset=utf-8"),
        ("/fidelio-viewer_bg.wasm", "application/wasm"),
        ("/fidelio-viewer.js", "text/javascript; charset=utf-8"),
    ] {
        let (head, body) = ask(&view, &format!("GET {path} HTTP/1.1\r\nHost: HOST"));
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert!(head.contains(&format!("Content-Type: {mime}\r\n")), "{path}: {head}");
        for header in ["Content-Security-Policy: default-src 'self'", "X-Content-Type-Options: nosniff"] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!body.is_empty());
    }
    let (_, body) = ask(&view, &format!("GET /{} HTTP/1.1\r\nHost: HOST", view.path()));
    assert_eq!(body, std::fs::read(&sample.bundle).expect("the bundle"));
    let (head, _) = ask(&view, "GET /sw.js HTTP/1.1\r\nHost: HOST");
    assert!(head.contains("Content-Type: text/plain"), "no service worker keeps a page of this server: {head}");
    let (outside, unserved) = (["/../Cargo.toml", "/..%2fCargo.toml", "//etc/passwd"], ["/standalone.js"]);
    for path in outside.into_iter().chain(unserved).chain(["/bundles/0/", "/bundles/1/spaced.zip"]) {
        let (head, _) = ask(&view, &format!("GET {path} HTTP/1.1\r\nHost: HOST"));
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
}

#[test]
fn view_answers_no_other_host_and_changes_nothing() {
    let view = View::of(&Sample::get().bundle);
    for host in ["evil.test", "127.0.0.1", "127.0.0.1:1", "localhost.evil.test:80"] {
        let (head, body) = ask(&view, &format!("GET /{} HTTP/1.1\r\nHost: {host}", view.path()));
        assert!(head.starts_with("HTTP/1.1 403"), "{host}: {head}");
        assert!(body.len() < 200, "{host} learns nothing");
    }
    let (head, _) = ask(&view, "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0");
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
}

#[test]
fn several_bundles_have_one_link_together_and_one_each() {
    let bundle = &Sample::get().bundle;
    let server = fidelio::commands::view::ViewServer::start(&[bundle.clone(), bundle.clone()], None).expect("a server");
    let urls = server.urls();
    let fragments: Vec<&str> = urls.iter().filter_map(|url| url.split('#').nth(1)).collect();
    let (first, second) = ("bundle=bundles/0/spaced.zip", "bundle=bundles/1/spaced.zip");
    assert_eq!(fragments, [format!("{first}&{second}").as_str(), first, second]);
}

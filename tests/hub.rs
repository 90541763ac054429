//! Tokenizers by hub name: from the local Hugging Face cache, from a hub on 127.0.0.1, and refused in words.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use flate2::read::GzDecoder;

use crate::harness::Scratch;

const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";
/// Nothing listens there: a request would fail at once, and never leave this machine.
const NOBODY: &str = "http://127.0.0.1:9";

/// The built-in tokenizer's text, as a hub has it.
fn tokenizer_json() -> Vec<u8> {
    let mut text = Vec::new();
    let mut packed = GzDecoder::new(&include_bytes!("../configs/tokenizer/qwen3/tokenizer.json.gz")[..]);
    std::io::Read::read_to_end(&mut packed, &mut text).expect("gzip");
    text
}

/// Lays out the cache as the Hugging Face libraries do: a blob, a snapshot that links to it, a ref.
fn fill_cache(scratch: &Scratch) -> PathBuf {
    let cache = scratch.join("home/hub");
    let model = cache.join("models--Qwen--Qwen3-0.6B");
    let snapshot = model.join("snapshots").join(COMMIT);
    for folder in [&model.join("refs"), &model.join("blobs"), &snapshot] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(model.join("refs/main"), COMMIT).expect("a ref");
    fs::write(model.join("blobs/abc"), tokenizer_json()).expect("a blob");
    std::os::unix::fs::symlink("../../blobs/abc", snapshot.join("tokenizer.json")).expect("a link");
    cache
}

/// What `fidelio workload` gave: exit code, stdout, stderr.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn refused(self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
    }
}

/// Makes a workload with `tokenizer`; the environment names no proxy, no token, no cache but the scratch one.
fn workload(scratch: &Scratch, tokenizer: &str, out: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
    command.args(["workload", "quickstart", "workload.num_requests=3", "--out", out]);
    command.arg(format!("model.tokenizer={tokenizer}")).current_dir(scratch.path());
    for (name, _) in std::env::vars() {
        let upper = name.to_ascii_uppercase();
        if upper.starts_with("HF_") || upper.starts_with("HUGGINGFACE_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", scratch.path()).env("HF_HOME", scratch.join("home")).env("HF_ENDPOINT", NOBODY);
    let output = command.envs(variables.iter().copied()).output().expect("the binary starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `tokenizer_ref` and id of the workload `out`.
fn made(scratch: &Scratch, ran: &Ran, out: &str) -> (String, String) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let meta = fs::read(scratch.join(out).join("workload_meta.json")).expect("a workload");
    let meta: serde_json::Value = serde_json::from_slice(&meta).expect("JSON");
    let field = |name: &str| meta[name].as_str().expect("text").to_owned();
    (field("tokenizer_ref"), field("workload_id"))
}

#[test]
fn a_hub_name_is_found_in_the_cache_without_the_network() {
    let scratch = Scratch::new("hub-cache");
    let cache = fill_cache(&scratch);
    let builtin = workload(&scratch, "builtin:qwen3", "builtin", &[]);
    let (_, id) = made(&scratch, &builtin, "builtin");
    let named = format!("hub:Qwen/Qwen3-0.6B@{COMMIT}");
    let cache = cache.display().to_string();
    for (out, tokenizer, variables) in [
        ("usual", "hub:Qwen/Qwen3-0.6B", &[("HF_HUB_OFFLINE", "1")][..]),
        ("online", "hub:Qwen/Qwen3-0.6B@main", &[]),
        ("commit", &named, &[("HF_HUB_OFFLINE", "1")]),
        ("elsewhere", "hub:Qwen/Qwen3-0.6B", &[("HF_HOME", "/nowhere"), ("HF_HUB_CACHE", &cache)]),
    ] {
        let ran = workload(&scratch, tokenizer, out, variables);
        assert!(!ran.stderr.contains("downloading"), "{out}: {}", ran.stderr);
        assert_eq!(made(&scratch, &ran, out), (named.clone(), id.clone()), "{out}: the same ids as the built-in one");
    }
    workload(&scratch, "hub:Qwen/Qwen3-0.6B@v2", "none", &[("HF_HUB_OFFLINE", "1")]).refused(&["Qwen3-0.6B@v2"]);
}

#[test]
fn without_cache_or_network_the_error_names_the_model_and_the_way_out() {
    let scratch = Scratch::new("hub-nothing");
    let way_out = ["`hub:Qwen/Qwen3-0.6B`", "hf download Qwen/Qwen3-0.6B", "model.tokenizer=Qwen3-0.6B"];
    for value in ["1", "true", "ON"] {
        let ran = workload(&scratch, "hub:Qwen/Qwen3-0.6B", "out", &[("HF_HUB_OFFLINE", value)]);
        assert!(!ran.stderr.contains("downloading"), "{}", ran.stderr);
        ran.refused(&[&way_out[..], &["HF_HUB_OFFLINE", "home/hub"]].concat());
    }
    let ran = workload(&scratch, "hub:Qwen/Qwen3-0.6B", "out", &[]);
    ran.refused(
        &[&way_out[..], &["cannot be downloaded from http://127.0.0.1:9", "downloading tokenizer.json"]].concat(),
    );
    for name in
        ["hub:", "hub:a/b/c", "hub:../x", "hub:a/..", "hub:/etc", "hub:a b/c", "hub:a@", "hub:a@../../x", "hub:a/@b"]
    {
        workload(&scratch, name, "out", &[]).refused(&["is not a hub name", "hub:Qwen/Qwen3-0.6B"]);
    }
    assert!(!scratch.join("out").exists() && !scratch.join("home").exists(), "nothing half-written remains");
}

/// Starts a hub of one model on 127.0.0.1, for as long as the tests run; its address.
fn start_hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (place, file) = (address.clone(), tokenizer_json());
    std::thread::spawn(move || {
        // A client that hangs up is no failure of the hub.
        listener.incoming().flatten().for_each(|stream| drop(answer(stream, &place, &file)));
    });
    address
}

/// Answers one request as the real hub does: a large file lies elsewhere and is given by range.
fn answer(mut stream: TcpStream, address: &str, file: &[u8]) -> io::Result<()> {
    let (mut path, mut range) = (String::new(), None);
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(asked) = line.strip_prefix("GET ") {
            path = asked.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some((_, bytes)) = line.to_ascii_lowercase().split_once("range: bytes=") {
            range = bytes.split_once('-').map(|(first, last)| (first.to_owned(), last.to_owned()));
        }
    }
    let (size, sha256) = (file.len(), fidelio_shared::schema::sha256_hex(file));
    let (head, body) = match (path.as_str(), range) {
        ("/Qwen/Qwen3-0.6B/resolve/main/tokenizer.json", _) => {
            let linked = format!("X-Linked-ETag: \"{sha256}\"\r\nX-Linked-Size: {size}\r\nX-Repo-Commit: {COMMIT}");
            (format!("302 Found\r\nLocation: {address}/storage/tokenizer.json\r\n{linked}"), &[][..])
        }
        ("/storage/tokenizer.json", Some((first, last))) => {
            let (first, last) = (first.parse().unwrap_or(0), last.parse().unwrap_or(size - 1));
            let head =
                format!("206 Partial Content\r\nETag: \"{sha256}\"\r\nContent-Range: bytes {first}-{last}/{size}");
            (head, &file[first..=last])
        }
        ("/org/gated/resolve/main/tokenizer.json", _) => ("401 Unauthorized".to_owned(), &[][..]),
        _ => ("404 Not Found".to_owned(), &b"Entry not found"[..]),
    };
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

#[test]
fn a_hub_name_is_downloaded_once_and_then_cached() {
    let scratch = Scratch::new("hub-download");
    let address = start_hub();
    let endpoint = [("HF_ENDPOINT", address.as_str())];
    let first = workload(&scratch, "hub:Qwen/Qwen3-0.6B", "first", &endpoint);
    for word in ["downloading tokenizer.json of Qwen/Qwen3-0.6B", address.as_str(), "home/hub"] {
        assert!(first.stderr.contains(word), "`{word}` is not in:\n{}", first.stderr);
    }
    let (reference, id) = made(&scratch, &first, "first");
    assert_eq!(reference, format!("hub:Qwen/Qwen3-0.6B@{COMMIT}"));
    let builtin = workload(&scratch, "builtin:qwen3", "builtin", &[]);
    assert_eq!(made(&scratch, &builtin, "builtin").1, id);
    workload(&scratch, "hub:Qwen/Qwen3-0.6C", "none", &endpoint).refused(&[
        "hub:Qwen/Qwen3-0.6C",
        "404",
        "hf download",
    ]);
    workload(&scratch, "hub:org/gated", "none", &endpoint).refused(&["hub:org/gated", "401", "HF_TOKEN"]);
    let again = workload(&scratch, "hub:Qwen/Qwen3-0.6B", "again", &[("HF_HUB_OFFLINE", "1")]);
    assert!(!again.stderr.contains("downloading"), "{}", again.stderr);
    assert_eq!(made(&scratch, &again, "again"), (reference, id));
}

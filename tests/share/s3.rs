//! `fidelio share --to` against a real S3 server: all of it arrives, or nothing stays.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::bundles::published_bundle;
use crate::harness::{Ran, Scratch};
use crate::share::storage::{BUCKET, KEY, SECRET, Storage, Trouble};
use crate::share::{bare_bundle, files_below};

/// What the environment says, and nothing of the real one's keys, profiles and proxies.
fn variables<'a>(scratch: &'a Scratch, key: &'a str, secret: &'a str) -> Vec<(&'a str, &'a OsStr)> {
    let mut variables = vec![("AWS_ACCESS_KEY_ID", OsStr::new(key)), ("AWS_SECRET_ACCESS_KEY", OsStr::new(secret))];
    for name in [
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_SHARED_CREDENTIALS_FILE",
    ] {
        variables.push((name, OsStr::new("")));
    }
    variables.extend([("HOME", scratch.path().as_os_str()), ("NO_PROXY", OsStr::new("127.0.0.1"))]);
    variables
}

fn share(scratch: &Scratch, storage: &Storage, args: &[&str]) -> Ran {
    let to = format!("s3://{BUCKET}/some where/");
    let args = [&["share", "--endpoint", &storage.endpoint, "--to", &to], args].concat();
    let ran = scratch.fidelio_with(&args, &variables(scratch, KEY, SECRET));
    assert!(!ran.stderr.contains(SECRET) && !ran.stderr.contains("X-Amz"), "{}", ran.stderr);
    ran
}

/// Status, head and body of what anybody gets from `url`.
fn get(url: &str) -> (u16, String, Vec<u8>) {
    let mut response =
        ureq::get(url).config().http_status_as_error(false).proxy(None).build().call().expect("an answer");
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let head = format!("{}; {}", header("content-type"), header("cache-control"));
    let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().expect("a body");
    (response.status().as_u16(), head, body)
}

#[test]
fn a_share_arrives_byte_for_byte_and_its_link_opens() {
    let scratch = Scratch::new("share-s3");
    published_bundle(&scratch);
    bare_bundle(&scratch.join("large.zip"), 20 << 20);
    let storage = Storage::start(scratch.join("storage"));
    let ran = share(&scratch, &storage, &["bundle.zip", "large.zip"]).expect(0);
    let link = ran.stdout.trim_end();
    assert!(link.starts_with(&format!("{}/{BUCKET}/some%20where/share_", storage.endpoint)), "{link}");
    assert!(link.ends_with("/index.html"), "{link}");
    scratch.fidelio(&["share", "bundle.zip", "large.zip", "--out", "site"]).expect(0);
    let folder = link.trim_end_matches("index.html");
    let files = files_below(&scratch.join("site"));
    assert!(files.iter().any(|(path, bytes)| path == "bundles/large.zip" && bytes.len() > 20 << 20));
    for (path, bytes) in &files {
        let (status, head, body) = get(&format!("{folder}{path}"));
        assert_eq!(status, 200, "{path}");
        assert!(body == *bytes, "{path} arrives as it is");
        let kept = if ["index.html", "sw.js"].contains(&path.as_str()) {
            "no-cache"
        } else {
            "public, max-age=31536000, immutable"
        };
        assert_eq!(head, format!("{}; {kept}", fidelio::site::mime(path)), "{path}");
    }
    assert_eq!(files_below(&storage.bucket()).len(), files.len(), "nothing else is there");
    let requests = storage.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.starts_with("P")).collect();
    assert!(writes.last().is_some_and(|last| last.ends_with("/index.html")), "{writes:?}");
    assert_eq!(writes.iter().filter(|write| write.ends_with("/large.zip")).count(), 5, "begun, three parts, completed");

    let again = share(&scratch, &storage, &["bundle.zip", "large.zip", "--json"]).expect(0).json();
    assert_eq!((again["link"].as_str(), again["num_bytes_uploaded"].as_u64()), (Some(link), Some(0)));
    assert!(storage.requests().iter().all(|request| !request.starts_with("P")), "what is there is not sent again");
    let other =
        share(&scratch, &storage, &["bundle.zip", "--public-url", "https://a.test/x/", "--json"]).expect(0).json();
    let other_link = other["link"].as_str().expect("a link");
    assert!(other_link.starts_with("https://a.test/x/some%20where/share_"), "{other_link}");
    let key = other["objects"].as_array().expect("objects").last().expect("the page")["key"].as_str().expect("a key");
    assert!(!link.contains(key.split('/').nth(1).expect("a folder")), "other content, another folder");
    assert_eq!(get(link).0, 200, "the earlier link still shows what it did");
}

#[test]
fn a_busy_storage_and_lost_connections_are_asked_again() {
    let scratch = Scratch::new("share-s3-again");
    bare_bundle(&scratch.join("large.zip"), 9 << 20);
    let storage = Storage::start(scratch.join("storage"));
    for (text, trouble) in [
        ("PUT base.css", Trouble::Busy),
        ("PUT partNumber=2", Trouble::Cut),
        ("PUT partNumber=1", Trouble::LoseAnswer),
        ("POST uploadId", Trouble::LoseAnswer),
        ("PUT index.html", Trouble::LoseAnswer),
    ] {
        storage.make_trouble(text, trouble, 1);
        let link = share(&scratch, &storage, &["large.zip"]).expect(0).stdout;
        assert!(storage.num_troubled() >= 1, "{text} was met");
        assert_eq!(get(link.trim_end()).0, 200);
        let large = link.trim_end().replace("index.html", "bundles/large.zip");
        assert!(get(&large).2 == fs::read(scratch.join("large.zip")).expect("the bundle"), "{text}");
        fs::remove_dir_all(storage.bucket()).expect("removed");
        fs::create_dir_all(storage.bucket()).expect("a bucket");
    }
}

#[test]
fn an_upload_that_fails_leaves_nothing() {
    let scratch = Scratch::new("share-s3-fails");
    bare_bundle(&scratch.join("large.zip"), 9 << 20);
    let storage = Storage::start(scratch.join("storage"));
    for text in ["base.css", "POST uploads", "partNumber=2", "POST uploadId", "index.html"] {
        storage.make_trouble(text, Trouble::Cut, usize::MAX);
        let ran = share(&scratch, &storage, &["large.zip"]).refused(&["uploading", "lost", "hint: try again"]);
        assert!(ran.stderr.contains("what was uploaded is removed again"), "{}", ran.stderr);
        assert!(storage.num_troubled() >= 5, "{text} was tried again");
        assert!(storage.is_empty(), "{text}");
    }
    storage.make_trouble("index.html", Trouble::LoseAnswer, usize::MAX);
    share(&scratch, &storage, &["large.zip"]).refused(&["index.html", "lost"]);
    assert!(storage.is_empty(), "what arrived without an answer is removed, too");
    // A share that is complete is not taken down by a later upload of it that fails.
    storage.make_trouble("", Trouble::Cut, 0);
    let link = share(&scratch, &storage, &["large.zip"]).expect(0).stdout;
    storage.make_trouble("", Trouble::Cut, usize::MAX);
    share(&scratch, &storage, &["large.zip"]).expect(0);
    assert_eq!(get(link.trim_end()).0, 200);
}

#[test]
fn an_interrupted_upload_leaves_nothing() {
    let scratch = Scratch::new("share-s3-interrupted");
    bare_bundle(&scratch.join("large.zip"), 20 << 20);
    for (signal, text) in [("-INT", "partNumber=2"), ("-TERM", "bundles"), ("-INT", "index.html")] {
        let storage = Storage::start(scratch.join(&format!("storage{signal}{}", text.len())));
        storage.make_trouble(text, Trouble::Slow(Duration::from_millis(700)), 1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
        command.args(["share", "large.zip", "--endpoint", &storage.endpoint, "--to", &format!("s3://{BUCKET}")]);
        command.envs(variables(&scratch, KEY, SECRET)).current_dir(scratch.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        while storage.num_troubled() == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        if text == "index.html" {
            // Too late: the page was on its way, the share is whole.
            assert_eq!(output.status.code(), Some(0), "{stderr}");
            continue;
        }
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty() && stderr.contains("interrupted"), "{stderr}");
        assert!(storage.is_empty(), "{signal} {text}: {stderr}");
    }
}

#[test]
fn what_cannot_be_uploaded_is_explained() {
    let scratch = Scratch::new("share-s3-refused");
    published_bundle(&scratch);
    let storage = Storage::start(scratch.join("storage"));
    let (endpoint, to) = (storage.endpoint.as_str(), format!("s3://{BUCKET}/x"));
    let run = |key: &str, secret: &str, args: &[&str]| {
        let ran = scratch.fidelio_with(&[&["share", "bundle.zip"], args].concat(), &variables(&scratch, key, secret));
        for hidden in [SECRET, "wr0ng", "X-Amz"] {
            assert!(!ran.stderr.contains(hidden), "{}", ran.stderr);
        }
        ran
    };
    let usual = ["--endpoint", endpoint, "--to", &to];
    run(KEY, "wr0ng", &usual).refused(&["403 SignatureDoesNotMatch", "hint: the secret does not belong"]);
    run("AKIAOTHER", SECRET, &usual).refused(&["403", "hint: the storage does not know this access key"]);
    run(KEY, "", &usual).refused(&["AWS_SECRET_ACCESS_KEY is not", "hint: set both"]);
    run("", "", &usual).refused(&["no credentials", "hint: set AWS_ACCESS_KEY_ID"]);
    run(KEY, SECRET, &["--endpoint", endpoint, "--to", "s3://no-bucket/x"])
        .refused(&["404 NoSuchBucket", "make the bucket"]);
    run(KEY, SECRET, &["--endpoint", endpoint, "--to", "a-bucket/x"])
        .refused(&["`a-bucket/x`", "`s3://bucket/prefix`"]);
    run(KEY, SECRET, &["--endpoint", "127.0.0.1:9000", "--to", &to])
        .refused(&["`127.0.0.1:9000`", "`http://host:port`"]);
    run(KEY, SECRET, &["--endpoint", "ftp://h", "--to", &to]).refused(&["neither http nor https"]);
    run(KEY, SECRET, &["--endpoint", "http://127.0.0.1:9", "--to", &to]).refused(&["nobody listens", "--endpoint"]);
    run(KEY, SECRET, &["--endpoint", "http://storage.invalid", "--to", &to]).refused(&["host", "--endpoint"]);
    run(KEY, SECRET, &["--endpoint", endpoint, "--virtual-host", "--to", &to]).refused(&["cannot be part of it"]);
    run(KEY, SECRET, &[&usual[..], &["--public-url", "a.test"]].concat()).refused(&["`a.test`"]);
    run(KEY, SECRET, &["--endpoint", endpoint, "--out", "x"]).expect(2);
    run(KEY, SECRET, &[]).expect(2);
    assert!(storage.is_empty());
}

#[test]
fn keys_come_from_a_profile_too() {
    let scratch = Scratch::new("share-s3-profile");
    published_bundle(&scratch);
    let storage = Storage::start(scratch.join("storage"));
    fs::create_dir(scratch.join(".aws")).expect("a directory");
    let text = format!("[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    fs::write(scratch.join(".aws/credentials"), text).expect("written");
    let mut variables = variables(&scratch, "", "");
    variables.retain(|(name, _)| !["AWS_PROFILE", "AWS_ENDPOINT_URL"].contains(name));
    variables.extend([("AWS_PROFILE", OsStr::new("work")), ("AWS_ENDPOINT_URL", OsStr::new(&storage.endpoint))]);
    let to = format!("s3://{BUCKET}");
    let link = scratch.fidelio_with(&["share", "bundle.zip", "--to", &to], &variables).expect(0).stdout;
    assert_eq!(get(link.trim_end()).0, 200);
}

//! What Chromium's developer tools can do to a page and know of it: sizes, media, network, log, requests, downloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::page::{Browser, PATIENCE};

/// An address that was asked for.
#[derive(Debug)]
pub struct Asked {
    pub url: String,
    /// The origin of who asked, workers included; `None` for the browser itself, which also asks for pages.
    pub by: Option<String>,
}

impl Browser {
    /// A command of the DevTools protocol to the page.
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// As wide and high as that, in CSS pixels; a phone when narrow.
    pub fn set_size(&self, width: u32, height: u32) {
        let is_phone = width < 600;
        // Pictures of big screens are big enough without.
        let ratio = if width > 1500 { 1 } else { 2 };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": is_phone});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
        self.cdp("Emulation.setTouchEmulationEnabled", json!({"enabled": is_phone}));
    }

    /// What the user wishes, by the names of media features: `prefers-color-scheme`, `prefers-reduced-motion`,
    /// `prefers-contrast`, `forced-colors`. What is not named is as usual again.
    pub fn set_media(&self, features: &[(&str, &str)]) {
        let features: Vec<Value> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Cuts the page off the network, or joins it again. Workers that run already do not notice: a [`super::Host`]
    /// that is `down` is what offline tests want.
    pub fn set_offline(&self, is_offline: bool) {
        self.set_network(is_offline, Duration::ZERO, -1.0);
    }

    /// A slow line for the page, not for its workers.
    pub fn set_network(&self, is_offline: bool, latency: Duration, bytes_per_second: f64) {
        self.cdp("Network.enable", json!({}));
        self.cdp(
            "Network.emulateNetworkConditions",
            json!({
                "offline": is_offline, "latency": latency.as_millis() as u64,
                "downloadThroughput": bytes_per_second, "uploadThroughput": bytes_per_second,
            }),
        );
    }

    /// What went wrong in the page, its workers and its policy since this was last asked.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().expect("a log").iter();
        let severe = entries.filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().expect("text").to_owned()).collect()
    }

    /// Fails when something went wrong that has none of these words.
    pub fn is_clean(&self, expected: &[&str]) {
        let complaints = self.complaints();
        let is_expected = |said: &str| expected.iter().any(|word| said.contains(word));
        let unexpected: Vec<&String> = complaints.iter().filter(|said| !is_expected(said)).collect();
        assert!(unexpected.is_empty(), "the browser complains: {unexpected:#?}");
    }

    /// Waits for one more finished download: its file.
    pub async fn downloaded(&self) -> PathBuf {
        let start = Instant::now();
        loop {
            let entries = std::fs::read_dir(&self.downloads).expect("the directory of downloads");
            let files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
            let is_whole = |file: &PathBuf| {
                let name = file.file_name().expect("a name").to_string_lossy();
                !name.ends_with(".crdownload") && !name.starts_with(".")
            };
            if let [file] = files.as_slice()
                && is_whole(file)
            {
                // Out of the way of the next one.
                let kept = self.downloads.with_file_name("kept");
                std::fs::create_dir_all(&kept).expect("a directory");
                let kept = kept.join(file.file_name().expect("a name"));
                std::fs::rename(file, &kept).expect("moved");
                return kept;
            }
            assert!(start.elapsed() < PATIENCE, "nothing was downloaded: {files:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Lets the page write to the clipboard and the test read it.
    pub async fn allow_clipboard(&self) {
        let origin = self.script("return location.origin").await;
        let permissions = json!({"origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
        self.cdp("Browser.grantPermissions", permissions);
    }

    /// The text on the clipboard.
    pub async fn clipboard(&self) -> String {
        let read = "
            const [done] = arguments;
            navigator.clipboard.readText().then(done, error => done({error: `${error}`}));";
        let text = self.script_async(read, Vec::new()).await;
        text.as_str().unwrap_or_else(|| panic!("the clipboard cannot be read: {text}")).to_owned()
    }

    /// The most memory that the page's process has had, its workers included: MiB, where the system tells.
    pub fn peak_mib(&self) -> Option<f64> {
        let group = self.driver.id().to_string();
        let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let peaks = processes.filter_map(|process| {
            let read = |name: &str| std::fs::read_to_string(process.join(name)).ok();
            // After the name in brackets: state, parent, group.
            let is_ours = read("stat")?.rsplit(") ").next()?.split(' ').nth(2) == Some(group.as_str());
            let status = read("status")
                .filter(|_| is_ours && read("cmdline").is_some_and(|line| line.contains("--type=renderer")))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        });
        peaks.max_by(f64::total_cmp).map(|kib| kib / 1024.0)
    }

    /// Ends a browser that was `recording`: every address anything in it asked for. The page's own log would not
    /// tell of its workers.
    pub async fn close_and_list_asked(self, expected: &[&str]) -> Vec<Asked> {
        let file = self.net_log.clone().expect("a browser that records");
        self.close_expecting(expected).await;
        let log = wait_for_end(&file);
        let kind = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
        let events = log["events"].as_array().expect("events").iter();
        let asked = events.filter(|event| event["type"] == *kind).filter_map(|event| {
            let text = |name: &str| event["params"][name].as_str().map(str::to_owned);
            Some(Asked { url: text("url")?, by: text("initiator").filter(|by| by != "not an origin") })
        });
        asked.collect()
    }

    /// A command to the driver that its client does not know: the value it answers with.
    pub(super) fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}", self.port, body.len());
        write!(stream, "{method} {}{path} HTTP/1.1\r\n{host}\r\n\r\n{body}", self.session).expect("sent");
        let mut answer: Value = serde_json::from_slice(&read_body(stream)).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

/// The network log, which the browser ends when it ends.
fn wait_for_end(file: &std::path::Path) -> Value {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).expect("the network log");
        match serde_json::from_str(&text) {
            Ok(log) => return log,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{} has no end: {error}", file.display()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The body of an answer; the driver keeps its connections open, so the length is what tells the end.
fn read_body(stream: TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length =
        head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.expect("a length")];
    reader.read_exact(&mut body).expect("a body");
    body
}

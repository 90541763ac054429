//! A headless Chromium of the test's own, the bundle under test, and the server that shows it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(30);
const HINT: &str = "browser tests need Chromium and its driver: install the packages `chromium` and `chromium-driver`";

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An empty directory for one purpose of these tests.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory below target");
    dir
}

/// A process that ends with the test.
pub struct Running(Child);

impl Drop for Running {
    /// Ends the whole group: a browser must not outlive the driver that started it.
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts `command` and reads its standard output until `pick` finds what it waits for.
    fn start<T>(command: &mut Command, hint: &str, pick: impl Fn(&str) -> Option<T>) -> (Self, T) {
        // Into a file: a browser stands still when nobody reads what it complains of.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let complaints = scratch(&format!("process-{}", COUNT.fetch_add(1, Ordering::Relaxed))).join("stderr");
        let stderr = File::create(&complaints).expect("a file for what goes wrong");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        let child = command.spawn();
        let mut running = Running(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}. {hint}")));
        let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| pick(&line));
        let found = found.unwrap_or_else(|| {
            let errors = std::fs::read_to_string(&complaints).unwrap_or_default();
            panic!("{command:?} ended without saying what was waited for: {errors}. {hint}")
        });
        // Whatever comes later is read and dropped, so that the process never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        (running, found)
    }
}

/// The bundle of the published A100 runs, made once by the binary under test.
pub struct Sample {
    pub bundle: PathBuf,
    pub comparison: Value,
}

impl Sample {
    pub fn get() -> &'static Sample {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(Sample::make)
    }

    fn make() -> Sample {
        let data = root().join("tests/fixtures/qwen3_a100_spaced");
        let dir = scratch("sample");
        let (comparison, bundle) = (dir.join("comparison"), dir.join("spaced.zip"));
        let path = |path: &Path| path.to_str().expect("Unicode").to_owned();
        fidelio(&[
            "compare".to_owned(),
            format!("--real={}", path(&data.join("real_run"))),
            format!("--sim={}", path(&data.join("vidur_run"))),
            format!("--workload={}", path(&data.join("workload"))),
            "--allow-mismatch".to_owned(),
            format!("--out={}", path(&comparison)),
        ]);
        fidelio(&["bundle".to_owned(), path(&comparison), format!("--out={}", path(&bundle))]);
        let bytes = std::fs::read(comparison.join("comparison.json")).expect("comparison.json");
        Sample { bundle, comparison: serde_json::from_slice(&bytes).expect("JSON") }
    }
}

fn fidelio(arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_fidelio")).args(arguments).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "fidelio {arguments:?}: {stderr}");
}

/// `fidelio view` with one bundle.
pub struct View {
    _process: Running,
    pub url: String,
}

impl View {
    pub fn of(bundle: &Path) -> View {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
        command.arg("view").arg(bundle).arg("--no-open");
        let (process, url) = Running::start(&mut command, "`make viewer` builds the site", |line| {
            line.starts_with("http://127.0.0.1:").then(|| line.trim().to_owned())
        });
        View { _process: process, url }
    }

    /// The bare site, ending in a slash.
    pub fn site(&self) -> String {
        self.url.split('#').next().unwrap_or_default().to_owned()
    }

    /// Where the bundle lies, from the site's root.
    pub fn path(&self) -> String {
        self.url.split("#bundle=").nth(1).unwrap_or_default().to_owned()
    }
}

/// One browser with one page.
pub struct Browser {
    client: Client,
    port: u16,
    _driver: Running,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    pub async fn start() -> Browser {
        Browser::with(&[], None).await
    }

    /// At a width as a phone or a desktop has it, in a colour scheme.
    pub async fn looking(width: u32, height: u32, scheme: &str) -> Browser {
        let dark = if scheme == "dark" { 0 } else { 1 };
        let arguments = [format!("--blink-settings=preferredColorScheme={dark}")];
        let metrics =
            json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0, "mobile": width < 600}});
        Browser::with(&arguments, Some(metrics)).await
    }

    pub async fn with(more: &[String], mobile: Option<Value>) -> Browser {
        // One browser at a time: several on two cores only wait for each other.
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let said =
            |line: &str| line.split("successfully on port ").nth(1)?.trim_end_matches('.').trim().parse::<u16>().ok();
        let (driver, port) = Running::start(Command::new("chromedriver").arg("--port=0"), HINT, said);
        let profile = scratch(&format!("profile-{port}"));
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--window-size=1280,1300",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.extend_from_slice(more);
        let mut options = json!({"args": arguments, "binary": chromium()});
        if let Some(mobile) = mobile {
            options["mobileEmulation"] = mobile;
        }
        // The driver must not wait for pages to load: the page writes its state into the address, and the
        // driver at times takes that for a load that never ends. `open` waits instead.
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL"},
            "pageLoadStrategy": "none",
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}. {HINT}"));
        Browser { client, port, _driver: driver, _turn: turn }
    }

    pub async fn close(self) {
        self.client.close().await.expect("the browser closes");
    }

    /// Goes to `url`, from a blank page, so that it is loaded whatever was open.
    pub async fn open(&self, url: &str) {
        for (address, arrived) in
            [("about:blank", "location.href === 'about:blank'"), (url, "location.protocol === 'http:'")]
        {
            self.client.goto(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
            self.wait_until(&format!("{arrived} && document.readyState === 'complete'")).await;
        }
    }

    /// Waits until an expression of the page is true.
    async fn wait_until(&self, condition: &str) {
        let start = std::time::Instant::now();
        let script = format!("return {condition}");
        while self.script(&script).await != true {
            let page = || self.script("return document.body.innerText");
            assert!(start.elapsed() < PATIENCE, "{condition} does not come true; the page says: {}", page().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Runs a script of the test's; a page that does not answer is a failure, not a wait.
    pub async fn script(&self, script: &str) -> Value {
        let answer = tokio::time::timeout(PATIENCE, self.client.execute(script, Vec::new())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{script}: the page does not answer"));
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    pub async fn wait_for(&self, selector: &str) {
        self.wait_until(&format!("!!document.querySelector('{selector}')")).await;
    }

    /// Waits until the element of that test id says `text`.
    pub async fn wait_for_text(&self, id: &str, text: &str) {
        let found = format!("document.querySelector('[data-testid={id}]')?.textContent");
        self.wait_until(&format!("!!{found}?.includes({})", json!(text))).await;
    }

    pub async fn text(&self, id: &str) -> String {
        let text = self.script(&format!("return document.querySelector('[data-testid={id}]').textContent")).await;
        text.as_str().expect("text").to_owned()
    }

    pub async fn attribute(&self, selector: &str, name: &str) -> String {
        let value = self.script(&format!("return document.querySelector('{selector}').getAttribute('{name}')")).await;
        value.as_str().expect("text").to_owned()
    }

    pub async fn count(&self, selector: &str) -> Option<u64> {
        self.script(&format!("return document.querySelectorAll('{selector}').length")).await.as_u64()
    }

    pub async fn click(&self, id: &str) {
        let selector = format!("[data-testid={id}]");
        let element = self.client.find(Locator::Css(&selector)).await.expect("an element to click");
        element.click().await.expect("a click");
    }

    pub async fn unfold(&self, id: &str) {
        let selector = format!("[data-testid={id}] > summary");
        let element = self.client.find(Locator::Css(&selector)).await.expect("a summary");
        element.click().await.expect("a click");
    }

    pub async fn press(&self, selector: &str, key: &str) {
        let options = format!("{{key: '{key}', bubbles: true, cancelable: true}}");
        let script =
            format!("document.querySelector('{selector}').dispatchEvent(new KeyboardEvent('keydown', {options}))");
        self.script(&script).await;
    }

    pub async fn choose_file(&self, file: &Path) {
        let input = self.client.wait().at_most(PATIENCE).for_element(Locator::Css("[data-testid=file-input]"));
        let input = input.await.expect("a file picker");
        let file = file.canonicalize().expect("the file is there");
        input.send_keys(file.to_str().expect("Unicode")).await.expect("a file chosen");
    }

    /// Drops a file with the bytes at `path` of the page's server, as a hand would.
    pub async fn drop_file(&self, path: &str, name: &str) {
        let script = "
            const [path, name, done] = arguments;
            fetch(path).then(response => response.blob()).then(blob => {
                const data = new DataTransfer();
                data.items.add(new File([blob], name));
                for (const type of ['dragover', 'drop']) {
                    const event = new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
                    document.body.dispatchEvent(event);
                }
                done(true);
            });";
        self.wait_for("[data-testid=empty]").await;
        self.client.execute_async(script, vec![json!(path), json!(name)]).await.expect("a drop");
    }

    /// The shown percentile table.
    pub async fn rows(&self) -> Vec<Value> {
        let script = "
            return [...document.querySelectorAll('[data-testid=percentiles] tbody tr')].map(row => {
                const cell = id => row.querySelector(`[data-testid=${id}]`);
                return {
                    label: row.dataset.percentile,
                    real: cell('real').textContent, real_ns: cell('real').dataset.ns,
                    sim: cell('sim').textContent, sim_ns: cell('sim').dataset.ns,
                    error: cell('error').textContent, verdict: cell('row-verdict').textContent,
                };
            })";
        self.script(script).await.as_array().expect("rows").clone()
    }

    /// Every address any page has asked for since this was last called.
    pub async fn requested(&self) -> Vec<String> {
        let session = self.client.session_id().await.expect("a session").expect("an id");
        let body = r#"{"type": "performance"}"#;
        let head =
            format!("POST /session/{session}/se/log HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close", self.port);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let log: Value = serde_json::from_slice(&read_body(stream)).expect("JSON");
        let events = log["value"].as_array().expect("a log").iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().expect("text")).expect("JSON")["message"].take()
        });
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().expect("an address").to_owned()).collect()
    }

    /// Waits until a page asks for an address with `part` in it.
    pub async fn wait_for_request(&self, part: &str) {
        let start = std::time::Instant::now();
        while !self.requested().await.iter().any(|url| url.contains(part)) {
            assert!(start.elapsed() < PATIENCE, "{part} is not asked for");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps a picture under `tmp/screenshots/`.
    pub async fn screenshot(&self, name: &str) {
        let dir = root().join("tmp/screenshots");
        std::fs::create_dir_all(&dir).expect("a directory for screenshots");
        let png = self.client.screenshot().await.expect("a screenshot");
        assert!(png.len() > 4_000, "{name} is an empty picture");
        std::fs::write(dir.join(format!("{name}.png")), png).expect("the screenshot is written");
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

fn chromium() -> PathBuf {
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no Chromium. {HINT}"))
}

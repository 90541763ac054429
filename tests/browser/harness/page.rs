//! One headless Chromium with one page: opening addresses, waiting for what shows, reading it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::process::{Running, on_path, root, scratch};

/// How long anything that must happen may take: far longer than it does on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
const HINT: &str = "browser tests need Chromium and its driver: install the packages `chromium` and `chromium-driver`";

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=AutofillServerCommunication,Translate",
    "--hide-scrollbars",
    "--window-size=1280,1300",
];

/// One browser with one page.
pub struct Browser {
    pub(super) client: Client,
    pub(super) port: u16,
    /// `/session/<id>` at the driver.
    pub(super) session: String,
    /// Where downloads go.
    pub(super) downloads: PathBuf,
    pub(super) net_log: Option<PathBuf>,
    pub(super) driver: Running,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// 1280 pixels wide, light, with a profile of its own.
    pub async fn start() -> Browser {
        Browser::with(&[], None).await
    }

    /// The same, writing down every address anything in it asks for: see [`Browser::close_and_list_asked`].
    pub async fn recording() -> Browser {
        let file = scratch("net-log").join("net-log.json");
        Browser::with(&[format!("--log-net-log={}", file.display())], Some(file)).await
    }

    /// With more of Chromium's flags.
    pub async fn with(flags: &[String], net_log: Option<PathBuf>) -> Browser {
        // One browser at a time: several on two cores only wait for each other.
        static TURN: Mutex<()> = Mutex::const_new(());
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().await;
        let said =
            |line: &str| line.split("successfully on port ").nth(1)?.trim_end_matches('.').trim().parse::<u16>().ok();
        let (driver, port) = Running::start(Command::new("chromedriver").arg("--port=0"), HINT, said);
        let folder = scratch(&format!("chromium-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let (profile, downloads) = (folder.join("profile"), folder.join("downloads"));
        std::fs::create_dir_all(&downloads).expect("a directory for downloads");
        let binary = on_path(&["chromium", "chromium-browser", "google-chrome"]);
        let binary = binary.unwrap_or_else(|| panic!("there is no Chromium. {HINT}"));
        let mut arguments: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.extend_from_slice(flags);
        // The driver must not wait for pages to load: the page writes its state into the address, and the
        // driver at times takes that for a load that never ends. `open` waits instead.
        let capabilities = json!({
            "goog:chromeOptions": {"args": arguments, "binary": binary},
            "goog:loggingPrefs": {"browser": "ALL"},
            "pageLoadStrategy": "none",
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}. {HINT}"));
        let id = client.session_id().await.expect("a session").expect("an id");
        let session = format!("/session/{id}");
        let browser = Browser { client, port, session, downloads, net_log, driver, _turn: turn };
        let into = browser.downloads.canonicalize().expect("it was just made");
        browser.cdp("Browser.setDownloadBehavior", json!({"behavior": "allow", "downloadPath": into}));
        // As if someone looked at it: a page in the background neither focuses nor copies.
        browser.cdp("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        browser
    }

    /// Ends the browser; a test that ends well has a clean log, see [`Browser::is_clean`].
    pub async fn close(self) {
        self.close_expecting(&[]).await;
    }

    /// Ends the browser; its log may hold errors with one of these words.
    pub async fn close_expecting(self, words: &[&str]) {
        self.is_clean(words);
        self.client.close().await.expect("the browser closes");
    }

    /// Goes to `url`, from a blank page, so that it is loaded whatever was open.
    pub async fn open(&self, url: &str) {
        for address in ["about:blank", url] {
            self.client.goto(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
            self.wait_to_arrive(address).await;
        }
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.script("window.isOld = true").await;
        self.client.refresh().await.expect("a reload");
        self.wait_until("!window.isOld && document.readyState === 'complete'").await;
    }

    /// Goes on in the window in which an expression is true; waits for one.
    pub async fn switch_to(&self, condition: &str) {
        let (start, script) = (Instant::now(), format!("return {condition}"));
        while start.elapsed() < PATIENCE {
            for window in self.client.windows().await.expect("windows") {
                self.client.switch_to_window(window).await.expect("a window");
                if self.script(&script).await == true {
                    return;
                }
            }
        }
        panic!("there is no window in which {condition}");
    }

    /// Waits until the page at an address is loaded; the page may write what it likes after `#` and `?`.
    pub async fn wait_to_arrive(&self, address: &str) {
        let place = address.split(['#', '?']).next().unwrap_or_default();
        let arrived = format!("location.href.split(/[#?]/)[0] === {}", json!(place));
        self.wait_until(&format!("{arrived} && document.readyState === 'complete'")).await;
    }

    /// Waits until an expression of the page is true.
    pub async fn wait_until(&self, condition: &str) {
        let start = Instant::now();
        let script = format!("return {condition}");
        while self.script(&script).await != true {
            let page = || self.script("return document.body.innerText");
            assert!(start.elapsed() < PATIENCE, "{condition} does not come true; the page says: {}", page().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until nothing on the page has changed for a while.
    pub async fn wait_to_settle(&self) {
        let script = "
            const [done] = arguments;
            let changes = 0, quiet = 0;
            const observer = new MutationObserver(() => { changes += 1; });
            observer.observe(document, {childList: true, subtree: true, attributes: true, characterData: true});
            const look = () => {
                quiet = changes > 0 ? 0 : quiet + 1;
                changes = 0;
                if (quiet < 8) return setTimeout(look, 50);
                observer.disconnect();
                requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
            };
            look();";
        self.script_async(script, Vec::new()).await;
    }

    /// Runs a script of the test's; a page that does not answer is a failure, not a wait.
    pub async fn script(&self, script: &str) -> Value {
        let answer = tokio::time::timeout(PATIENCE, self.client.execute(script, Vec::new())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{script}: the page does not answer"));
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that calls its last argument, `done`, with the result.
    pub async fn script_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        let answer = tokio::time::timeout(PATIENCE, self.client.execute_async(script, arguments)).await;
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

    /// How many elements a selector finds.
    pub async fn count(&self, selector: &str) -> Option<u64> {
        self.script(&format!("return document.querySelectorAll('{selector}').length")).await.as_u64()
    }

    /// What follows `#` in the address bar.
    pub async fn fragment(&self) -> String {
        let fragment = self.script("return location.hash.slice(1)").await;
        fragment.as_str().expect("text").to_owned()
    }

    pub async fn click(&self, id: &str) {
        self.click_at(&format!("[data-testid={id}]")).await;
    }

    /// Clicks what a selector finds first, once it stands still: what moves is hit beside.
    pub async fn click_at(&self, selector: &str) {
        self.wait_to_stand(selector).await;
        let element = self.client.find(Locator::Css(selector)).await;
        let element = element.unwrap_or_else(|error| panic!("{selector} to click: {error}"));
        element.click().await.unwrap_or_else(|error| panic!("a click on {selector}: {error}"));
    }

    /// Waits until what a selector finds first is at one place for a moment; not until there is something.
    async fn wait_to_stand(&self, selector: &str) {
        let script = "
            const [selector, done] = arguments;
            let before = '', still = 0;
            const look = () => {
                const box = document.querySelector(selector)?.getBoundingClientRect();
                if (!box) return done(false);
                const here = [box.x, box.y, box.width, box.height].join();
                still = here === before ? still + 1 : 0;
                before = here;
                if (still === 2) return done(true);
                setTimeout(look, 20);
            };
            look();";
        self.script_async(script, vec![json!(selector)]).await;
    }

    pub async fn unfold(&self, id: &str) {
        self.click_at(&format!("[data-testid={id}] > summary")).await;
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

    /// Keeps a picture of what is in view under `tmp/screenshots/`.
    pub async fn screenshot(&self, name: &str) {
        self.picture(&root().join("tmp/screenshots").join(format!("{name}.png"))).await;
    }

    /// Keeps a picture of what is in view.
    pub async fn picture(&self, file: &Path) {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a directory for pictures");
        let png = self.client.screenshot().await.expect("a screenshot");
        assert!(png.len() > 4_000, "{} is an empty picture", file.display());
        std::fs::write(file, png).expect("the picture is written");
    }
}

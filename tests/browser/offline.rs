//! Without a network: the site that was visited once opens again, and keeps nothing of anybody's bundles.

use serde_json::{Value, json};

use super::harness::{Answer, Browser, Host, Sample, View};
use super::shown::shows_the_comparison;

/// Every address in every cache of the origin, in order.
const CACHED: &str = "
    const [done] = arguments;
    (async () => {
        const found = [];
        for (const name of await caches.keys())
            for (const request of await (await caches.open(name)).keys()) found.push(request.url);
        return found.sort();
    })().then(done, error => done(`${error}`));";

/// What the origin has in its other stores.
const STORED: &str = "
    const [done] = arguments;
    indexedDB.databases().then(databases => done([
        Object.entries(localStorage), Object.entries(sessionStorage), databases.map(one => one.name), document.cookie,
    ]));";

async fn cached(browser: &Browser) -> Vec<String> {
    let found = browser.script_async(CACHED, Vec::new()).await;
    let urls = found.as_array().unwrap_or_else(|| panic!("{found}"));
    urls.iter().map(|url| url.as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_visited_site_opens_bundles_without_a_network_and_never_keeps_them() {
    let sample = Sample::get();
    let host = Host::of_site("/deep/site/");
    host.answer("b.zip", Answer::bytes(std::fs::read(&sample.bundle).expect("the bundle")));
    let browser = Browser::start().await;
    browser.open(&host.url("#bundle=b.zip")).await;
    browser.wait_for("[data-testid=report]").await;
    browser.wait_for("html[data-offline=ready]").await;
    // Once more, now that the service worker stands between page and host.
    browser.open(&host.url("#bundle=b.zip")).await;
    browser.wait_for("[data-testid=report]").await;
    assert_eq!(host.visits("b.zip").asked, 2);
    let kept = cached(&browser).await;
    assert!(kept.contains(&host.url("fidelio-viewer_bg.wasm")) && kept.contains(&host.url("")), "{kept:?}");
    browser.is_clean(&[]);

    host.set_down(true);
    browser.set_offline(true);
    browser.open(&host.url("")).await;
    browser.drop_files(&[&sample.bundle]).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    browser.unfold("requests").await;
    browser.wait_for("[data-testid=request-rows] [data-request]").await;
    let fonts = "return [...document.fonts].every((font) => font.status !== 'error')";
    assert_eq!(browser.script(fonts).await, true);
    // A bundle by link needs the network, and says so.
    browser.open(&host.url("#bundle=b.zip")).await;
    browser.wait_for_text("problem-title", "The server did not answer").await;

    assert_eq!(cached(&browser).await, kept, "the same as before");
    let site = host.url("");
    for url in &kept {
        assert!(url.starts_with(&site) && !url.contains(".zip") && !url.contains("bundle"), "{url} is kept");
    }
    browser.close_expecting(&["ERR_INTERNET_DISCONNECTED", "ERR_EMPTY_RESPONSE", "ERR_FAILED"]).await;
}

#[tokio::test]
async fn nothing_is_remembered_before_it_is_asked_and_never_what_is_inside() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    let nothing = json!([[], [], [], ""]);
    browser.open(&view.site()).await;
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=report]").await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    assert_eq!(browser.script_async(STORED, Vec::new()).await, nothing);
    assert_eq!(cached(&browser).await, Vec::<String>::new(), "`fidelio view` has no service worker");

    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=remember]:not(:checked)").await;
    assert_eq!(browser.count("[data-testid=recent]").await, Some(0));
    browser.click("remember").await;
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=report]").await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=recent] li:nth-child(2)").await;
    let stored = browser.script_async(STORED, Vec::new()).await;
    let entries: Value = serde_json::from_str(stored[0][0][1].as_str().expect("text")).expect("JSON");
    let entries = entries["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 2, "{stored}");
    for entry in entries {
        let keys: Vec<&String> = entry.as_object().expect("an object").keys().collect();
        assert!(
            keys.iter().all(|key| ["name", "address", "num_bytes", "opened_at"].contains(&key.as_str())),
            "{keys:?}"
        );
        assert_eq!(entry["name"], "spaced.zip");
    }
    assert_eq!(entries.iter().filter(|entry| entry["address"].is_string()).count(), 1, "files have no address");
    // The linked one opens again by a click; then all is forgotten.
    browser.click_at("[data-testid=recent] button").await;
    browser.wait_for("[data-testid=report]").await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=forget]").await;
    browser.click("forget").await;
    browser.wait_until("!document.querySelector('[data-testid=recent]')").await;
    browser.click("remember").await;
    browser.wait_until("localStorage.length === 0").await;
    browser.close().await;
}

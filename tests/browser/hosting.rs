//! The site on a static host that knows nothing of it: below any path, well served or not.

use super::harness::{Answer, Browser, Host, Sample};

#[tokio::test]
async fn the_site_works_below_any_path() {
    let sample = Sample::get();
    let host = Host::of_site("/some/deep/path/");
    host.answer("b.zip", Answer::bytes(std::fs::read(&sample.bundle).expect("the bundle")));
    let browser = Browser::start().await;
    browser.open(&host.url("#bundle=b.zip")).await;
    browser.wait_for("[data-testid=report]").await;
    assert_eq!(host.visits("b.zip").asked, 1);
    browser.close().await;
}

#[tokio::test]
async fn links_to_badly_served_bundles_explain_themselves() {
    let bundle = std::fs::read(&Sample::get().bundle).expect("the bundle");
    let (site, other) = (Host::of_site("/"), Host::of(std::path::Path::new("/nowhere"), "/data/"));
    let half = bundle.len() / 2;
    for (path, answer) in [
        ("good.zip", Answer::bytes(bundle.clone()).for_all()),
        ("no-cors.zip", Answer::bytes(bundle.clone())),
        ("gone.zip", Answer::status(404).for_all()),
        ("forbidden.zip", Answer::status(403).for_all()),
        ("broken.zip", Answer::status(500).for_all()),
        ("cut.zip", Answer::bytes(bundle.clone()).for_all().cut_at(half)),
        ("cut-unknown.zip", Answer::bytes(bundle.clone()).for_all().claiming(None).cut_at(half)),
        ("page.zip", Answer::bytes("<!doctype html><p>sign in").for_all().of_type("text/html")),
    ] {
        other.answer(path, answer);
    }
    let browser = Browser::start().await;
    for (path, says) in [
        ("no-cors.zip", "could not be reached"),
        ("gone.zip", "answered with status 404"),
        ("forbidden.zip", "answered with status 403"),
        ("broken.zip", "answered with status 500"),
        ("cut.zip", "cut"),
        ("cut-unknown.zip", "its end is missing"),
        ("page.zip", "is a web page"),
    ] {
        browser.open(&site.url(&format!("#bundle={}", other.url(path)))).await;
        browser.wait_for_text("problem-detail", says).await;
        assert_eq!(other.visits(path).asked, 1, "{path}");
    }
    browser.open(&site.url(&format!("#bundle={}", other.url("good.zip")))).await;
    browser.wait_for("[data-testid=report]").await;
    browser.close_expecting(&["status of 4", "status of 500", "CORS policy", "ERR_FAILED", "ERR_CONTENT_LENGTH"]).await;
}

#[tokio::test]
async fn a_slow_download_shows_how_far_it_is_and_can_be_cancelled() {
    let bundle = std::fs::read(&Sample::engine().bundle).expect("the bundle");
    let host = Host::of_site("/");
    let rate = bundle.len() / 20;
    host.answer("slow.zip", Answer::bytes(bundle.clone()).dripping(rate));
    host.answer("unknown.zip", Answer::bytes(bundle).claiming(None).dripping(rate));
    let browser = Browser::start().await;
    for (path, is_known) in [("slow.zip", true), ("unknown.zip", false)] {
        browser.open(&host.url(&format!("#bundle={path}"))).await;
        browser.wait_for_text("progress-words", "Downloading").await;
        let share = "document.querySelector('[data-testid=progress]').getAttribute('aria-valuenow')";
        if is_known {
            browser.wait_until(&format!("Number({share}) >= 5")).await;
            assert!(browser.text("progress-words").await.contains(" of "));
        } else {
            assert!(browser.script(&format!("return {share}")).await.is_null());
        }
        browser.tab_to("cancel", 10).await;
        browser.keys("Enter").await;
        browser.wait_for("[data-testid=empty]").await;
        // It is really given up, not only out of sight.
        let start = std::time::Instant::now();
        while host.visits(path).left == 0 {
            assert!(start.elapsed().as_secs() < 10, "{path} is still being sent");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        browser.wait_until("location.hash === ''").await;
    }
    browser.close().await;
}

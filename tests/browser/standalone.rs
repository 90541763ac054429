//! The self-contained page from `file://`: the report is there, its rows too, and nothing is asked of anybody.

use super::harness::{Browser, Sample, fidelio, scratch};
use super::shown::shows_the_comparison;

#[tokio::test]
async fn a_page_from_a_file_shows_everything_without_a_network() {
    let sample = Sample::get();
    let page = scratch("page").join("a page.html");
    let comparison = sample.bundle.with_file_name("comparison");
    let path = |path: &std::path::Path| path.to_str().expect("Unicode").to_owned();
    fidelio(&["bundle".into(), path(&comparison), "--html".into(), format!("--out={}", path(&page))]);
    let browser = Browser::recording().await;
    browser.open(&format!("file://{}", path(&page).replace(' ', "%20"))).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;

    // The rows come from a worker, which a page from a file must start from a blob.
    browser.unfold("requests").await;
    let num_requests = sample.comparison["counts"]["num_requests"].to_string();
    browser.wait_for(&format!("[data-testid=request-count][data-rows=\"{num_requests}\"]")).await;
    browser.wait_for("[data-testid=request-rows] [data-request]").await;
    let embedded = browser.script("return fidelio.embedded.map((file) => file.bytes.length)").await;
    let length = std::fs::metadata(&sample.bundle).expect("the bundle").len();
    assert_eq!(embedded, serde_json::json!([length]));
    let looks =
        "return document.styleSheets.length >= 2 && [...document.fonts].every((font) => font.status !== 'error')";
    assert_eq!(browser.script(looks).await, true);
    browser.is_clean(&[]);

    // The list does tell when a page like this one asks.
    let ask = "const [done] = arguments; fetch('http://elsewhere.test/page').then(() => done(true), () => done(true))";
    browser.script_async(ask, Vec::new()).await;
    let asked = browser.close_and_list_asked(&["elsewhere.test"]).await;
    assert!(asked.iter().any(|asked| asked.url.contains("elsewhere.test")), "the list tells who asks: {asked:?}");
    for asked in asked.iter().filter(|asked| asked.by.is_some() && !asked.url.contains("elsewhere.test")) {
        let is_inside = ["file:", "blob:", "data:"].iter().any(|scheme| asked.url.starts_with(scheme));
        assert!(is_inside, "{asked:?} is outside the page");
    }
}

//! Links: the view lives in the fragment, and whoever opens it sees the same.

use super::harness::{Browser, Sample, View};

#[tokio::test]
async fn a_link_restores_the_view_and_the_keyboard_moves_it() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&format!("{}&metric=itl&axis=log", view.url)).await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    let summary = browser.attribute("[data-testid=cdf]", "aria-label").await;
    assert!(summary.contains("distribution of ITL over 504 gaps"), "{summary}");
    browser.script("document.querySelector('[data-testid=tab-itl]').focus()").await;
    browser.keys("ArrowRight").await;
    browser.wait_for("[data-testid=percentiles][data-metric=tpot]").await;
    let fragment = browser.fragment().await;
    assert!(fragment.contains("metric=tpot") && fragment.contains("axis=log"), "{fragment}");
    assert!(fragment.contains("bundle=bundles/0/"), "{fragment}");
    browser.close().await;
}

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
    browser.wait_until("location.hash.includes('metric=tpot')").await;
    let fragment = browser.fragment().await;
    assert!(fragment.contains("axis=log") && fragment.contains("bundle=bundles/0/"), "{fragment}");
    browser.close().await;
}

#[tokio::test]
async fn another_link_in_the_same_page_shows_its_own_view_and_nothing_of_the_one_before() {
    let view = View::of(&Sample::get().bundle);
    let browser = Browser::start().await;
    browser.open(&format!("{}&metric=e2e&axis=log&open=requests,runs", view.url)).await;
    browser.wait_for("[data-testid=percentiles][data-metric=e2e]").await;
    browser.wait_until("document.querySelectorAll('details[open]').length === 2").await;
    browser.script("location.hash = location.hash.replace(/&metric.*/, '&metric=ttft')").await;
    browser.wait_for("[data-testid=percentiles][data-metric=ttft]").await;
    browser.wait_until("document.querySelectorAll('details[open]').length === 0").await;
    browser.wait_for("[data-testid=axis-linear][aria-pressed=true]").await;
    browser.close().await;
}

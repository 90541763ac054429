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

/// Everything a link can say at once, on a run of 300 requests with engine steps.
const STATE: &str = "metric=e2e&axis=log&fractions=tail&p=0.95&arrivals=5000000000-30000000001&prompts=16-4000&request=7&\
                     sort=real.e2e&order=up&open=requests,steps,attribution,load,distances";

/// What is seen, as far as a view goes: chosen, pressed, unfolded, read off, listed.
const SEEN: &str = "
    const all = (selector, of) => [...document.querySelectorAll(selector)].map(of);
    return JSON.stringify({
        tab: all('[role=tab][aria-selected=true]', tab => tab.id),
        pressed: all('[aria-pressed=true]', button => button.dataset.testid ?? button.textContent),
        open: all('details[open]', details => details.dataset.testid),
        cursor: all('[data-testid=cursor]', line => line.textContent),
        table: all('[data-testid=percentiles] tr', row => row.textContent),
        part: all('[data-testid=part-caption], [data-testid=selection]', text => text.textContent),
        request: all('[data-testid=timeline-table]', table => table.dataset.request),
    });";

#[tokio::test]
async fn a_link_restores_exactly_what_was_seen() {
    let sample = Sample::engine();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    let link = format!("{}&{STATE}", view.url);
    let mut seen = Vec::new();
    for _ in 0..2 {
        // A fresh page that knows only the link.
        browser.open(&link).await;
        browser.wait_for("[data-testid=arrival-brush]").await;
        browser.wait_for("[data-testid=timeline-table]").await;
        browser.wait_until("document.querySelector('[data-testid=row-verdict]').textContent !== '…'").await;
        browser.wait_to_settle().await;
        seen.push(browser.script(SEEN).await.as_str().expect("text").to_owned());
        let said = browser.fragment().await;
        for part in STATE.split('&') {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
    assert_eq!(seen[0], seen[1]);
    for part in ["tab-e2e", "axis-log", "fractions-tail", "P95", "\"request\":[\"7\"]", "attribution", "steps"] {
        assert!(seen[0].contains(part), "{part} is not in {}", seen[0]);
    }
    // Another link in the same page shows its own view, and nothing of the one before.
    browser.script("location.hash = location.hash.replace(/&metric.*/, '&metric=ttft')").await;
    browser.wait_for("[data-testid=percentiles][data-metric=ttft]").await;
    browser.wait_until("document.querySelectorAll('details[open]').length === 0").await;
    browser.close().await;
}

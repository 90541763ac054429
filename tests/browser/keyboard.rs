//! The whole page by the keyboard alone: no mouse, no script that clicks; wherever it stands, one sees where.

use super::harness::{Browser, Sample, View};

/// Fails unless the focus is there and can be seen.
async fn stands_at(browser: &Browser, id: &str, role: &str) {
    let focus = browser.focused().await.unwrap_or_else(|| panic!("nothing has the focus, {id} should"));
    assert_eq!((focus.id.as_str(), focus.role.as_str()), (id, role), "{focus:?}");
    assert!(focus.is_visible && !focus.name.is_empty(), "{focus:?}");
}

#[tokio::test]
async fn everything_can_be_done_by_the_keyboard() {
    let sample = Sample::engine();
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=empty]").await;
    browser.tab_to("file-input", 10).await;
    let focus = browser.focused().await.expect("a focus");
    assert!(focus.is_visible && !focus.name.is_empty(), "{focus:?}");
    // The system's own dialog is not the page's.
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=prompt-brush]").await;

    browser.tab_to("tab-ttft", 20).await;
    stands_at(&browser, "tab-ttft", "tab").await;
    browser.keys("ArrowRight").await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    stands_at(&browser, "tab-itl", "tab").await;
    browser.keys("End").await;
    browser.wait_for("[data-testid=percentiles][data-metric=normalised_e2e]").await;
    browser.keys("Home").await;
    browser.wait_for("[data-testid=percentiles][data-metric=ttft]").await;
    stands_at(&browser, "tab-ttft", "tab").await;

    browser.tab_to("axis-log", 4).await;
    stands_at(&browser, "axis-log", "button").await;
    browser.keys("Enter").await;
    browser.wait_for("[data-testid=axis-log][aria-pressed=true]").await;
    stands_at(&browser, "axis-log", "button").await;
    browser.tab_to("fractions-tail", 4).await;
    browser.keys("Space").await;
    browser.wait_for("[data-testid=fractions-tail][aria-pressed=true]").await;
    stands_at(&browser, "fractions-tail", "button").await;

    browser.tab_to("cdf-cursor", 2).await;
    stands_at(&browser, "cdf-cursor", "slider").await;
    browser.keys("PageUp").await;
    browser.wait_for("[data-testid=cursor][data-fraction=\"0.9\"]").await;
    stands_at(&browser, "cdf-cursor", "slider").await;

    for (handle, key) in [("arrival-brush-from", "PageUp"), ("arrival-brush-to", "PageDown")] {
        browser.tab_to(handle, 20).await;
        stands_at(&browser, handle, "slider").await;
        browser.keys(key).await;
        browser.wait_for("[data-testid=part-caption]").await;
        stands_at(&browser, handle, "slider").await;
    }
    browser.keys("Escape").await;
    browser.wait_until("!document.querySelector('[data-testid=part-caption]')").await;
    stands_at(&browser, "arrival-brush-to", "slider").await;

    // A panel unfolds, is filtered, and a request is chosen in it.
    tab_to_summary(&browser, "Requests one by one").await;
    browser.keys("Enter").await;
    browser.wait_for("[data-testid=request-rows] [role=row]").await;
    browser.tab_to("request-filter", 15).await;
    stands_at(&browser, "request-filter", "searchbox").await;
    browser.type_text("prompt>1000").await;
    browser.wait_until("document.querySelector('[data-testid=request-count]').dataset.rows < 200").await;
    stands_at(&browser, "request-filter", "searchbox").await;
    browser.tab_to("request-table", 2).await;
    stands_at(&browser, "request-table", "grid").await;
    browser.keys("ArrowDown ArrowDown Enter").await;
    browser.wait_for("[data-testid=timeline-table]").await;
    stands_at(&browser, "request-table", "grid").await;

    // Dialogs keep the keyboard inside and give it back.
    browser.keys("s").await;
    browser.wait_for("[data-testid=share-dialog][open]").await;
    let inside = "document.querySelector('[data-testid=share-dialog]').contains(document.activeElement)";
    for _ in 0..4 {
        browser.keys("Tab").await;
        assert_eq!(browser.script(&format!("return {inside} || document.activeElement === document.body")).await, true);
    }
    browser.keys("Escape").await;
    browser.wait_until("!document.querySelector('dialog[open]')").await;
    stands_at(&browser, "request-table", "grid").await;
    browser.keys("?").await;
    browser.wait_for("[data-testid=help][open]").await;
    assert!(browser.text("help").await.contains("filter the table of requests"));
    stands_at(&browser, "help-close", "button").await;
    browser.keys("Enter").await;
    browser.wait_until("!document.querySelector('dialog[open]')").await;
    stands_at(&browser, "request-table", "grid").await;
    // The same by its button.
    browser.keys("Shift+Tab").await;
    browser.keys("3").await;
    browser.wait_for("[data-testid=percentiles]").await;
    browser.close().await;
}

/// Presses Tab until the heading of a folded panel has the focus.
async fn tab_to_summary(browser: &Browser, heading: &str) {
    for _ in 0..40 {
        browser.keys("Tab").await;
        let at = browser.script("const at = document.activeElement; return at.tagName + ' ' + at.textContent").await;
        if at.as_str().is_some_and(|at| at.starts_with(&format!("SUMMARY {heading}"))) {
            let focus = browser.focused().await.expect("a focus");
            assert!(focus.is_visible, "{focus:?}");
            return;
        }
    }
    panic!("no Tab leads to {heading}");
}

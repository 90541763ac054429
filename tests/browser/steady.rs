//! Nothing jumps: what shows stays where it is when more comes.

use super::harness::{Browser, Sample, View};

/// Every move of what was shown already, as the browser scores it: shares of the page moved, times how far.
const WATCH: &str = "
    window.moves = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            const what = entry.sources.map(({node}) => (node?.className ?? node?.parentElement?.className) || node?.nodeName);
            // One screen in place of another is no jump.
            if (!what.includes('MAIN')) moves.push({value: entry.value, what});
        }
    }).observe({type: 'layout-shift'});";

#[tokio::test]
async fn what_is_shown_stays_where_it_is_when_the_rows_come() {
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    for (width, height) in [(1280, 1300), (390, 2400)] {
        browser.set_size(width, height);
        browser.open(&view.site()).await;
        browser.wait_for("[data-testid=empty]").await;
        browser.script(WATCH).await;
        browser.choose_file(&Sample::engine().bundle).await;
        browser.wait_for("[data-testid=runs-table] td[data-ns]").await;
        browser.wait_for("canvas[data-testid=prompt-strip]").await;
        browser.wait_to_settle().await;
        let moves = browser.script("return moves").await;
        let total: f64 = moves.as_array().expect("moves").iter().filter_map(|one| one["value"].as_f64()).sum();
        assert!(total < 0.005, "at {width} pixels: {moves:#}");
    }

    // And a move would have been seen.
    browser.script("document.querySelector('.metrics').style.marginTop = '300px'").await;
    browser.wait_until("moves.some(({value}) => value > 0.005)").await;
    browser.close().await;
}

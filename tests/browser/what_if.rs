//! "What if": the unchanged settings, a changed one, what it does to table and figure, and nonsense explained.

use fidelio_shared::explore::questions::WhatIf;
use fidelio_shared::metrics::Metric;
use fidelio_shared::serving::SchedulerConfig;

use super::engine::{becomes, explorer, linked, opened};
use super::harness::Sample;

const TIMES: &str =
    "[...document.querySelectorAll('[data-testid=what-if-time]')].map(cell => cell.dataset.ns ?? '').join()";
const UNCHANGED: &str =
    "[...document.querySelectorAll('[data-testid=what-if-unchanged]')].map(cell => cell.dataset.ns).join()";
const FIELD: &str = "what-if-max_num_batched_tokens";

#[tokio::test]
async fn a_changed_setting_is_simulated_told_and_drawn() {
    let mut explorer = explorer(Sample::engine());
    let basis = explorer.what_if_basis().expect("a basis");
    let times = |metrics: &[fidelio_shared::explore::answers::WhatIfMetric]| {
        let entry = metrics.iter().find(|entry| entry.metric == Metric::Ttft).expect("TTFT");
        entry.percentiles.iter().map(|(_, time)| time.to_string()).collect::<Vec<_>>().join(",")
    };
    let (_view, browser) = opened("&open=what-if").await;
    browser.wait_for("[data-testid=what-if-table]").await;
    becomes(&browser, UNCHANGED, times(&basis.unchanged.metrics)).await;
    becomes(&browser, TIMES, ",,,").await;
    assert!(browser.text("what-if-trust").await.contains("Step times are fitted to the steps"));

    // Another chunk, typed.
    browser.script(&format!("document.querySelector('[data-testid={FIELD}]').select()")).await;
    browser.click(FIELD).await;
    browser.keys("Control+a").await;
    browser.type_text("512").await;
    let scheduler = SchedulerConfig { max_num_batched_tokens: 512, ..basis.settings.scheduler.clone() };
    let answer = explorer.what_if(&WhatIf { scheduler, ..basis.settings.clone() }).expect("an answer");
    becomes(&browser, TIMES, times(&answer.metrics)).await;
    assert_ne!(times(&answer.metrics), times(&basis.unchanged.metrics), "the chunk matters");
    becomes(&browser, "document.querySelector('[data-testid=what-if-panel]').dataset.isSettled", "true").await;
    let drawn = "document.querySelector('canvas[data-testid=cdf]').ariaLabel.includes('what if')";
    becomes(&browser, drawn, true).await;
    assert_eq!(linked(&browser, "whatif").await, "max_num_batched_tokens:512");

    // The link restores it.
    let address = browser.script("return location.href").await;
    browser.open(address.as_str().expect("an address")).await;
    browser.wait_for("[data-testid=what-if-table]").await;
    becomes(&browser, TIMES, times(&answer.metrics)).await;

    // Nonsense is said in a sentence; what was asked last that made sense stays until then.
    for (typed, says) in [("many", "is a whole number, not “many”"), ("0", "max_num_batched_tokens")] {
        browser.click(FIELD).await;
        browser.keys("Control+a").await;
        browser.type_text(typed).await;
        browser.wait_for_text("what-if-problem", says).await;
        let problem = browser.text("what-if-problem").await;
        assert!(problem.ends_with('.') && problem.len() > 20, "a sentence: {problem}");
    }
    browser.click("what-if-reset").await;
    becomes(&browser, TIMES, ",,,").await;
    becomes(&browser, drawn, false).await;
    assert_eq!(browser.count("[data-testid=what-if-problem]").await, Some(0));
    browser.close().await;
}

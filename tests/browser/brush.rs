//! Brushes: a part of the requests is told at once, in the numbers that `shared` computes of it, beside the whole run.

use fidelio_shared::charts::StripLayout;
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::Comparison;
use fidelio_shared::stats::Percentile;

use super::engine::{becomes, entry, explorer, linked, opened, place, range, read};
use super::harness::{Browser, Sample};

const TIMES: &str = "[...document.querySelectorAll('[data-testid=percentiles] tbody tr')]\
    .map(row => ['real', 'sim'].map(id => row.querySelector(`[data-testid=${id}]`).dataset.ns).join(' ')).join()";
const JUDGED: &str = "[...document.querySelectorAll('[data-testid=row-verdict]')].map(cell => cell.textContent).join()";
/// Notes every state of the table from now on.
const WATCH: &str = "
    window.states = [];
    const text = (row, id) => row.querySelector(`[data-testid=${id}]`);
    new MutationObserver(() => {
        const rows = [...document.querySelectorAll('[data-testid=percentiles] tbody tr')];
        states.push(rows.map(row => `${text(row, 'real').dataset.ns} ${text(row, 'row-verdict').textContent}`).join());
    }).observe(document.body, {childList: true, subtree: true, attributes: true, characterData: true});";

/// Fails unless the table shows what `shared` makes of the selection, and the whole run's numbers beside it.
async fn shows(browser: &Browser, comparison: &Comparison, metric: Metric, selection: &Selection) {
    let mut explorer = explorer(Sample::engine());
    let whole = entry(comparison, metric);
    let percentiles: Vec<Percentile> = whole.percentiles.iter().map(|row| row.percentile).collect();
    let part = explorer.reduce(metric, selection, &percentiles).expect("values in the selection");
    assert!(part.num_requests > 5 && part.num_requests < whole.num_requests, "{selection:?} is a part");
    let times: Vec<String> = part.percentiles.iter().map(|row| format!("{} {}", row.real_ns, row.sim_ns)).collect();
    becomes(browser, TIMES, times.join(",")).await;
    let caption = browser.text("part-caption").await;
    assert!(caption.contains(&format!("over the selected {} requests", part.num_requests)), "{caption}");
    // Beside it, the file's own.
    let exact = "[...document.querySelectorAll('[data-testid=whole-real], [data-testid=whole-sim]')].map(cell => cell.title).join()";
    let stored: Vec<String> =
        whole.percentiles.iter().flat_map(|row| [row.real_ns, row.sim_ns]).map(|time| format!("{time} ns")).collect();
    becomes(browser, exact, stored.join(",")).await;
    // Verdicts come later, and are those of a comparison of this part.
    let judged = explorer.with_intervals(metric, selection).expect("values in the selection");
    let verdicts: Vec<&str> = judged.percentiles.iter().map(|row| row.verdict.words()).collect();
    becomes(browser, JUDGED, verdicts.join(",")).await;
    let summary = browser.attribute("canvas[data-testid=cdf]", "aria-label").await;
    assert!(summary.contains("whole run"), "the figure draws both: {summary}");
}

async fn is_whole(browser: &Browser, comparison: &Comparison, metric: Metric) {
    let rows = &entry(comparison, metric).percentiles;
    let times: Vec<String> = rows.iter().map(|row| format!("{} {}", row.real_ns, row.sim_ns)).collect();
    becomes(browser, TIMES, times.join(",")).await;
    assert_eq!(browser.count("[data-testid=part-caption]").await, Some(0));
}

#[tokio::test]
async fn dragging_over_the_load_tells_the_part_at_once_and_its_intervals_later() {
    let (comparison, _) = read(Sample::engine());
    let (_view, browser) = opened("").await;
    is_whole(&browser, &comparison, Metric::Ttft).await;
    browser.script(WATCH).await;
    browser.drag("[data-testid=arrival-brush]", (0.25, 0.5), (0.6, 0.5)).await;
    let (from, before) = range(&linked(&browser, "arrivals").await);
    // It is the stretch of the axis that the mouse went over.
    let [left, ..] = place(&browser, "[data-testid=arrival-brush]").await;
    let [_, _, width, height] = place(&browser, "canvas[data-testid=load-strip]").await;
    let layout = StripLayout::of_load(comparison.curves.as_ref().expect("curves"), width, height);
    let under = |x: f64| layout.value((left + x * width).round() - left);
    assert_eq!((from, before), (under(0.25).floor() as u64, under(0.6).ceil() as u64 + 1));
    let selection = Selection { arrivals: Some((from, before)), prompt_tokens: None };
    shows(&browser, &comparison, Metric::Ttft, &selection).await;

    // Numbers came while the mouse still moved, verdicts only after them.
    let states = browser.script("return window.states").await;
    let states: Vec<&str> = states.as_array().expect("states").iter().filter_map(|state| state.as_str()).collect();
    let is_early = |state: &&&str| state.contains('…') && !state.contains("undefined");
    assert!(states.iter().any(|state| is_early(&state)), "{states:#?}");
    let mut times: Vec<&str> = states.iter().filter(is_early).filter_map(|state| state.split(' ').next()).collect();
    times.dedup();
    assert!(times.len() > 1, "the table follows the mouse: {states:#?}");

    // Other metrics are of the same part.
    browser.click("tab-e2e").await;
    shows(&browser, &comparison, Metric::E2e, &selection).await;
    browser.click("clear-selection").await;
    is_whole(&browser, &comparison, Metric::E2e).await;
    browser.wait_until("!location.hash.includes('arrivals=')").await;
    browser.close().await;
}

#[tokio::test]
async fn keys_move_the_ends_of_both_brushes_and_the_link_restores_them() {
    let (comparison, _) = read(Sample::engine());
    let (_view, browser) = opened("").await;
    browser.tab_to("arrival-brush-from", 60).await;
    browser.keys("PageUp PageUp ArrowRight").await;
    browser.tab_to("arrival-brush-to", 1).await;
    browser.keys("PageDown ArrowLeft").await;
    let arrivals = range(&linked(&browser, "arrivals").await);
    let arrived = Selection { arrivals: Some(arrivals), prompt_tokens: None };
    shows(&browser, &comparison, Metric::Ttft, &arrived).await;
    browser.tab_to("prompt-brush-from", 1).await;
    browser.keys("PageUp PageUp PageUp PageUp PageUp").await;
    let (from, to) = range(&linked(&browser, "prompts").await);
    let both = Selection { prompt_tokens: Some((from as u32, to as u32)), ..arrived };
    shows(&browser, &comparison, Metric::Ttft, &both).await;

    let address = browser.script("return location.href").await;
    browser.open(address.as_str().expect("an address")).await;
    browser.wait_for("[data-testid=part-caption]").await;
    shows(&browser, &comparison, Metric::Ttft, &both).await;
    // Escape lets go of all of it, wherever the keyboard is.
    browser.tab_to("clear-selection", 60).await;
    browser.keys("Escape").await;
    is_whole(&browser, &comparison, Metric::Ttft).await;
    browser.close().await;
}

#[tokio::test]
async fn dragging_over_prompt_lengths_selects_and_a_click_lets_go() {
    let (comparison, _) = read(Sample::engine());
    let (_view, browser) = opened("&metric=itl").await;
    browser.drag("[data-testid=prompt-brush]", (0.8, 0.5), (0.4, 0.5)).await;
    let (from, to) = range(&linked(&browser, "prompts").await);
    let selection = Selection { arrivals: None, prompt_tokens: Some((from as u32, to as u32)) };
    shows(&browser, &comparison, Metric::Itl, &selection).await;
    browser.click_on("[data-testid=prompt-brush]", 0.5, 0.5).await;
    is_whole(&browser, &comparison, Metric::Itl).await;
    browser.close().await;
}

//! Figures are what `comparison.json` says: the cursor reads off stored quantiles, by mouse and by keyboard.

use serde_json::Value;

use super::harness::{Browser, Sample, View};

/// What the cursor reads, beside the line of the readout.
async fn cursor(browser: &Browser) -> (f64, String, String) {
    let read = "
        const {fraction, realNs, simNs} = document.querySelector('[data-testid=cursor]').dataset;
        return [Number(fraction), realNs, simNs]";
    let read = browser.script(read).await;
    let text = |index: usize| read[index].as_str().unwrap_or_default().to_owned();
    (read[0].as_f64().unwrap_or(f64::NAN), text(1), text(2))
}

/// Fails unless that is a point of the curve, or a row of the table, of that metric.
fn is_stored(entry: &Value, (fraction, real_ns, sim_ns): &(f64, String, String)) {
    let curve = &entry["curve"];
    let fractions = curve["fractions"].as_array().expect("fractions");
    let place = fractions.iter().position(|stored| (stored.as_f64().expect("a number") - fraction).abs() < 1e-9);
    let row = entry["percentiles"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| (row["percentile"].as_f64().expect("a number") / 10_000.0 - fraction).abs() < 1e-9);
    let (real, sim) = match (row, place) {
        (Some(row), _) => (&row["real_ns"], &row["sim_ns"]),
        (None, Some(place)) => (&curve["real_ns"][place], &curve["sim_ns"][place]),
        (None, None) => panic!("{fraction} is not stored"),
    };
    assert_eq!((real_ns, sim_ns), (&real.to_string(), &sim.to_string()), "at {fraction}");
}

#[tokio::test]
async fn the_cursor_reads_stored_quantiles_by_mouse_and_keyboard() {
    for sample in [Sample::get(), Sample::engine()] {
        let view = View::of(&sample.bundle);
        let browser = Browser::start().await;
        browser.open(&view.url).await;
        browser.wait_for("[data-testid=report]").await;
        for entry in sample.comparison["metrics"].as_array().expect("metrics") {
            browser.click(&format!("tab-{}", entry["metric"].as_str().expect("a key"))).await;
            let mut seen = Vec::new();
            for height in [0.15, 0.35, 0.5, 0.65, 0.85] {
                browser.point_at("[data-testid=cdf-cursor]", 0.5, height).await;
                browser.wait_for("[data-testid=cursor][data-fraction]").await;
                seen.push(cursor(&browser).await);
                is_stored(entry, seen.last().expect("one"));
            }
            seen.dedup_by(|later, first| later.0 == first.0);
            assert!(seen.windows(2).all(|pair| pair[0].0 > pair[1].0) && seen.len() > 2, "down is less: {seen:?}");
            browser.script("document.querySelector('[data-testid=cdf-cursor]').focus()").await;
            for keys in ["Home", "End", "PageDown", "ArrowLeft ArrowLeft", "Shift+ArrowRight", "PageUp"] {
                browser.keys(keys).await;
                is_stored(entry, &cursor(&browser).await);
            }
            let said = browser.focused().await.expect("a focus");
            assert_eq!((said.role.as_str(), said.name.as_str()), ("slider", "Quantile cursor"));
            browser.keys("Escape").await;
        }
        browser.close().await;
    }
}

#[tokio::test]
async fn a_brushed_part_is_told_beside_the_whole_run() {
    let sample = Sample::engine();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=arrival-brush]").await;
    let whole = browser.rows().await;
    browser.drag("[data-testid=arrival-brush]", (0.3, 0.5), (0.6, 0.5)).await;
    browser.wait_for("[data-testid=part-caption]").await;
    browser.wait_until("document.querySelector('[data-testid=real]').dataset.ns !== undefined").await;
    let part = browser.rows().await;
    assert_eq!(part.len(), whole.len());
    assert_ne!(part[0]["real_ns"], whole[0]["real_ns"]);
    assert_eq!(browser.text("whole-real").await, whole[0]["real"].as_str().expect("text"));
    // Intervals and verdicts follow.
    browser.wait_until("document.querySelector('[data-testid=row-verdict]').textContent !== '…'").await;
    browser.wait_until("location.hash.includes('arrivals=')").await;
    // The keyboard moves an end, and lets go of all of it.
    browser.script("document.querySelector('[data-testid=arrival-brush-to]').focus()").await;
    let said = "return document.activeElement.getAttribute('aria-valuetext')";
    let before = browser.script(said).await;
    browser.keys("PageDown").await;
    browser.wait_until(&format!("document.activeElement.getAttribute('aria-valuetext') !== {before}")).await;
    browser.keys("Escape").await;
    browser.wait_until("!document.querySelector('[data-testid=part-caption]')").await;
    assert_eq!(browser.rows().await, whole);
    browser.close().await;
}

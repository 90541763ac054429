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

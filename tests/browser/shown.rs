//! What the page shows, held against `comparison.json`: every number of every table, tab by tab.

use serde_json::Value;

use super::harness::Browser;

/// Reads the shown tables, tab by tab, and holds each cell against the file.
pub async fn shows_the_comparison(browser: &Browser, comparison: &Value) {
    let sentence =
        comparison["verdict"]["sentence"].as_str().expect("a sentence").replace(" -", " −").replace("(-", "(−");
    assert!(browser.text("verdict").await.contains(&sentence), "{sentence}");
    let metrics = comparison["metrics"].as_array().expect("metrics");
    assert!(metrics.len() >= 4, "TTFT, ITL, TPOT and E2E at least");
    for metric in metrics {
        let key = metric["metric"].as_str().expect("a key");
        browser.click(&format!("tab-{key}")).await;
        browser.wait_for(&format!("[data-testid=percentiles][data-metric={key}]")).await;
        let shown = browser.rows().await;
        let expected = metric["percentiles"].as_array().expect("rows");
        assert_eq!(shown.len(), expected.len(), "{key}");
        for (shown, row) in shown.iter().zip(expected) {
            assert_eq!(shown["label"], row["label"], "{key}");
            for side in ["real", "sim"] {
                let exact = &row[format!("{side}_ns")];
                assert_eq!(shown[format!("{side}_ns")], exact.to_string(), "{key} {side}");
                let text = shown[side].as_str().expect("text");
                let (read, exact) = (nanos(text), exact.as_f64().expect("a time"));
                assert!((read / exact - 1.0).abs() < 5.1e-4, "{key} {side}: {text} is not {exact} ns");
            }
            let (error, exact) = (shown["error"].as_str().expect("text"), row["rel_error"].as_f64().expect("an error"));
            assert!((percent(error) - 100.0 * exact).abs() <= 0.0501, "{key}: {error} is not {exact}");
            let verdict = row["verdict"].as_str().expect("a verdict").replace('_', " ");
            assert_eq!(shown["verdict"], verdict, "{key}");
        }
    }
}

/// `17.28 ms` in nanoseconds.
pub fn nanos(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or_else(|| panic!("`{text}` has no unit"));
    let scale = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        other => panic!("`{other}` is no unit"),
    };
    number.replace('−', "-").parse::<f64>().expect("a number") * scale
}

/// `−88.6 %` as a number.
pub fn percent(text: &str) -> f64 {
    text.trim_end_matches(" %").replace('−', "-").replace(',', "").parse().expect("a percentage")
}

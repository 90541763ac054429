//! The sample with engine steps, repeats and token times as `shared` reads it: what panels show is held against it.

use std::fs::File;
use std::time::{Duration, Instant};

use fidelio_shared::bundle::{BundleReader, Contents};
use fidelio_shared::explore::Explorer;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::{Comparison, MetricComparison};
use serde_json::Value;

use super::harness::{Browser, Sample, View};

/// The comparison of a bundle, and the runs in it.
pub fn read(sample: &Sample) -> (Comparison, Contents) {
    let mut bundle = BundleReader::open(File::open(&sample.bundle).expect("the bundle")).expect("a bundle");
    (bundle.comparison().expect("a comparison"), bundle.load().expect("runs"))
}

/// What a worker answers from, made of the same bundle.
pub fn explorer(sample: &Sample) -> Explorer {
    let (comparison, Contents { real, sim, workload }) = read(sample);
    Explorer::new(real, sim, workload, &comparison.options).expect("runs to look into")
}

/// What the comparison says of a metric.
pub fn entry(comparison: &Comparison, metric: Metric) -> &MetricComparison {
    comparison.metric(metric).expect("the metric")
}

/// A browser that shows the sample, its raw rows read; `more` is the rest of the link.
pub async fn opened(more: &str) -> (View, Browser) {
    let view = View::of(&Sample::engine().bundle);
    let browser = Browser::start().await;
    browser.open(&format!("{}{more}", view.url)).await;
    browser.wait_for("[data-testid=report]").await;
    browser.wait_for("[data-testid=prompt-brush]").await;
    // The last to come, and above the brushes.
    browser.wait_for("[data-testid=runs-row]").await;
    browser.wait_to_settle().await;
    (view, browser)
}

/// Waits until an expression of the page is `wanted`; says what it is when it never comes to be.
pub async fn becomes(browser: &Browser, expression: &str, wanted: impl Into<Value>) {
    let (start, wanted) = (Instant::now(), wanted.into());
    loop {
        let found = browser.script(&format!("return {expression}")).await;
        if found == wanted {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{expression} is {found}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// A text of the page, by expression; empty where there is none.
pub async fn said(browser: &Browser, expression: &str) -> String {
    let found = browser.script(&format!("return {expression}")).await;
    found.as_str().unwrap_or_default().to_owned()
}

/// Left, top, width and height of what a selector finds, pixels of the viewport.
pub async fn place(browser: &Browser, selector: &str) -> [f64; 4] {
    let script = format!(
        "const {{left, top, width, height}} = document.querySelector('{selector}').getBoundingClientRect();
        return [left, top, width, height]"
    );
    let found = browser.script(&script).await;
    [0, 1, 2, 3].map(|index| found[index].as_f64().expect("a number"))
}

/// What the link says under a key, once the page has written it.
pub async fn linked(browser: &Browser, key: &str) -> String {
    browser.wait_until(&format!("new RegExp('[#&]{key}=').test(location.hash)")).await;
    // The address follows the page after a moment.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let fragment = browser.fragment().await;
    let pairs = fragment.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_owned()).expect("the key")
}

/// A range of the link.
pub fn range(text: &str) -> (u64, u64) {
    let (from, to) = text.split_once('-').expect("a range");
    (from.parse().expect("a number"), to.parse().expect("a number"))
}

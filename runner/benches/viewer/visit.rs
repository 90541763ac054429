//! One visit in a browser of its own: the empty page, a dropped bundle, its rows, a brush; and what each took.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Browser, Host};

/// The longest that a part of a visit may take at all.
const MOST: Duration = Duration::from_secs(240);

/// What was measured, in milliseconds and MiB; `None` where the page did not tell.
#[derive(Debug, Default)]
pub struct Visit {
    pub first_paint: Option<f64>,
    pub first_chart: Option<f64>,
    pub rows_ready: Option<f64>,
    pub longest_task_opening: Option<f64>,
    pub brush_redraws: Vec<f64>,
    pub longest_task_brushing: Option<f64>,
    pub peak_mib: Option<f64>,
    pub chromium: String,
}

/// Opens the site, and drops `bundle` into it where there is one.
pub async fn visit(host: &Host, bundle: Option<&Path>) -> Visit {
    let browser = Browser::start().await;
    let version = browser.cdp("Browser.getVersion", json!({}));
    let mut visit = Visit { chromium: version["product"].as_str().unwrap_or_default().to_owned(), ..Visit::default() };
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": include_str!("watch.js")}));
    browser.open(&host.url("")).await;
    browser.wait_for("[data-testid=empty]").await;
    // The browser tells of a paint a moment later.
    browser.wait_until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
    visit.first_paint = number(&browser, "performance.getEntriesByName('first-contentful-paint')[0].startTime").await;
    if let Some(bundle) = bundle {
        drop_and_brush(&browser, bundle, &mut visit).await;
    }
    browser.close().await;
    visit
}

async fn drop_and_brush(browser: &Browser, bundle: &Path, visit: &mut Visit) {
    // Nobody drops a file into a page that has just appeared; what it does by itself then is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    browser.script("benchWatch.tasks.length = 0").await;
    browser.drop_files(&[bundle]).await;
    visit.first_chart = since_drop(browser, "benchWatch.painted['fidelio:cdf-drawn']?.[0][1]").await;
    visit.rows_ready = since_drop(browser, "benchWatch.ready").await;
    visit.longest_task_opening = longest_task(browser).await;
    browser.script("benchWatch.tasks.length = 0").await;
    for end in [0.5, 0.7, 0.35, 0.9, 0.6] {
        browser.drag("[data-testid=arrival-brush]", (0.2, 0.5), (end, 0.5)).await;
        // Intervals of a selection follow when it stands still.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    visit.brush_redraws = redraws(browser).await;
    visit.longest_task_brushing = longest_task(browser).await;
    visit.peak_mib = browser.peak_mib();
}

/// From the drop until the time that an expression of the page tells.
async fn since_drop(browser: &Browser, time: &str) -> Option<f64> {
    let start = Instant::now();
    loop {
        if let Some(time) = number(browser, &format!("{time} - benchWatch.dropped")).await {
            return Some(time);
        }
        let problem = browser.script("return document.querySelector('[data-testid=problem]')?.innerText").await;
        assert!(problem.is_null(), "the bundle does not open: {problem}");
        assert!(start.elapsed() < MOST, "{time} does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// From every brush to the next painted figure. A brush that another one overtakes before anything is drawn counts from
/// the first: that is how long the figure stood still.
async fn redraws(browser: &Browser) -> Vec<f64> {
    let marks = "return [benchWatch.painted['fidelio:brush-start'], benchWatch.painted['fidelio:cdf-drawn']]";
    let marks = browser.script(marks).await;
    let list = |kind: usize, at: usize| -> Vec<f64> {
        marks[kind].as_array().into_iter().flatten().filter_map(|mark| mark[at].as_f64()).collect()
    };
    let mut starts = list(0, 0).into_iter().peekable();
    let mut times = Vec::new();
    for (marked, painted) in list(1, 0).into_iter().zip(list(1, 1)) {
        let Some(start) = starts.next_if(|start| *start < marked) else { continue };
        times.push(painted - start);
        while starts.next_if(|start| *start < marked).is_some() {}
    }
    times
}

async fn longest_task(browser: &Browser) -> Option<f64> {
    // The observer is told of a task after the next one.
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The shortest that the browser tells of is 50 ms.
    number(browser, "Math.max(50, ...benchWatch.tasks.map(task => task[1]))").await
}

async fn number(browser: &Browser, expression: &str) -> Option<f64> {
    browser.script(&format!("return {expression}")).await.as_f64()
}

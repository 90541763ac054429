//! The cursor: wherever it stops, by key or by mouse, it reads a quantile of `comparison.json`; the link keeps it.

use fidelio_shared::charts::{Axis, CdfFigure, CdfLayout, Fractions, ShiftFigure, ShiftLayout};
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::MetricComparison;

use super::engine::{becomes, entry, linked, opened, place, read};
use super::harness::{Browser, Sample};

/// Fraction, and both sides as the page writes them.
type Stop = (f64, String, String);

/// Where the cursor may stop: the rows of the table, and the points of the curve.
fn stops(entry: &MetricComparison) -> Vec<Stop> {
    let rows = entry.percentiles.iter().map(|row| (row.percentile.fraction(), row.real_ns, row.sim_ns));
    let times = entry.curve.real_ns.iter().zip(&entry.curve.sim_ns);
    let points = entry.curve.fractions.iter().zip(times).map(|(fraction, (real, sim))| (*fraction, *real, *sim));
    let mut stops: Vec<Stop> = Vec::new();
    for (fraction, real, sim) in rows.chain(points) {
        if stops.iter().all(|(known, ..)| *known != fraction) {
            stops.push((fraction, real.to_string(), sim.to_string()));
        }
    }
    stops.sort_by(|a, b| a.0.total_cmp(&b.0));
    stops
}

fn nearest(stops: &[Stop], fraction: f64) -> &Stop {
    stops.iter().min_by(|a, b| (a.0 - fraction).abs().total_cmp(&(b.0 - fraction).abs())).expect("a stop")
}

const READ: &str = "(({fraction, realNs, simNs}) => fraction && [fraction, realNs, simNs].join(' '))\
                    (document.querySelector('[data-testid=cursor]').dataset)";

/// Waits until the read-out is that stop.
async fn reads(browser: &Browser, (fraction, real, sim): &Stop) {
    becomes(browser, READ, format!("{fraction} {real} {sim}")).await;
}

#[tokio::test]
async fn keys_lead_the_cursor_to_quantiles_of_the_file_and_the_link_keeps_it() {
    let (comparison, _) = read(Sample::engine());
    let stops = stops(entry(&comparison, Metric::Ttft));
    let at = |fraction: f64| nearest(&stops, fraction);
    let (_view, browser) = opened("").await;
    browser.tab_to("cdf-cursor", 40).await;
    assert_eq!(browser.script(&format!("return {READ} ?? null")).await, serde_json::Value::Null);
    let walk = [
        ("ArrowRight", at(0.5)),
        ("PageUp", at(0.9)),
        ("PageUp", at(0.95)),
        ("PageUp", at(0.99)),
        ("PageDown", at(0.95)),
        ("ArrowLeft", at(0.94)),
        ("Home", at(0.0)),
        ("ArrowRight", at(0.01)),
        ("End", at(1.0)),
        ("PageDown", at(0.99)),
    ];
    for (key, stop) in walk {
        browser.keys(key).await;
        reads(&browser, stop).await;
        let said = browser.attribute("[data-testid=cdf-cursor]", "aria-valuetext").await;
        assert_eq!(said, browser.text("cursor").await, "readers hear what is shown");
    }
    // A finer step is another point, and no farther than the usual one.
    browser.keys("Shift+ArrowLeft").await;
    let finer: Vec<&Stop> = stops.iter().filter(|stop| stop.0 < 0.99).collect();
    reads(&browser, finer.last().expect("a point below P99")).await;
    browser.keys("PageUp").await;
    reads(&browser, at(0.99)).await;

    assert_eq!(linked(&browser, "p").await, "0.99");
    let address = browser.script("return location.href").await;
    browser.open(address.as_str().expect("an address")).await;
    browser.wait_for("[data-testid=report]").await;
    reads(&browser, at(0.99)).await;
    browser.tab_to("cdf-cursor", 40).await;
    browser.keys("Escape").await;
    becomes(&browser, &format!("{READ} ?? null"), serde_json::Value::Null).await;
    browser.wait_until("!location.hash.includes('p=')").await;
    browser.close().await;
}

#[tokio::test]
async fn the_mouse_reads_the_nearest_quantile_off_both_figures_and_a_click_keeps_it() {
    let (comparison, _) = read(Sample::engine());
    let axes = (Axis::Log, Fractions::Tail);
    let (_view, browser) = opened("&metric=e2e&axis=log&fractions=tail").await;
    let entry = entry(&comparison, Metric::E2e);
    let stops = stops(entry);
    let mut seen = Vec::new();
    for y in [0.2, 0.37, 0.55, 0.71, 0.83] {
        browser.point_at("[data-testid=cdf-cursor]", 0.6, y).await;
        let [_, top, ..] = place(&browser, "[data-testid=cdf-cursor]").await;
        let [_, _, width, height] = place(&browser, "canvas[data-testid=cdf]").await;
        let row = (top + y * height).round() - top;
        let stop = nearest(&stops, CdfLayout::new(&CdfFigure::of(entry), axes, width, height).fraction(row));
        reads(&browser, stop).await;
        seen.push(stop.0);
    }
    let shift = ShiftFigure::of(entry).expect("a shift curve");
    for x in [0.25, 0.5, 0.9] {
        browser.point_at("[data-testid=shift-cursor]", x, 0.5).await;
        let [left, ..] = place(&browser, "[data-testid=shift-cursor]").await;
        let [_, _, width, height] = place(&browser, "canvas[data-testid=shift]").await;
        let column = (left + x * width).round() - left;
        let stop = nearest(&stops, ShiftLayout::new(&shift, axes.1, width, height).fraction(column));
        reads(&browser, stop).await;
        seen.push(stop.0);
    }
    seen.dedup();
    assert_eq!(seen.len(), 8, "each place is another quantile: {seen:?}");

    // Kept where it was clicked, in both figures, when the mouse is elsewhere.
    browser.click_on("[data-testid=shift-cursor]", 0.9, 0.5).await;
    browser.point_at("[data-testid=verdict]", 0.5, 0.5).await;
    let kept = nearest(&stops, *seen.last().expect("one"));
    reads(&browser, kept).await;
    for figure in ["cdf-cursor", "shift-cursor"] {
        assert!(browser.count(&format!("[data-testid={figure}] circle")).await >= Some(1), "{figure} is marked");
    }
    let linked: f64 = linked(&browser, "p").await.parse().expect("a fraction");
    assert!((linked - kept.0).abs() < 1e-6, "{linked} is not {}", kept.0);
    browser.close().await;
}

//! The viewer in real headless Chromium: it opens bundles in every way, shows the numbers of `comparison.json`,
//! explains bad files, and sends nothing to anyone.

mod access;
mod bad_files;
mod harness;
mod hostile;
mod hosting;
mod instruments;
mod page;
mod server;

use std::path::Path;

use serde_json::Value;

use harness::{Browser, Host, Sample, View};

/// Reads the shown tables, tab by tab, and holds each cell against the file.
async fn shows_the_comparison(browser: &Browser, comparison: &Value) {
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
fn nanos(text: &str) -> f64 {
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
fn percent(text: &str) -> f64 {
    text.trim_end_matches(" %").replace('−', "-").replace(',', "").parse().expect("a percentage")
}

#[tokio::test]
async fn a_bundle_opens_by_link() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    // The same by query, for hosts that drop fragments.
    browser.open(&view.url.replace("#bundle", "?bundle")).await;
    browser.wait_for("[data-testid=report]").await;
    browser.close().await;
}

#[tokio::test]
async fn a_bundle_opens_by_file_and_rows_and_provenance_unfold() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;

    browser.unfold("requests").await;
    browser.wait_for("[data-testid=request-rows] tbody tr").await;
    let requests = sample.comparison["counts"]["num_requests"].as_u64();
    assert_eq!(browser.count("[data-testid=request-rows] tbody tr").await, requests);
    let worst = sample.comparison["worst_requests"][0]["request_id"].to_string();
    assert_eq!(browser.attribute("[data-testid=request-rows] tbody tr", "data-request").await, worst);
    browser.unfold("provenance").await;
    let sha256 = sample.comparison["workload"]["sha256"].as_str().expect("a hash");
    assert!(browser.text("provenance").await.contains(sha256));
    assert!(browser.text("notices").await.contains("Not known to be the same experiment"));
    browser.close().await;
}

#[tokio::test]
async fn a_bundle_opens_by_drop() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.drop_files(&[&sample.bundle]).await;
    browser.wait_for("[data-testid=report]").await;
    assert!(browser.text("file-name").await.contains("spaced.zip"));
    shows_the_comparison(&browser, &sample.comparison).await;
    browser.close().await;
}

#[tokio::test]
async fn a_zip_of_bare_run_directories_opens_too() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.choose_file(&bad_files::bare_runs()).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    browser.close().await;
}

#[tokio::test]
async fn a_link_restores_the_view_and_the_keyboard_moves_it() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&format!("{}&metric=itl&axis=log", view.url)).await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    let summary = browser.attribute("[data-testid=cdf]", "aria-label").await;
    assert!(summary.contains("distribution of ITL over 504 gaps"), "{summary}");
    browser.script("document.querySelector('[data-testid=tab-itl]').focus()").await;
    browser.keys("ArrowRight").await;
    browser.wait_for("[data-testid=percentiles][data-metric=tpot]").await;
    let fragment = browser.fragment().await;
    assert!(fragment.contains("metric=tpot") && fragment.contains("axis=log"), "{fragment}");
    assert!(fragment.contains("bundle=bundles/0/"), "{fragment}");
    browser.close().await;
}

#[tokio::test]
async fn six_bad_files_explain_themselves_and_a_good_one_opens_after_them() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    for bad in bad_files::all(&sample.bundle) {
        browser.choose_file(&bad.file).await;
        browser.wait_for_text("problem-detail", bad.says).await;
        let (title, hint) = (browser.text("problem-title").await, browser.text("problem-hint").await);
        assert!(title.len() > 10 && hint.len() > 20, "{}: {title} / {hint}", bad.says);
        browser.screenshot(&format!("bad-{}", bad.name)).await;
    }
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=report]").await;
    browser.close().await;
}

#[tokio::test]
async fn an_address_that_fails_explains_itself() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    // A port that was free a moment ago.
    let nobody = Host::of(Path::new("."), "/").url("b.zip");
    for (address, says) in [
        ("bundles/7/none.zip", "answered with status 404"),
        ("ftp://host/b.zip", "is not an address that a page may open"),
        ("index.html", "is a web page"),
        (nobody.as_str(), "could not be reached"),
    ] {
        browser.open(&format!("{}#bundle={address}", view.site())).await;
        browser.wait_for_text("problem-detail", says).await;
    }
    browser.close_expecting(&["status of 404", "ERR_CONNECTION_REFUSED"]).await;
}

#[tokio::test]
async fn nothing_leaves_this_machine() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::recording().await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    browser.unfold("requests").await;
    browser.wait_for("[data-testid=request-rows] tbody tr").await;
    // The list does tell when a page or its worker asks another machine.
    browser.script_async(ASK_ELSEWHERE, Vec::new()).await;
    let asked = browser.close_and_list_asked(&["elsewhere.test"]).await;
    let of_pages: Vec<&str> = asked.iter().filter(|asked| asked.by.is_some()).map(|asked| asked.url.as_str()).collect();
    for part in
        ["fidelio-viewer_bg.wasm", "Inter-Regular.woff2", "bundles/0/", "elsewhere.test/page", "elsewhere.test/worker"]
    {
        assert!(of_pages.iter().any(|url| url.contains(part)), "{part} was asked for");
    }
    let site = view.site();
    for url in of_pages.iter().filter(|url| !url.contains("elsewhere.test")) {
        assert!(
            url.starts_with(&site) || url.starts_with("blob:") || url.starts_with("data:"),
            "{url} is not of this page's server"
        );
    }
}

const ASK_ELSEWHERE: &str = "
    const [done] = arguments;
    fetch('http://elsewhere.test/page').catch(() => 0).then(() => {
        const script = `fetch('http://elsewhere.test/worker').catch(() => 0).then(postMessage)`;
        new Worker(URL.createObjectURL(new Blob([script]))).onmessage = () => done(true);
    });";

#[tokio::test]
async fn it_fits_every_width_in_light_and_dark() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    for (width, height) in [(390, 1700), (1280, 1300), (2560, 1440)] {
        for scheme in ["light", "dark"] {
            browser.set_size(width, height);
            browser.set_media(&[("prefers-color-scheme", scheme)]);
            browser.open(&view.site()).await;
            browser.wait_for("[data-testid=empty]").await;
            browser.screenshot(&format!("empty-{width}-{scheme}")).await;
            browser.open(&view.url).await;
            browser.wait_for("[data-testid=report]").await;
            let is_dark = browser.script("return matchMedia('(prefers-color-scheme: dark)').matches").await;
            assert_eq!(is_dark, scheme == "dark");
            let size = browser.script("return [innerWidth, document.documentElement.scrollWidth]").await;
            assert!(size[1].as_u64() <= size[0].as_u64(), "the page fits its {width} pixels: {size}");
            assert!(browser.script(INK).await.as_u64() > Some(1000), "the chart is drawn");
            browser.screenshot(&format!("report-{width}-{scheme}")).await;
        }
    }
    browser.close().await;
}

/// Pixels of the canvas in the real curve's colour.
const INK: &str = "
    const canvas = document.querySelector('[data-testid=cdf]');
    const color = matchMedia('(prefers-color-scheme: dark)').matches ? [110, 178, 255] : [15, 98, 189];
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (color.every((c, k) => data[i + k] === c)) count += 1;
    return count;";

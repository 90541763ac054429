//! The viewer for those who do not use a mouse or do not see the screen.

use super::bad_files;
use super::harness::{Browser, Sample, View};

#[tokio::test]
async fn axe_finds_nothing_serious_on_any_page_at_any_size_in_light_and_dark() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    let bad = &bad_files::all(&sample.bundle)[0];
    for (width, height) in [(390, 844), (1280, 900)] {
        for scheme in ["light", "dark"] {
            browser.set_size(width, height);
            browser.set_media(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
            browser.open(&view.site()).await;
            browser.wait_for("[data-testid=empty]").await;
            browser.is_accessible(&format!("the empty page, {width}, {scheme}")).await;
            browser.choose_file(&bad.file).await;
            browser.wait_for("[data-testid=problem]").await;
            browser.is_accessible(&format!("a problem, {width}, {scheme}")).await;
            browser.open(&view.url).await;
            browser.wait_for("[data-testid=report]").await;
            browser.is_accessible(&format!("the report, {width}, {scheme}")).await;
        }
    }
    browser.close().await;
}

#[tokio::test]
async fn axe_itself_finds_what_is_wrong() {
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=empty]").await;
    browser.script("document.body.append(Object.assign(document.createElement('img'), {src: './icon.svg'}))").await;
    let Some(violations) = browser.axe().await else { return browser.close().await };
    assert!(violations.iter().any(|violation| violation["id"] == "image-alt"), "{violations:?}");
    browser.close().await;
}

#[tokio::test]
async fn every_stop_of_the_tab_key_has_a_name_and_shows_itself() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=empty]").await;
    let empty = browser.tab_stops().await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    let report = browser.tab_stops().await;
    assert!(empty.len() >= 3 && report.len() > empty.len(), "{empty:#?} {report:#?}");
    for stop in empty.iter().chain(&report) {
        assert!(!stop.name.is_empty() && stop.is_visible, "{stop:?}");
    }
    browser.close().await;
}

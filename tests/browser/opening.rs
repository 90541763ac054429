//! The ways in: link, query, picker, drop, paste, one bundle or several, zips made by hand.

use super::bad_files;
use super::harness::{Browser, Sample, View};
use super::shown::shows_the_comparison;

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
async fn a_bundle_opens_by_file_and_its_provenance_unfolds() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.choose_file(&sample.bundle).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;

    browser.unfold("runs").await;
    let sha256 = sample.comparison["workload"]["sha256"].as_str().expect("a hash");
    browser.wait_for_text("runs", sha256).await;
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
async fn a_bundle_opens_by_paste_and_a_pasted_text_does_nothing() {
    let sample = Sample::get();
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.wait_for("[data-testid=empty]").await;
    browser.paste_text("words that are no address").await;
    browser.paste_files(&[&sample.bundle]).await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    browser.close().await;
}

#[tokio::test]
async fn several_bundles_open_at_once_and_beside_what_is_open() {
    let (first, second) = (Sample::get(), Sample::engine());
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.drop_files(&[&first.bundle, &second.bundle]).await;
    browser.wait_for("[data-testid=bundle-B]").await;
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &first.comparison).await;
    browser.click("bundle-B").await;
    browser.wait_for_text("verdict", sentence(second)).await;
    shows_the_comparison(&browser, &second.comparison).await;
    // A third one comes beside them, and one alone is left when two are closed.
    browser.drop_files(&[&first.bundle]).await;
    browser.wait_for("[data-testid=bundle-C]").await;
    browser.click("close-C").await;
    browser.wait_until("!document.querySelector('[data-testid=bundle-C]')").await;
    browser.click("close-A").await;
    browser.wait_for_text("file-name", "engine.zip").await;
    shows_the_comparison(&browser, &second.comparison).await;
    browser.close().await;
}

/// The first words of a verdict, as they are shown.
fn sentence(sample: &Sample) -> &str {
    let sentence = sample.comparison["verdict"]["sentence"].as_str().expect("a sentence");
    sentence.split([':', '.', '-', '−']).next().expect("words")
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

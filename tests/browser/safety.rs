//! Bad files, bad addresses and hostile bundles explain themselves and do nothing; nothing leaves this machine.

use std::path::Path;

use super::bad_files;
use super::harness::{Answer, Browser, Host, Sample, View};
use super::shown::shows_the_comparison;

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
async fn links_to_broken_bundles_say_what_is_broken_and_what_to_do() {
    let (host, other) = (Host::of_site("/"), Host::of(Path::new("/nowhere"), "/"));
    let browser = Browser::start().await;
    for bad in bad_files::all(&Sample::get().bundle) {
        let name = bad.file.file_name().expect("a name").to_str().expect("Unicode");
        host.answer(name, Answer::bytes(std::fs::read(&bad.file).expect("the file")));
        browser.open(&host.url(&format!("#bundle={name}"))).await;
        browser.wait_for_text("problem-detail", bad.says).await;
        assert!(browser.text("problem-hint").await.len() > 20, "{name}");
    }
    // What went wrong on the way is told apart, each with a way out of its own.
    let bundle = std::fs::read(&Sample::get().bundle).expect("the bundle");
    let half = bundle.len() / 2;
    for (path, answer, title, hint) in [
        ("closed.zip", Answer::bytes(bundle.clone()), "could not be fetched", "Access-Control-Allow-Origin: *"),
        ("gone.zip", Answer::status(404).for_all(), "no bundle at this address", "moved or deleted"),
        ("private.zip", Answer::status(403).for_all(), "does not give this bundle out", "signed link"),
        ("cut.zip", Answer::bytes(bundle.clone()).for_all().cut_at(half), "cut off", "Reload"),
        ("page.zip", Answer::bytes("<!doctype html><p>sign in").for_all(), "This is not a bundle", "raw file"),
    ] {
        other.answer(path, answer);
        browser.open(&host.url(&format!("#bundle={}", other.url(path)))).await;
        browser.wait_for_text("problem-title", title).await;
        browser.wait_for_text("problem-hint", hint).await;
        assert!(browser.text("problem-detail").await.contains(path), "{path}");
    }
    browser.click("dismiss").await;
    browser.wait_for("[data-testid=empty]").await;
    browser.close_expecting(&["status of 40", "CORS policy", "ERR_FAILED", "ERR_CONTENT_LENGTH"]).await;
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

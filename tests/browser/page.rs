//! The self-contained page from `file://`: it starts, its workers too, and nothing is asked of anybody.

use std::process::Command;

use crate::browser::harness::{Browser, Sample, scratch};

#[tokio::test]
async fn a_page_from_a_file_starts_itself_and_workers_without_a_network() {
    let sample = Sample::get();
    let page = scratch("page").join("a page.html");
    let comparison = sample.bundle.with_file_name("comparison");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
    let made = command.arg("bundle").arg(&comparison).arg("--html").arg("--out").arg(&page).output();
    assert!(made.expect("the binary starts").status.success());
    let browser = Browser::start().await;
    // What the browser's own start page asked for is not of interest.
    browser.requested().await;
    browser.open(&format!("file://{}", page.display().to_string().replace(' ', "%20"))).await;
    browser.wait_for("#main").await;
    let embedded = "return fidelio.embedded.map((file) => `${file.name} ${file.bytes.length}`).join()";
    let embedded = browser.script(embedded).await;
    let length = std::fs::metadata(&sample.bundle).expect("the bundle").len();
    assert!(embedded.as_str().is_some_and(|said| said.ends_with(&format!(".zip {length}"))), "{embedded}");
    let worker = "const worker = fidelio.startWorker();
        worker.onmessage = () => { document.body.dataset.worker = 'speaks'; };
        worker.onerror = (event) => { document.body.dataset.worker = `fails: ${event.message}`; };
        return 0";
    browser.script(worker).await;
    browser.wait_for("body[data-worker]").await;
    assert_eq!(browser.script("return document.body.dataset.worker").await, "speaks");
    let looks =
        "return document.styleSheets.length >= 2 && [...document.fonts].every((font) => font.status !== 'error')";
    assert_eq!(browser.script(looks).await, true);
    // The browser's own start page may still be loading its parts.
    for url in browser.requested().await {
        let is_inside = ["file:", "blob:", "data:", "about:", "chrome:"].iter().any(|scheme| url.starts_with(scheme));
        assert!(is_inside, "{url} is outside the page");
    }
    browser.close().await;
}

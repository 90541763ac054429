//! The self-contained page from `file://`: it starts, its workers too, and nothing is asked of anybody.

use std::process::Command;

use super::harness::{Browser, Sample, scratch};
use super::shown::shows_the_comparison;

#[tokio::test]
async fn a_page_from_a_file_starts_itself_and_workers_without_a_network() {
    let sample = Sample::get();
    let page = scratch("page").join("a page.html");
    let comparison = sample.bundle.with_file_name("comparison");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fidelio"));
    let made = command.arg("bundle").arg(&comparison).arg("--html").arg("--out").arg(&page).output();
    assert!(made.expect("the binary starts").status.success());
    let browser = Browser::recording().await;
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
    browser.wait_for("[data-testid=report]").await;
    shows_the_comparison(&browser, &sample.comparison).await;
    let asked = browser.close_and_list_asked(&[]).await;
    let outside: Vec<_> = asked.iter().filter(|asked| asked.by.is_some() && !asked.url.starts_with("file:")).collect();
    assert!(outside.is_empty(), "the page asks for {outside:?}");
}

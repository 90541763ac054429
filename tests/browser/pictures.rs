//! Pictures, taken when asked for (`make pictures`): README's from the current build, and every view at every width.

use std::path::PathBuf;

use super::bad_files;
use super::harness::{Browser, Sample, View, fidelio, root, scratch};

/// README shows the demo as `make demo` leaves it, its requests, and the published comparison on a phone.
#[tokio::test]
#[ignore = "writes README's pictures: `make pictures`"]
async fn pictures_of_the_readme() {
    let browser = Browser::start().await;
    let demo = View::of(&demo());
    look(&browser, 1280, "light");
    shown(&browser, &demo.url).await;
    browser.picture(&root().join(".docs/demo-light.png")).await;
    shown(&browser, &format!("{}&open=requests&request=7", demo.url)).await;
    browser.wait_for("[data-testid=timeline]").await;
    browser.script("document.querySelector('[data-testid=requests]').scrollIntoView(); return 0").await;
    browser.wait_to_settle().await;
    browser.picture(&root().join(".docs/requests-light.png")).await;

    let published = View::of(&Sample::get().bundle);
    look(&browser, 390, "dark");
    shown(&browser, &published.url).await;
    fit(&browser, 390).await;
    browser.picture(&root().join(".docs/published-phone-dark.png")).await;
    browser.close().await;
}

/// The bundle of a `quickstart` run: `FIDELIO_DEMO`, or one measured now.
fn demo() -> PathBuf {
    if let Some(file) = std::env::var_os("FIDELIO_DEMO") {
        return PathBuf::from(file);
    }
    let out = scratch("demo");
    fidelio(&["run".to_owned(), "quickstart".to_owned(), format!("--out={}", out.display())]);
    let mut bundles = std::fs::read_dir(out.join("bundles")).expect("bundles");
    let made = bundles.next().expect("a bundle").expect("an entry").path();
    let demo = made.with_file_name("demo.zip");
    std::fs::rename(made, &demo).expect("renamed");
    demo
}

/// What can be looked at: a name, and what follows the bundle in the link.
const VIEWS: [(&str, &str); 12] = [
    ("report", ""),
    ("itl-log", "metric=itl&axis=log"),
    ("tail-cursor", "metric=e2e&fractions=tail&p=0.99"),
    ("brushed", "arrivals=10000000000-30000000000"),
    ("requests", "open=requests"),
    ("request", "open=requests&request=7"),
    ("steps", "open=steps"),
    ("attribution", "open=attribution"),
    ("what-if", "open=what-if"),
    ("load", "open=load"),
    ("distances", "open=distances"),
    ("provenance", "open=runs,parity,parameters,files"),
];

#[tokio::test]
#[ignore = "writes a picture of every view into tmp/screenshots: `make pictures`"]
async fn pictures_of_every_view() {
    let (engine, published) = (Sample::engine(), Sample::get());
    let view = View::of_all(&[&engine.bundle, &published.bundle]);
    let (both, one) = (&view.url, view.url.split('&').next().expect("a first bundle"));
    let bad = &bad_files::all(&engine.bundle)[0];
    let browser = Browser::start().await;
    for width in [390, 1280, 2560] {
        for scheme in ["light", "dark"] {
            look(&browser, width, scheme);
            browser.open(&view.site()).await;
            browser.wait_for("[data-testid=empty]").await;
            browser.screenshot(&format!("empty-{width}-{scheme}")).await;
            browser.choose_file(&bad.file).await;
            browser.wait_for("[data-testid=problem]").await;
            browser.screenshot(&format!("problem-{width}-{scheme}")).await;
            let views = VIEWS.map(|(name, state)| (name, format!("{one}&{state}")));
            for (name, link) in views.into_iter().chain([("several", both.clone())]) {
                look(&browser, width, scheme);
                shown(&browser, &link).await;
                fit(&browser, width).await;
                browser.screenshot(&format!("{name}-{width}-{scheme}")).await;
            }
        }
    }
    browser.close().await;
}

/// As wide as that, on a screen of a usual height.
fn look(browser: &Browser, width: u32, scheme: &str) {
    browser.set_size(width, if width < 600 { 844 } else { 1010 });
    browser.set_media(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
}

/// Opens a link and waits until everything it names is there and stands still.
async fn shown(browser: &Browser, link: &str) {
    browser.open(link).await;
    browser.wait_for("[data-testid=report]").await;
    browser.wait_for("[data-testid=arrival-brush]").await;
    browser.script_async("const [done] = arguments; document.fonts.ready.then(() => done(true))", Vec::new()).await;
    browser.wait_to_settle().await;
}

/// As high as the page is, so that all of it is in the picture.
async fn fit(browser: &Browser, width: u32) {
    let height = browser.script("return document.documentElement.scrollHeight").await;
    browser.set_size(width, u32::try_from(height.as_u64().expect("a height")).expect("no such page").min(8_000));
    browser.wait_to_settle().await;
}

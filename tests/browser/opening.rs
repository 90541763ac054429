//! The ways in: link, query, picker, drop, paste, one bundle or several, a shared folder, zips made by hand.

use super::bad_files;
use super::harness::{Answer, Browser, Host, Sample, View, fidelio, scratch};
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

/// Waits until both samples are open, in their order, and reads each one's numbers.
async fn shows_both(browser: &Browser) {
    browser.wait_until("document.querySelectorAll('[data-testid=versus-row]').length === 2").await;
    for (letter, sample) in [("B", Sample::engine()), ("A", Sample::get())] {
        let name = sample.bundle.file_name().expect("a name").to_string_lossy().into_owned();
        browser.wait_for_text(&format!("bundle-{letter}"), &name).await;
        browser.click(&format!("bundle-{letter}")).await;
        browser.wait_for_text("verdict", sentence(sample)).await;
        shows_the_comparison(browser, &sample.comparison).await;
    }
}

#[tokio::test]
async fn several_files_are_chosen_at_once() {
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.choose_files("file-input", &[&Sample::get().bundle, &Sample::engine().bundle]).await;
    shows_both(&browser).await;
    browser.choose_files("beside-input", &[&Sample::get().bundle]).await;
    browser.wait_for_text("bundle-C", "spaced.zip").await;
    browser.wait_until("document.querySelectorAll('[data-testid=versus-row]').length === 3").await;
    browser.close().await;
}

#[tokio::test]
async fn a_view_of_two_bundles_has_one_link_to_both() {
    let view = View::of_all(&[&Sample::get().bundle, &Sample::engine().bundle]);
    let browser = Browser::start().await;
    browser.open(&view.url).await;
    shows_both(&browser).await;
    browser.close().await;
}

#[tokio::test]
async fn links_name_several_bundles_by_fragment_and_by_query_and_keep_them() {
    let host = Host::of_site("/below/");
    for sample in [Sample::get(), Sample::engine()] {
        let name = sample.bundle.file_name().expect("a name").to_string_lossy();
        host.answer(&name, Answer::bytes(std::fs::read(&sample.bundle).expect("the bundle")));
    }
    let browser = Browser::start().await;
    for names in ["#bundle=spaced.zip&bundle=engine.zip", "?bundle=spaced.zip&bundle=engine.zip"] {
        browser.open(&host.url(names)).await;
        shows_both(&browser).await;
        browser.click("bundle-B").await;
        // The state goes into the address; the bundles stay where they were named.
        browser.wait_until("location.hash.includes('focus=1')").await;
        let address = browser.script("return location.search + location.hash").await;
        let address = address.as_str().expect("text");
        assert!(address.starts_with(names) && address.matches("bundle=").count() == 2, "{address}");
    }
    browser.close().await;
}

#[tokio::test]
async fn a_shared_folder_opens_its_bundles_below_any_path_of_any_host() {
    let folder = scratch("shared-folder").join("site");
    let bundles = [Sample::get(), Sample::engine()].map(|sample| sample.bundle.display().to_string());
    let [first, second] = bundles;
    fidelio(&["share".to_owned(), first, second, format!("--out={}", folder.display())]);
    let host = Host::of(&folder, "/papers/2026/");
    let browser = Browser::start().await;
    browser.open(&host.url("")).await;
    shows_both(&browser).await;
    // A link that names one is stronger than what the page names.
    browser.open(&host.url("#bundle=bundles/engine.zip&metric=itl")).await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    assert!(browser.text("file-name").await.contains("engine.zip"));
    browser.close().await;
}

#[tokio::test]
async fn a_slow_link_shows_how_far_it_is_until_it_opens() {
    let host = Host::of_site("/");
    let bundle = std::fs::read(&Sample::get().bundle).expect("the bundle");
    host.answer("slow.zip", Answer::bytes(bundle.clone()).dripping(bundle.len() / 6));
    let browser = Browser::start().await;
    browser.open(&host.url("#bundle=slow.zip&metric=itl")).await;
    let bar = "Number(document.querySelector('[data-testid=progress]').getAttribute('aria-valuenow'))";
    let mut before = 0;
    for least in [1, 30, 60] {
        browser.wait_until(&format!("{bar} >= {least}")).await;
        let now = browser.script(&format!("return {bar}")).await.as_u64().expect("percent");
        assert!(now > before && now <= 100, "{before}, then {now}");
        before = now;
    }
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    shows_the_comparison(&browser, &Sample::get().comparison).await;
    browser.close().await;
}

//! axe-core over everything that unfolds and every dialog, in light and dark, on a phone and on a desk.

use super::harness::{Browser, Sample, View};

const ALL: &str = "open=requests,steps,attribution,what-if,load,distances,runs,parity,parameters,files&request=7";

const OF_STEPS: [&str; 2] = ["steps-table", "what-if-table"];

#[tokio::test]
async fn axe_finds_nothing_serious_with_every_panel_unfolded_and_in_dialogs() {
    let samples = [Sample::engine(), Sample::get()];
    let view = View::of_all(&samples.map(|sample| sample.bundle.as_path()));
    let one = view.url.split('&').next().expect("a first bundle").to_owned();
    let bare = View::of(&samples[1].bundle);
    let browser = Browser::start().await;
    let mut found = Vec::new();
    for (width, height) in [(390, 844), (1280, 900)] {
        for scheme in ["light", "dark"] {
            browser.set_size(width, height);
            browser.set_media(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
            for (name, link) in [("one bundle", &one), ("two bundles", &view.url), ("a bare one", &bare.url)] {
                browser.open(&format!("{link}&{ALL}")).await;
                // The published runs tell no steps: nothing of them can be shown or simulated.
                let of_steps = if name == "a bare one" { ["steps-missing", "what-if-problem"] } else { OF_STEPS };
                for ready in ["timeline-table", "files-table", "prompt-brush"].into_iter().chain(of_steps) {
                    browser.wait_for(&format!("[data-testid={ready}]")).await;
                }
                browser.wait_to_settle().await;
                let place = format!("{name}, {width}, {scheme}");
                collect(&browser, &place, &mut found).await;
                if name == "one bundle" {
                    for (key, dialog) in [("s", "share-dialog"), ("?", "help")] {
                        browser.keys(key).await;
                        browser.wait_for(&format!("[data-testid={dialog}][open]")).await;
                        collect(&browser, &format!("{dialog} over {place}"), &mut found).await;
                        browser.keys("Escape").await;
                        browser.wait_until("!document.querySelector('dialog[open]')").await;
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "axe-core finds {found:#?}");
    browser.close().await;
}

/// Notes what is serious or critical, and headings out of order.
async fn collect(browser: &Browser, place: &str, found: &mut Vec<String>) {
    for violation in browser.axe().await.unwrap_or_default() {
        let is_bad = violation["impact"] == "serious" || violation["impact"] == "critical";
        if is_bad || violation["id"] == "heading-order" {
            found.push(format!("{place}: {violation:#}"));
        }
    }
}

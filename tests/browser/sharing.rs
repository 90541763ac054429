//! Handing on what is seen: a link restores everything, one with the data inside shows the same numbers, and files say where
//! they are from.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harness::{Answer, Browser, Host, Sample, View};
use super::shown::shows_the_comparison;

/// A view with everything in it that a link can say.
const EVERYTHING: [&str; 14] = [
    "metric=itl",
    "axis=log",
    "fractions=tail",
    "p=0.9",
    "arrivals=0-30000000000",
    "prompts=1-900",
    "request=7",
    "sort=real.ttft",
    "order=up",
    "filter=prompt>10",
    "window=1000000000-4000000000",
    "open=requests,steps,attribution,what-if,load,distances,runs,parity,parameters,files",
    "whatif=max_num_seqs:2",
    "bundle=engine.zip",
];

/// What a reader sees of the view.
const SEEN: &str = "
    const texts = selector => [...document.querySelectorAll(selector)].map(one => one.textContent);
    return {
        tab: texts('[role=tab][aria-selected=true]'),
        pressed: [...document.querySelectorAll('[aria-pressed=true]')].map(one => one.dataset.testid ?? one.textContent),
        captions: texts('caption'),
        unfolded: [...document.querySelectorAll('details.fold')].filter(one => one.open).map(one => one.dataset.testid),
        selection: texts('[data-testid=selection]'),
        cursor: texts('[data-testid=cursor]'),
        rows: texts('[data-testid=percentiles] tbody tr'),
        requests: texts('[data-testid=request-count]'),
        filter: document.querySelector('[data-testid=request-filter]')?.value,
        sorted: [...document.querySelectorAll('[aria-sort=ascending], [aria-sort=descending]')]
            .map(one => [one.textContent, one.getAttribute('aria-sort')]),
        request: texts('.steps-bar h3'),
        zooms: texts('.zoom'),
        what_if: texts('[data-testid=what-if-table]'),
        setting: document.querySelector('[data-testid=what-if-max_num_seqs]')?.value,
    };";

/// The view once everything in it has come.
async fn seen(browser: &Browser) -> Value {
    browser.wait_for("[data-testid=request-count][data-rows]").await;
    browser.wait_for("[data-testid=what-if-panel][data-is-settled=true]").await;
    browser
        .wait_until("![...document.querySelectorAll('[data-testid=interval]')].some(cell => cell.textContent === '…')")
        .await;
    browser.wait_to_settle().await;
    browser.script(SEEN).await
}

#[tokio::test]
async fn a_copied_link_restores_everything_that_is_seen() {
    let host = Host::of_site("/site/");
    host.answer("engine.zip", Answer::bytes(std::fs::read(&Sample::engine().bundle).expect("the bundle")));
    let browser = Browser::start().await;
    browser.open(&host.url(&format!("#{}", EVERYTHING.join("&")))).await;
    let before = seen(&browser).await;
    assert!(before["tab"][0].as_str().is_some_and(|tab| tab.contains("ITL")), "{before}");
    for button in ["axis-log", "fractions-tail"] {
        assert!(before["pressed"].as_array().expect("a list").contains(&json!(button)), "{before}");
    }
    assert_eq!(before["unfolded"].as_array().map(Vec::len), Some(10), "{before}");
    assert_eq!((&before["filter"], &before["setting"]), (&json!("prompt>10"), &json!("2")), "{before}");
    assert_eq!(before["request"][0], "Request #7");
    assert_eq!(before["sorted"][0][1], "ascending");
    assert!(
        before["selection"][0].as_str().is_some_and(|words| words.contains("30.00 s") && words.contains("900")),
        "{before}"
    );
    assert!(before["cursor"][0].as_str().is_some_and(|words| words.contains("90")), "{before}");

    let address = browser.script("return location.href").await;
    let address = address.as_str().expect("text").to_owned();
    for part in EVERYTHING {
        assert!(address.contains(&part.replace('>', "%3E")), "{part} is not in {address}");
    }
    browser.allow_clipboard().await;
    browser.click("share").await;
    browser.click("copy-link").await;
    browser.wait_for_text("share-note", "Link copied").await;
    let link = browser.clipboard().await;
    assert_eq!(link, address);

    browser.open(&link).await;
    let after = seen(&browser).await;
    assert_eq!(after, before);
    assert_eq!(browser.script("return location.href").await, link);
    browser.close().await;
}

/// The verdict, and the words of every cell of every table of percentiles: links keep the digits that are shown.
async fn tables(browser: &Browser) -> Vec<Value> {
    let mut told = vec![json!(browser.text("verdict").await)];
    for metric in Sample::get().comparison["metrics"].as_array().expect("metrics") {
        let key = metric["metric"].as_str().expect("a key");
        browser.click(&format!("tab-{key}")).await;
        browser.wait_for(&format!("[data-testid=percentiles][data-metric={key}]")).await;
        let cells = "return [...document.querySelectorAll('[data-testid=percentiles] :is(td, th)')].map(cell => cell.textContent)";
        told.push(browser.script(cells).await);
    }
    told
}

#[tokio::test]
async fn a_link_with_the_data_inside_shows_the_same_numbers_to_whoever_has_no_bundle() {
    let view = View::of_all(&[]);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    browser.choose_file(&Sample::get().bundle).await;
    browser.wait_for("[data-testid=report]").await;
    let before = tables(&browser).await;
    shows_the_comparison(&browser, &Sample::get().comparison).await;
    browser.click("tab-itl").await;
    browser.allow_clipboard().await;
    browser.click("share").await;
    browser.wait_for_text("no-link", "spaced.zip came from this machine").await;
    browser.wait_for("[data-testid=copy-data-link]").await;
    browser.click("copy-data-link").await;
    browser.wait_for_text("share-note", "Link copied").await;
    let link = browser.clipboard().await;
    let counted = browser.attribute("[data-testid=copy-data-link-length]", "data-characters").await;
    assert_eq!(counted, link.chars().count().to_string());
    assert!(link.starts_with(&format!("{}#data=", view.site())) && link.ends_with("&metric=itl"), "{link}");

    browser.open(&link).await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    assert_eq!(tables(&browser).await, before);
    browser.wait_for_text("notices", "A summary, not the runs").await;
    browser.unfold("requests").await;
    browser.wait_for_text("requests", "carries a summary only").await;
    // The address stays such a link.
    let data = |link: &str| link.split("#data=").nth(1).and_then(|rest| rest.split('&').next()).map(str::to_owned);
    browser.wait_until("location.hash.includes('open=requests')").await;
    let address = browser.script("return location.href").await;
    assert_eq!(data(address.as_str().expect("text")), data(&link));

    // Cut, changed, and nonsense.
    let whole = data(&link).expect("data");
    for broken in [&whole[..whole.len() / 2], &whole[1..], "AAAA", "%00", "no base64!"] {
        browser.open(&format!("{}#data={broken}", view.site())).await;
        browser.wait_for_text("problem-title", "This link cannot be opened").await;
        assert!(browser.text("problem-hint").await.contains("ask for it again"));
        assert!(browser.text("problem-detail").await.len() > 20);
    }
    browser.close().await;
}

#[tokio::test]
async fn files_that_leave_the_page_say_which_bundle_they_are_of() {
    let sample = Sample::engine();
    let bytes = std::fs::read(&sample.bundle).expect("the bundle");
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.url).await;
    browser.wait_for("[data-testid=report]").await;
    browser.allow_clipboard().await;
    browser.click("share").await;
    browser.wait_for_text("share-provenance", &hash).await;
    let line = browser.text("share-provenance").await;
    assert!(
        line.starts_with("fidelio ") && line.contains("TTFT, all requests") && line.contains("engine.zip"),
        "{line}"
    );

    for (id, ending) in [("save-percentiles", "percentiles.csv"), ("save-distribution", "ttft-distribution.csv")] {
        browser.click(id).await;
        let file = browser.downloaded().await;
        assert!(file.to_string_lossy().ends_with(&format!("engine-{ending}")), "{}", file.display());
        let text = std::fs::read_to_string(&file).expect("text");
        let first = text.lines().next().expect("a line");
        assert!(first.starts_with("# fidelio ") && first.contains(&hash), "{id}: {first}");
    }
    // Exact numbers, as in the comparison.
    browser.click("save-percentiles").await;
    let text = std::fs::read_to_string(browser.downloaded().await).expect("text");
    let row = &sample.comparison["metrics"][0]["percentiles"][0];
    let start = format!(
        "{},{},{},{},",
        sample.comparison["metrics"][0]["metric"].as_str().expect("a key"),
        row["label"].as_str().expect("a label"),
        row["real_ns"],
        row["sim_ns"]
    );
    assert!(text.lines().any(|line| line.starts_with(&start)), "{start} is not in {text}");

    browser.click("save-cdf-svg").await;
    let svg = std::fs::read_to_string(browser.downloaded().await).expect("text");
    assert!(svg.starts_with("<svg") && svg.contains(&format!("SHA-256 {hash}</desc>")), "{}", &svg[..600]);
    let short = format!("SHA-256 {}…", &hash[..16]);
    assert!(svg.matches(&short).count() == 1, "the figure itself says so too");

    browser.click("save-cdf-png").await;
    let png = std::fs::read(browser.downloaded().await).expect("bytes");
    assert!(png.starts_with(b"\x89PNG"));
    let inked = browser.script_async(INK_OF_LOWEST_LINE, vec![json!(png)]).await;
    assert_eq!(inked[0], 2 * 860);
    assert!(inked[1].as_u64() > Some(200), "a line of text under the figure: {inked}");

    for (id, word) in [("copy-markdown", "TTFT"), ("copy-markdown-all", "E2E")] {
        browser.click(id).await;
        browser.wait_for_text("share-note", "Markdown copied").await;
        browser.wait_to_settle().await;
        let text = browser.clipboard().await;
        let last = text.lines().last().expect("a line");
        assert!(last.starts_with("<sub>fidelio ") && last.contains(&hash) && text.contains(word), "{id}: {text}");
    }
    browser.close().await;
}

/// Width of a picture, and pixels that are not white in its lowest line of text.
const INK_OF_LOWEST_LINE: &str = "
    const [bytes, done] = arguments;
    createImageBitmap(new Blob([new Uint8Array(bytes)], {type: 'image/png'})).then(picture => {
        const canvas = new OffscreenCanvas(picture.width, picture.height), context = canvas.getContext('2d');
        context.drawImage(picture, 0, 0);
        const {data} = context.getImageData(0, picture.height - 48, picture.width, 48);
        let count = 0;
        for (let at = 0; at < data.length; at += 4) if (data[at] < 200 && data[at + 3] > 100) count += 1;
        done([picture.width, count]);
    }, error => done(`${error}`));";

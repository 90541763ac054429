//! The instruments themselves, on a page that only notes what happens to it: what they do must really happen.

use std::path::Path;
use std::time::{Duration, Instant};

use super::harness::{Answer, Browser, Host, scratch};

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>notes</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; style-src 'unsafe-inline'">
<body data-testid="empty" style="margin: 0; height: 3000px">
<p><button data-testid="one" aria-label="The first">1</button> <input data-testid="two" aria-label="The second">
<button data-testid="bare" style="outline: none">not seen</button></p>
<div id="pad" style="width: 400px; height: 200px; background: silver"></div>
<script src="page.js"></script>"#;

const SCRIPT: &str = r#"
window.notes = [];
const note = (kind, what) => notes.push(`${kind} ${what}`);
addEventListener('keydown', event => note('key', (event.shiftKey ? 'Shift+' : '') + event.key + ' ' + event.isTrusted));
for (const kind of ['pointerdown', 'pointerup'])
  pad.addEventListener(kind, event => note(kind, `${event.offsetX},${event.offsetY} ${event.isTrusted}`));
pad.addEventListener('pointermove', event => { if (event.buttons) note('drag', `${event.offsetX},${event.offsetY}`); });
addEventListener('wheel', event => note('wheel', `${event.deltaY} ${event.isTrusted}`));
addEventListener('dragover', event => event.preventDefault());
const names = list => [...list].map(file => `${file.name}:${file.size}`).join(' ');
addEventListener('drop', event => { event.preventDefault(); note('drop', names(event.dataTransfer.files)); });
addEventListener('paste', event =>
  note('paste', names(event.clipboardData.files) || event.clipboardData.getData('text/plain')));
"#;

/// The page with its notes, and two files to give to it.
async fn notes() -> (Host, Browser, [std::path::PathBuf; 2]) {
    let folder = scratch("notes");
    let files = ["a.txt", "bb.txt"].map(|name| folder.join(name));
    for (file, text) in files.iter().zip(["12345", "1234567"]) {
        std::fs::write(file, text).expect("written");
    }
    let host = Host::of(&folder, "/");
    host.answer("index.html", Answer::bytes(PAGE).of_type("text/html"));
    host.answer("page.js", Answer::bytes(SCRIPT));
    host.answer("favicon.ico", Answer::bytes(""));
    let browser = Browser::start().await;
    browser.open(&host.url("")).await;
    (host, browser, files)
}

/// Waits until the page has noted this.
async fn noted(browser: &Browser, note: &str) {
    browser.wait_until(&format!("window.notes.includes('{note}')")).await;
}

#[tokio::test]
async fn keys_move_the_focus_and_it_is_told_who_has_it() {
    let (_host, browser, _) = notes().await;
    assert_eq!(browser.focused().await, None);
    assert_eq!(browser.tab_to("two", 5).await, 2);
    browser.type_text("hi").await;
    noted(&browser, "key h true").await;
    browser.keys("Shift+Tab").await;
    noted(&browser, "key Shift+Tab true").await;
    let focus = browser.focused().await.expect("a focus");
    assert_eq!((focus.id.as_str(), focus.role.as_str(), focus.name.as_str()), ("one", "button", "The first"));
    assert!(focus.is_visible);
    let stops = browser.tab_stops().await;
    assert_eq!(stops.iter().map(|stop| stop.id.as_str()).collect::<Vec<_>>(), ["one", "two", "bare"]);
    assert!(!stops[2].is_visible, "no outline, no focus to be seen");
    // A plus needs Shift.
    browser.keys("Escape + ArrowDown Control+Home").await;
    for key in ["Escape", "Shift++", "ArrowDown", "Home"] {
        noted(&browser, &format!("key {key} true")).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn the_mouse_drags_and_its_wheel_turns() {
    let (_host, browser, _) = notes().await;
    browser.drag("#pad", (0.25, 0.5), (0.75, 0.5)).await;
    for note in ["pointerdown 100,100 true", "drag 200,100", "drag 300,100", "pointerup 300,100 true"] {
        noted(&browser, note).await;
    }
    browser.click_on("#pad", 0.5, 0.1).await;
    noted(&browser, "pointerdown 200,20 true").await;
    browser.point_at("#pad", 0.5, 0.5).await;
    browser.wait_until("document.querySelector('#pad').matches(':hover')").await;
    browser.wheel("#pad", 120).await;
    noted(&browser, "wheel 120 true").await;
    browser.wait_until("scrollY > 0").await;
    browser.close().await;
}

#[tokio::test]
async fn files_are_dropped_pasted_and_downloaded_and_texts_copied() {
    let (_host, browser, files) = notes().await;
    let files: Vec<&Path> = files.iter().map(std::path::PathBuf::as_path).collect();
    browser.drop_files(&files).await;
    noted(&browser, "drop a.txt:5 bb.txt:7").await;
    browser.paste_files(&files).await;
    noted(&browser, "paste a.txt:5 bb.txt:7").await;
    browser.paste_text("some words").await;
    noted(&browser, "paste some words").await;
    for name in ["first.csv", "second.csv"] {
        browser
            .script(&format!(
                "const link = document.createElement('a');
                Object.assign(link, {{download: '{name}', href: URL.createObjectURL(new Blob(['{name}']))}}).click();"
            ))
            .await;
        let file = browser.downloaded().await;
        assert!(file.ends_with(name), "{}", file.display());
        assert_eq!(std::fs::read_to_string(file).expect("a file"), name);
    }
    browser.allow_clipboard().await;
    browser.script("return navigator.clipboard.writeText('copied words')").await;
    assert_eq!(browser.clipboard().await, "copied words");
    browser.close().await;
}

#[tokio::test]
async fn sizes_wishes_and_the_network_change_and_complaints_are_heard() {
    let (host, browser, _) = notes().await;
    browser.set_size(390, 844);
    browser.set_media(&[("prefers-color-scheme", "dark"), ("forced-colors", "active"), ("prefers-contrast", "more")]);
    let wishes =
        "['(max-width: 390px)', '(prefers-color-scheme: dark)', '(forced-colors: active)', '(prefers-contrast: more)']";
    browser.wait_until(&format!("{wishes}.every(wish => matchMedia(wish).matches)")).await;
    browser.set_media(&[("prefers-reduced-motion", "reduce")]);
    browser.wait_until("matchMedia('(prefers-reduced-motion: reduce)').matches").await;
    browser.wait_until("!matchMedia('(forced-colors: active)').matches").await;
    browser.is_clean(&[]);

    let get =
        "const [done] = arguments; fetch('page.js', {cache: 'no-store'}).then(() => done('got'), () => done('failed'))";
    let slow = Instant::now();
    browser.set_network(false, Duration::from_millis(400), -1.0);
    assert_eq!(browser.script_async(get, Vec::new()).await, "got");
    assert!(slow.elapsed() >= Duration::from_millis(400));
    browser.set_offline(true);
    assert_eq!(browser.script_async(get, Vec::new()).await, "failed");
    browser.set_offline(false);
    host.set_down(true);
    assert_eq!(browser.script_async(get, Vec::new()).await, "failed");
    host.set_down(false);
    assert_eq!(browser.script_async(get, Vec::new()).await, "got");
    browser.reload().await;
    assert_eq!(browser.script("return notes.length").await, 0);
    if let Some(before) = browser.peak_mib() {
        browser.script("window.kept = new Uint8Array(300 << 20).fill(7)").await;
        assert!(browser.peak_mib() > Some(before + 200.0), "300 MiB more than {before}");
    }
    let said = browser.complaints().join("\n");
    assert!(said.contains("ERR_INTERNET_DISCONNECTED") && said.contains("ERR_EMPTY_RESPONSE"), "{said}");

    browser.script("const bad = document.createElement('script'); bad.text = '1'; document.body.append(bad)").await;
    browser.script("setTimeout(() => { throw new Error('of the page') })").await;
    browser.script("console.error('said by the page')").await;
    let mut said = String::new();
    for word in ["Content Security Policy", "of the page", "said by the page"] {
        while !said.contains(word) {
            said += &browser.complaints().join("\n");
        }
    }
    browser.close().await;
}

#[tokio::test]
async fn the_host_drips_falls_back_and_counts_who_comes_and_leaves() {
    let (host, browser, _) = notes().await;
    host.answer("slow.zip", Answer::bytes(vec![7; 100_000]).dripping(20_000));
    let leave = "
        const [done] = arguments, cancel = new AbortController();
        fetch('slow.zip', {signal: cancel.signal}).then(async answer => {
            const reader = answer.body.getReader();
            const {value} = await reader.read();
            cancel.abort();
            done([value.length > 0 && value.length < 50000, answer.headers.get('content-length')]);
        });";
    let seen = browser.script_async(leave, Vec::new()).await;
    assert_eq!(seen, serde_json::json!([true, "100000"]));
    let start = Instant::now();
    while host.visits("slow.zip").left == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "the host does not notice who leaves");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.visits("slow.zip").asked, 1);
    host.set_fallback(true);
    let status = "const [done] = arguments; fetch('none/such').then(answer => done(answer.status))";
    assert_eq!(browser.script_async(status, Vec::new()).await, 200);
    host.set_fallback(false);
    assert_eq!(browser.script_async(status, Vec::new()).await, 404);
    assert!(host.paths().contains(&"none/such".to_owned()));
    browser.close_expecting(&["status of 404"]).await;
}

//! Bundles from another page by `postMessage`: from the page that opened this one, from the one around it, and from nobody
//! else.

use std::path::Path;

use serde_json::{Value, json};

use super::harness::{Answer, Browser, Host, Sample};
use super::shown::shows_the_comparison;

const OPENER: &str =
    r#"<!doctype html><meta charset="utf-8"><title>opener</title><body><script src="opener.js"></script>"#;

const SCRIPT: &str = r#"
window.heard = [];
addEventListener('message', ({data, origin}) => heard.push({...data, origin}));
// The bundle's bytes, in the form asked for.
window.bytes = async (form) => {
  const buffer = await (await fetch('b.zip')).arrayBuffer();
  return form === 'array' ? new Uint8Array(buffer) : form === 'blob' ? new Blob([buffer]) : buffer;
};
window.send = async (form, name, more) =>
  child.postMessage({fidelio: 'open', bundles: [{name, bytes: await bytes(form)}], ...more}, '*');
window.harm = async () => {
  const good = {name: 'harm.zip', bytes: await bytes('buffer')};
  const around = {fidelio: 'open'};
  around.bundles = [around];
  const messages = [
    null, undefined, 0, '', 'open', [], {}, new Map([['fidelio', 'open'], ['bundles', [good]]]),
    {bundles: [good]}, {fidelio: 'OPEN', bundles: [good]}, {fidelio: ['open'], bundles: [good]},
    {fidelio: 'close'}, {fidelio: 'ready', version: 1}, {fidelio: 'opened', names: ['x']},
    {fidelio: 'open'}, {fidelio: 'open', view: 'metric=e2e'}, {fidelio: 'open', bundles: null},
    {fidelio: 'open', bundles: []}, {fidelio: 'open', bundles: {length: 1, 0: good}}, {fidelio: 'open', bundles: 'b.zip'},
    {fidelio: 'open', bundles: [null]}, {fidelio: 'open', bundles: [{name: 'harm.zip'}]},
    {fidelio: 'open', bundles: [{name: 'harm.zip', bytes: 'PK'}]}, {fidelio: 'open', bundles: [{name: 'harm.zip', bytes: 7}]},
    {fidelio: 'open', bundles: [{name: 'harm.zip', bytes: [80, 75]}]}, {fidelio: 'open', bundles: [good, {}]},
    {fidelio: 'open', bundles: Array(33).fill(good)}, around,
  ];
  messages.forEach((message) => child.postMessage(message, '*'));
  return messages.length;
};
"#;

/// A page of another origin than the site's, open in the browser, and the site.
async fn opener() -> (Host, Host, Browser) {
    let (other, site) = (Host::of(Path::new("/nowhere"), "/"), Host::of_site("/site/"));
    other.answer("index.html", Answer::bytes(OPENER).of_type("text/html"));
    other.answer("opener.js", Answer::bytes(SCRIPT));
    other.answer("favicon.ico", Answer::bytes(""));
    other.answer("b.zip", Answer::bytes(std::fs::read(&Sample::get().bundle).expect("the bundle")));
    let stranger = "<!doctype html><title>stranger</title><script src=stranger.js></script>";
    other.answer("stranger.html", Answer::bytes(stranger).of_type("text/html"));
    other.answer(
        "stranger.js",
        Answer::bytes(
            "opener.bytes('buffer').then(bytes => {
                opener.child.postMessage({fidelio: 'open', bundles: [{name: 'stranger.zip', bytes}]}, '*');
                document.title = 'sent';
            });",
        ),
    );
    let browser = Browser::start().await;
    browser.open(&other.url("")).await;
    (other, site, browser)
}

/// What the opener has heard of a kind.
async fn heard(browser: &Browser, kind: &str) -> Vec<Value> {
    let found = browser.script(&format!("return heard.filter(message => message.fidelio === '{kind}')")).await;
    found.as_array().expect("messages").clone()
}

async fn wait_to_hear(browser: &Browser, kind: &str, count: usize) {
    browser.wait_until(&format!("heard.filter(message => message.fidelio === '{kind}').length === {count}")).await;
}

const OF_OPENER: &str = "document.title === 'opener'";
const OF_SITE: &str = "!!document.querySelector('[data-testid=empty], [data-testid=report], [data-testid=problem]')";

#[tokio::test]
async fn a_page_hands_bundles_to_the_viewer_it_opened() {
    let (_other, site, browser) = opener().await;
    browser.script(&format!("window.child = open('{}')", site.url(""))).await;
    wait_to_hear(&browser, "ready", 1).await;
    let origin = site.url("").trim_end_matches("/site/").to_owned();
    assert_eq!(heard(&browser, "ready").await, [json!({"fidelio": "ready", "version": 1, "origin": origin})]);

    // Nonsense does nothing, and the message after it is the first that is answered.
    let count =
        browser.script_async("const [done] = arguments; harm().then(done, error => done(`${error}`))", Vec::new());
    assert_eq!(count.await, 28);
    browser.script("send('buffer', 'sent.zip', {view: 'metric=itl&axis=log'})").await;
    wait_to_hear(&browser, "opened", 1).await;
    assert_eq!(heard(&browser, "opened").await[0]["names"], json!(["sent.zip"]));
    browser.switch_to(OF_SITE).await;
    browser.wait_for_text("file-name", "sent.zip").await;
    browser.wait_for("[data-testid=percentiles][data-metric=itl]").await;
    browser.wait_for("[data-testid=axis-log][aria-pressed=true]").await;

    // The page tells what is looked at, once it stands still.
    browser.click("tab-tpot").await;
    shows_the_comparison(&browser, &Sample::get().comparison).await;
    browser.click("tab-tpot").await;
    browser.switch_to(OF_OPENER).await;
    browser
        .wait_until("heard.some(({fidelio, fragment}) => fidelio === 'view' && fragment?.includes('metric=tpot'))")
        .await;
    assert!(heard(&browser, "view").await.iter().all(|view| view["origin"] == origin));

    // Beside what is open; and one that is none is told of.
    browser.script("send('array', 'second.zip', {beside: true})").await;
    wait_to_hear(&browser, "opened", 2).await;
    browser.script("send('blob', 'third.zip', {beside: true})").await;
    wait_to_hear(&browser, "opened", 3).await;
    browser
        .script("child.postMessage({fidelio: 'open', beside: true, bundles: [{name: 'bad.zip', bytes: new ArrayBuffer(9)}]}, '*')")
        .await;
    wait_to_hear(&browser, "failed", 1).await;
    let failed = &heard(&browser, "failed").await[0];
    assert_eq!((&failed["name"], &failed["title"]), (&json!("bad.zip"), &json!("This is not a bundle")));
    assert!(
        ["detail", "hint"].iter().all(|part| failed[part].as_str().is_some_and(|text| text.len() > 20)),
        "{failed}"
    );
    browser.switch_to(OF_SITE).await;
    browser.wait_until("document.querySelectorAll('[data-testid=versus-row]').length === 3").await;
    browser.close().await;
}

#[tokio::test]
async fn neither_strangers_nor_the_page_itself_are_listened_to() {
    let (other, site, browser) = opener().await;
    browser.script(&format!("window.child = open('{}')", site.url(""))).await;
    wait_to_hear(&browser, "ready", 1).await;
    browser.script(&format!("window.stranger = open('{}')", other.url("stranger.html"))).await;
    browser.switch_to("document.title === 'sent'").await;
    browser.switch_to(OF_SITE).await;
    browser
        .script("postMessage({fidelio: 'open', bundles: [{name: 'self.zip', bytes: new ArrayBuffer(9)}]}, '*')")
        .await;
    browser.wait_to_settle().await;
    assert_eq!(browser.count("[data-testid=empty]").await, Some(1));
    // It listens to who opened it all the same.
    browser.switch_to(OF_OPENER).await;
    browser.script("send('buffer', 'sent.zip', {})").await;
    wait_to_hear(&browser, "opened", 1).await;
    assert_eq!(heard(&browser, "failed").await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_page_hands_bundles_to_the_viewer_in_a_frame() {
    let (_other, site, browser) = opener().await;
    browser
        .script(&format!(
            "const frame = document.createElement('iframe');
            frame.src = '{}';
            document.body.append(frame);
            window.child = frame.contentWindow;",
            site.url("")
        ))
        .await;
    wait_to_hear(&browser, "ready", 1).await;
    browser.script("harm()").await;
    browser.script("send('blob', 'framed.zip', {})").await;
    wait_to_hear(&browser, "opened", 1).await;
    assert_eq!(heard(&browser, "opened").await[0]["names"], json!(["framed.zip"]));
    assert_eq!(heard(&browser, "failed").await, Vec::<Value>::new());
    browser.close().await;
}

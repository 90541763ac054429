//! Bundles made to do harm: each explains itself or shows its words as words, and nothing else happens.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::bad_files::BadFile;
use super::harness::{Browser, Sample, View, root, scratch};

const COMPARISON: &str = "comparison/comparison.json";
const SCRIPT: &str = "<script>window.harmed=1</script><img src=x onerror='window.harmed=1'>";
const ALL_OF_64_BITS: &str = "18446744073709551615";

/// A bundle that opens, and whose words must be shown as they are.
pub struct Worded {
    pub name: &'static str,
    pub file: PathBuf,
    /// Words of the bundle that the page shows.
    pub shows: &'static str,
}

type Entries = Vec<(String, Vec<u8>)>;

/// Those that must be refused, and what of.
pub fn all(good: &Path) -> Vec<BadFile> {
    let dir = scratch("hostile");
    let entries = entries(good);
    let bad = |name: &'static str, bytes: Vec<u8>, says: &'static str| {
        let file = dir.join(format!("{name}.zip"));
        std::fs::write(&file, bytes).expect("written");
        BadFile { name, file, says }
    };
    let text = |name, change: fn(String) -> String, says| {
        bad(
            name,
            with_comparison(&entries, |bytes| change(String::from_utf8(bytes).expect("UTF-8")).into_bytes()),
            says,
        )
    };
    let value = |name, change: fn(&mut Value), says| bad(name, with_document(&entries, change), says);
    // The file is named, so that no explanation of the one before is taken for it.
    let named = |name, entry: &str, says| bad(name, zip(&[(entry.to_owned(), b"boo".to_vec())]), says);
    vec![
        bad("bomb-declared", bomb_that_says_so(), "unpacks to more than 4 GiB"),
        bad("bomb-hidden", bomb_that_hides(&entries), "larger than its declared"),
        bad("ten-thousand-entries", many_entries(10_000), "has 10000 entries, more than the 4096"),
        named("climbing", "real_run/../../x", "climbing.zip holds an entry with an unsafe name"),
        named("absolute", "/etc/passwd", "absolute.zip holds an entry with an unsafe name"),
        named("backslash", "..\\windows\\x", "backslash.zip holds an entry with an unsafe name"),
        named("drive", "C:x", "drive.zip holds an entry with an unsafe name"),
        named("nul", "real_run/a\0.csv", "nul.zip holds an entry with an unsafe name"),
        bad("turned-name", zip(&[("a\u{202e}gpj.zip".to_owned(), Vec::new())]), "neither manifest.json nor any"),
        bad("unlisted", unlisted(&entries), "is in the zip but not in the manifest"),
        text("nested", |json| json.replacen("\"params\": {", &deep_setting(), 1), "recursion limit exceeded"),
        text("infinite", |json| replaced_number(&json, "tolerance", "1e999"), "number out of range"),
        text("not-a-number", |json| replaced_number(&json, "tolerance", "NaN"), "expected value"),
        text(
            "twice",
            |json| json.replacen('{', "{\"verdict\": {\"verdict\": \"within\", \"sentence\": \"\"},", 1),
            "duplicate field",
        ),
        value(
            "missing",
            |all| drop(all.as_object_mut().and_then(|all| all.remove("metrics"))),
            "missing field metrics",
        ),
        value(
            "points",
            |all| all["metrics"][0]["curve"]["real_ns"] = json!(vec![1; 100_000]),
            "a curve of 100000 points",
        ),
        value("uneven", |all| all["metrics"][0]["curve"]["sim_ns"] = json!([1]), "lists do not fit each other"),
        value("metrics", |all| all["metrics"] = json!(vec![all["metrics"][0].clone(); 65]), "has 65 metrics"),
        value(
            "notices",
            |all| all["notices"] = json!(vec![json!({"kind": "run", "text": "x"}); 3_000]),
            "has 3000 notices",
        ),
        value("endless", |all| all["padding"] = json!("x".repeat(17 << 20)), "is larger than 16777216 bytes"),
        bad(
            "late-token",
            bare_with("real_run/token_metrics.csv", |row| replaced_cell(row, 2, ALL_OF_64_BITS)),
            "is later than any time of a run",
        ),
        bad(
            "far-token",
            bare_with("real_run/token_metrics.csv", |row| replaced_cell(row, 1, ALL_OF_64_BITS)),
            "token_metrics.csv",
        ),
        bad(
            "script-as-id",
            bare_with("real_run/request_metrics.csv", |row| replaced_cell(row, 0, SCRIPT)),
            "<script>window.harmed=1",
        ),
    ]
}

/// Those that open.
pub fn worded(good: &Path) -> Vec<Worded> {
    let dir = scratch("hostile-words");
    let entries = entries(good);
    let worded = |name: &'static str, bytes: Vec<u8>, shows: &'static str| {
        let file = dir.join(format!("{name}.zip"));
        std::fs::write(&file, bytes).expect("written");
        Worded { name, file, shows }
    };
    let scripts = |all: &mut Value| {
        all["verdict"]["sentence"] = json!(format!("sentence {SCRIPT}"));
        all["notices"] = json!([{"kind": "run", "text": format!("notice {SCRIPT} `{SCRIPT}`")}]);
        all["real"][0]["model"] = json!(format!("model {SCRIPT}"));
        all["real"][0]["engine"] = json!(format!("engine {SCRIPT}"));
        all["sim"]["hardware"] = json!("javascript:window.harmed=1");
        all["parity"][0]["setting"] = json!(format!("setting {SCRIPT}"));
        all["metrics"][0]["percentiles"][0]["label"] = json!(SCRIPT);
    };
    let long = |all: &mut Value| {
        all["real"][0]["model"] = json!("m".repeat(1 << 20));
        all["notices"] = json!([{"kind": "run", "text": "n".repeat(1 << 20)}]);
        all["sim"]["params"] = json!({"k".repeat(1 << 20): "v".repeat(1 << 20)});
    };
    let mut renamed = entries.clone();
    for entry in renamed.iter_mut().filter(|(name, _)| name == "comparison/summary.md") {
        entry.0 = format!("comparison/{SCRIPT}\u{202e}dm.exe").replace('/', "").replace("comparison<", "comparison/<");
    }
    let mut troubled = entries.clone();
    for (_, bytes) in troubled.iter_mut().filter(|(name, _)| name == "real_run/request_metrics.csv") {
        let table = String::from_utf8_lossy(bytes).into_owned();
        let told = table.lines().enumerate().map(|(place, row)| match place {
            0 => format!("{row},error_type,error_msg,prompt_id\n"),
            _ => format!("{row},{SCRIPT},{SCRIPT},{SCRIPT}\n"),
        });
        *bytes = told.collect::<String>().into_bytes();
    }
    vec![
        worded("scripts", with_document(&entries, scripts), "sentence <script>window.harmed=1</script>"),
        worded("long", with_document(&entries, long), "mmmmmmmm"),
        worded(
            "turned",
            with_document(&entries, |all| all["verdict"]["sentence"] = json!("a\u{202e}b\u{0}c")),
            "a\u{fffd}b\u{fffd}c",
        ),
        worded("file-names", bundle(renamed), "trust this simulation"),
        worded("rows", bundle(troubled), "trust this simulation"),
    ]
}

#[tokio::test]
async fn hostile_bundles_explain_themselves() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    browser.open(&view.site()).await;
    for bad in all(&sample.bundle) {
        browser.choose_file(&bad.file).await;
        browser.wait_for_text("problem-detail", bad.says).await;
        let (detail, hint) = (browser.text("problem-detail").await, browser.text("problem-hint").await);
        assert!(detail.chars().count() <= 601 && hint.chars().count() > 20, "{}: {detail} / {hint}", bad.name);
        no_harm(&browser, bad.name).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn words_of_hostile_bundles_stay_words() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    for worded in worded(&sample.bundle) {
        browser.open(&view.site()).await;
        browser.choose_file(&worded.file).await;
        browser.wait_for("[data-testid=report]").await;
        browser.script("document.querySelectorAll('details').forEach(details => { details.open = true; })").await;
        browser.wait_until(&format!("document.body.innerText.includes({})", json!(worded.shows))).await;
        let length = browser.script("return document.body.innerText.length").await;
        assert!(length.as_u64() < Some(400_000), "{}: the page shows {length} letters", worded.name);
        no_harm(&browser, worded.name).await;
    }
    browser.close().await;
}

/// No script of a bundle ran, no element of one is in the page, no link leads where one says.
async fn no_harm(browser: &Browser, name: &str) {
    let found = browser
        .script(
            "return [window.harmed ?? null, document.querySelectorAll('body script, img, iframe, object, embed').length,
                [...document.querySelectorAll('[href]')].filter(link => /javascript|harmed/.test(link.getAttribute('href'))).length]",
        )
        .await;
    assert_eq!(found, json!([null, 0, 0]), "{name}");
}

fn entries(good: &Path) -> Entries {
    let mut zip = ZipArchive::new(std::fs::File::open(good).expect("the bundle")).expect("a zip");
    let mut entries = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("read");
        entries.push((String::from_utf8_lossy(entry.name_raw()).into_owned(), bytes));
    }
    entries
}

fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).expect("an entry");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

/// A bundle whose manifest is true of what is in it.
fn bundle(mut entries: Entries) -> Vec<u8> {
    let place = entries.iter().position(|(name, _)| name == "manifest.json").expect("a manifest");
    let (_, old) = entries.remove(place);
    let mut manifest: Value = serde_json::from_slice(&old).expect("JSON");
    let file = |(name, bytes): &(String, Vec<u8>)| {
        let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"path": name, "bytes": bytes.len(), "sha256": sha256})
    };
    manifest["files"] = entries.iter().map(file).collect();
    entries.insert(0, ("manifest.json".to_owned(), serde_json::to_vec(&manifest).expect("JSON")));
    zip(&entries)
}

fn with_comparison(entries: &[(String, Vec<u8>)], change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut entries = entries.to_vec();
    let (_, bytes) = entries.iter_mut().find(|(name, _)| name == COMPARISON).expect("a comparison");
    *bytes = change(std::mem::take(bytes));
    bundle(entries)
}

fn with_document(entries: &[(String, Vec<u8>)], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    with_comparison(entries, |bytes| {
        let mut document = serde_json::from_slice(&bytes).expect("JSON");
        change(&mut document);
        serde_json::to_vec(&document).expect("JSON")
    })
}

/// The first setting of a run, a hundred thousand lists deep.
fn deep_setting() -> String {
    format!("\"params\": {{\"deep\": {}{},", "[".repeat(100_000), "]".repeat(100_000))
}

/// `"key": 0.1` with another number.
fn replaced_number(json: &str, key: &str, number: &str) -> String {
    let (before, after) = json.split_once(&format!("\"{key}\":")).expect("the key");
    let rest = after.trim_start_matches(|letter: char| " .0123456789".contains(letter));
    format!("{before}\"{key}\": {number}{rest}")
}

/// The zip of bare runs with every row of a table changed; heads stay.
fn bare_with(table: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let data = root().join("tests/fixtures/qwen3_a100_spaced");
    let mut files = Vec::new();
    for folder in ["real_run", "vidur_run"] {
        for file in ["run_meta.json", "request_metrics.csv", "token_metrics.csv"] {
            let name = format!("{folder}/{file}");
            let mut bytes = std::fs::read(data.join(&name)).expect("the fixture");
            if name == table {
                let text = String::from_utf8(bytes).expect("UTF-8");
                let rows =
                    text.lines().enumerate().map(|(place, row)| if place == 0 { row.to_owned() } else { change(row) });
                bytes = rows.collect::<Vec<_>>().join("\n").into_bytes();
            }
            files.push((name, bytes));
        }
    }
    zip(&files)
}

fn replaced_cell(row: &str, column: usize, cell: &str) -> String {
    let cells = row.split(',').enumerate().map(|(place, old)| if place == column { cell } else { old });
    cells.collect::<Vec<_>>().join(",")
}

fn many_entries(count: usize) -> Vec<u8> {
    zip(&(0..count).map(|place| (format!("real_run/{place}.csv"), Vec::new())).collect::<Vec<_>>())
}

fn unlisted(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut entries = entries.to_vec();
    entries.push((format!("comparison/{SCRIPT}").replace("</", "<"), Vec::new()));
    zip(&entries)
}

/// Two small entries that say they are gigabytes.
fn bomb_that_says_so() -> Vec<u8> {
    let entries = ["real_run", "sim_run"].map(|run| (format!("{run}/request_metrics.csv"), vec![b'0'; 1000]));
    let mut bytes = zip(&entries);
    declare(&mut bytes, |_| true, 0xf000_0000);
    bytes
}

/// A comparison that unpacks to more than its entry says.
fn bomb_that_hides(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = zip(entries);
    declare(&mut bytes, |name| name == COMPARISON.as_bytes(), 100);
    bytes
}

/// Writes another unpacked size into the directory of a zip, and beside the entries.
fn declare(bytes: &mut [u8], is_meant: impl Fn(&[u8]) -> bool, size: u32) {
    for (mark, place_of_size, place_of_name) in [(b"PK\x01\x02", 24, 46), (b"PK\x03\x04", 22, 30)] {
        let starts: Vec<usize> = (0..bytes.len() - 4).filter(|start| bytes[*start..*start + 4] == *mark).collect();
        for start in starts {
            let length_at = start + if place_of_name == 46 { 28 } else { 26 };
            let length = usize::from(bytes[length_at]) | usize::from(bytes[length_at + 1]) << 8;
            if is_meant(&bytes[start + place_of_name..start + place_of_name + length]) {
                bytes[start + place_of_size..start + place_of_size + 4].copy_from_slice(&size.to_le_bytes());
            }
        }
    }
}

//! Bundles: verified numbers, changed bytes found and named, hand-made zips, hostile zips refused.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use fidelio_shared::bundle::BundleReader;
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::DataError;
use zip::write::SimpleFileOptions;

use crate::harness::{Scratch, fixture, fixture_arg};

/// Bundles the published A100 comparison.
pub fn published_bundle(scratch: &Scratch) -> PathBuf {
    let [real, sim, workload] =
        ["real_run", "vidur_run", "workload"].map(|part| fixture_arg(&format!("qwen3_a100_spaced/{part}")));
    let compare = ["compare", "--real", &real, "--sim", &sim, "--workload", &workload];
    scratch.fidelio(&[&compare[..], &["--allow-mismatch", "--out", "comparison"]].concat()).expect(0);
    scratch.fidelio(&["bundle", "comparison", "--out", "bundle.zip"]).expect(0);
    scratch.join("bundle.zip")
}

type Entries = Vec<(String, Vec<u8>)>;

pub fn unzip(path: &Path) -> Entries {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).expect("a zip")).expect("a zip");
    let mut entries = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("bytes");
        entries.push((entry.name().expect("a name").into_owned(), bytes));
    }
    entries
}

pub fn zip_of(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).expect("an entry");
        zip.write_all(bytes).expect("bytes");
    }
    zip.finish().expect("a zip").into_inner()
}

fn open(bytes: Vec<u8>) -> Result<BundleReader<Cursor<Vec<u8>>>, DataError> {
    BundleReader::open(Cursor::new(bytes))
}

#[test]
fn a_bundle_verifies_and_holds_no_prompt_text_unless_asked() {
    let scratch = Scratch::new("bundle-verify");
    let bundle = published_bundle(&scratch);
    let ran = scratch.fidelio(&["verify", "bundle.zip", "--json"]).expect(0);
    assert_eq!(ran.json()["num_percentiles"], 20, "four percentiles of TTFT, ITL, TPOT, E2E and normalised E2E");
    let entries = unzip(&bundle);
    assert_eq!(entries[0].0, "manifest.json", "the manifest comes first");
    assert!(entries.iter().all(|(name, _)| !name.contains("prompts")));
    scratch.fidelio(&["bundle", "comparison", "--with-prompts", "--out", "with.zip"]).expect(0);
    assert!(unzip(&scratch.join("with.zip")).iter().any(|(name, _)| name == "workload/prompts.jsonl"));
}

#[test]
fn one_changed_byte_in_any_file_is_found_and_named() {
    let scratch = Scratch::new("bundle-tamper");
    let entries = unzip(&published_bundle(&scratch));
    for victim in 1..entries.len() {
        let mut changed = entries.clone();
        let (name, bytes) = &mut changed[victim];
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        let name = name.clone();
        fs::write(scratch.join("changed.zip"), zip_of(&changed)).expect("written");
        scratch.fidelio(&["verify", "changed.zip"]).refused(&[&format!("`{name}`"), "SHA-256"]);
    }
}

/// Applies `change` to one entry and mends its hash in the manifest.
fn forge(entries: &mut Entries, name: &str, change: impl FnOnce(String) -> String) {
    let (_, bytes) = entries.iter_mut().find(|(entry, _)| entry == name).expect("an entry");
    let (old, old_length) = (fidelio_shared::schema::sha256_hex(bytes), bytes.len());
    *bytes = change(String::from_utf8(bytes.clone()).expect("text")).into_bytes();
    let (new, length) = (fidelio_shared::schema::sha256_hex(bytes), bytes.len());
    let (_, manifest) = entries.iter_mut().find(|(entry, _)| entry == "manifest.json").expect("a manifest");
    let mut document: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
    for file in document["files"].as_array_mut().expect("files") {
        if file["sha256"] == old.as_str() && file["bytes"] == old_length {
            (file["sha256"], file["bytes"]) = (new.as_str().into(), length.into());
        }
    }
    *manifest = document.to_string().into_bytes();
}

#[test]
fn forgeries_that_mend_their_hashes_are_found_one_by_one() {
    let scratch = Scratch::new("bundle-forgeries");
    let entries = unzip(&published_bundle(&scratch));
    type Change = Box<dyn FnOnce(String) -> String>;
    let swap = |from: &'static str, to: &'static str| -> Change { Box::new(move |text| text.replacen(from, to, 1)) };
    let cases: Vec<(&str, Change, &str)> = vec![
        ("comparison/comparison.json", swap("17283962.5", "17283962.6"), "the raw rows give 17283962.5"),
        ("comparison/comparison.json", swap("{", "{ \"endorsed_by\": \"us\","), "endorsed_by"),
        ("comparison/figs/ttft_cdf.svg", swap("</svg>", "<!-- better --></svg>"), "figs/ttft_cdf.svg"),
        ("comparison/summary.md", swap("outside", "within"), "summary.md"),
        ("comparison/tables/ttft_cdf.csv", swap("1967610", "1967611"), "tables/ttft_cdf.csv"),
        ("comparison/run_meta.json", swap("comparison_", "comparison-"), "comparison_id"),
        ("real_run/request_metrics.csv", swap(",9,64,64,ok", ",8,64,64,ok"), "by_prompt_tokens"),
    ];
    for (name, change, words) in cases {
        let mut forged = entries.clone();
        forge(&mut forged, name, change);
        fs::write(scratch.join("forged.zip"), zip_of(&forged)).expect("written");
        scratch.fidelio(&["verify", "forged.zip"]).refused(&[words]);
    }
    let mut extra = entries.clone();
    extra.push(("evil.html".to_owned(), b"<script>".to_vec()));
    let sha256 = fidelio_shared::schema::sha256_hex(b"<script>");
    let mut manifest: serde_json::Value = serde_json::from_slice(&extra[0].1).expect("JSON");
    let listed = manifest["files"].as_array_mut().expect("files");
    listed.push(serde_json::json!({ "path": "evil.html", "bytes": 8, "sha256": sha256 }));
    extra[0].1 = manifest.to_string().into_bytes();
    fs::write(scratch.join("extra.zip"), zip_of(&extra)).expect("written");
    scratch.fidelio(&["verify", "extra.zip"]).refused(&["`evil.html`", "not a part of a bundle"]);
}

#[test]
fn bare_run_directories_zipped_by_hand_open_under_a_notice() {
    let mut entries = Entries::new();
    for (folder, place) in [("real_run", "some/real"), ("vidur_run", "some/vidur"), ("workload", "some/workload")] {
        for entry in fs::read_dir(fixture("qwen3_a100_spaced").join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            entries.push((format!("{place}/{name}"), fs::read(&path).expect("bytes")));
        }
    }
    let mut bundle = open(zip_of(&entries)).expect("a zip of bare runs opens");
    assert!(bundle.manifest().is_none());
    let comparison = bundle.comparison().expect("computed in memory");
    let ttft = comparison.metric(Metric::Ttft).expect("TTFT");
    assert_eq!(ttft.percentiles[0].real_ns.to_string(), "17283962.5");
    assert!(!comparison.notices.is_empty(), "foreign runs come under a notice");
}

#[test]
fn hostile_and_broken_zips_explain_themselves() {
    let scratch = Scratch::new("bundle-hostile");
    let whole = fs::read(published_bundle(&scratch)).expect("a bundle");
    let entry = |name: &str| vec![(name.to_owned(), b"x".to_vec())];
    let many: Entries = (0..5_000).map(|index| (format!("f{index}"), Vec::new())).collect();
    let mut newer = unzip(&scratch.join("bundle.zip"));
    newer[0].1 = String::from_utf8(newer[0].1.clone()).expect("text").replace("\"v1\"", "\"v9\"").into_bytes();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("not a zip", b"hello".to_vec(), "not a zip"),
        ("cut off", whole[..whole.len() / 2].to_vec(), "not a zip"),
        ("climbing", zip_of(&entry("../../etc/passwd")), "unsafe name"),
        ("absolute", zip_of(&entry("/etc/passwd")), "unsafe name"),
        ("backslash", zip_of(&entry("..\\evil")), "unsafe name"),
        ("too many entries", zip_of(&many), "5000 entries"),
        ("empty", zip_of(&[]), "empty zip"),
        ("no run inside", zip_of(&entry("readme.txt")), "neither manifest.json nor any request_metrics.csv"),
        ("newer schema", zip_of(&newer), "schema `v9`"),
    ];
    for (what, bytes, words) in cases {
        let Err(error) = open(bytes.clone()) else { panic!("{what} opened") };
        assert!(error.to_string().contains(words), "{what}: {error}");
        let name = format!("{}.zip", what.replace(' ', "-"));
        fs::write(scratch.join(&name), bytes).expect("written");
        scratch.fidelio(&["verify", &name]).refused(&[words]);
    }
}

/// The bytes of a zip with two entries of one name: a writer refuses them, so a second name is changed afterwards.
#[test]
fn two_entries_of_one_name_are_refused_before_either_is_believed() {
    let entry = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let mut bytes = zip_of(&[
        entry("real_run/request_metrics.csv", "one"),
        entry("real_run/request_metrics.csw", "two"),
        entry("sim_run/request_metrics.csv", "three"),
    ]);
    let places: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, name)| *name == b".csw").map(|(place, _)| place).collect();
    assert_eq!(places.len(), 2, "in its own header and in the directory");
    places.into_iter().for_each(|place| bytes[place + 3] = b'v');
    let Err(error) = open(bytes) else { panic!("it opened") };
    assert!(error.to_string().contains("two entries of one name"), "{error}");
}

#[test]
fn whoever_loads_a_bundle_is_told_how_far_it_is() {
    let scratch = Scratch::new("bundle-progress");
    let bytes = fs::read(published_bundle(&scratch)).expect("a bundle");
    let mut bundle = open(bytes).expect("it opens");
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let listener = std::rc::Rc::clone(&told);
    bundle.on_progress(move |num_bytes| listener.borrow_mut().push(num_bytes));
    let contents = bundle.load().expect("it loads");
    assert_eq!((contents.real.len(), contents.workload.map(|workload| workload.rows.len())), (1, Some(8)));
    let (told, rows) = (told.borrow(), bundle.num_row_bytes());
    assert!(told.is_sorted() && told.len() > 5);
    let last = *told.last().expect("something was read");
    assert!(
        rows > 10_000 && (rows..rows + 20_000).contains(&last),
        "{last} of {rows}: metadata is read beside the rows"
    );
}

/// A zip whose entry unpacks to more than it declares, or to far more than any bundle: the sizes in
/// the central directory are what is changed.
#[test]
fn a_zip_bomb_is_refused_before_it_is_unpacked() {
    let honest = zip_of(&[("real_run/request_metrics.csv".to_owned(), vec![b'0'; 1 << 20])]);
    let central = honest.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").expect("a central directory");
    let with_size = |size: u32| {
        let mut bytes = honest.clone();
        bytes[central + 24..central + 28].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    let mut two = Vec::new();
    for index in 0..2 {
        two.push((format!("{index}/real_run/request_metrics.csv"), vec![b'0'; 1 << 20]));
    }
    let mut two = zip_of(&two);
    let places: Vec<usize> =
        two.windows(4).enumerate().filter(|(_, bytes)| bytes == b"PK\x01\x02").map(|(place, _)| place).collect();
    for place in places {
        two[place + 24..place + 28].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    }
    let Err(error) = open(two) else { panic!("8 GiB of zeros opened") };
    assert!(error.to_string().contains("more than 4 GiB"), "{error}");

    // Declares 10 bytes, holds a mebibyte: reading must stop at what was declared.
    let result = open(with_size(10)).and_then(|mut bundle| bundle.real_run().map(|_| ()));
    let error = result.expect_err("an entry that lies about its size is refused");
    println!("{error}");
}

//! Sharing: the folder for any static host, and storage that speaks S3.

mod page;
mod s3;
mod storage;

use std::fs;
use std::path::{Path, PathBuf};

use crate::bundles::{published_bundle, unzip, zip_of};
use crate::harness::{Scratch, fixture};

/// A zip of bare run directories with `extra` bytes beside them that no compression makes smaller.
fn bare_bundle(path: &Path, extra: usize) -> PathBuf {
    let mut entries = Vec::new();
    for folder in ["real_run", "vidur_run", "workload"] {
        for file in fs::read_dir(fixture(&format!("qwen3_a100_spaced/{folder}"))).expect("the fixture") {
            let file = file.expect("an entry").path();
            let name = format!("{folder}/{}", file.file_name().expect("a name").to_string_lossy());
            entries.push((name, fs::read(&file).expect("a file")));
        }
    }
    let mut noise = vec![0u8; extra];
    rand::Rng::fill_bytes(&mut crate::harness::random(7), &mut noise);
    entries.push(("notes.bin".to_owned(), noise));
    fs::write(path, zip_of(&entries)).expect("a zip");
    path.to_path_buf()
}

/// Every file below `folder`, by its path from there.
fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                found.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_shared_folder_is_the_site_the_bundles_and_a_page_that_opens_them() {
    let scratch = Scratch::new("share-folder");
    let bundle = published_bundle(&scratch);
    let bare = bare_bundle(&scratch.join("by hand.zip"), 10);
    let ran = scratch.fidelio(&["share", "bundle.zip", "by hand.zip", "bundle.zip", "--out", "site"]).expect(0);
    assert_eq!(ran.stdout, "site\n");
    assert!(ran.stderr.starts_with("warning: by hand.zip contains the prompts' texts"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    let files = files_below(&scratch.join("site"));
    let bytes = |name: &str| &files.iter().find(|(path, _)| path == name).unwrap_or_else(|| panic!("{name}")).1;
    assert_eq!(*bytes("bundles/bundle.zip"), fs::read(&bundle).expect("the bundle"));
    assert_eq!(*bytes("bundles/bundle-2.zip"), fs::read(&bundle).expect("the bundle"));
    assert_eq!(*bytes("bundles/by_hand.zip"), fs::read(&bare).expect("the bundle"));
    let page = String::from_utf8(bytes("index.html").clone()).expect("text");
    let meta =
        "<meta name=\"fidelio-bundles\" content=\"bundles/bundle.zip bundles/by_hand.zip bundles/bundle-2.zip\">";
    assert!(page.find(meta) < page.find("</head>") && page.contains(meta), "{page}");
    for file in fidelio::site::hosted().filter(|file| file.path != "index.html") {
        assert_eq!(*bytes(file.path), file.bytes, "{}", file.path);
    }
    assert_eq!(files.len(), fidelio::site::hosted().count() + 3);
    assert!(!files.iter().any(|(path, _)| path == "standalone.js"));
}

#[test]
fn a_shared_folder_replaces_only_its_like_and_leaves_nothing_half_written() {
    let scratch = Scratch::new("share-replace");
    let bundle = published_bundle(&scratch);
    scratch.fidelio(&["share", "bundle.zip", "--out", "site"]).expect(0);
    let first = files_below(&scratch.join("site"));
    scratch.fidelio(&["share", "bundle.zip", "--out", "site"]).refused(&["`site` already exists", "--force"]);
    fs::write(scratch.join("site/mine.txt"), "mine").expect("written");
    let json = scratch.fidelio(&["share", "bundle.zip", "--out", "site", "--force", "--json"]).expect(0).json();
    assert_eq!((json["path"].as_str(), json["num_files"].as_u64()), (Some("site"), Some(first.len() as u64)));
    assert_eq!(files_below(&scratch.join("site")), first, "the same bundles give the same bytes");
    fs::create_dir(scratch.join("other")).expect("a directory");
    fs::write(scratch.join("other/index.html"), "mine").expect("written");
    scratch.fidelio(&["share", "bundle.zip", "--out", "other", "--force"]).refused(&["was not made by this verb"]);
    scratch.fidelio(&["share", "bundle.zip", "--out", "..", "--force"]).refused(&["`..`"]);

    let mut entries = unzip(&bundle);
    let last = entries.len() - 1;
    entries[last].1[0] ^= 1;
    fs::write(scratch.join("changed.zip"), zip_of(&entries)).expect("written");
    scratch.fidelio(&["share", "bundle.zip", "changed.zip", "--out", "new"]).refused(&["`changed.zip`", "SHA-256"]);
    scratch.fidelio(&["share", "none.zip", "--out", "new"]).refused(&["`none.zip`"]);
    scratch.fidelio(&["share", "--out", "new"]).expect(2);
    let left: Vec<_> =
        fs::read_dir(scratch.path()).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("new")), "{left:?}");
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn sharing_prompts_is_told() {
    let scratch = Scratch::new("share-prompts");
    published_bundle(&scratch);
    scratch.fidelio(&["bundle", "comparison", "--with-prompts", "--out", "with.zip"]).expect(0);
    let ran = scratch.fidelio(&["share", "bundle.zip", "with.zip", "--out", "site"]).expect(0);
    assert!(ran.stderr.contains("warning: with.zip contains the prompts' texts"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("bundle.zip"), "{}", ran.stderr);
}

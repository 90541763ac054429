//! The self-contained page: everything inside, the same bytes every time, hostile names harmless, verified.

use std::fs;

use crate::bundles::published_bundle;
use crate::harness::Scratch;

#[test]
fn a_page_holds_everything_and_verifies() {
    let scratch = Scratch::new("page");
    let bundle = fs::read(published_bundle(&scratch)).expect("the bundle");
    scratch.fidelio(&["bundle", "comparison", "--html", "--out", "a.html"]).expect(0);
    let ran = scratch.fidelio(&["bundle", "comparison", "--html", "-v"]).expect(0);
    assert!(ran.stderr.contains("bytes"), "{}", ran.stderr);
    let page = fs::read_to_string(scratch.join("a.html")).expect("a page");
    let usual = ran.path();
    assert!(usual.starts_with("tmp/bundles") && usual.extension().is_some_and(|end| end == "html"), "{usual:?}");
    assert_eq!(fs::read_to_string(scratch.join(&usual.display().to_string())).expect("a page"), page, "the same bytes");
    for outside in ["src=\"", "href=\"./", "href=\"/", "url(\"./", "'self'", "rel=\"preload\"", "<link data-trunk"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
    let policy = policy.expect("a policy");
    for part in
        ["default-src 'none'", "script-src 'sha256-", "'wasm-unsafe-eval'", "worker-src blob:", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    let title = page.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
    assert!(title.contains("qwen3-0.6b") && title.contains("(comparison_"), "{title}");
    assert!(page.contains("<main id=\"opening\""), "something shows before the program runs");
    let found = fidelio::standalone::bundle_in(page.as_bytes()).expect("a bundle");
    assert!(found == bundle, "the bundle inside is the one `fidelio bundle` writes");

    let verified = scratch.fidelio(&["verify", "a.html", "--json"]).expect(0).json();
    assert_eq!((verified["num_percentiles"].as_u64(), verified["is_page_ours"].as_bool()), (Some(20), Some(true)));
    fs::write(scratch.join("b.html"), page.replace("</body>", "<script>evil()</script></body>")).expect("written");
    let ran = scratch.fidelio(&["verify", "b.html"]).expect(0);
    assert!(ran.stdout.contains("what it shows is not verified"), "{}", ran.stdout);
    fs::write(scratch.join("c.html"), &page[..page.len() - 100_000]).expect("written");
    scratch.fidelio(&["verify", "c.html"]).refused(&["`c.html`", "damaged or cut off"]);
    fs::write(scratch.join("d.html"), "<!DOCTYPE html>").expect("written");
    scratch.fidelio(&["verify", "d.html"]).refused(&["holds 0 bundles"]);
    scratch.fidelio(&["bundle", "comparison", "--html", "--out", "a.html"]).refused(&["already exists"]);
}

#[test]
fn hostile_names_in_a_page_are_words() {
    let scratch = Scratch::new("page-hostile");
    published_bundle(&scratch);
    let file = scratch.join("comparison/run_meta.json");
    let text = fs::read_to_string(&file).expect("metadata");
    let meta: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let id = meta["run_id"].as_str().expect("an id");
    fs::write(&file, text.replace(id, "a</title><script>alert(1)</script>' onx='")).expect("written");
    scratch.fidelio(&["bundle", "comparison", "--html", "--out", "a.html"]).expect(0);
    let page = fs::read_to_string(scratch.join("a.html")).expect("a page");
    assert!(!page.contains("<script>alert") && !page.contains("' onx='"), "escaped");
    assert!(page.contains("a&lt;/title&gt;&lt;script&gt;alert(1)"));
    scratch.fidelio(&["verify", "a.html"]).expect(0);
}

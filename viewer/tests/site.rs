//! The site's own lists: what is built is what is kept for offline use, and the policy stays strict.

const PAGE: &str = include_str!("../index.html");
const KEEPER: &str = include_str!("../sw.js");

/// Files that trunk puts beside the page, by what `index.html` says.
fn built() -> Vec<String> {
    let links = PAGE.lines().filter(|line| line.contains("data-trunk") && !line.contains("rel=\"rust\""));
    let file = |line: &str| line.split("href=\"").nth(1)?.split('"').next()?.rsplit('/').next().map(str::to_owned);
    links.filter_map(file).collect()
}

#[test]
fn every_file_of_the_site_is_kept_for_offline_use() {
    let list = KEEPER.split("const FILES = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    let kept: Vec<&str> = list.split(',').map(|name| name.trim().trim_matches('\'')).collect();
    let own = ["", "index.html", "fidelio-viewer.js", "fidelio-viewer_bg.wasm"];
    for file in own {
        assert!(kept.contains(&file), "{file} is not kept");
    }
    // The keeper itself, the text of a licence and the start of the self-contained page are no part of a page.
    let is_part = |file: &&String| !file.ends_with(".txt") && !["sw.js", "standalone.js"].contains(&file.as_str());
    let built = built();
    assert!(built.len() > 6, "{built:?}");
    for file in built.iter().filter(is_part) {
        assert!(kept.contains(&file.as_str()), "{file} is built, but not kept: add it to FILES of sw.js");
    }
    for file in kept.iter().filter(|file| !file.is_empty() && !own.contains(file)) {
        assert!(built.iter().any(|built| built == file), "{file} is kept, but not built: keeping would fail");
    }
}

#[test]
fn the_policy_allows_no_script_but_ours() {
    let policy =
        PAGE.split("http-equiv=\"Content-Security-Policy\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
    let policy = policy.expect("a policy");
    for part in ["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval';", "style-src 'self';", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("'unsafe-inline'") && !policy.contains("'unsafe-eval'"), "{policy}");
    assert!(!PAGE.contains("style=") && !PAGE.contains("onload=") && !PAGE.contains("<script>"), "nothing inline");
}

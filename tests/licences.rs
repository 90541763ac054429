//! Every dependency's licence is one this project may be shipped with.

use std::process::Command;

/// Permissive licences, in SPDX names.
const ALLOWED: [&str; 15] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "MIT-0",
    "bzip2-1.0.6",
    "CDLA-Permissive-2.0",
];

/// Unchanged crates under a licence that asks only for changes to themselves: fantoccini speaks
/// WebDriver through the first (tests only), hf-hub finds the home directory through the second.
const UNCHANGED: [(&str, &str); 2] = [("webdriver", "MPL-2.0"), ("option-ext", "MPL-2.0")];

/// `A OR B` needs one allowed side, `A AND B` both; `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    expression.split(" OR ").any(|side| side.split(" AND ").all(|name| ALLOWED.contains(&name.trim())))
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "the whole tree is looked at");
    let bad: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .filter(|package| {
            !UNCHANGED.iter().any(|(name, licence)| package["name"] == *name && package["license"] == *licence)
        })
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(bad.is_empty(), "licences to look at:\n{}", bad.join("\n"));
}

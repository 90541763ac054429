//! The self-contained page: the site's own page with everything inline, a bundle included. It works from `file://`.
//! Also gets the bundle out again. Knows no files.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fidelio_shared::bundle::BundleReader;
use fidelio_shared::schema::DataError;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::site;

/// Bundles beyond this many bytes are no good as text in a page.
pub const MAX_BUNDLE_BYTES: u64 = 256 << 20;
/// What begins a block that holds a bundle.
const BUNDLE_BLOCK: &str = "<script type=\"application/octet-stream;base64\" data-bundle=\"";
/// Where the words stand that show before the program runs.
const OPENING_STYLE: &str = ".opening { max-width: 60rem; margin: 3rem auto; padding: 0 1rem; }\n";

/// The page that shows `bundle`, a whole zip. The same bundle gives the same bytes.
///
/// # Errors
/// When the bundle cannot be opened, the viewer is not in this binary, or its page is not as it must be.
pub fn page(bundle: &[u8]) -> anyhow::Result<Vec<u8>> {
    site::check_built_in()?;
    let mut reader = BundleReader::open(Cursor::new(bundle))?;
    let id = reader.manifest().map_or_else(String::new, |manifest| manifest.comparison_id.clone());
    let comparison = reader.comparison()?;
    let model = comparison.real.first().and_then(|run| run.model.clone());
    let title = model.map_or_else(|| id.clone(), |model| format!("{model}, real and simulated ({id})"));
    let (title, name) = (escape(&title), escape(&format!("{id}.zip")));
    let sentence = escape(&comparison.verdict.sentence);

    let program = plain_script(&text("fidelio-viewer.js")?)? + &text(site::STANDALONE)?;
    let program = checked("the program", program, "</script")?;
    let mut parts = Parts { styles: Vec::new() };
    let mut html = parts.inline_links(&text("index.html")?)?;
    let policy = between(&html, "http-equiv=\"Content-Security-Policy\" content=\"", "\"")?;
    html = html.replacen(policy, &self_contained(policy, &program, &parts.styles), 1);
    let old = between(&html, "<title>", "</title>")?.to_owned();
    html = html.replacen(&format!("<title>{old}</title>"), &format!("<title>{title} – fidelio</title>"), 1);
    let boot = "<script type=\"module\" src=\"./boot.js\"></script>";
    let (head, rest) = html.split_once(boot).ok_or_else(|| unfit("index.html does not start boot.js"))?;
    let (head_end, rest) = rest.split_once("<body>").ok_or_else(|| unfit("index.html has no body"))?;
    let (body, end) = rest.split_once("</body>").ok_or_else(|| unfit("index.html does not end its body"))?;

    let mut out = String::with_capacity(bundle.len() / 3 * 4 + (4 << 20));
    let opening = format!("<main id=\"opening\" class=\"opening\"><h1>{title}</h1>\n<p>{sentence}</p></main>");
    write!(out, "{head}{head_end}<body>\n{opening}{body}")?;
    let wasm = BASE64.encode(gzip(file("fidelio-viewer_bg.wasm")?)?);
    writeln!(out, "<script type=\"application/octet-stream;base64\" id=\"wasm\">{wasm}</script>")?;
    writeln!(out, "{BUNDLE_BLOCK}{name}\">{}</script>", BASE64.encode(bundle))?;
    // Modules wait until the whole page is read; this one needs the blocks above.
    write!(out, "<script type=\"module\" id=\"program\">{program}</script>\n</body>{end}")?;
    Ok(out.into_bytes())
}

/// The file is a page, not a zip.
pub fn is_page(beginning: &[u8]) -> bool {
    beginning.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype"))
}

/// The bundle in a page that [`page`] made.
///
/// # Errors
/// When there is not exactly one, or its text is damaged.
pub fn bundle_in(page: &[u8]) -> Result<Vec<u8>, DataError> {
    let text = String::from_utf8_lossy(page);
    let blocks: Vec<&str> = text.split(BUNDLE_BLOCK).skip(1).collect();
    let [block] = blocks.as_slice() else {
        return Err(DataError::new("page", format!("holds {} bundles, not one", blocks.len()))
            .with_hint("`fidelio bundle --html` writes a page with a bundle inside"));
    };
    let data = block.split_once("\">").and_then(|(_, rest)| rest.split_once("</script>")).map(|(data, _)| data);
    let damaged = || DataError::new("page", "holds a bundle whose text is damaged or cut off");
    data.and_then(|data| BASE64.decode(data).ok()).ok_or_else(damaged)
}

/// The glue without what only a module may have: Chromium starts no module worker for a page from `file://`.
fn plain_script(glue: &str) -> Result<String, DataError> {
    let mut out = String::from("'use strict';\n");
    for line in glue.lines().filter(|line| !line.starts_with("export {")) {
        let declaration = line.strip_prefix("export ").unwrap_or(line);
        let is_known =
            ["class ", "function ", "async ", "const ", "let "].iter().any(|word| declaration.starts_with(word));
        if line.starts_with("import ") || line.starts_with("export ") && !is_known {
            return Err(unfit(&format!("the program has other parts: {line:?}")));
        }
        out.push_str(&declaration.replace("import.meta.url", "location.href"));
        out.push('\n');
    }
    Ok(out)
}

/// What of the site was put into the page, for its policy.
struct Parts {
    styles: Vec<String>,
}

impl Parts {
    /// Every `<link>` of the page: a style becomes text, the icon becomes data, hints for loading go.
    fn inline_links(&mut self, page: &str) -> anyhow::Result<String> {
        let mut out = String::with_capacity(page.len());
        let mut rest = page;
        while let Some((before, link)) = rest.split_once("<link ") {
            let (link, after) = link.split_once('>').ok_or_else(|| unfit("index.html has a broken link"))?;
            out.push_str(before);
            let place = between(link, "href=\"", "\"").unwrap_or_default().trim_start_matches("./").to_owned();
            if link.contains("rel=\"stylesheet\"") {
                let opening = if self.styles.is_empty() { OPENING_STYLE } else { "" };
                let style = checked(&place, with_fonts(&text(&place)?)? + opening, "</style")?;
                write!(out, "<style>{style}</style>")?;
                self.styles.push(style);
            } else if link.contains("rel=\"icon\"") {
                write!(out, "<link rel=\"icon\" href=\"{}\">", data_url(&place)?)?;
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The site's policy for a page that is its own only source: no `'self'`, hashes of what is inline instead.
fn self_contained(policy: &str, program: &str, styles: &[String]) -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())));
    let directive = |directive: &str| -> String {
        let mut words = directive.split_whitespace();
        let name = words.next().unwrap_or_default();
        let mut sources: Vec<String> = words.filter(|word| *word != "'self'").map(str::to_owned).collect();
        match name {
            "script-src" => sources.insert(0, hash(program)),
            "style-src" => sources.extend(styles.iter().map(|style| hash(style))),
            "font-src" => sources.push("data:".to_owned()),
            _ if sources.is_empty() => sources.push("'none'".to_owned()),
            _ => {}
        }
        format!("{name} {}", sources.join(" "))
    };
    policy.split(';').filter(|part| !part.trim().is_empty()).map(directive).collect::<Vec<_>>().join("; ")
}

/// Every `url("./file")` of a style as data.
fn with_fonts(style: &str) -> anyhow::Result<String> {
    let mut out = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, after)) = rest.split_once("url(\"./") {
        let (place, after) = after.split_once("\")").ok_or_else(|| unfit("a style has a broken url"))?;
        write!(out, "{before}url(\"{}\")", data_url(place)?)?;
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn data_url(place: &str) -> Result<String, DataError> {
    Ok(format!("data:{};base64,{}", site::mime(place), BASE64.encode(file(place)?)))
}

fn file(place: &str) -> Result<&'static [u8], DataError> {
    site::file(place).map(|file| file.bytes).ok_or_else(|| unfit(&format!("{place} is missing")))
}

fn text(place: &str) -> Result<String, DataError> {
    String::from_utf8(file(place)?.to_vec()).map_err(|_| unfit(&format!("{place} is not text")))
}

/// Text that may stand in a page as it is: a browser reads from it what was hashed.
fn checked(what: &str, text: String, end: &str) -> Result<String, DataError> {
    let lower = text.to_ascii_lowercase();
    match [end, "<!--", "\r", "\0"].into_iter().find(|bad| lower.contains(bad)) {
        Some(bad) => Err(unfit(&format!("{what} contains {bad:?}, which a page cannot hold"))),
        None => Ok(text),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Result<&'a str, DataError> {
    let found = text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(found, _)| found);
    found.ok_or_else(|| unfit(&format!("index.html lacks `{start}`")))
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255 is "unknown": the page does not tell where it was made.
    let mut packed = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    packed.finish()
}

/// Text as it may stand in an element or between quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

fn unfit(problem: &str) -> DataError {
    DataError::new("the built-in viewer", format!("cannot be one page: {problem}"))
        .with_hint("`make viewer` builds it; then build fidelio again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_only_what_is_inside() {
        let site = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
                    manifest-src 'self'; worker-src 'self' blob:; base-uri 'none'";
        let policy = self_contained(site, "", &[String::new()]);
        let empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
        let expected = format!(
            "default-src 'none'; script-src {empty} 'wasm-unsafe-eval'; style-src {empty}; img-src data:; \
             manifest-src 'none'; worker-src blob:; base-uri 'none'"
        );
        assert_eq!(policy, expected);
    }

    #[test]
    fn a_module_becomes_a_plain_script() {
        let glue = "export class A {}\n  x(import.meta.url);\nexport { a, b as default };\n";
        assert_eq!(plain_script(glue).expect("plain"), "'use strict';\nclass A {}\n  x(location.href);\n");
        assert!(plain_script("import x from './y.js';").is_err() && plain_script("export default 1;").is_err());
    }

    #[test]
    fn what_would_end_its_element_is_refused() {
        for bad in ["a</SCRIPT>", "<!--", "a\rb"] {
            assert!(checked("it", bad.to_owned(), "</script").is_err(), "{bad}");
        }
        assert_eq!(
            escape("<img src=x onerror='a(\"&\")'>\n"),
            "&lt;img src=x onerror=&#39;a(&quot;&amp;&quot;)&#39;&gt;\u{fffd}"
        );
    }
}

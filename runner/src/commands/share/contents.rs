//! What a share consists of: the site, the bundles, and the page that opens them. Knows no place to put it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::bundle::{BundleReader, verify};
use fidelio_shared::schema::{DataError, hex, sha256_hex};
use sha2::{Digest, Sha256};

use crate::error::Hinted;
use crate::site;
use crate::talk::Talk;

/// The page that the link leads to; it comes last, so that a link that answers is whole.
pub const INDEX: &str = "index.html";
/// Letters of a bundle's name in a share, at most.
const MAX_NAME: usize = 100;

/// Everything that is shared, in the order it is put somewhere.
pub struct Contents {
    /// The files; [`INDEX`] is the last.
    pub files: Vec<SharedFile>,
}

/// One file of a share.
pub struct SharedFile {
    /// Where it lies, `/`-separated.
    pub path: String,
    /// Bytes of it.
    pub length: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
    body: Body,
}

enum Body {
    Bytes(Cow<'static, [u8]>),
    File(PathBuf),
}

impl Contents {
    /// Checks every bundle, and lists what is to be shared.
    ///
    /// # Errors
    /// When the viewer is not in this binary, or a bundle cannot be read or does not verify.
    pub fn of(bundles: &[PathBuf], talk: Talk) -> anyhow::Result<Self> {
        site::check_built_in()?;
        let paths: Vec<String> = names(bundles).into_iter().map(|name| format!("bundles/{name}")).collect();
        let mut files = Vec::new();
        for (bundle, path) in bundles.iter().zip(&paths) {
            talk.detail(format!("checking {}", bundle.display()));
            if check(bundle).with_context(|| format!("checking `{}`", bundle.display()))? {
                talk.note(format!(
                    "warning: {} contains the prompts' texts: whoever has the link can read them",
                    bundle.display()
                ));
            }
            files.push(SharedFile::file(path, bundle)?);
        }
        let page = site::hosted().filter(|file| file.path != INDEX);
        files.splice(0..0, page.map(|file| SharedFile::bytes(file.path, Cow::Borrowed(file.bytes))));
        files.push(SharedFile::bytes(INDEX, Cow::Owned(index(&paths)?)));
        Ok(Contents { files })
    }

    /// The bundles' places.
    pub fn bundles(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with("bundles/")).collect()
    }

    /// Bytes of all files.
    pub fn length(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// `share_<20 hex>` of names and contents: what it names never changes. Longer than other ids, because a link
    /// that nobody publishes is also what keeps strangers out.
    pub fn id(&self) -> String {
        let line = |file: &SharedFile| format!("{} {}\n", file.sha256, file.path);
        let hash = sha256_hex(self.files.iter().map(line).collect::<String>().as_bytes());
        format!("share_{}", &hash[..20])
    }
}

impl SharedFile {
    fn bytes(path: &str, bytes: Cow<'static, [u8]>) -> Self {
        let (length, sha256) = (bytes.len() as u64, sha256_hex(&bytes));
        SharedFile { path: path.to_owned(), length, sha256, body: Body::Bytes(bytes) }
    }

    fn file(path: &str, file: &Path) -> anyhow::Result<Self> {
        let mut hash = Sha256::new();
        let copied = File::open(file).and_then(|mut input| io::copy(&mut input, &mut Hashing(&mut hash, io::sink())));
        let length = copied.with_context(|| format!("reading `{}`", file.display()))?;
        let sha256 = hex(&hash.finalize());
        Ok(SharedFile { path: path.to_owned(), length, sha256, body: Body::File(file.to_path_buf()) })
    }

    /// What it is, as a browser wants to hear it.
    pub fn mime(&self) -> &'static str {
        site::mime(&self.path)
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// When the file cannot be opened any more.
    pub fn open(&self) -> anyhow::Result<Box<dyn Read + '_>> {
        Ok(match &self.body {
            Body::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Body::File(file) => {
                let input = File::open(file).with_context(|| format!("opening `{}`", file.display()))?;
                Box::new(BufReader::with_capacity(1 << 16, input))
            }
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be read or written, or is not what it was when it was checked.
    pub fn copy(&self, output: impl Write) -> anyhow::Result<()> {
        let mut hash = Sha256::new();
        io::copy(&mut self.open()?, &mut Hashing(&mut hash, output))
            .with_context(|| format!("copying {}", self.path))?;
        self.check_unchanged(hash)
    }

    /// What was read and hashed is what was checked.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_unchanged(&self, hash: Sha256) -> anyhow::Result<()> {
        if hex(&hash.finalize()) == self.sha256 {
            return Ok(());
        }
        Err(Hinted::new(format!("{} changed while it was shared", self.path), "share it again when it is whole").into())
    }
}

/// Hashes what it passes on.
struct Hashing<'a, W>(&'a mut Sha256, W);

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.1.write(bytes)?;
        self.0.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// The bundle verifies; a zip of bare runs, which has no hashes, can be compared. Gives whether prompts are inside.
fn check(bundle: &Path) -> anyhow::Result<bool> {
    let mut reader = BundleReader::open(BufReader::new(File::open(bundle)?))?;
    if reader.manifest().is_some() {
        verify(&mut reader)?;
    } else {
        reader.comparison()?;
    }
    let is_said = reader.manifest().is_some_and(|manifest| manifest.has_prompts);
    Ok(is_said || reader.names().iter().any(|name| name.ends_with("prompts.jsonl")))
}

/// The bundles' names in a share: safe in addresses, ending in `.zip`, all different on any file system.
fn names(bundles: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for bundle in bundles {
        let name = site::address_name(bundle);
        // Some hosts hide what begins with a dot or an underscore.
        let is_zip = name.to_ascii_lowercase().ends_with(".zip");
        let stem = name[..name.len() - if is_zip { 4 } else { 0 }].trim_start_matches(['.', '_']);
        let stem = if stem.is_empty() { "bundle" } else { &stem[..stem.len().min(MAX_NAME)] };
        let numbered = (2..).map(|number: u32| format!("{stem}-{number}.zip"));
        let is_free = |name: &String| !names.iter().any(|taken| taken.eq_ignore_ascii_case(name));
        names.extend([format!("{stem}.zip")].into_iter().chain(numbered).find(is_free));
    }
    names
}

/// The site's page, told which bundles to open.
fn index(bundles: &[String]) -> Result<Vec<u8>, DataError> {
    let page = site::file(INDEX).map(|file| String::from_utf8_lossy(file.bytes)).unwrap_or_default();
    let Some((head, rest)) = page.split_once("</head>") else {
        return Err(DataError::new(INDEX, "of the built-in viewer has no head"));
    };
    let meta = format!("<meta name=\"fidelio-bundles\" content=\"{}\">", bundles.join(" "));
    Ok(format!("{head}{meta}\n</head>{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_safe_and_distinct() {
        let bundles = ["a/one.zip", "b/one.zip", "c/ONE.ZIP", "d/two words?.zip", "e/.zip", "f/ü\"<b>.zip", "g/_x.y"];
        let found = names(&bundles.map(Into::into));
        let expected = ["one.zip", "one-2.zip", "ONE-3.zip", "two_words_.zip", "bundle.zip", "b_.zip", "x.y.zip"];
        assert_eq!(found, expected);
        assert_eq!(names(&["x/A.zip".into(), "y/a.zip".into()]), ["A.zip", "a-2.zip"]);
        assert_eq!(names(&[format!("{}.zip", "l".repeat(300)).into()])[0].len(), 104);
    }
}

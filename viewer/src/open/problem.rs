//! Why a bundle did not open, in words for the person who has to do something about it.

use fidelio_shared::schema::DataError;
use serde::{Deserialize, Serialize};

use crate::words::{megabytes, plain};

/// What went wrong and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One line.
    pub title: String,
    /// What exactly.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

/// Letters of a part, at most.
const LONGEST: usize = 600;
const MAKE_ONE: &str = "A bundle is the .zip that `fidelio bundle` or `fidelio run` writes; a zip of a real and a \
                        simulated run directory opens too.";
const AGAIN: &str = "Copy or download it again. `fidelio verify` on the machine that made it tells whether the \
                     original is whole.";

impl Problem {
    /// A problem in three parts. What a file said is quoted in them, so they are cut.
    pub fn new(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let cut = |text: String| plain(&text, LONGEST);
        Problem { title: cut(title.into()), detail: cut(detail.into()), hint: cut(hint.into()) }
    }

    /// What can be told from a file's first bytes, its last ones and its size; `None` when it looks like a whole zip.
    pub fn of_bytes(name: &str, start: &[u8], end: &[u8], num_bytes: u64) -> Option<Problem> {
        let not = |what: &str, hint: &str| {
            Problem::new("This is not a bundle", format!("{name} is {what}, not a zip file."), hint)
        };
        match start.trim_ascii_start() {
            [] if num_bytes == 0 => Some(Problem::new("The file is empty", format!("{name} has no content."), AGAIN)),
            [b'P', b'K', 3 | 5, 4 | 6, ..] if has_zip_end(end) => None,
            [b'P', b'K', 3, 4, ..] => Some(Problem::new(
                "The bundle is cut off",
                format!("{name} begins like a zip file, but its end is missing after {}.", megabytes(num_bytes)),
                AGAIN,
            )),
            [b'<', ..] => Some(not(
                "a web page",
                "The address may lead to a page about the file, or to a sign-in page: use the link of the raw file.",
            )),
            [b'{' | b'[', ..] => Some(not("a JSON document", MAKE_ONE)),
            [0x1f, 0x8b, ..] => Some(not("a gzip file", MAKE_ONE)),
            _ => Some(not("something else", MAKE_ONE)),
        }
    }

    /// A zip that `shared` refused, in its words.
    pub fn broken(name: &str, error: &DataError) -> Problem {
        let hint = error.hint.clone().map_or_else(|| AGAIN.to_owned(), |hint| sentence(&hint));
        let detail = match error.file.as_str() {
            "bundle" => format!("{name} {}.", error.problem),
            _ => sentence(&error.to_string()),
        };
        Problem::new("This bundle cannot be opened", detail, hint)
    }

    /// A comparison beyond what a first screen shows.
    pub fn oversized(name: &str, what: &str) -> Problem {
        Problem::new(
            "This comparison is not one that fidelio makes",
            format!("`comparison.json` of {name} {what}."),
            "It was changed or made up: ask whoever sent it for the runs, and compare those.",
        )
    }

    /// More than a browser can hold.
    pub fn too_large(name: &str, bytes: u64) -> Problem {
        Problem::new(
            "The file is too large for a browser",
            format!("{name} has {}; {} can be opened here.", megabytes(bytes), megabytes(super::MAX_BYTES)),
            "Its numbers are in `comparison/summary.md` inside, and `fidelio compare` makes them anew.",
        )
    }

    /// A link that carries a comparison cannot carry rows.
    pub fn no_rows_in_link() -> Problem {
        Problem::new(
            "This link carries a summary only",
            "Percentiles and curves came inside the link itself; requests, steps and files did not.",
            "Ask whoever sent it for the bundle, and drop it here.",
        )
    }

    /// A comparison inside a link that cannot be read.
    pub fn broken_link(error: &DataError) -> Problem {
        Problem::new(
            "This link cannot be opened",
            sentence(&error.to_string()),
            "It was probably cut when it was copied: ask for it again, or for the bundle itself.",
        )
    }

    /// The worker of a bundle is gone.
    pub fn crashed(name: &str, text: &str) -> Problem {
        Problem::new(
            "The viewer gave up on this bundle",
            format!("While it worked on {name}: {}", sentence(text)),
            "If it is a very large one, close other pages and try again. `fidelio verify` tells whether the file is whole.",
        )
    }

    /// The browser starts no worker.
    pub fn no_worker(text: &str) -> Problem {
        Problem::new(
            "The browser starts no worker",
            format!("This page reads bundles in a Web Worker, which was refused: {}", sentence(text)),
            "Use a current browser, and a page that is not inside a sandboxed frame.",
        )
    }

    /// The browser could not read a local file.
    pub fn unreadable(name: &str) -> Problem {
        Problem::new(
            "The file could not be read",
            format!("The browser was not allowed to read {name}, or it changed meanwhile."),
            "Choose it again; a folder must be zipped first.",
        )
    }
}

/// Upper-case start and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

/// The record that ends every zip lies within its last 64 KiB and 22 bytes.
fn has_zip_end(end: &[u8]) -> bool {
    end.windows(4).any(|window| window == b"PK\x05\x06")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_zip_say_what_they_are() {
        let title =
            |bytes: &[u8]| Problem::of_bytes("x", bytes, bytes, bytes.len() as u64).map(|problem| problem.title);
        assert_eq!(title(b"").as_deref(), Some("The file is empty"));
        assert_eq!(title(b"PK\x03\x04 and no end").as_deref(), Some("The bundle is cut off"));
        assert_eq!(title(b"PK\x03\x04 ... PK\x05\x06 ..."), None);
        for other in [b"<html>".as_slice(), b"{}", b"\x1f\x8b\x08", b"a,b\n1,2\n"] {
            assert_eq!(title(other).as_deref(), Some("This is not a bundle"));
        }
    }

    #[test]
    fn an_error_of_shared_becomes_sentences() {
        let error = DataError::new("bundle", "is an empty zip");
        let problem = Problem::broken("a.zip", &error);
        assert_eq!(problem.detail, "a.zip is an empty zip.");
        let error = DataError::new("manifest.json", "is broken").at_line(3).with_hint("mend it");
        let problem = Problem::broken("a.zip", &error);
        assert_eq!(
            (problem.detail.as_str(), problem.hint.as_str()),
            ("`manifest.json`, line 3: is broken.", "Mend it.")
        );
    }
}

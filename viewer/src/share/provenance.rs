//! The line of provenance: which fidelio, which bundles by their hashes, what is shown of them. No clock: the same view
//! of the same bundle has the same line.

use fidelio_shared::charts::{Axis, Fractions, format_duration};
use fidelio_shared::explore::questions::Selection;
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;

use crate::state::ViewState;
use crate::words::plain;

/// Letters of a bundle's name, at most.
const LONGEST_NAME: usize = 80;
/// Digits of a hash where room is short: enough to tell bundles apart, and to find the whole one.
const SHORT_HASH: usize = 16;

/// Where numbers are from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The bundles in them, in the order of their letters.
    pub bundles: Vec<Mark>,
    /// What is shown, in words.
    pub shown: String,
}

/// A bundle by name and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its letter, where there are several; else empty.
    pub letter: String,
    /// Its file's name.
    pub name: String,
    /// Its file's hash.
    pub hash: Hash,
}

/// What is known of a file's SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hash {
    /// In hexadecimal.
    Known(String),
    /// It is being computed.
    Pending,
    /// There is no file: the comparison came inside a link.
    NoFile,
}

impl Origin {
    /// All of it in one line.
    pub fn line(&self) -> String {
        self.with_hashes(usize::MAX)
    }

    /// The same with the beginning of each hash, for the lower edge of a figure.
    pub fn short_line(&self) -> String {
        self.with_hashes(SHORT_HASH)
    }

    fn with_hashes(&self, digits: usize) -> String {
        let bundles = self.bundles.iter().map(|mark| {
            let space = if mark.letter.is_empty() { "" } else { " " };
            let name = plain(&mark.name, LONGEST_NAME).replace(['\n', '\t'], " ");
            let hash = match &mark.hash {
                Hash::Known(hash) if hash.len() > digits => format!("SHA-256 {}…", &hash[..digits]),
                Hash::Known(hash) => format!("SHA-256 {hash}"),
                Hash::Pending => "SHA-256 not computed yet".to_owned(),
                Hash::NoFile => "without a file".to_owned(),
            };
            format!("{}{space}{name}, {hash}", mark.letter)
        });
        let first = format!("fidelio {}", env!("CARGO_PKG_VERSION"));
        [first, self.shown.clone()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .chain(bundles)
            .collect::<Vec<_>>()
            .join(" · ")
    }
}

/// What is shown, in words: the metric, which requests, the axes. `None` is every metric, over all requests.
pub fn shown(metric: Option<Metric>, state: &ViewState) -> String {
    let Some(metric) = metric else { return "all metrics, all requests".to_owned() };
    let mut words = vec![metric.label().to_owned(), selection(&state.selection)];
    if state.axis == Axis::Log {
        words.push("logarithmic times".to_owned());
    }
    if state.fractions == Fractions::Tail {
        words.push("tail drawn out".to_owned());
    }
    words.join(", ")
}

/// Which requests: `all requests`, `requests arriving from 2.000 s to 4.000 s with 128 to 512 prompt tokens`.
pub fn selection(selection: &Selection) -> String {
    let arrivals = selection.arrivals.map(|(from, before)| {
        format!(" arriving from {} to {}", format_duration(from as f64), format_duration(before as f64))
    });
    let prompts = selection
        .prompt_tokens
        .map(|(from, to)| format!(" with {} to {} prompt tokens", thousands(from.into()), thousands(to.into())));
    match (arrivals, prompts) {
        (None, None) => "all requests".to_owned(),
        (arrivals, prompts) => format!("requests{}{}", arrivals.unwrap_or_default(), prompts.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(letter: &str, name: &str, hash: Hash) -> Mark {
        Mark { letter: letter.to_owned(), name: name.to_owned(), hash }
    }

    #[test]
    fn a_line_names_version_view_and_every_bundle() {
        let hash = "0123456789abcdef".repeat(4);
        let origin = Origin {
            bundles: vec![mark("A", "a.zip", Hash::Known(hash.clone())), mark("B", "b\n.zip", Hash::Pending)],
            shown: "TTFT, all requests".to_owned(),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            origin.line(),
            format!(
                "fidelio {version} · TTFT, all requests · A a.zip, SHA-256 {hash} · B b .zip, SHA-256 not computed yet"
            )
        );
        assert!(origin.short_line().contains("SHA-256 0123456789abcdef… · B"), "{}", origin.short_line());
        let of_link = Origin { bundles: vec![mark("", "comparison in a link", Hash::NoFile)], shown: String::new() };
        assert_eq!(of_link.line(), format!("fidelio {version} · comparison in a link, without a file"));
    }

    #[test]
    fn a_view_is_told_in_words() {
        let state = ViewState {
            selection: Selection { arrivals: Some((0, 2_500_000_000)), prompt_tokens: Some((1, 4096)) },
            axis: Axis::Log,
            fractions: Fractions::Tail,
            ..ViewState::default()
        };
        assert_eq!(
            shown(Some(Metric::Itl), &state),
            "ITL, requests arriving from 0 ns to 2.500 s with 1 to 4,096 prompt tokens, logarithmic times, tail drawn out"
        );
        assert_eq!(shown(Some(Metric::Ttft), &ViewState::default()), "TTFT, all requests");
        assert_eq!(shown(None, &state), "all metrics, all requests");
    }
}

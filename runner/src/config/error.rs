//! The one error of configuration: where, which key, what is wrong, what to do; and the nearest valid names.

use std::fmt;

/// Why a configuration could not be resolved. Prints as one line; the hint is apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file in backticks, or `command line`.
    pub place: String,
    /// Dotted path of the key.
    pub key: Option<String>,
    /// What is wrong, lower case, no full stop.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// An error about a whole file or argument.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        ConfigError { place: place.into(), key: None, problem: problem.into(), hint: None }
    }

    /// Adds the key.
    pub fn at_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.place)?;
        if let Some(key) = &self.key {
            write!(out, ", key `{key}`")?;
        }
        write!(out, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// A hint naming the valid names nearest to `name`, or all of them where none is near.
pub(super) fn nearest(name: &str, valid: &[String]) -> String {
    let mut scored: Vec<(f64, &String)> =
        valid.iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    let near: Vec<String> =
        scored.iter().filter(|(score, _)| *score > 0.8).take(3).map(|(_, name)| quote(name)).collect();
    if near.is_empty() {
        let mut all: Vec<String> = valid.iter().map(|name| quote(name)).collect();
        all.sort();
        format!("valid names: {}", all.join(", "))
    } else {
        format!("did you mean {}?", near.join(" or "))
    }
}

fn quote(name: &str) -> String {
    format!("`{name}`")
}

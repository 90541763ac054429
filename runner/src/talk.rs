//! What goes to stderr while work goes on: notes and progress. stdout is for results.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Nothing but errors.
    pub is_quiet: bool,
    /// More than usual.
    pub is_verbose: bool,
}

impl Talk {
    /// One line about what is going on.
    pub fn note(self, text: impl AsRef<str>) {
        if !self.is_quiet {
            let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
        }
    }

    /// One line that only `-v` shows.
    pub fn detail(self, text: impl AsRef<str>) {
        if self.is_verbose {
            self.note(text);
        }
    }

    /// A bar of `length` units on a terminal, nothing elsewhere.
    pub fn progress(self, length: u64, what: &str) -> ProgressBar {
        self.bar(length, what, "{pos}/{len}")
    }

    /// The same of bytes.
    pub fn progress_bytes(self, length: u64, what: &str) -> ProgressBar {
        self.bar(length, what, "{binary_bytes}/{binary_total_bytes}")
    }

    fn bar(self, length: u64, what: &str, count: &str) -> ProgressBar {
        if self.is_quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
        let template = format!("{{msg:<24}} {{bar:32.cyan/dim}} {count} {{elapsed}} (eta {{eta}})");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

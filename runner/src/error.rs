//! Errors as people see them: what was being done, why it failed, what to do next.

use std::fmt;
use std::io::Write;

use fidelio_shared::compare::Refusal;
use fidelio_shared::schema::DataError;

use crate::config::ConfigError;

/// An error of our own with a hint.
#[derive(Debug)]
pub struct Hinted {
    problem: String,
    hint: String,
}

impl Hinted {
    /// `problem` in lower case without a full stop; `hint` says what to do.
    pub fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Hinted { problem: problem.into(), hint: hint.into() }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.problem)
    }
}

impl std::error::Error for Hinted {}

/// The run was interrupted by the user.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("interrupted: what was written is marked incomplete")
    }
}

impl std::error::Error for Interrupted {}

/// Prints the chain once: `error:`, `caused by:` lines, `hint:`.
pub fn print(error: &anyhow::Error) {
    let mut text = String::new();
    let mut said = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let message = cause.to_string();
        // A wrapper that repeats its source says nothing new.
        if said.contains(&message) {
            continue;
        }
        let label = if depth == 0 { "error: " } else { "  caused by: " };
        text.push_str(&format!("{label}{message}\n"));
        said = message;
    }
    if let Some(hint) = error.chain().find_map(hint) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // Nothing can be done when stderr itself is gone.
    let _ = std::io::stderr().write_all(printable(&text).as_bytes());
}

/// The text without control characters, which a file could use to rewrite the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char }).collect()
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let data = cause.downcast_ref::<DataError>().and_then(|error| error.hint.clone());
    let refusal = || cause.downcast_ref::<Refusal>().and_then(Refusal::hint);
    let config = || cause.downcast_ref::<ConfigError>().and_then(|error| error.hint.clone());
    let own = || cause.downcast_ref::<Hinted>().map(|error| error.hint.clone());
    data.or_else(refusal).or_else(config).or_else(own).or_else(|| gpu_hint(cause))
}

#[cfg(feature = "cuda")]
fn gpu_hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    use crate::engine::cuda::{CudaUnavailable, GpuError};
    let missing = cause.downcast_ref::<CudaUnavailable>().map(|error| error.hint.clone());
    missing.or_else(|| cause.downcast_ref::<GpuError>().and_then(GpuError::hint).map(str::to_owned))
}

/// A build without the GPU's engine has none of its errors.
#[cfg(not(feature = "cuda"))]
fn gpu_hint(_: &(dyn std::error::Error + 'static)) -> Option<String> {
    None
}

/// The user's reader went away (`fidelio … | head`): not an error.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

//! The command line: parse, resolve, dispatch, print one result or one error chain.

mod args;
mod dispatch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Outcome;
use crate::{error, interrupt};

pub use args::Args;

/// Runs the program and gives its exit code: 0 done, 1 a declared tolerance is exceeded, 2 could not.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap knows which of its messages are results (--help) and which are mistakes.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let is_json = args.json;
    let result = interrupt::install().and_then(|()| dispatch::dispatch(args)).and_then(|outcome| {
        print(&outcome, is_json)?;
        Ok(outcome)
    });
    match result {
        Ok(outcome) => ExitCode::from(u8::from(outcome.is_tolerance_exceeded)),
        Err(failure) if error::is_broken_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            error::print(&failure);
            ExitCode::from(2)
        }
    }
}

fn print(outcome: &Outcome, is_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if is_json && outcome.json.is_null() {
        // The verb has said all it had to say.
    } else if is_json {
        serde_json::to_writer_pretty(&mut out, &outcome.json).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if !outcome.text.is_empty() {
        writeln!(out, "{}", error::printable(&outcome.text))?;
    }
    out.flush()?;
    Ok(())
}

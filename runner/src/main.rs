//! The `fidelio` binary: parse, dispatch, print one error chain, exit with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    fidelio::cli::main()
}

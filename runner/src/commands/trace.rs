//! `fidelio trace`: a run directory as a trace for ui.perfetto.dev and chrome://tracing.

use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::Path;

use anyhow::Context as _;
use fidelio_shared::trace::write_trace;
use serde_json::Value;

use crate::commands::{Context, Outcome, summary};
use crate::error::Hinted;
use crate::store::write_file;

const BUFFER_BYTES: usize = 1 << 16;

/// Writes the trace of the run in `dir` to the file `out`, or to stdout when it is `-` or none.
///
/// # Errors
/// When the directory is not a run, a file is broken, `out` is there already, or the trace cannot be
/// written; nothing half-written gets the name. Without `out`, also when stdout is a terminal.
pub fn trace(context: &Context, dir: &Path, out: Option<&Path>) -> anyhow::Result<Outcome> {
    let target = out.filter(|out| *out != Path::new("-"));
    if let Some(target) = target {
        context.store.check_free_file(target)?;
    } else if out.is_none() && std::io::stdout().is_terminal() {
        let problem = "a trace is not for reading, and stdout is a terminal";
        return Err(Hinted::new(problem, "`--out FILE` puts it into a file, `--out -` prints it all the same").into());
    }
    let run = summary::load(dir)?;
    if run.steps.is_none() {
        context.talk.note(format!("`{}` has no step_metrics.csv: the trace has its requests only", dir.display()));
    }
    let Some(target) = target else {
        let stdout = BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock());
        write_trace(&run, stdout).context("writing the trace to stdout")?;
        return Ok(Outcome::new("", Value::Null));
    };
    write_file(target, |partial| {
        let file = File::create(partial).with_context(|| format!("creating `{}`", partial.display()))?;
        let written = write_trace(&run, BufWriter::with_capacity(BUFFER_BYTES, file));
        written.map(drop).with_context(|| format!("writing `{}`", partial.display()))
    })?;
    context.talk.note("open it at https://ui.perfetto.dev: it is read there, not uploaded");
    Ok(Outcome::made(target))
}

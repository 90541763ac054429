//! `fidelio compare`: real runs against a simulated one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::bundle::{FIGURE_SIZE, SIM_RUN, figures, real_run_name};
use fidelio_shared::charts::{Axis, Theme, cdf_png};
use fidelio_shared::compare::{Refusal, compare as compare_runs};
use fidelio_shared::report::{comparison_markdown, tables};
use fidelio_shared::schema::comparison::{CompareOptions, Comparison};
use fidelio_shared::schema::{Run, RunMeta, SCHEMA_VERSION, Writer, write_json};
use fidelio_shared::stats::Verdict;
use serde_json::json;

use crate::commands::{Context, Outcome, meta};
use crate::error::Hinted;
use crate::store::{Kind, Slot, Staging, hash_directory, load_run_dir, load_workload_dir};

/// Runs read at the same time, at most: each is in memory more than once meanwhile.
const MOST_READ_AT_ONCE: usize = 4;

/// What is compared.
#[derive(Clone, Debug)]
pub struct CompareInputs {
    /// Real runs: the first is compared, the others are its repeats.
    pub real: Vec<PathBuf>,
    /// The simulated run.
    pub sim: PathBuf,
    /// The workload both ran, when there is a directory of it.
    pub workload: Option<PathBuf>,
}

/// Compares, writes the comparison directory and returns it with what it says.
///
/// # Errors
/// When a run is broken, runs may not be compared, or a file cannot be written.
pub fn compare(
    context: &Context,
    inputs: &CompareInputs,
    options: &CompareOptions,
    out: Option<&Path>,
) -> anyhow::Result<(PathBuf, Comparison)> {
    let mut read = read_all(inputs)?;
    let (sim, sim_hash) = read.pop().expect("the simulated run is read last");
    let (real, real_hashes): (Vec<Run>, Vec<String>) = read.into_iter().unzip();
    let workload = match &inputs.workload {
        Some(dir) => {
            let read = load_workload_dir(dir).with_context(|| format!("reading the workload `{}`", dir.display()))?;
            Some(read.1)
        }
        None => None,
    };
    let compared = compare_runs(&real, &sim, workload.as_ref(), options);
    let comparison = compared.map_err(|refusal| with_paths(refusal, inputs)).context("comparing the runs")?;

    let roles = real_hashes.into_iter().enumerate().map(|(index, hash)| (real_run_name(index), hash));
    let mut hashes: std::collections::BTreeMap<String, String> = roles.collect();
    let mut seen: Vec<&String> = hashes.values().collect();
    seen.sort();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        let problem = "the same real run is given twice: its repeats must be other runs, or the noise is nothing";
        return Err(Hinted::new(problem, "`fidelio measure … --repeats 3` makes repeats").into());
    }
    hashes.insert(SIM_RUN.to_owned(), sim_hash);
    hashes.insert("workload".to_owned(), comparison.workload.sha256.clone());
    // What it says is part of its name: an edited setting gives another comparison, not a stale one.
    let id = Kind::Comparison.id(&json!({ "inputs": hashes, "comparison": comparison }));
    let staging = match context.store.open(Kind::Comparison, &id, out)? {
        Slot::Existing(dir) => return Ok((dir, comparison)),
        Slot::New(staging) => staging,
    };
    let started_at = meta::now();
    write_documents(&staging, &comparison)?;
    let shown = |path: &Path| path.display().to_string();
    let dirs: Vec<String> = inputs.real.iter().map(|dir| shown(dir)).collect();
    let mut run = RunMeta {
        schema_version: Some(SCHEMA_VERSION.to_owned()),
        writer: Some(Writer::this()),
        run_id: Some(id.clone()),
        run_type: Some("compare".to_owned()),
        model: real.first().and_then(|run| run.meta.model.clone()),
        started_at: Some(started_at),
        ended_at: Some(meta::now()),
        git_commit: Some(meta::git_commit().unwrap_or_else(|| "unknown".to_owned())),
        env: meta::environment(),
        hydra: real.first().and_then(|run| run.meta.hydra.clone()),
        real_run_dir: dirs.first().cloned(),
        sim_run_dir: Some(shown(&inputs.sim)),
        workload_dir: inputs.workload.as_deref().map(shown),
        inputs: hashes,
        ..RunMeta::default()
    };
    run.params.insert("options".to_owned(), json!(options));
    run.params.insert("real_run_dirs".to_owned(), json!(dirs));
    let dir = staging.commit(&write_json(&run))?;
    Ok((dir, comparison))
}

/// Reads and hashes every real run, then the simulated one, a few at a time: runs of millions of tokens take seconds.
fn read_all(inputs: &CompareInputs) -> anyhow::Result<Vec<(Run, String)>> {
    let real = inputs.real.iter().enumerate().map(|(index, dir)| (dir, real_run_name(index), "real"));
    let runs: Vec<_> = real.chain([(&inputs.sim, SIM_RUN.to_owned(), "simulated")]).collect();
    let read = |(dir, name, role): &(&PathBuf, String, &str)| -> anyhow::Result<(Run, String)> {
        let run = load(dir, name).with_context(|| format!("reading the {role} run `{}`", dir.display()))?;
        Ok((run, hash_directory(dir)?))
    };
    let at_once = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_READ_AT_ONCE);
    let mut results = Vec::new();
    for some in runs.chunks(at_once) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|run| scope.spawn(|| read(run))).collect();
            results.extend(threads.into_iter().map(|thread| thread.join().expect("reading does not panic")));
        });
    }
    results.into_iter().collect()
}

/// Reads a run under the name it has in a bundle, so that the comparison says the same there.
fn load(dir: &Path, name: &str) -> anyhow::Result<Run> {
    let mut run = load_run_dir(dir)?;
    run.name = name.to_owned();
    Ok(run)
}

/// Errors call runs by their role; the user knows them by their path.
fn with_paths(refusal: Refusal, inputs: &CompareInputs) -> Refusal {
    let Refusal::Data(mut error) = refusal else { return refusal };
    let real = inputs.real.iter().enumerate().map(|(index, dir)| (real_run_name(index), dir));
    for (role, dir) in real.chain([(SIM_RUN.to_owned(), &inputs.sim)]) {
        if let Some(file) = error.file.strip_prefix(&format!("{role}/")) {
            error.file = if dir.is_file() { dir.clone() } else { dir.join(file) }.display().to_string();
            break;
        }
    }
    Refusal::Data(error)
}

fn write_documents(staging: &Staging, comparison: &Comparison) -> anyhow::Result<()> {
    staging.write("comparison.json", &write_json(comparison))?;
    staging.write("summary.md", comparison_markdown(comparison).as_bytes())?;
    for (path, bytes) in tables(comparison).into_iter().chain(figures(comparison)) {
        staging.write(&path, &bytes)?;
    }
    for metric in &comparison.metrics {
        let stem = metric.metric.file_stem();
        staging.write(&format!("figs/{stem}_cdf.png"), &cdf_png(metric, Theme::LIGHT, Axis::Linear, FIGURE_SIZE))?;
    }
    Ok(())
}

/// What the terminal shows of a comparison.
pub fn outcome(dir: &Path, comparison: &Comparison) -> Outcome {
    let mut text = crate::commands::summary::comparison_text(comparison);
    text.push_str(&format!("\n{}", dir.display()));
    Outcome {
        text,
        json: json!({
            "path": dir.display().to_string(),
            "verdict": comparison.verdict,
            "notices": comparison.notices,
            "metrics": comparison.metrics.iter().map(|metric| json!({
                "metric": metric.metric,
                "num_requests": metric.num_requests,
                "num_values": metric.num_values,
                "percentiles": metric.percentiles,
            })).collect::<Vec<_>>(),
        }),
        is_tolerance_exceeded: comparison.options.is_tolerance_declared
            && comparison.verdict.verdict == Verdict::Outside,
    }
}

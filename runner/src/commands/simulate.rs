//! `fidelio simulate`: the same workload and scheduler on predicted step times.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::latency::{StepModel, StepProfile};
use fidelio_shared::schema::{DataError, Folder, Origin, RunMeta, read_document, write_json};
use fidelio_shared::simulate::{SimulationError, simulate as simulate_workload};
use serde_json::{Map, Value, json};

use crate::commands::{Context, measure, meta};
use crate::config::Experiment;
use crate::engine::FileRecorder;
use crate::error::Hinted;
use crate::store::{DirFolder, Kind, Slot, hash_directory, load_workload_dir};

/// Simulates the workload in `workload_dir` with the profile in `profile_dir`. The same inputs give the
/// same bytes, so a complete run of the same id is reused.
///
/// # Errors
/// When an input is missing, broken or of another model, or a file cannot be written.
pub fn simulate(
    context: &Context,
    experiment: &Experiment,
    workload_dir: &Path,
    profile_dir: &Path,
    out: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let (_, workload) = load_workload_dir(workload_dir)
        .with_context(|| format!("reading the workload `{}`", workload_dir.display()))?;
    let profile = read_profile(experiment, profile_dir)
        .with_context(|| format!("reading the profile `{}`", profile_dir.display()))?;
    let profile_hash = hash_directory(profile_dir)?;
    let id = Kind::SimRun.id(&json!({
        "workload": workload.sha256(),
        "profile": profile_hash,
        "version": env!("CARGO_PKG_VERSION"),
        "params": run_params(experiment),
    }));
    let staging = match context.store.open(Kind::SimRun, &id, out)? {
        Slot::Existing(dir) => {
            check_unchanged(&dir)?;
            return Ok(dir);
        }
        Slot::New(staging) => staging,
    };
    let mut run = meta::begun("vidur", &id, experiment);
    run.workload_dir = Some(workload_dir.display().to_string());
    run.profiling_root = Some(profile_dir.display().to_string());
    run.simulator = Some(json!({
        "name": "fidelio",
        "version": env!("CARGO_PKG_VERSION"),
        "latency_model": if experiment.latency.host_overhead { "steps with host overhead" } else { "steps" },
    }));
    run.inputs.insert("workload".to_owned(), workload.sha256());
    run.inputs.insert("profile".to_owned(), profile_hash);
    staging.write("run_meta.json", &write_json(&run))?;

    let model = StepModel::fit(&profile, experiment.latency.host_overhead);
    let bar = context.talk.progress(workload.rows.len() as u64, "simulating");
    let mut recorder = FileRecorder::new(&staging, workload.rows.len(), "fidelio-sim", Origin::Simulated, bar)?;
    let counts = match simulate_workload(&workload, &experiment.scheduler, &model, &mut recorder) {
        Ok(counts) => counts,
        Err(SimulationError::Settings(problem)) => {
            let problem = format!("the scheduler settings are impossible: {problem}");
            return Err(Hinted::new(problem, "change `scheduler.…`").into());
        }
        Err(SimulationError::Stalled(problem)) => {
            return Err(Hinted::new(problem, "change `scheduler.…`").into());
        }
        Err(SimulationError::Recorder(error)) => return Err(error.into()),
    };
    recorder.finish(&staging)?;
    if let Ok(Value::Object(results)) = serde_json::to_value(counts) {
        run.results = results;
    }
    run.results.insert("step_model".to_owned(), json!(model.report(&profile)));
    run.results.insert("sha256".to_owned(), json!(staging.hash()?));
    run.ended_at = Some(meta::now());
    measure::save_run(staging, &run)
}

/// A run that is used again must still be what was predicted.
fn check_unchanged(dir: &Path) -> anyhow::Result<()> {
    let file = dir.join("run_meta.json").display().to_string();
    let bytes = read_document(&mut DirFolder::open_dir(dir)?, "run_meta.json")?.unwrap_or_default();
    let recorded = RunMeta::read(&file, &bytes)?.results.remove("sha256");
    if recorded != Some(json!(hash_directory(dir)?)) {
        let problem = format!("`{}` is damaged: its tables are not those that were simulated", dir.display());
        return Err(Hinted::new(problem, "`--force` simulates again and replaces it").into());
    }
    Ok(())
}

/// The settings that decide what a simulation predicts.
fn run_params(experiment: &Experiment) -> Map<String, Value> {
    let keep = ["model", "scheduler", "latency", "seed"];
    experiment.params().into_iter().filter(|(key, _)| keep.contains(&key.as_str())).collect()
}

/// Reads `steps.csv` and checks that it is of this experiment's LLM.
fn read_profile(experiment: &Experiment, dir: &Path) -> anyhow::Result<StepProfile> {
    let mut folder = DirFolder::open_dir(dir)?;
    let name = folder.name();
    let meta_file = format!("{name}/run_meta.json");
    if let Some(bytes) = read_document(&mut folder, "run_meta.json")? {
        let meta = RunMeta::read(&meta_file, &bytes)?;
        if let Some(model) = &meta.model
            && *model != experiment.model.name
        {
            let problem = format!("this profile is of `{model}`, the experiment runs `{}`", experiment.model.name);
            return Err(DataError::new(meta_file, problem)
                .in_column("model")
                .with_hint("`fidelio profile` measures one for this experiment; `--profile` names another")
                .into());
        }
    }
    let file = format!("{name}/steps.csv");
    let Some(input) = folder.open("steps.csv")? else {
        return Err(DataError::new(file, "is missing: this is not a profile with measured steps")
            .with_hint("`fidelio profile` writes one")
            .into());
    };
    Ok(StepProfile::read(&file, input)?)
}

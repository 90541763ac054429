//! `fidelio simulate`: the same workload and scheduler on predicted step times.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use fidelio_shared::compare::workload_of;
use fidelio_shared::schema::{Origin, RunMeta, Workload, read_document, write_json};
use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::simulate::vidur::VidurSimulation;
use fidelio_shared::simulate::{Recorder, Simulation, SimulationCounts, SimulationError, VidurRecorder};
use fidelio_shared::time::Nanos;
use serde_json::{Map, Value, json};

use crate::commands::{Context, measure, meta};
use crate::config::{Clock, Experiment, LatencyKind};
use crate::engine::FileRecorder;
use crate::error::Hinted;
use crate::latency::{self, LoadedModel};
use crate::store::{DirFolder, Kind, Slot, hash_directory, load_run_dir, load_workload_dir};

/// Half of what the simulator's clock holds.
const LATEST_ARRIVAL: Nanos = Nanos(106 * 86_400 * 1_000_000_000);

/// Simulates the workload in `workload_dir`; `profile` is the latency model's, for kinds that have one.
/// The same inputs give the same bytes, so a complete run of the same id is reused.
///
/// # Errors
/// When an input is missing, broken or of another model, or a file cannot be written.
pub fn simulate(
    context: &Context,
    experiment: &Experiment,
    workload_dir: &Path,
    profile: Option<&Path>,
    out: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let workload =
        load_asked(workload_dir).with_context(|| format!("reading the workload `{}`", workload_dir.display()))?;
    check_workload(experiment, &workload)?;
    let loaded = latency::load(experiment, profile).context("loading the latency model")?;
    let experiment = &Experiment { scheduler: counted_blocks(experiment, &loaded)?, ..experiment.clone() };
    let otherwise = measured_otherwise(experiment, &loaded);
    if let Some(warning) = &otherwise {
        context.talk.note(format!("warning: {warning}"));
    }
    let id = Kind::SimRun.id(&json!({
        "workload": workload.sha256(),
        "profile": loaded.sha256,
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
    let mut run = begun(experiment, &id, workload_dir, &workload, &loaded);
    staging.write("run_meta.json", &write_json(&run))?;

    let bar = context.talk.progress(workload.rows.len() as u64, "simulating");
    let wants_tokens = experiment.simulation.tokens;
    let mut recorder =
        FileRecorder::new(&staging, workload.rows.len(), "fidelio-sim", Origin::Simulated, wants_tokens, bar)?;
    let began = Instant::now();
    let results = match experiment.simulation.clock {
        Clock::Native => native(experiment, &workload, &loaded, &mut recorder)?,
        Clock::Vidur => as_vidur(experiment, &workload, &loaded, &mut recorder)?,
    };
    let rate = workload.rows.len() as f64 / began.elapsed().as_secs_f64();
    context.talk.detail(format!("simulated {} requests, {rate:.0} a second", workload.rows.len()));
    recorder.finish(&staging)?;
    run.results = results;
    run.results.extend(loaded.report);
    if let Some(warning) = &otherwise {
        run.results.insert("warnings".to_owned(), json!([warning]));
    }
    run.results.insert("sha256".to_owned(), json!(staging.hash()?));
    run.ended_at = Some(meta::now());
    measure::save_run(staging, &run)
}

/// A workload directory's requests, or those a run was asked.
fn load_asked(path: &Path) -> anyhow::Result<Workload> {
    let is_run = path.is_file() || !path.join("trace_lengths.csv").is_file() && load_run_dir(path).is_ok();
    Ok(if is_run { workload_of(&load_run_dir(path)?) } else { load_workload_dir(path)?.1 })
}

/// The scheduler with its KV blocks: where a GPU's memory decides, those its profile was measured with, else those a
/// known memory has room for.
pub(super) fn counted_blocks(experiment: &Experiment, loaded: &LoadedModel) -> anyhow::Result<SchedulerConfig> {
    let mut scheduler = experiment.scheduler.clone();
    if scheduler.num_blocks > 0 {
        return Ok(scheduler);
    }
    let params = loaded.measured.as_ref().map(|meta| &meta.params);
    let measured = params.and_then(|params| params.get("scheduler")?.get("num_blocks")?.as_u64());
    let measured = measured.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    let known =
        || experiment.blocks_from_memory().map_err(|problem| Hinted::new(problem, "say `scheduler.num_blocks=N`"));
    match measured.map_or_else(known, |count| Ok(Some(count)))? {
        Some(num_blocks) => scheduler.num_blocks = num_blocks,
        None => {
            let hint = "say `scheduler.num_blocks=N`, or name a profile of that GPU with `--profile DIR`";
            let problem =
                "`scheduler.num_blocks` is for the GPU's free memory to decide, and nothing here tells how many";
            return Err(Hinted::new(problem, hint).into());
        }
    }
    Ok(scheduler)
}

/// What a profile was measured with, where it is not what the experiment says: its times are then of another engine.
fn measured_otherwise(experiment: &Experiment, loaded: &LoadedModel) -> Option<String> {
    let params = experiment.params();
    let measured = loaded.measured.as_ref()?.params.get("backend")?;
    let said = params.get("backend")?;
    let differs = |key: &str| measured.get(key) != said.get(key);
    let shown = |backend: &Value, key: &str| backend.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
    let key = ["kind", "cuda"].into_iter().find(|key| differs(key))?;
    Some(format!(
        "the profile was measured with `backend.{key}` {}, the experiment has {}; `fidelio profile` measures a new one",
        shown(measured, key),
        shown(said, key)
    ))
}

/// Where the experiment's profile is, when its latency model has one and nobody named it.
pub fn usual_profile(context: &Context, experiment: &Experiment) -> Option<PathBuf> {
    match experiment.latency.kind {
        LatencyKind::Steps => {
            let usual = || context.store.profile_dir(&experiment.hardware.name, &experiment.model.name);
            Some(experiment.latency.profile.clone().unwrap_or_else(usual))
        }
        LatencyKind::Roofline => None,
        _ => experiment.latency.profile.clone(),
    }
}

/// What of a workload the simulator could not take.
pub(super) fn check_workload(experiment: &Experiment, workload: &Workload) -> anyhow::Result<()> {
    let last = workload.rows.last().map_or(Nanos::ZERO, |row| row.arrival);
    if last > LATEST_ARRIVAL {
        let problem = format!("the last request arrives after {:.0} days", last.as_secs_f64() / 86_400.0);
        return Err(Hinted::new(problem, "the simulator's clock holds 213 days: raise the rate").into());
    }
    let block_size = experiment.scheduler.block_size;
    let piece = workload.prefixes.as_ref().map(|prefixes| prefixes.block_tokens);
    match piece.filter(|piece| experiment.scheduler.enable_prefix_caching && !piece.is_multiple_of(block_size)) {
        Some(piece) => {
            let problem =
                format!("prompts are hashed in pieces of {piece} tokens, no multiple of the block size {block_size}");
            Err(Hinted::new(problem, "choose another `scheduler.block_size`, or no prefix caching").into())
        }
        None => Ok(()),
    }
}

fn begun(experiment: &Experiment, id: &str, workload_dir: &Path, workload: &Workload, loaded: &LoadedModel) -> RunMeta {
    let kind = experiment.latency.kind;
    let mut run = meta::begun("vidur", id, experiment);
    run.workload_dir = Some(workload_dir.display().to_string());
    // A roofline has no profile; what it predicts from is in `params`.
    if kind != LatencyKind::Roofline {
        run.inputs.insert("profile".to_owned(), loaded.sha256.clone());
    }
    let root = loaded.profile.as_ref().map_or_else(|| kind.name().to_owned(), |dir| dir.display().to_string());
    run.profiling_root = Some(root);
    let measured_host =
        experiment.latency.host_overhead && kind != LatencyKind::Layers && kind != LatencyKind::Roofline;
    run.simulator = Some(json!({
        "name": "fidelio",
        "version": env!("CARGO_PKG_VERSION"),
        "latency_model": if measured_host { format!("{} with host overhead", kind.name()) } else { kind.name().to_owned() },
    }));
    run.inputs.insert("workload".to_owned(), workload.sha256());
    if let Some(hardware) = loaded.measured.as_ref().and_then(|meta| meta.hardware.clone()) {
        run.hardware = Some(hardware);
    } else if let Some(device) = &experiment.hardware.device {
        run.hardware = Some(json!({ "device": device.name, "hardware_id": experiment.hardware.name }));
    }
    run
}

/// Simulates on our own clock, and says what happened.
pub(super) fn native<R: Recorder<Error: Into<anyhow::Error>>>(
    experiment: &Experiment,
    workload: &Workload,
    loaded: &LoadedModel,
    recorder: &mut R,
) -> anyhow::Result<Map<String, Value>> {
    let cluster = experiment.cluster.config();
    let simulation =
        Simulation { scheduler: &experiment.scheduler, cluster: &cluster, seed: experiment.seed, model: &loaded.model };
    match simulation.run(workload, recorder) {
        Ok(counts) => Ok(results(&counts)),
        Err(SimulationError::Settings(problem)) => Err(impossible(&problem)),
        Err(SimulationError::Stalled(problem)) => Err(Hinted::new(problem, "change `scheduler.…`").into()),
        Err(SimulationError::Timeless(problem)) => Err(Hinted::new(problem, "look at the profile").into()),
        Err(SimulationError::Recorder(error)) => Err(error.into()),
    }
}

/// The run as Vidur would have it. Arrivals are nanoseconds as doubles of seconds.
fn as_vidur(
    experiment: &Experiment,
    workload: &Workload,
    loaded: &LoadedModel,
    recorder: &mut FileRecorder,
) -> anyhow::Result<Map<String, Value>> {
    let model = loaded.model.vidur().expect("the configuration asks for Vidur's formula");
    let cluster = experiment.cluster.config();
    let simulation = VidurSimulation {
        scheduler: &experiment.scheduler,
        cluster: &cluster,
        seed: experiment.seed,
        assigned: None,
        model,
        time_limit: experiment.simulation.time_limit_s,
    };
    let mut adapter = VidurRecorder::new(workload, recorder);
    let requests = adapter.requests();
    let run = simulation.run(&requests, &mut adapter).map_err(|problem| {
        Hinted::new(format!("the run is impossible: {problem}"), "look at the profile and at `scheduler.…`")
    })?;
    if run.num_stalled > 0 {
        let problem =
            format!("{} requests wait for KV blocks that nothing will free, as they would in Vidur", run.num_stalled);
        return Err(Hinted::new(problem, "change `scheduler.…`, or simulate with `simulation.clock=native`").into());
    }
    let counts = adapter.finish(&run)?;
    Ok(results(&counts))
}

fn results(counts: &SimulationCounts) -> Map<String, Value> {
    match serde_json::to_value(counts) {
        Ok(Value::Object(results)) => results,
        _ => unreachable!("counts are a struct of numbers"),
    }
}

fn impossible(problem: &str) -> anyhow::Error {
    Hinted::new(format!("the scheduler settings are impossible: {problem}"), "change `scheduler.…`").into()
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
    let mut keep = vec!["model", "scheduler", "cluster", "latency", "simulation", "seed"];
    keep.extend((experiment.latency.kind == LatencyKind::Roofline).then_some("hardware"));
    let mut params: Map<String, Value> =
        experiment.params().into_iter().filter(|(key, _)| keep.contains(&key.as_str())).collect();
    // Where a profile lies does not decide what is in it.
    if let Some(latency) = params.get_mut("latency").and_then(Value::as_object_mut) {
        latency.remove("profile");
    }
    params
}

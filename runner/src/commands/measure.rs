//! `fidelio measure`: a workload on a real engine.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use fidelio_shared::report::run_markdown;
use fidelio_shared::schema::{
    Origin, PromptRow, RequestRow, RunMeta, StepRow, Workload, WorkloadMeta, WorkloadRow, read_prompts, write_json,
};
use fidelio_shared::serving::{Replica, TokenEvent};
use fidelio_shared::simulate::Recorder;
use fidelio_shared::time::Nanos;
use serde_json::{Map, Value, json};

use crate::commands::{Context, meta};
use crate::config::Experiment;
use crate::engine::telemetry::{self, DeviceSample, Telemetry};
use crate::engine::{self, Engine, FileRecorder, ServeCounts, serve};
use crate::error::{Hinted, Interrupted};
use crate::interrupt;
use crate::store::{Kind, Slot, Staging, load_workload_dir};
use crate::workload::{PromptTokenizer, random_tokens, request_tokens};

/// A wait may oversleep this much before the run warns about it.
const LATE_WAKEUP: Nanos = Nanos::from_millis(5);

/// A workload read back from its directory, with the tokens the engine computes.
pub struct AskedWorkload {
    /// Its metadata.
    pub meta: WorkloadMeta,
    /// What is asked, and when.
    pub workload: Workload,
    /// Token ids of each request.
    pub tokens: Vec<Vec<u32>>,
    /// Where it lies.
    pub dir: PathBuf,
}

/// Reads a workload and tokenises its prompts; without prompts, tokens are random by seed.
///
/// # Errors
/// When a file is broken, or prompts and lengths disagree.
pub fn read_workload(experiment: &Experiment, dir: &Path) -> anyhow::Result<AskedWorkload> {
    let (meta, workload) =
        load_workload_dir(dir).with_context(|| format!("reading the workload `{}`", dir.display()))?;
    let file = dir.join("prompts.jsonl");
    let tokens = if file.is_file() {
        let input = std::fs::File::open(&file).with_context(|| format!("opening `{}`", file.display()))?;
        let prompts: Vec<PromptRow> = read_prompts(&file.display().to_string(), input)?;
        let tokenizer = PromptTokenizer::load(&experiment.model.tokenizer)?;
        request_tokens(&workload, &prompts, &tokenizer, experiment.workload.chat_template)?
    } else {
        let vocab_size = engine::model_config(experiment)?.vocab_size;
        random_tokens(&workload, experiment.seed, vocab_size as u32, experiment.scheduler.max_model_len)
    };
    Ok(AskedWorkload { meta, workload, tokens, dir: dir.to_path_buf() })
}

/// Runs the workload `repeats` times on one loaded engine; `out` takes the first (more get `_2`, …).
///
/// # Errors
/// When the model cannot be loaded, the engine fails or the user interrupts; what was written then
/// stays, marked incomplete.
pub fn measure(
    context: &Context,
    experiment: &Experiment,
    asked: &AskedWorkload,
    repeats: u32,
    engine: &mut dyn Engine,
    out: Option<&Path>,
) -> anyhow::Result<Vec<PathBuf>> {
    let id = Kind::RealRun.id(&json!({
        "workload": asked.workload.sha256(),
        "params": run_params(experiment),
    }));
    warm_up(experiment, asked, engine).context("warming up")?;
    let mut made = Vec::new();
    for repeat in 1..=repeats {
        let place = out.map(|out| match repeat {
            1 => out.to_path_buf(),
            repeat => out.with_file_name(format!("{}_{repeat}", file_name(out))),
        });
        let Slot::New(staging) = context.store.open(Kind::RealRun, &id, place.as_deref())? else {
            unreachable!("a real run is never reused")
        };
        let what = if repeats > 1 { format!("measuring {repeat}/{repeats}") } else { "measuring".to_owned() };
        made.push(measure_once(context, experiment, asked, engine, staging, &what)?);
    }
    Ok(made)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The settings that decide what a real run does (and so its id): not how it is compared or profiled.
fn run_params(experiment: &Experiment) -> Map<String, Value> {
    let keep = ["model", "hardware", "scheduler", "backend", "seed"];
    experiment.params().into_iter().filter(|(key, _)| keep.contains(&key.as_str())).collect()
}

fn measure_once(
    context: &Context,
    experiment: &Experiment,
    asked: &AskedWorkload,
    engine: &mut dyn Engine,
    staging: Staging,
    what: &str,
) -> anyhow::Result<PathBuf> {
    let mut run = meta::begun_on(engine, "real", &staging.name(), experiment);
    let backend = experiment.backend.kind.name();
    run.backend = Some(backend.to_owned());
    run.workload_dir = Some(asked.dir.display().to_string());
    run.inputs.insert("workload".to_owned(), asked.workload.sha256());
    staging.write("run_meta.json", &write_json(&run))?;

    let num_requests = asked.workload.rows.len();
    let bar = context.talk.progress(num_requests as u64, what);
    let mut recorder = FileRecorder::new(&staging, num_requests, backend, Origin::Real, true, bar)?;
    let mut replica = settings(Replica::new(&experiment.scheduler))?;
    let telemetry = start_telemetry(engine);
    engine.start_clock();
    let served = serve(&asked.workload, &asked.tokens, &mut replica, engine, &mut recorder, &interrupt::flag());
    let telemetry = telemetry.map(|started| started.map(Telemetry::stop));
    let written = recorder.finish(&staging);
    let counts = served
        .with_context(|| format!("running the workload; what was written stays in `{}`", staging.dir().display()))?;
    written?;

    run.ended_at = Some(meta::now());
    run.results = results(&counts, telemetry);
    save_run(staging, &run)
}

/// Writes the summary, from the files as a reader will find them, and gives the directory its name.
pub(super) fn save_run(staging: Staging, meta: &RunMeta) -> anyhow::Result<PathBuf> {
    let mut run = staging.load(meta.clone()).context("reading the run back")?;
    run.name = staging.name();
    staging.write("summary.md", run_markdown(&run).as_bytes())?;
    staging.commit(&write_json(meta))
}

/// A device that tells how it is, is asked from now on.
fn start_telemetry(engine: &dyn Engine) -> Option<anyhow::Result<Telemetry>> {
    let sampler = engine.sampler()?;
    Some(sampler.and_then(|sampler| Telemetry::start(sampler).context("starting the telemetry thread")))
}

/// What the run says of itself; `telemetry` is what the device said, or why it was not asked.
fn results(counts: &ServeCounts, telemetry: Option<anyhow::Result<Vec<DeviceSample>>>) -> Map<String, Value> {
    let mut results = Map::new();
    results.insert("num_steps".to_owned(), json!(counts.num_steps));
    results.insert("num_preemptions".to_owned(), json!(counts.num_preemptions));
    results.insert("worst_wakeup_ns".to_owned(), json!(counts.worst_wakeup_ns));
    let mut warnings = Vec::new();
    if counts.worst_wakeup_ns > LATE_WAKEUP.0 {
        let late = counts.worst_wakeup_ns as f64 / 1e6;
        warnings.push(format!("a request was admitted {late:.1} ms late because the machine overslept"));
    }
    match telemetry {
        None => {}
        Some(Ok(samples)) => {
            warnings.extend(telemetry::warnings(&samples));
            results.insert("telemetry".to_owned(), telemetry::saved(&samples));
        }
        Some(Err(error)) => {
            warnings.push("clocks and other processes were not watched: the device could not be asked".to_owned());
            results.insert("telemetry".to_owned(), json!(format!("not recorded: {error:#}")));
        }
    }
    if !warnings.is_empty() {
        results.insert("warnings".to_owned(), json!(warnings));
    }
    results
}

fn settings(replica: Result<Replica, String>) -> anyhow::Result<Replica> {
    replica.map_err(|problem| {
        Hinted::new(format!("the scheduler settings are impossible: {problem}"), "change `scheduler.…`").into()
    })
}

/// This machine and this version can measure the experiment; asked before anything is made for it.
///
/// # Errors
/// The first setting that only a simulation can do, or what the backend lacks here.
pub fn check_measurable(experiment: &Experiment) -> anyhow::Result<()> {
    let (scheduler, cluster) = (&experiment.scheduler, &experiment.cluster);
    let simulated_only = [
        (!cluster.is_single(), "`cluster` with more than one device"),
        (scheduler.enable_prefix_caching, "`scheduler.enable_prefix_caching`"),
        (scheduler.async_scheduling, "`scheduler.async_scheduling`"),
        (scheduler.vidur_oddities, "`scheduler.vidur_oddities`"),
    ];
    match simulated_only.into_iter().find(|(is_set, _)| *is_set) {
        Some((_, name)) => {
            let problem = format!("{name} can be simulated, but the engine of this version does not have it");
            Err(Hinted::new(problem, "`fidelio simulate` takes it; leave it out to measure").into())
        }
        None => engine::check(experiment),
    }
}

/// Serves a few of the workload's own requests, all at once, before the clock starts.
fn warm_up(experiment: &Experiment, asked: &AskedWorkload, engine: &mut dyn Engine) -> anyhow::Result<()> {
    let count = experiment.backend.warmup_requests as usize;
    let rows: Vec<WorkloadRow> = asked.workload.rows.iter().take(count).cloned().collect();
    let rows = rows.into_iter().map(|row| WorkloadRow { inter_arrival: Nanos::ZERO, arrival: Nanos::ZERO, ..row });
    let workload = Workload { rows: rows.collect(), prefixes: None };
    let mut replica = settings(Replica::new(&experiment.scheduler))?;
    serve(&workload, &asked.tokens, &mut replica, engine, &mut Nowhere, &interrupt::flag())?;
    Ok(())
}

struct Nowhere;

impl Recorder for Nowhere {
    type Error = anyhow::Error;

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> anyhow::Result<()> {
        Ok(())
    }

    fn finished(&mut self, _: RequestRow) -> anyhow::Result<()> {
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Loads the experiment's engine, with a word about how long that may take. The experiment then has its KV blocks:
/// where the GPU's memory decides, they are counted now.
///
/// # Errors
/// When it cannot be loaded, or the user interrupted meanwhile.
pub fn load_engine(context: &Context, experiment: &mut Experiment) -> anyhow::Result<Box<dyn Engine>> {
    let parameters = engine::model_config(experiment)?.num_parameters();
    context.talk.note(format!("loading {} ({:.1} M parameters)", experiment.model.name, parameters as f64 / 1e6));
    let bar = context.talk.progress(0, "loading");
    let loaded = engine::load(experiment, &bar);
    bar.finish_and_clear();
    let engine = loaded?;
    if interrupt::flag().load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    experiment.scheduler.num_blocks = engine.num_blocks();
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_hold_what_the_device_said_or_why_it_was_not_asked() {
        let counts = ServeCounts { worst_wakeup_ns: 6_000_000, ..ServeCounts::default() };
        let silent = results(&counts, None);
        assert!(silent.get("telemetry").is_none(), "a processor is not asked");
        assert_eq!(silent["warnings"].as_array().map(Vec::len), Some(1));
        let refused = results(&counts, Some(Err(anyhow::anyhow!("no NVML").context("loading NVML"))));
        assert_eq!(refused["telemetry"], "not recorded: loading NVML: no NVML");
        let crowded = DeviceSample { num_other_processes: Some(2), ..DeviceSample::default() };
        let said = results(&counts, Some(Ok(vec![crowded])));
        assert_eq!(said["telemetry"]["samples"][0]["num_other_processes"], 2);
        assert_eq!(said["warnings"][1], "2 other processes computed on the GPU");
    }
}

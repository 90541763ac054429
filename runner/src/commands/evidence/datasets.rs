//! What a folder of public data holds: runs by their files, settings by the data set's name or its own `evidence.toml`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::latency::layered::{LayerProfile, LayeredModel};
use fidelio_shared::schema::{Origin, Run};
use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::time::Nanos;
use serde::Deserialize;

use crate::store::{foreign_format, load_run_dir};

/// Settings of published data sets whose files do not tell them.
const KNOWN: [(&str, &str); 2] = [
    ("llama2_7b_a100_arxiv", include_str!("../../../../configs/evidence/llama2_7b_a100_arxiv.toml")),
    ("vllm_rtx4090_llama31_8b", include_str!("../../../../configs/evidence/vllm_rtx4090_llama31_8b.toml")),
];
/// The same, in a folder of the user's.
const SETTINGS: &str = "evidence.toml";
/// Folders are looked into this deep.
const DEEPEST: usize = 4;

/// Runs of one engine.
pub struct Dataset {
    /// Its folder's name.
    pub name: String,
    /// What ran it, in words.
    pub description: String,
    /// The runs, by name.
    pub runs: Vec<PublishedRun>,
    /// What they were served with, where anything tells it.
    pub scheduler: Option<SchedulerConfig>,
    /// Step times from a profile of operations that lies beside.
    pub layers: Option<LayeredModel>,
}

/// A real run, and the simulation published with it.
pub struct PublishedRun {
    /// Its folder's name, or the data set's.
    pub name: String,
    /// What was measured.
    pub real: Run,
    /// What somebody predicted.
    pub published: Option<Run>,
}

/// What `evidence.toml` may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    description: String,
    #[serde(default)]
    scheduler: Option<SchedulerConfig>,
    #[serde(default)]
    num_layers: Option<u32>,
}

/// Every data set in `folder`, by path.
///
/// # Errors
/// When a folder cannot be listed, or a run in it is broken.
pub fn find(folder: &Path) -> anyhow::Result<Vec<Dataset>> {
    let mut found = Vec::new();
    look(folder, DEEPEST, &mut found).with_context(|| format!("looking for data in `{}`", folder.display()))?;
    Ok(found)
}

fn look(folder: &Path, deeper: usize, found: &mut Vec<Dataset>) -> anyhow::Result<()> {
    let mut children: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("listing `{}`", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    children.sort();
    let mut runs: Vec<PublishedRun> = match records_in(folder)? {
        Some(run) => vec![run],
        None => pair_of(folder, &children)?.into_iter().collect(),
    };
    if runs.is_empty() {
        // Tables side by side are runs of one engine.
        for child in std::iter::once(&folder.to_path_buf()).chain(&children) {
            runs.extend(tables_in(child)?);
        }
    }
    if !runs.is_empty() {
        found.push(dataset(folder, runs)?);
        return Ok(());
    }
    if deeper > 0 {
        for child in &children {
            look(child, deeper - 1, found)?;
        }
    }
    Ok(())
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn load(path: &Path) -> anyhow::Result<Run> {
    load_run_dir(path).with_context(|| format!("reading `{}`", path.display()))
}

/// vLLM's records of requests.
fn records_in(folder: &Path) -> anyhow::Result<Option<PublishedRun>> {
    let is_there = folder.join("requests.jsonl").is_file() && foreign_format(folder)?.is_some();
    is_there.then(|| Ok(PublishedRun { name: name_of(folder), real: load(folder)?, published: None })).transpose()
}

/// Sarathi's table of a real run, with that of its simulation beside it.
fn tables_in(folder: &Path) -> anyhow::Result<Option<PublishedRun>> {
    let (real, sim) = (folder.join("real_request_metrics.csv"), folder.join("sim_request_metrics.csv"));
    if !real.is_file() {
        return Ok(None);
    }
    let published = if sim.is_file() { Some(load(&sim)?) } else { None };
    Ok(Some(PublishedRun { name: name_of(folder), real: load(&real)?, published }))
}

/// Two run directories of one workload, one real and one simulated.
fn pair_of(folder: &Path, children: &[PathBuf]) -> anyhow::Result<Option<PublishedRun>> {
    let is_run =
        |child: &&PathBuf| child.join("request_metrics.csv").is_file() && child.join("run_meta.json").is_file();
    let mut real = None;
    let mut published = None;
    for child in children.iter().filter(is_run) {
        let run = load(child)?;
        let place = match run.meta.origin() {
            Some(Origin::Real) => &mut real,
            Some(Origin::Simulated) => &mut published,
            None => continue,
        };
        place.get_or_insert(run);
    }
    let name = name_of(folder);
    Ok(real.zip(published).map(|(real, sim)| PublishedRun { name, real, published: Some(sim) }))
}

fn dataset(folder: &Path, runs: Vec<PublishedRun>) -> anyhow::Result<Dataset> {
    let name = name_of(folder);
    let settings = settings(folder, &name)?;
    let told = runs.first().and_then(|run| run.real.meta.params.get("scheduler"));
    let told = told.and_then(|scheduler| serde_json::from_value::<SchedulerConfig>(scheduler.clone()).ok());
    let layers = match settings.as_ref().and_then(|settings| settings.num_layers) {
        Some(num_layers) if folder.join("profile").is_dir() => Some(layers(folder, num_layers)?),
        _ => None,
    };
    let description = settings.as_ref().map_or_else(String::new, |settings| settings.description.clone());
    let scheduler = settings.and_then(|settings| settings.scheduler).or(told);
    Ok(Dataset { name, description, runs, scheduler, layers })
}

fn settings(folder: &Path, name: &str) -> anyhow::Result<Option<Settings>> {
    let own = folder.join(SETTINGS);
    let text = match own.is_file() {
        true => std::fs::read_to_string(&own).with_context(|| format!("reading `{}`", own.display()))?,
        false => match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (*text).to_owned(),
            None => return Ok(None),
        },
    };
    Ok(Some(toml::from_str(&text).with_context(|| format!("reading `{}`", own.display()))?))
}

/// The profile of operations in `profile/`, padded to the graphs that vLLM says it captured.
fn layers(folder: &Path, num_layers: u32) -> anyhow::Result<LayeredModel> {
    let open = |name: &str| {
        let path = folder.join("profile").join(name);
        std::fs::File::open(&path).with_context(|| format!("opening `{}`", path.display()))
    };
    let profile = LayerProfile::read(open("dense.csv")?, open("attention.csv")?, open("per_sequence.csv")?)?;
    let captured = std::fs::read(folder.join("meta.json")).ok().and_then(|bytes| {
        let meta: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let sizes = meta.pointer("/resolved_config/compilation_config/cudagraph_capture_sizes")?;
        serde_json::from_value::<Vec<u32>>(sizes.clone()).ok()
    });
    Ok(LayeredModel::new(&profile, num_layers, &captured.unwrap_or_default(), Nanos::ZERO))
}

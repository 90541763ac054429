//! From a request (experiment, overrides, files) to the resolved experiment, with every mistake named by file and key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fidelio_shared::capacity::CapacityOptions;
use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::workload::WorkloadSpec;
use serde::Deserialize;
use toml::Value;

use super::blocks::blocks_from_memory;
use super::check::{check, check_simulation};
use super::error::{ConfigError, nearest};
use super::experiment::{
    BackendConfig, BackendKind, Clock, ClusterSettings, CompareConfig, ConfigSource, Experiment, HardwareConfig,
    LatencyConfig, ModelConfig, ProfileConfig, SimulationConfig,
};
use super::layers::{Layer, Merged};
use super::presets::{GROUPS, Library};

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct ConfigRequest {
    /// A preset's name, or the path of a `.toml` file.
    pub experiment: String,
    /// `group=option` and `dotted.key=value`, as typed.
    pub overrides: Vec<String>,
    /// The user's own settings, applied to every experiment.
    pub user_file: Option<PathBuf>,
    /// Directory of presets that come before the built-in ones.
    pub config_dir: Option<PathBuf>,
}

/// The user's settings file, where there is one: `$FIDELIO_CONFIG`, else `fidelio/config.toml` in the
/// configuration directory of the user.
pub fn user_file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = variable("FIDELIO_CONFIG") {
        return Some(file);
    }
    let dir = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(dir.join("fidelio").join("config.toml")).filter(|file| file.is_file())
}

/// Everything an experiment may say, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) model: ModelConfig,
    pub(super) hardware: HardwareConfig,
    pub(super) workload: WorkloadSpec,
    pub(super) scheduler: SchedulerConfig,
    #[serde(default)]
    pub(super) cluster: ClusterSettings,
    pub(super) backend: BackendConfig,
    pub(super) latency: LatencyConfig,
    #[serde(default)]
    pub(super) simulation: SimulationConfig,
    #[serde(default)]
    pub(super) profile: ProfileConfig,
    #[serde(default)]
    pub(super) compare: CompareConfig,
    #[serde(default)]
    pub(super) capacity: CapacityOptions,
}

/// Composes and checks the experiment.
///
/// # Errors
/// An unknown experiment, group, option or key (with the nearest valid names), a value of the wrong
/// type, a missing one, or an impossible one.
pub fn resolve(request: &ConfigRequest) -> Result<Experiment, ConfigError> {
    let library = Library::new(request.config_dir.as_deref())?;
    let mut notices = Vec::new();
    let (experiment, name) = library.experiment(&request.experiment, &mut notices)?;
    let config_path = match &experiment.base {
        None => "builtin".to_owned(),
        Some(base) if base.as_os_str().is_empty() => ".".to_owned(),
        Some(base) => base.display().to_string(),
    };
    let user = request.user_file.as_deref().map(Layer::read).transpose()?;
    let arguments = Layer::from_arguments(&request.overrides)?;

    let (mut merged, mut options) = (Merged::new(&experiment.place), BTreeMap::new());
    for layer in [Some(experiment), user, Some(arguments)].into_iter().flatten() {
        apply(layer, &library, &mut merged, &mut options, &mut notices)?;
    }
    fill(&mut merged);
    let mut settings = read_settings(&merged)?;
    let fail = |key: &str, problem| ConfigError::new(merged.place(key), problem).at_key(key);
    check_simulation(&settings, &fail)?;
    settle_backend(&mut settings.backend, &fail)?;
    derive(&mut settings, &merged)?;
    check(&settings, &merged)?;
    let Settings {
        seed,
        model,
        hardware,
        workload,
        scheduler,
        cluster,
        backend,
        latency,
        simulation,
        profile,
        compare,
        capacity,
    } = settings;
    let source = ConfigSource { config_path, config_name: name.clone(), overrides: request.overrides.clone(), notices };
    Ok(Experiment {
        name,
        options,
        seed,
        model,
        hardware,
        workload,
        scheduler,
        cluster,
        backend,
        latency,
        simulation,
        profile,
        compare,
        capacity,
        source,
    })
}

/// Chooses the layer's options, then sets its keys.
fn apply(
    mut layer: Layer,
    library: &Library,
    merged: &mut Merged,
    options: &mut BTreeMap<String, String>,
    notices: &mut Vec<String>,
) -> Result<(), ConfigError> {
    layer.anchor_paths();
    let chosen = match layer.table.remove("use") {
        None => toml::Table::new(),
        Some(Value::Table(table)) => table,
        Some(_) => return Err(ConfigError::new(&layer.place, "must be a table of `group = \"option\"`").at_key("use")),
    };
    for (group, option) in chosen {
        let key = format!("use.{group}");
        if !GROUPS.contains(&group.as_str()) {
            let error = ConfigError::new(&layer.place, format!("there is no group `{group}`")).at_key(key);
            return Err(error.with_hint(nearest(&group, &GROUPS.map(str::to_owned))));
        }
        // Bare option names on the command line may read as numbers; their text is meant.
        let option = option.as_str().map_or_else(|| option.to_string(), str::to_owned);
        let mut preset = library.find(&layer.place, &group, &option, notices)?;
        let mut wrapped = toml::Table::new();
        wrapped.insert(group.clone(), Value::Table(std::mem::take(&mut preset.table)));
        preset.table = wrapped;
        preset.anchor_paths();
        merged.clear(&group);
        merged.merge(&preset.place, preset.table);
        options.insert(group, option);
    }
    merged.merge(&layer.place, layer.table);
    Ok(())
}

/// Derives what may be left out from what is there.
fn fill(merged: &mut Merged) {
    let seed = merged.table.get("seed").cloned().unwrap_or(Value::Integer(0));
    merged.set_default("workload", "seed", seed.clone());
    merged.set_default("model", "dummy_seed", seed);
    let path = merged.table.get("model").and_then(|model| model.get("path")?.as_str()).map(str::to_owned);
    let tokenizer = path.clone().unwrap_or_else(|| "builtin:qwen3".to_owned());
    merged.set_default("model", "tokenizer", Value::String(tokenizer));
    if let Some(name) = path.as_deref().and_then(|path| Path::new(path).file_name()) {
        merged.set_default("model", "name", Value::String(name.to_string_lossy().into_owned()));
    }
}

/// Reads the merged table; a mistake is named by the key and by whoever set it.
fn read_settings(merged: &Merged) -> Result<Settings, ConfigError> {
    Value::Table(merged.table.clone()).try_into().map_err(|error: toml::de::Error| {
        let table = table_of(&error);
        let message = error.message();
        let join = |name: &str| if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        let names: Vec<String> = message.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let (name, valid) = names.split_first().map_or(("", &[][..]), |(name, valid)| (name.as_str(), valid));
        let (key, problem, hint) = if message.starts_with("unknown field") {
            (join(name), "there is no such key".to_owned(), Some(nearest(name, valid)))
        } else if message.starts_with("unknown variant") {
            (table.clone(), format!("`{name}` is not one of its values"), Some(nearest(name, valid)))
        } else if message.starts_with("missing field") {
            let hint = GROUPS
                .contains(&name)
                .then(|| format!("choose one with `{name}=OPTION`; `fidelio configs {name}` lists them"));
            (join(name), "is missing".to_owned(), hint)
        } else {
            (table.clone(), message.to_owned(), None)
        };
        let error = ConfigError::new(merged.place(&key), problem);
        let error = if key.is_empty() { error } else { error.at_key(key) };
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

/// The table an error is about: the library shows it last, as ``in `a.b` ``, and nowhere else.
fn table_of(error: &toml::de::Error) -> String {
    let shown = error.to_string();
    let last = shown.trim_end().lines().last().unwrap_or_default();
    last.strip_prefix("in `").and_then(|rest| rest.strip_suffix('`')).unwrap_or_default().to_owned()
}

/// The GPU's settings go with the GPU's engine, which has all of them.
fn settle_backend(backend: &mut BackendConfig, fail: &impl Fn(&str, String) -> ConfigError) -> Result<(), ConfigError> {
    if backend.kind != BackendKind::Cuda {
        let is_set = backend.cuda.is_some();
        let problem = || fail("backend.cuda", format!("does not go with backend `{}`", backend.kind.name()));
        return if is_set { Err(problem().with_hint("`backend=cuda` takes it")) } else { Ok(()) };
    }
    let largest = backend.cuda.get_or_insert_default().max_captured_seqs;
    match largest.filter(|seqs| !(1..=4_096).contains(seqs)) {
        Some(seqs) => {
            let problem = format!("{seqs} is not between 1 and 4096");
            Err(fail("backend.cuda.max_captured_seqs", problem).with_hint("`backend.cuda.graphs=false` captures none"))
        }
        None => Ok(()),
    }
}

/// What follows from other settings: batches out at once, and KV blocks where only memory is given.
fn derive(settings: &mut Settings, merged: &Merged) -> Result<(), ConfigError> {
    let fail = |key: &str, problem: String| ConfigError::new(merged.place(key), problem).at_key(key);
    let stages = settings.cluster.pipeline_parallel;
    let scheduler = &mut settings.scheduler;
    let in_flight = if scheduler.async_scheduling { 2 } else { stages };
    if scheduler.max_in_flight != 1 && scheduler.max_in_flight != in_flight {
        let problem = format!("must be {in_flight}: batches are out for `cluster.pipeline_parallel` stages");
        return Err(fail("scheduler.max_in_flight", problem));
    }
    if scheduler.async_scheduling && stages != 1 {
        return Err(fail("scheduler.async_scheduling", "goes with one pipeline stage".to_owned()));
    }
    scheduler.max_in_flight = in_flight;
    scheduler.vidur_oddities |= settings.simulation.clock == Clock::Vidur;
    if scheduler.num_blocks > 0 {
        return Ok(());
    }
    if settings.simulation.clock == Clock::Vidur {
        let hint = "say how many: Vidur's planner counts otherwise than vLLM, from which ours are derived";
        return Err(fail("scheduler.num_blocks", "is missing".to_owned()).with_hint(hint));
    }
    if settings.backend.kind == BackendKind::Cuda {
        // The engine's free memory decides; what loads no engine takes it from a profile.
        return Ok(());
    }
    let derived = blocks_from_memory(&settings.model, &settings.hardware, &settings.cluster, scheduler);
    match derived
        .map_err(|problem| fail("scheduler.num_blocks", format!("cannot be derived from memory: {problem}")))?
    {
        Some(num_blocks) => scheduler.num_blocks = num_blocks,
        None => {
            let hint = "say how many, or choose hardware with a known memory (`fidelio configs hardware`)";
            return Err(fail("scheduler.num_blocks", "is missing".to_owned()).with_hint(hint));
        }
    }
    Ok(())
}

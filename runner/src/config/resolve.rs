//! From a request (experiment, overrides, files) to the resolved experiment, with every mistake named by file and key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fidelio_shared::serving::{Policy, SchedulerConfig};
use fidelio_shared::workload::WorkloadSpec;
use serde::Deserialize;
use serde_json::Map;
use toml::Value;

use super::blocks::blocks_from_memory;
use super::error::{ConfigError, nearest};
use super::experiment::{
    BackendConfig, BackendKind, Clock, ClusterSettings, CompareConfig, ConfigSource, Experiment, HardwareConfig,
    LatencyConfig, LatencyKind, ModelConfig, ProfileConfig, SimulationConfig,
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
struct Settings {
    #[serde(default)]
    seed: u64,
    model: ModelConfig,
    hardware: HardwareConfig,
    workload: WorkloadSpec,
    scheduler: SchedulerConfig,
    #[serde(default)]
    cluster: ClusterSettings,
    backend: BackendConfig,
    latency: LatencyConfig,
    #[serde(default)]
    simulation: SimulationConfig,
    #[serde(default)]
    profile: ProfileConfig,
    #[serde(default)]
    compare: CompareConfig,
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

/// Checks values against each other.
fn check(settings: &Settings, merged: &Merged) -> Result<(), ConfigError> {
    let fail = |key: &str, problem: String| ConfigError::new(merged.place(key), problem).at_key(key);
    check_name("hardware.name", &settings.hardware.name, &fail)?;
    check_name("model.name", &settings.model.name, &fail)?;
    check_model(&settings.model, &fail)?;
    settings.workload.check().map_err(|error| {
        let mut found = fail(&format!("workload.{}", error.field), error.problem);
        found.hint = error.hint;
        found
    })?;
    // Blocks still to be counted are no mistake.
    let counted = SchedulerConfig { num_blocks: settings.scheduler.num_blocks.max(1), ..settings.scheduler.clone() };
    counted.check().map_err(|problem| fail("scheduler", problem))?;
    let longest = settings.model.config.as_ref().and_then(|config| config.get("max_position_embeddings")?.as_u64());
    if let Some(longest) = longest.filter(|longest| u64::from(settings.scheduler.max_model_len) > *longest) {
        let problem = format!("{} is more than the model's {longest} positions", settings.scheduler.max_model_len);
        return Err(fail("scheduler.max_model_len", problem));
    }
    // Upper ends are far beyond use and well below what would hang a machine.
    let counts = [
        ("backend.repeats", Some(settings.backend.repeats), 1..=1_000),
        ("profile.repeats", Some(settings.profile.repeats), 1..=10_000),
        ("profile.warmup_repeats", Some(settings.profile.warmup_repeats), 0..=1_000),
        ("hardware.num_threads", settings.hardware.num_threads, 1..=1_024),
    ];
    for (key, count, range) in counts {
        if let Some(count) = count.filter(|count| !range.contains(count)) {
            let problem = format!("{count} is not between {} and {}", range.start(), range.end());
            return Err(fail(key, problem));
        }
    }
    if !(settings.profile.max_seconds.is_finite() && settings.profile.max_seconds > 0.0) {
        return Err(fail("profile.max_seconds", "must be above 0".to_owned()));
    }
    if !(settings.profile.refine_seconds.is_finite() && settings.profile.refine_seconds >= 0.0) {
        return Err(fail("profile.refine_seconds", "must be 0 or more".to_owned()));
    }
    if settings.compare.tolerance.is_some_and(|tolerance| !(tolerance.is_finite() && tolerance > 0.0)) {
        return Err(fail("compare.tolerance", "must be above 0; it is a fraction, 0.1 is 10 %".to_owned()));
    }
    let exact = |percent: &f64| {
        *percent > 0.0 && *percent < 100.0 && ((percent * 100.0).round() - percent * 100.0).abs() < 1e-6
    };
    if settings.compare.percentiles.is_empty() || !settings.compare.percentiles.iter().all(exact) {
        return Err(fail(
            "compare.percentiles",
            "must be numbers between 0 and 100 with at most two decimals".to_owned(),
        ));
    }
    let bootstrap = &settings.compare.bootstrap;
    if !(0.5..1.0).contains(&bootstrap.confidence) {
        return Err(fail("compare.bootstrap.confidence", "must be from 0.5 to below 1; 0.95 is 95 %".to_owned()));
    }
    if bootstrap.num_resamples > 100_000 {
        return Err(fail("compare.bootstrap.num_resamples", "must be at most 100000".to_owned()));
    }
    Ok(())
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

/// The cluster and the clock go with the rest.
fn check_simulation(settings: &Settings, fail: &impl Fn(&str, String) -> ConfigError) -> Result<(), ConfigError> {
    let cluster = &settings.cluster;
    let counts = [
        ("cluster.num_replicas", cluster.num_replicas, 1..=4_096),
        ("cluster.tensor_parallel", cluster.tensor_parallel, 1..=64),
        ("cluster.pipeline_parallel", cluster.pipeline_parallel, 1..=64),
    ];
    for (key, count, range) in counts {
        if !range.contains(&count) {
            return Err(fail(key, format!("{count} is not between {} and {}", range.start(), range.end())));
        }
    }
    let has_formula = matches!(settings.latency.kind, LatencyKind::VidurTables | LatencyKind::Operations);
    if settings.simulation.clock == Clock::Vidur && !has_formula {
        let hint = "Vidur's numbers come from its formula: `latency=vidur-tables` or `latency=operations`";
        return Err(fail("simulation.clock", "`vidur` does not go with this latency model".to_owned()).with_hint(hint));
    }
    let scheduler = &settings.scheduler;
    if settings.simulation.clock == Clock::Vidur && scheduler.policy == Policy::VllmV1 {
        let hint = "its schedulers are `vidur_vllm`, `sarathi`, `orca`, `faster_transformer` and `lightllm`";
        return Err(fail("scheduler.policy", "Vidur has no `vllm_v1`".to_owned()).with_hint(hint));
    }
    if settings.simulation.clock == Clock::Vidur && settings.latency.host_us > 0.0 {
        return Err(fail("latency.host_us", "does not go with `simulation.clock=vidur`".to_owned()));
    }
    let share = settings.hardware.gpu_memory_utilization;
    if !(share > 0.0 && share <= 1.0) {
        return Err(fail("hardware.gpu_memory_utilization", format!("{share} is not above 0 and at most 1")));
    }
    let has_stages = has_formula || settings.latency.kind == LatencyKind::Roofline;
    if !has_stages && (cluster.tensor_parallel, cluster.pipeline_parallel) != (1, 1) {
        let hint = "`latency=operations`, `vidur-tables` and `roofline` know tensor and pipeline parallelism";
        return Err(fail("cluster", "this latency model knows one device only".to_owned()).with_hint(hint));
    }
    if settings.simulation.time_limit_s.is_some_and(|limit| !(limit.is_finite() && limit > 0.0)) {
        return Err(fail("simulation.time_limit_s", "must be above 0".to_owned()));
    }
    if settings.simulation.time_limit_s.is_some() && settings.simulation.clock != Clock::Vidur {
        return Err(fail("simulation.time_limit_s", "goes with `simulation.clock=vidur`".to_owned()));
    }
    if !(0.0..=1e9).contains(&settings.latency.host_us) {
        return Err(fail("latency.host_us", "must be between 0 and 1e9".to_owned()));
    }
    Ok(())
}

fn check_name(key: &str, name: &str, fail: &impl Fn(&str, String) -> ConfigError) -> Result<(), ConfigError> {
    let safe = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(safe) {
        return Err(fail(key, format!("`{name}` must be letters, digits, `.`, `_` and `-`: it names a directory")));
    }
    Ok(())
}

fn check_model(model: &ModelConfig, fail: &impl Fn(&str, String) -> ConfigError) -> Result<(), ConfigError> {
    match (&model.config, &model.path) {
        (None, None) => {
            let hint =
                "`model.path=DIR` names a Hugging Face directory; `model=qwen3-0.6b` has a shape and random weights";
            Err(fail("model", "needs a shape: `config` or `path`".to_owned()).with_hint(hint))
        }
        (Some(_), Some(_)) => {
            let hint = "to use a directory, write `model=hugging-face model.path=DIR`";
            Err(fail("model.path", "does not go with `model.config`: the directory has its own".to_owned())
                .with_hint(hint))
        }
        (Some(_), None) if model.load_format == super::experiment::LoadFormat::Safetensors => {
            let hint = "write `model=hugging-face model.path=DIR`, or `model.load_format=dummy`";
            Err(fail("model.load_format", "`safetensors` needs `model.path`".to_owned()).with_hint(hint))
        }
        (Some(config), None) => check_shape_keys(config, fail),
        (None, Some(_)) => Ok(()),
    }
}

/// Keys a Qwen3 `config.json` has; a shape written by hand with another one has a spelling mistake.
const SHAPE_KEYS: [&str; 26] = [
    "architectures",
    "attention_bias",
    "attention_dropout",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "max_window_layers",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_cache",
    "use_sliding_window",
    "vocab_size",
];

fn check_shape_keys(
    config: &Map<String, serde_json::Value>,
    fail: &impl Fn(&str, String) -> ConfigError,
) -> Result<(), ConfigError> {
    match config.keys().find(|key| !SHAPE_KEYS.contains(&key.as_str())) {
        Some(key) => Err(fail(&format!("model.config.{key}"), "there is no such key".to_owned())
            .with_hint(nearest(key, &SHAPE_KEYS.map(str::to_owned)))),
        None => Ok(()),
    }
}

//! What a resolved experiment may not be: every setting out of its range, by key and place.

use fidelio_shared::serving::{Policy, SchedulerConfig};
use serde_json::Map;

use super::error::{ConfigError, nearest};
use super::experiment::{Clock, LatencyKind, ModelConfig};
use super::layers::Merged;
use super::resolve::Settings;

/// Checks values against each other.
pub(super) fn check(settings: &Settings, merged: &Merged) -> Result<(), ConfigError> {
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
    let capacity = &settings.capacity;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    for (key, value) in [
        ("capacity.low_rps", capacity.low_rps),
        ("capacity.high_rps", capacity.high_rps),
        ("capacity.max_delay_s", capacity.max_delay_s),
    ] {
        if !positive(value) {
            return Err(fail(key, "must be above 0".to_owned()));
        }
    }
    if !(0.001..=1.0).contains(&capacity.precision) {
        return Err(fail("capacity.precision", "must be from 0.001 to 1; 0.02 is 2 %".to_owned()));
    }
    if !(2..=1_000).contains(&capacity.max_probes) {
        return Err(fail("capacity.max_probes", "must be from 2 to 1000".to_owned()));
    }
    let compare = &settings.compare;
    if let Some(unknown) = compare.verdict_on.iter().find(|metric| !compare.definition.metrics().contains(*metric)) {
        let problem = format!("`{}` is no metric of definition `{}`", unknown.key(), compare.definition.key());
        return Err(fail("compare.verdict_on", problem));
    }
    let bootstrap = &compare.bootstrap;
    if !(0.5..=0.99).contains(&bootstrap.confidence) {
        return Err(fail("compare.bootstrap.confidence", "must be from 0.5 to 0.99; 0.95 is 95 %".to_owned()));
    }
    if bootstrap.num_resamples != 0 && !(200..=100_000).contains(&bootstrap.num_resamples) {
        return Err(fail("compare.bootstrap.num_resamples", "must be 0, or from 200 to 100000".to_owned()));
    }
    Ok(())
}

/// The cluster and the clock go with the rest.
pub(super) fn check_simulation(
    settings: &Settings,
    fail: &impl Fn(&str, String) -> ConfigError,
) -> Result<(), ConfigError> {
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

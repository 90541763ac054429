//! Metadata of runs: who, where, when, with what.

use fidelio_shared::schema::{RunMeta, SCHEMA_VERSION, Writer};
use serde_json::{Map, Value, json};

use crate::config::Experiment;
use crate::engine::Engine;

/// The wall clock, ISO-8601 in UTC.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The commit this program was built from, when it was built in a checkout.
pub fn git_commit() -> Option<String> {
    option_env!("FIDELIO_GIT_COMMIT").map(str::to_owned)
}

/// A run of ours that has just begun: everything but its end.
pub fn begun(run_type: &str, run_id: &str, experiment: &Experiment) -> RunMeta {
    let mut params = experiment.params();
    for setting in ["tensor_parallel_size", "pipeline_parallel_size"] {
        params.insert(setting.to_owned(), json!(1));
    }
    RunMeta {
        schema_version: Some(SCHEMA_VERSION.to_owned()),
        writer: Some(Writer::this()),
        run_id: Some(run_id.to_owned()),
        run_type: Some(run_type.to_owned()),
        model: Some(experiment.model.name.clone()),
        started_at: Some(now()),
        git_commit: Some(git_commit().unwrap_or_else(|| "unknown".to_owned())),
        git_dirty: option_env!("FIDELIO_GIT_DIRTY").map(|dirty| dirty == "true"),
        env: environment(),
        hardware: Some(json!({ "hardware_id": experiment.hardware.name })),
        params,
        hydra: Some(experiment.hydra()),
        ..RunMeta::default()
    }
}

/// A run of an engine that has just begun.
pub fn begun_on(engine: &dyn Engine, run_type: &str, run_id: &str, experiment: &Experiment) -> RunMeta {
    let mut hardware = engine.hardware();
    if let Some(facts) = hardware.as_object_mut() {
        facts.insert("hardware_id".to_owned(), json!(experiment.hardware.name));
        if let Some(Ok(sampler)) = engine.sampler() {
            for (name, fact) in sampler.facts() {
                facts.entry(name).or_insert(fact);
            }
        }
    }
    RunMeta { hardware: Some(hardware), ..begun(run_type, run_id, experiment) }
}

/// Operating system and build.
pub fn environment() -> Map<String, Value> {
    let mut env = Map::new();
    env.insert("platform".to_owned(), json!(format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)));
    env.insert("fidelio".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    env.insert("build".to_owned(), json!(profile));
    env
}

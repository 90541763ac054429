//! Saving the workload of an experiment as an artifact.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::schema::{WorkloadMeta, write_json};

use crate::commands::workload::build_workload;
use crate::commands::{Context, meta};
use crate::config::Experiment;
use crate::store::{Kind, Slot};

/// Builds the workload of an experiment and saves it; one of the same id is reused.
///
/// # Errors
/// As [`build_workload`], and when a file cannot be written.
pub fn save_workload(context: &Context, experiment: &Experiment, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let built = build_workload(experiment)?;
    let id = built.meta.workload_id.clone().unwrap_or_default();
    let staging = match context.store.open(Kind::Workload, &id, out)? {
        Slot::Existing(dir) => return Ok(dir),
        Slot::New(staging) => staging,
    };
    built.write_tables(&staging).context("writing the workload")?;
    if let Some(prompts) = built.prompts_jsonl() {
        staging.write("prompts.jsonl", &prompts)?;
    }
    let meta = WorkloadMeta {
        created_at: Some(meta::now()),
        git_commit: Some(meta::git_commit().unwrap_or_else(|| "unknown".to_owned())),
        ..built.meta
    };
    staging.commit(&write_json(&meta))
}

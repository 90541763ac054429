//! The step model: `steps.csv` of a profile of ours.

use std::path::Path;

use fidelio_shared::latency::{FitReport, StepModel, StepProfile};
use fidelio_shared::schema::{DataError, Folder, RunMeta, read_document};

use serde_json::Value;

use super::Files;
use crate::config::Experiment;
use crate::store::DirFolder;

/// A fitted model and where it is from.
pub struct LoadedSteps {
    /// What predicts.
    pub model: StepModel,
    /// How well it reproduces the profile.
    pub fit: FitReport,
    /// What the profile was measured on.
    pub hardware: Option<Value>,
}

/// Reads `steps.csv`, checks that it is of this experiment's LLM, and fits the model.
pub fn load(experiment: &Experiment, dir: &Path, files: &mut Files) -> anyhow::Result<LoadedSteps> {
    let mut folder = DirFolder::open_dir(dir)?;
    let name = folder.name();
    let meta_file = format!("{name}/run_meta.json");
    let mut hardware = None;
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
        hardware = meta.hardware;
    }
    let file = format!("{name}/steps.csv");
    let Some(bytes) = files.find(&dir.join("steps.csv"))? else {
        return Err(DataError::new(file, "is missing: this is not a profile with measured steps")
            .with_hint("`fidelio profile` writes one")
            .into());
    };
    let profile = StepProfile::read(&file, &bytes[..])?;
    let model = StepModel::fit(&profile, experiment.latency.host_overhead);
    let fit = model.report(&profile);
    Ok(LoadedSteps { model, fit, hardware })
}

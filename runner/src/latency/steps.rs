//! The step model: `steps.csv` of a profile of ours.

use std::path::Path;

use fidelio_shared::latency::{FitReport, StepModel, StepProfile};
use fidelio_shared::schema::{DataError, Folder};

use super::Files;
use crate::config::Experiment;
use crate::store::DirFolder;

/// Reads `steps.csv` and fits the model.
pub fn load(experiment: &Experiment, dir: &Path, files: &mut Files) -> anyhow::Result<(StepModel, FitReport)> {
    let file = format!("{}/steps.csv", DirFolder::open_dir(dir)?.name());
    let Some(bytes) = files.find(&dir.join("steps.csv"))? else {
        return Err(DataError::new(file, "is missing: this is not a profile with measured steps")
            .with_hint("`fidelio profile` writes one")
            .into());
    };
    let profile = StepProfile::read(&file, &bytes[..])?;
    let model = StepModel::fit(&profile, experiment.latency.host_overhead);
    let report = model.report(&profile);
    Ok((model, report))
}

//! A calibrated model: `calibration.json`, and the model it was calibrated upon if there is one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::calibrate::{CalibratedModel, Calibration, NoBase};
use fidelio_shared::schema::{DataError, check_version, read_json};
use fidelio_shared::time::Ticks;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{AnyKind, AnyModel, Files, LoadedModel, load as load_model};
use crate::config::{Experiment, LatencyConfig, LatencyKind};

/// `base` of a calibration: the settings of the model calibrated upon, and the content of its profile.
#[derive(Debug, Deserialize, Serialize)]
struct Base {
    latency: LatencyConfig,
    profile: Option<PathBuf>,
    sha256: String,
}

/// What a calibration upon `loaded`, as `experiment` has it, says of it.
pub fn describe_base(experiment: &Experiment, loaded: &LoadedModel) -> Value {
    json!(Base { latency: experiment.latency.clone(), profile: loaded.profile.clone(), sha256: loaded.sha256.clone() })
}

/// A model of no time, to calibrate upon nothing.
pub fn nothing() -> AnyModel {
    AnyModel { kind: AnyKind::Nothing(NoBase), extra_host: Ticks::default() }
}

/// Reads the file, and what a run predicted with it is to say of it.
pub fn load(
    experiment: &Experiment,
    path: &Path,
    files: &mut Files,
) -> anyhow::Result<(CalibratedModel<AnyModel>, Value)> {
    let shown = path.display().to_string();
    if path.is_dir() {
        return Err(DataError::new(shown, "is a directory: a calibration is one file")
            .with_hint("`fidelio calibrate --real DIR` prints the path of the file it makes")
            .into());
    }
    let bytes = files.read(path)?;
    let calibration: Calibration = read_json(&shown, &bytes)?;
    check_version(&shown, Some(&calibration.schema_version))?;
    let said = json!({
        "fitted_to": calibration.fitted_to,
        "terms": calibration.terms,
        "residuals": calibration.residuals,
        "base": calibration.base,
    });
    let base = match &calibration.base {
        Some(base) => {
            load_base(experiment, base).with_context(|| format!("loading what `{shown}` is calibrated upon"))?
        }
        None => nothing(),
    };
    Ok((calibration.latency_model(base), said))
}

fn load_base(experiment: &Experiment, base: &Value) -> anyhow::Result<AnyModel> {
    let base: Base = serde_json::from_value(base.clone()).map_err(|error| {
        DataError::new("calibration.json", format!("is not what it should be: {error}")).in_column("base")
    })?;
    if base.latency.kind == LatencyKind::Calibrated {
        return Err(DataError::new("calibration.json", "a calibration upon a calibration").in_column("base").into());
    }
    let experiment = Experiment { latency: base.latency, ..experiment.clone() };
    let loaded = load_model(&experiment, base.profile.as_deref())?;
    if loaded.sha256 != base.sha256 {
        let profile = base.profile.unwrap_or_default();
        return Err(DataError::new(profile.display().to_string(), "is not the profile that was calibrated upon")
            .with_hint("`fidelio calibrate … --profile DIR` calibrates upon this one")
            .into());
    }
    Ok(loaded.model)
}

//! `fidelio calibrate`: a latency model fitted to real runs, as one file that says what it was fitted to.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::calibrate::{Calibration, CalibrationError, FittedTerm, Source, calibrate as fit, stamps_sha256};
use fidelio_shared::charts::format_duration;
use fidelio_shared::report::magnitude;
use fidelio_shared::schema::{Run, sha256_hex, write_json};
use fidelio_shared::serving::SchedulerConfig;
use serde_json::json;

use crate::commands::{Context, Outcome, summary};
use crate::config::Experiment;
use crate::error::Hinted;
use crate::latency;
use crate::store::write_file;

/// What is calibrated, and on what.
#[derive(Clone, Debug)]
pub struct CalibrateInputs {
    /// Real runs, all served with the same settings.
    pub real: Vec<PathBuf>,
    /// Requests of each to fit to; all of them otherwise.
    pub requests: Option<Range<u32>>,
    /// Profile of the experiment's latency model, which is then what is calibrated.
    pub profile: Option<PathBuf>,
}

/// Fits, writes the file and tells what was found. `experiment` tells the scheduler's settings of runs that do not
/// say them, and the model that is calibrated when there is a profile.
///
/// # Errors
/// When a run is broken or was not served with these settings, nothing tells its settings, or there is too little
/// to fit to.
pub fn calibrate(
    context: &Context,
    experiment: Option<&Experiment>,
    inputs: &CalibrateInputs,
    out: Option<&Path>,
) -> anyhow::Result<Outcome> {
    let runs: Vec<Run> = inputs.real.iter().map(|dir| summary::load(dir)).collect::<anyhow::Result<_>>()?;
    let mut stamps = std::collections::BTreeSet::new();
    if let Some(twice) = runs.iter().find(|run| !stamps.insert(stamps_sha256(run))) {
        let problem = format!("`{}` is given twice: a run cannot be held out of a fit to itself", twice.name);
        return Err(Hinted::new(problem, "give each run once").into());
    }
    let scheduler = match experiment {
        Some(experiment) => experiment.scheduler.clone(),
        None => told_settings(&runs)?,
    };
    let (base, described) = match (experiment, &inputs.profile) {
        (Some(experiment), Some(profile)) => {
            let loaded = latency::load(experiment, Some(profile)).context("loading the latency model")?;
            let described = latency::describe_base(experiment, &loaded);
            (loaded.model, Some(described))
        }
        (None, Some(_)) => {
            let problem = "a profile needs an experiment, which says what kind of profile it is and of which LLM";
            return Err(
                Hinted::new(problem, "`fidelio calibrate EXPERIMENT latency=layers --profile DIR --real DIR`").into()
            );
        }
        (_, None) => (latency::nothing(), None),
    };
    let sources: Vec<Source<'_>> = runs
        .iter()
        .map(|run| match &inputs.requests {
            Some(requests) => Source { run, requests: requests.clone() },
            None => Source::whole(run),
        })
        .collect();
    let mut calibration = fit(&sources, &scheduler, &base).map_err(with_hint)?;
    calibration.base = described;
    let bytes = write_json(&calibration);
    let path = save(context, &bytes, out)?;
    Ok(Outcome {
        text: format!("{}\n{}", text(&calibration), path.display()),
        json: json!({ "path": path.display().to_string(), "calibration": calibration }),
        is_tolerance_exceeded: false,
    })
}

/// The settings the runs themselves say, which must be the same.
fn told_settings(runs: &[Run]) -> anyhow::Result<SchedulerConfig> {
    let hint = "name an experiment with the settings the runs were served with, and override what differs: \
                `fidelio calibrate EXPERIMENT scheduler.max_num_seqs=16 --real DIR`";
    let told = |run: &Run| -> anyhow::Result<SchedulerConfig> {
        let scheduler = run.meta.params.get("scheduler").cloned().unwrap_or_default();
        serde_json::from_value(scheduler).map_err(|_| {
            let problem = format!("the run `{}` does not say its scheduler's settings", run.name);
            Hinted::new(problem, hint).into()
        })
    };
    let settings: Vec<SchedulerConfig> = runs.iter().map(told).collect::<anyhow::Result<_>>()?;
    if settings.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Hinted::new("the runs were served with different settings", "calibrate on each by itself").into());
    }
    settings.into_iter().next().ok_or_else(|| Hinted::new("no run to calibrate on", "name one with `--real`").into())
}

fn with_hint(error: CalibrationError) -> anyhow::Error {
    let hint = match &error {
        CalibrationError::Settings(_) => "say the settings the run was served with: `scheduler.…`",
        CalibrationError::TooFew(_) => "give longer runs, or more of them",
    };
    Hinted::new(error.to_string(), hint).into()
}

/// Writes the file where it was asked for, or under a name made of its content.
fn save(context: &Context, bytes: &[u8], out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let usual = || {
        let name = format!("calibration_{}.json", &sha256_hex(bytes)[..10]);
        context.store.root.join("calibrations").join(name)
    };
    let path = out.map_or_else(usual, Path::to_path_buf);
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        context.talk.note(format!("reusing {}", path.display()));
        return Ok(path);
    }
    context.store.check_free_file(&path)?;
    write_file(&path, |partial| {
        std::fs::write(partial, bytes).with_context(|| format!("writing `{}`", partial.display()))
    })?;
    Ok(path)
}

/// What was fitted, how well, and to what.
fn text(calibration: &Calibration) -> String {
    let mut text = format!("{:<22} {:>12} {:>14}\n", "term", "value", "standard error");
    for FittedTerm { term, value, standard_error, unit } in &calibration.terms {
        let name = json!(term).as_str().unwrap_or_default().to_owned();
        let shown = |value: f64| match unit.strip_prefix("ns ") {
            Some(_) => format_duration(value),
            None => format!("{value:.4}"),
        };
        let unit = unit.strip_prefix("ns ").unwrap_or(unit);
        text.push_str(&format!(
            "{name:<22} {:>12} {:>14}  {unit}\n",
            shown(*value),
            format!("± {}", shown(*standard_error))
        ));
    }
    let residuals = &calibration.residuals;
    text.push_str(&format!(
        "\n{} spans reproduced with a mean error of {} (median {}); held out of the fit, {}\n",
        residuals.num_observations,
        magnitude(residuals.mean_error),
        magnitude(residuals.median_error),
        magnitude(residuals.held_out_error),
    ));
    if !residuals.has_converged {
        text.push_str(&format!("! {} rounds did not settle the schedule\n", residuals.num_rounds));
    }
    for run in &calibration.fitted_to {
        let requests = format!("requests {} to {} of {}", run.first_request, run.last_request, run.num_requests);
        let id = run.run_id.as_deref().unwrap_or("a run without an id");
        text.push_str(&format!("fitted to {requests}: {id}, stamps {}\n", &run.stamps_sha256[..10]));
    }
    text
}

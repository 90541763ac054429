//! `fidelio profile`: what engine steps and operations cost on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::latency::{StepModel, StepProfile};
use fidelio_shared::report::percent;
use fidelio_shared::schema::write_json;
use serde_json::json;

use crate::commands::{Context, meta};
use crate::config::Experiment;
use crate::engine::{Engine, model_config};
use crate::interrupt;
use crate::profile::{Closure, closure, measure_steps, pilot, plan, refine, write_attention, write_mlp};
use crate::store::{Kind, Slot};

/// Measures a profiling root. It replaces the one of the same device and LLM, because a profile is of
/// the machine as it is now; with `out`, only when forced.
///
/// # Errors
/// When the engine fails, a file cannot be written or the user interrupts.
pub fn profile(
    context: &Context,
    experiment: &Experiment,
    engine: &mut dyn Engine,
    out: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let mut store = context.store.clone();
    let default = store.profile_dir(&experiment.hardware.name, &experiment.model.name);
    let target = match out {
        Some(out) => out,
        None => {
            store.force = true;
            &default
        }
    };
    let id = Kind::Profile.id(&profile_params(experiment));
    let Slot::New(staging) = store.open(Kind::Profile, &id, Some(target))? else {
        unreachable!("a profile is never reused")
    };
    let mut run = meta::begun_on(engine, "vidur_profile", &id, experiment);
    run.profiling_root = Some(target.display().to_string());
    staging.write("run_meta.json", &write_json(&run))?;

    let settings = &experiment.profile;
    let pilot = pilot(engine, plan(&experiment.scheduler), settings).context("trying two batch shapes")?;
    let times = u64::from(settings.repeats + settings.warmup_repeats);
    context.talk.note(format!(
        "profiling {} batch shapes × {times}, about {:.0} s{}",
        pilot.steps.len(),
        pilot.estimate.as_secs_f64(),
        match pilot.num_left_out {
            0 => String::new(),
            left_out => format!(" ({left_out} shapes are beyond profile.max_seconds={})", settings.max_seconds),
        }
    ));
    let bar = context.talk.progress(pilot.steps.len() as u64 * times, "profiling");
    let (scheduler, interrupted) = (&experiment.scheduler, interrupt::flag());
    let mut steps = measure_steps(engine, &pilot.steps, scheduler, settings, &bar, &interrupted)
        .context("measuring engine steps")?;
    bar.finish_and_clear();
    let refinement = refine(engine, &pilot.steps, &mut steps, scheduler, settings, &interrupted)
        .context("measuring engine steps between those of the grid")?;
    steps.write(staging.file("steps.csv")?)?;
    let closure = write_operations(experiment, engine, &staging, &steps)?;

    let report = StepModel::fit(&steps, experiment.latency.host_overhead).report(&steps);
    run.results.insert("step_model".to_owned(), json!(report));
    run.results.insert("refinement".to_owned(), json!(refinement));
    run.results.insert("closure".to_owned(), json!(closure));
    run.results.insert("shapes_left_out".to_owned(), json!(pilot.num_left_out));
    run.ended_at = Some(meta::now());
    context.talk.note(format!(
        "step model: {:.1} % mean error on {} fitted shapes{}",
        report.fitted_mean_error * 100.0,
        report.num_fitted,
        match report.held_out_mean_error {
            Some(error) => format!(", {:.1} % on {} held out", error * 100.0, report.num_held_out),
            None => String::new(),
        }
    ));
    if let Some(closure) = closure {
        context.talk.note(closure_words(&closure));
    }
    staging.commit(&write_json(&run))
}

fn closure_words(closure: &Closure) -> String {
    let Closure { num_shapes, mean_error, worst_error, .. } = closure;
    format!(
        "closure: operations add up to {num_shapes} whole steps with an error of {} on average, {} at worst",
        percent(*mean_error),
        percent(*worst_error)
    )
}

/// What a profile depends on.
fn profile_params(experiment: &Experiment) -> serde_json::Value {
    json!({
        "model": experiment.model,
        "hardware": experiment.hardware,
        "scheduler": experiment.scheduler,
        "backend": experiment.backend.kind,
        "profile": experiment.profile,
    })
}

/// Times single operations and writes their tables; how far they are from adding up to `steps`.
fn write_operations(
    experiment: &Experiment,
    engine: &mut dyn Engine,
    staging: &crate::store::Staging,
    steps: &StepProfile,
) -> anyhow::Result<Option<Closure>> {
    let timed = engine.operations(&experiment.scheduler, experiment.profile.repeats);
    let (mlp, attention) = timed.context("timing single operations")?;
    let model = model_config(experiment)?;
    let (device, name) = (&experiment.hardware.name, experiment.model.name.replace('/', "--"));
    let folder = format!("data/profiling/compute/{device}/{name}");
    write_mlp(staging.file(&format!("{folder}/mlp.csv"))?, &mlp, &model).context("writing `mlp.csv`")?;
    let file = staging.file(&format!("{folder}/attention.csv"))?;
    write_attention(file, &attention, &model, &experiment.scheduler, engine.attention_backend())
        .context("writing `attention.csv`")?;
    Ok(closure(model.num_hidden_layers, &mlp, &attention, steps))
}

//! `fidelio run`: workload, profile, measure, simulate, compare, bundle — the whole job, one verdict.

use std::path::Path;

use serde_json::json;

use crate::commands::compare::CompareInputs;
use crate::commands::save_workload::save_workload;
use crate::commands::{Context, Outcome, bundle, compare, measure, profile, simulate};
use crate::config::{Experiment, LatencyKind};
use crate::interrupt;

/// Does the whole job. With `out`, every artifact goes into that directory.
///
/// # Errors
/// As the stages: the first that fails ends the job, and what the earlier ones made stays.
pub fn run(context: &Context, experiment: &Experiment, out: Option<&Path>) -> anyhow::Result<Outcome> {
    measure::check_measurable(experiment)?;
    let talk = context.talk;
    let mut context = context.clone();
    if let Some(out) = out {
        context.store.root = out.to_path_buf();
    }
    let stage = |number: u32, what: &str| talk.note(format!("[{number}/6] {what}"));

    stage(1, "workload");
    let workload_dir = save_workload(&context, experiment, None)?;
    let asked = measure::read_workload(experiment, &workload_dir)?;
    let experiment = &mut experiment.clone();
    let mut engine = measure::load_engine(&context, experiment)?;

    stage(2, "profile");
    let profile_dir = profile::profile(&context, experiment, engine.as_mut(), None)?;

    stage(3, "measure");
    let real = measure::measure(&context, experiment, &asked, experiment.backend.repeats, engine.as_mut(), None)?;
    drop(engine);
    interrupt::release();

    stage(4, "simulate");
    let measured = (experiment.latency.kind == LatencyKind::Steps).then(|| profile_dir.clone());
    let profile = measured.or_else(|| simulate::usual_profile(&context, experiment));
    let sim = simulate::simulate(&context, experiment, &workload_dir, profile.as_deref(), None)?;

    stage(5, "compare");
    let inputs = CompareInputs { real: real.clone(), sim: sim.clone(), workload: Some(workload_dir.clone()) };
    let (comparison_dir, comparison) = compare::compare(&context, &inputs, &experiment.compare.options(), None)?;

    stage(6, "bundle");
    let zip = bundle::bundle(&context, &comparison_dir, false, None)?;

    let mut outcome = compare::outcome(&comparison_dir, &comparison);
    let shown = |path: &Path| path.display().to_string();
    // The name it was called by: a fresh build is not on PATH.
    let program = std::env::args().next().unwrap_or_else(|| "fidelio".to_owned());
    outcome.text.push_str(&format!("\n{}\n\nopen it: {program} view {}", shown(&zip), shown(&zip)));
    if let Some(object) = outcome.json.as_object_mut() {
        object.insert("workload".to_owned(), json!(shown(&workload_dir)));
        object.insert("profile".to_owned(), json!(shown(&profile_dir)));
        object.insert("real_runs".to_owned(), json!(real.iter().map(|dir| shown(dir)).collect::<Vec<_>>()));
        object.insert("sim_run".to_owned(), json!(shown(&sim)));
        object.insert("bundle".to_owned(), json!(shown(&zip)));
    }
    Ok(outcome)
}

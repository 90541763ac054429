//! From parsed arguments to the verb that does the work.

use std::path::PathBuf;

use clap::CommandFactory;
use fidelio_shared::schema::comparison::CompareOptions;
use fidelio_shared::stats::{BootstrapOptions, Percentile};
use serde_json::json;

use crate::cli::args::{Args, ExperimentArgs, ShareTarget, Verb};
use crate::commands::calibrate::CalibrateInputs;
use crate::commands::compare::CompareInputs;
use crate::commands::save_workload::save_workload;
use crate::commands::{
    Context, Outcome, bundle, calibrate, capacity, compare, configs, doctor, evidence, measure, profile, run, share,
    simulate, summary, trace, verify, view,
};
use crate::config::{ConfigRequest, Experiment, Library, resolve, user_file};
use crate::s3::PlaceOptions;
use crate::store::Store;
use crate::talk::Talk;

/// Runs the verb.
///
/// # Errors
/// Whatever kept it from being done.
pub fn dispatch(args: Args) -> anyhow::Result<Outcome> {
    let talk = Talk { is_quiet: args.quiet, is_verbose: args.verbose };
    let context = Context { store: Store { root: args.root, force: args.force, talk }, talk };
    let config_dir = args.config_dir;
    let resolved = |experiment: ExperimentArgs| resolve_experiment(experiment, config_dir.clone(), talk);
    match args.verb {
        Verb::Run { experiment, out } => run::run(&context, &resolved(experiment)?, out.as_deref()),
        Verb::Workload { experiment, out } => {
            Ok(Outcome::made(&save_workload(&context, &resolved(experiment)?, out.as_deref())?))
        }
        Verb::Profile { experiment, out } => {
            let mut experiment = resolved(experiment)?;
            measure::check_measurable(&experiment)?;
            let mut engine = measure::load_engine(&context, &mut experiment)?;
            Ok(Outcome::made(&profile::profile(&context, &experiment, engine.as_mut(), out.as_deref())?))
        }
        Verb::Measure { experiment, workload, repeats, out } => {
            let mut experiment = resolved(experiment)?;
            measure::check_measurable(&experiment)?;
            let workload = workload_dir(&context, &experiment, workload)?;
            let asked = measure::read_workload(&experiment, &workload)?;
            let mut engine = measure::load_engine(&context, &mut experiment)?;
            let repeats = repeats.unwrap_or(experiment.backend.repeats);
            let made = measure::measure(&context, &experiment, &asked, repeats, engine.as_mut(), out.as_deref())?;
            let paths: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
            Ok(Outcome::new(paths.join("\n"), json!({ "paths": paths })))
        }
        Verb::Simulate { experiment, workload, profile, out } => {
            let experiment = resolved(experiment)?;
            let workload = workload_dir(&context, &experiment, workload)?;
            let profile = profile.or_else(|| simulate::usual_profile(&context, &experiment));
            let made = simulate::simulate(&context, &experiment, &workload, profile.as_deref(), out.as_deref())?;
            Ok(Outcome::made(&made))
        }
        Verb::Capacity { experiment, profile, share } => {
            let experiment = resolved(experiment)?;
            let profile = profile.or_else(|| simulate::usual_profile(&context, &experiment));
            capacity::capacity(&context, &experiment, profile.as_deref(), share)
        }
        Verb::Calibrate { experiment, overrides, real, requests, profile, out } => {
            let named = experiment.map(|experiment| resolved(ExperimentArgs { experiment, overrides }));
            let inputs = CalibrateInputs { real, requests, profile };
            calibrate::calibrate(&context, named.transpose()?.as_ref(), &inputs, out.as_deref())
        }
        Verb::Compare {
            real,
            sim,
            workload,
            tolerance,
            percentiles,
            confidence,
            resamples,
            seed,
            definition,
            slo,
            allow_mismatch,
            out,
        } => {
            let usual = CompareOptions::default();
            let options = CompareOptions {
                tolerance: tolerance.unwrap_or(usual.tolerance),
                is_tolerance_declared: tolerance.is_some(),
                percentiles: if percentiles.is_empty() { usual.percentiles } else { ascending(percentiles) },
                allow_mismatch,
                definition,
                slo,
                verdict_on: usual.verdict_on,
                bootstrap: BootstrapOptions {
                    num_resamples: resamples.unwrap_or(usual.bootstrap.num_resamples),
                    seed: seed.unwrap_or(usual.bootstrap.seed),
                    confidence: confidence.unwrap_or(usual.bootstrap.confidence),
                },
            };
            let inputs = CompareInputs { real, sim, workload };
            let (dir, comparison) = compare::compare(&context, &inputs, &options, out.as_deref())?;
            Ok(compare::outcome(&dir, &comparison))
        }
        Verb::Bundle { comparison, with_prompts, html, out } => {
            let make = if html { bundle::bundle_page } else { bundle::bundle };
            Ok(Outcome::made(&make(&context, &comparison, with_prompts, out.as_deref())?))
        }
        Verb::Verify { bundle } => verify::verify(&bundle),
        Verb::View { bundles, port, no_open } => {
            view::run(&bundles, port, !no_open)?;
            Ok(Outcome::new("", serde_json::Value::Null))
        }
        Verb::Share { bundles, target: ShareTarget { out: Some(out), .. }, .. } => {
            share::to_folder(&context, &bundles, &out)
        }
        Verb::Share { bundles, target, endpoint, region, virtual_host, public_url } => {
            let to = target.to.unwrap_or_default();
            let options = PlaceOptions { to, endpoint, region, is_virtual_host: virtual_host, public_url };
            share::to_storage(&context, &bundles, &options)
        }
        Verb::Summary { run, definition, slo } => {
            let definitions = definition.map_or_else(Vec::new, |definitions| definitions.0);
            summary::summary(&run, &definitions, slo.as_ref())
        }
        Verb::Trace { run, out } => trace::trace(&context, &run, out.as_deref()),
        Verb::Evidence { data, out } => evidence::evidence(&context, &data, out.as_deref()),
        Verb::Doctor => Ok(doctor::doctor()),
        Verb::Configs { group } => {
            let library = Library::new(config_dir.as_deref())?;
            let listings = configs::list_configs(&library, group.as_deref())?;
            Ok(Outcome::new(configs::configs_text(&listings).trim_end(), json!(listings)))
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "fidelio", &mut script);
            Ok(Outcome::new(
                String::from_utf8_lossy(&script).trim_end(),
                json!({ "script": String::from_utf8_lossy(&script) }),
            ))
        }
    }
}

/// Each percentile once, in order.
fn ascending(mut percentiles: Vec<u32>) -> Vec<Percentile> {
    percentiles.sort_unstable();
    percentiles.dedup();
    percentiles.into_iter().map(Percentile).collect()
}

fn resolve_experiment(asked: ExperimentArgs, config_dir: Option<PathBuf>, talk: Talk) -> anyhow::Result<Experiment> {
    let request =
        ConfigRequest { experiment: asked.experiment, overrides: asked.overrides, user_file: user_file(), config_dir };
    let experiment = resolve(&request)?;
    experiment.source.notices.iter().for_each(|notice| talk.note(notice));
    Ok(experiment)
}

/// The given directory, or the experiment's own workload.
fn workload_dir(context: &Context, experiment: &Experiment, given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match given {
        Some(dir) => Ok(dir),
        None => save_workload(context, experiment, None),
    }
}

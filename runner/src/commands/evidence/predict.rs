//! What is predicted of a data set, and scored: the published simulation, a profile nothing was fitted to, calibrations.

use anyhow::Context as _;
use fidelio_shared::calibrate::{NoBase, Source, calibrate, stamps_sha256};
use fidelio_shared::compare::workload_of;
use fidelio_shared::evidence::{Case, Means, Question, Standing, errors};
use fidelio_shared::latency::LatencyModel;
use fidelio_shared::metrics::{Definition, Metric};
use fidelio_shared::schema::Run;
use fidelio_shared::serving::{ClusterConfig, SchedulerConfig};
use fidelio_shared::simulate::{RequestRows, Simulation};
use fidelio_shared::stats::Percentile;

use crate::commands::evidence::datasets::{Dataset, PublishedRun};

/// What the Vidur paper and those who repeat it score.
const PAPER: Question<'static> = Question {
    metrics: &[Metric::NormalisedExecution, Metric::NormalisedE2e, Metric::NormalisedPrefill, Metric::NormalisedDecode],
    percentiles: &[Percentile::P50, Percentile::P95],
    means: Means::Left,
    definition: Definition::Vidur,
};
/// What people ask of a server.
const SERVER: Question<'static> = Question {
    metrics: &[Metric::Ttft, Metric::Tpot, Metric::E2e],
    percentiles: &[Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99],
    means: Means::Scored,
    definition: Definition::Fidelio,
};
/// What runs with a time a token are asked besides.
const TOKENS: Question<'static> = Question {
    metrics: &[Metric::Ttft, Metric::Itl, Metric::Tpot, Metric::E2e],
    percentiles: &[Percentile::P50, Percentile::P90, Percentile::P99],
    means: Means::Left,
    definition: Definition::Fidelio,
};
/// Of a single run, the first third is fitted to and the rest is predicted.
const FITTED_PART: usize = 3;

/// Every case of one data set.
///
/// # Errors
/// When a run cannot be replayed or scored.
pub fn cases(dataset: &Dataset) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for run in &dataset.runs {
        if let Some(published) = &run.published {
            let question = question(dataset, run);
            cases.push(case(dataset, run, "published simulation", Standing::Published, published, &question)?);
        }
        let Some(scheduler) = &dataset.scheduler else { continue };
        match (&dataset.layers, dataset.runs.len()) {
            (Some(layers), _) => cases.extend(from_profile(dataset, run, scheduler, layers)?),
            (None, 1) => cases.push(later_part(dataset, run, scheduler, &NoBase, "fidelio, calibrated steps")?),
            (None, _) => {
                for fitted in &dataset.runs {
                    cases.push(across(dataset, fitted, run, scheduler)?);
                }
            }
        }
    }
    Ok(cases)
}

fn question(dataset: &Dataset, run: &PublishedRun) -> Question<'static> {
    if run.real.tokens.is_some() {
        TOKENS
    } else if dataset.layers.is_some() {
        SERVER
    } else {
        PAPER
    }
}

fn case(
    dataset: &Dataset,
    run: &PublishedRun,
    predictor: &str,
    standing: Standing,
    predicted: &Run,
    question: &Question<'_>,
) -> anyhow::Result<Case> {
    let rows = errors(&run.real, predicted, question)
        .with_context(|| format!("scoring `{}` of `{}`", run.name, dataset.name))?;
    Ok(Case {
        data: described(dataset),
        run: run.name.clone(),
        predictor: predictor.to_owned(),
        standing,
        num_requests: run.real.requests.len(),
        definition: question.definition,
        rows,
    })
}

fn described(dataset: &Dataset) -> String {
    if dataset.description.is_empty() { dataset.name.clone() } else { dataset.description.clone() }
}

/// Fits to one run and predicts another.
fn across(
    dataset: &Dataset,
    fitted: &PublishedRun,
    run: &PublishedRun,
    scheduler: &SchedulerConfig,
) -> anyhow::Result<Case> {
    let calibration = calibrate(&[Source::whole(&fitted.real)], scheduler, &NoBase)
        .with_context(|| format!("calibrating on `{}` of `{}`", fitted.name, dataset.name))?;
    let predicted = simulated(&run.real, scheduler, &calibration.latency_model(NoBase))?;
    let standing = match stamps_sha256(&fitted.real) == stamps_sha256(&run.real) {
        true => Standing::Reproduced,
        false => Standing::Predicted { fitted_to: fitted.name.clone() },
    };
    case(dataset, run, "fidelio, calibrated steps", standing, &predicted, &question(dataset, run))
}

/// The profile as it is, over all requests and over the later ones, then calibrated on the first ones.
fn from_profile<M: LatencyModel>(
    dataset: &Dataset,
    run: &PublishedRun,
    scheduler: &SchedulerConfig,
    layers: &M,
) -> anyhow::Result<Vec<Case>> {
    let predicted = simulated(&run.real, scheduler, layers)?;
    let predictor = "fidelio, profile of operations";
    let all = case(dataset, run, predictor, Standing::Unfitted, &predicted, &question(dataset, run))?;
    let from = run.real.requests.len() / FITTED_PART;
    let later = part_of(dataset, run, from, predictor, Standing::Unfitted, &predicted)?;
    Ok(vec![all, later, later_part(dataset, run, scheduler, layers, "fidelio, calibrated profile")?])
}

/// Fits to the first requests of a run and predicts the later ones.
fn later_part<M: LatencyModel>(
    dataset: &Dataset,
    run: &PublishedRun,
    scheduler: &SchedulerConfig,
    base: &M,
    predictor: &str,
) -> anyhow::Result<Case> {
    let from = run.real.requests.len() / FITTED_PART;
    let source = Source { run: &run.real, requests: 0..from as u32 };
    let calibration = calibrate(&[source], scheduler, base)
        .with_context(|| format!("calibrating on the first {from} requests of `{}`", run.name))?;
    let predicted = simulated(&run.real, scheduler, &calibration.latency_model(base))?;
    let standing = Standing::Predicted { fitted_to: format!("requests 0 to {} of the same run", from - 1) };
    part_of(dataset, run, from, predictor, standing, &predicted)
}

fn part_of(
    dataset: &Dataset,
    run: &PublishedRun,
    from: usize,
    predictor: &str,
    standing: Standing,
    predicted: &Run,
) -> anyhow::Result<Case> {
    let all = run.real.requests.len();
    let part = PublishedRun {
        name: format!("{}, requests {from} to {}", run.name, all - 1),
        real: run.real.part(from..all),
        published: None,
    };
    case(dataset, &part, predictor, standing, &predicted.part(from..all), &question(dataset, &part))
}

/// The workload of `real` on predicted step times.
fn simulated<M: LatencyModel>(real: &Run, scheduler: &SchedulerConfig, model: &M) -> anyhow::Result<Run> {
    let mut requests = RequestRows::default();
    let simulation = Simulation { scheduler, cluster: &ClusterConfig::default(), seed: 0, model };
    simulation
        .run(&workload_of(real), &mut requests)
        .map_err(|error| anyhow::anyhow!("the simulation stopped: {error:?}"))?;
    Ok(requests.into_run("predicted"))
}

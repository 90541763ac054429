//! `fidelio capacity`: the highest arrival rate an experiment's simulated engine sustains, every probe on record.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use fidelio_shared::capacity::{Capacity, CapacityReport, Probe, judge_probe, search};
use fidelio_shared::charts::format_duration;
use fidelio_shared::simulate::RequestRows;
use fidelio_shared::workload::ArrivalProcess;
use serde_json::json;

use crate::commands::{Context, Outcome, simulate, workload};
use crate::config::{Experiment, LatencyKind};
use crate::error::{Hinted, Interrupted};
use crate::interrupt;
use crate::latency::{self, LoadedModel};

/// Searches, and tells the rate at `share` of the capacity.
///
/// # Errors
/// When a probe cannot be simulated, or the engine is overloaded at the lowest rate.
pub fn capacity(
    context: &Context,
    experiment: &Experiment,
    profile: Option<&Path>,
    share: f64,
) -> anyhow::Result<Outcome> {
    let loaded = latency::load(experiment, profile).context("loading the latency model")?;
    let experiment = &Experiment { scheduler: simulate::counted_blocks(experiment, &loaded)?, ..experiment.clone() };
    let bar = context.talk.progress(0, "probing");
    let report = search(&experiment.capacity, |rate_rps| {
        if interrupt::flag().load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        let probe =
            probe(experiment, &loaded, rate_rps).with_context(|| format!("probing {rate_rps:.4} requests/s"))?;
        context.talk.detail(line(&probe));
        bar.inc(1);
        Ok::<Probe, anyhow::Error>(probe)
    });
    bar.finish_and_clear();
    let engine = match experiment.latency.kind {
        LatencyKind::Roofline => "step times from a roofline are a floor: the engine's own capacity is lower",
        _ => "of the engine as it is predicted",
    };
    told(&report?, share, engine)
}

/// Simulates the experiment's workload at another rate.
fn probe(experiment: &Experiment, loaded: &LoadedModel, rate_rps: f64) -> anyhow::Result<Probe> {
    let mut experiment = experiment.clone();
    experiment.workload.arrivals = match experiment.workload.arrivals {
        ArrivalProcess::Poisson { max_gap_factor, .. } => ArrivalProcess::Poisson { rate_rps, max_gap_factor },
        ArrivalProcess::Gamma { cv, .. } => ArrivalProcess::Gamma { rate_rps, cv },
        // Other processes have no rate to vary; independent arrivals are what people mean by one.
        _ => ArrivalProcess::Poisson { rate_rps, max_gap_factor: None },
    };
    let workload = workload::build_workload(&experiment)?.workload()?;
    simulate::check_workload(&experiment, &workload)?;
    let mut requests = RequestRows::default();
    simulate::native(&experiment, &workload, loaded, &mut requests)?;
    Ok(judge_probe(rate_rps, &requests.into_run("probe"), &experiment.capacity))
}

fn told(report: &CapacityReport, share: f64, engine: &str) -> anyhow::Result<Outcome> {
    let at = match report.capacity {
        Capacity::Found { rate_rps, .. } => rate_rps * share,
        Capacity::Overloaded { rate_rps } => {
            let problem = format!(
                "the engine is overloaded at {rate_rps:.6} requests/s already: it has no capacity to report\n{}",
                table(&report.probes).trim_end()
            );
            return Err(Hinted::new(problem, "ask for shorter requests, or give the scheduler more KV blocks").into());
        }
        Capacity::NotReached { rate_rps } => {
            let problem = format!(
                "{rate_rps:.0} requests/s are still sustained: the workload is too short to fill the engine\n{}",
                table(&report.probes).trim_end()
            );
            return Err(Hinted::new(problem, "raise `workload.num_requests`").into());
        }
    };
    let mut text = table(&report.probes);
    if let Capacity::Found { rate_rps, overloaded_rps } = report.capacity {
        let _ = writeln!(
            text,
            "\nCapacity {rate_rps:.4} requests/s: sustained there, and not at {overloaded_rps:.4} ({engine}).\n\
             Sustained: {} requests a probe, all served, the queue does not grow, and P99 of the scheduling delay is at most {} s.",
            report.probes.first().map_or(0, |probe| probe.num_requests),
            report.options.max_delay_s
        );
    }
    let _ = write!(text, "At {:.0} % of it: workload.arrivals.rate_rps={at:.4}", share * 100.0);
    Ok(Outcome::new(text, json!({ "capacity": report, "share": share, "rate_rps": at })))
}

fn table(probes: &[Probe]) -> String {
    let mut text = format!("{:>12} {:>14}  {}\n", "requests/s", "P99 delay", "");
    for probe in probes {
        text.push_str(&line(probe));
        text.push('\n');
    }
    text
}

fn line(probe: &Probe) -> String {
    let delay = probe.p99_delay_ns.map_or("–".to_owned(), |delay| format_duration(delay.as_f64()));
    let verdict = probe.overload.map_or("sustained".to_owned(), |overload| overload.words());
    format!("{:>12.4} {delay:>14}  {verdict}", probe.rate_rps)
}

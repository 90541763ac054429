//! How well a calibration on one real run predicts another: every error with its interval, misses included.
//!
//! What is fitted to is never scored here. Beside ours stand the model of two numbers that this was to beat, and the
//! published simulator's errors.

use std::fs::{self, File};
use std::path::Path;

use fidelio_shared::calibrate::{Calibration, NoBase, Source, calibrate};
use fidelio_shared::compare::{compare, workload_of};
use fidelio_shared::latency::layered::{LayerProfile, LayeredModel};
use fidelio_shared::latency::{BatchShape, LatencyModel, StepTime};
use fidelio_shared::metrics::{Definition, Metric};
use fidelio_shared::schema::Run;
use fidelio_shared::schema::comparison::{CompareOptions, Comparison, NoticeKind};
use fidelio_shared::schema::table::TableReader;
use fidelio_shared::serving::{Policy, SchedulerConfig};
use fidelio_shared::simulate::{RequestRows, simulate};
use fidelio_shared::stats::Percentile;
use fidelio_shared::time::{Nanos, Ticks};

use fidelio::store::load_run_dir;

use crate::harness::data;

/// Errors of the A100 runs that must lie within 2 %, of 16, and the bar for the largest; percent.
const MOST_WITHIN: usize = 15;
const LARGEST: f64 = 2.1;
/// Mean of their sizes, percent. The model of two numbers has 1.17.
const MEAN: f64 = 0.8;

/// Errors of the means of the RTX 4090's unseen requests are at most this, percent.
const MEANS_WITHIN: f64 = 1.5;

/// The first requests of that run, which are fitted to.
const FITTED: u32 = 100;

const VIDUR_METRICS: [Metric; 4] =
    [Metric::NormalisedExecution, Metric::NormalisedE2e, Metric::NormalisedPrefill, Metric::NormalisedDecode];

#[test]
fn each_real_a100_run_is_predicted_from_the_other() {
    let Some(folder) = data("llama2_7b_a100_arxiv") else { return };
    let runs = ["static_small", "dynamic_small"].map(|name| {
        let path = folder.join(name).join("real_request_metrics.csv");
        Run { name: name.to_owned(), ..load_run_dir(&path).expect("a run of Sarathi") }
    });
    let published = published(&folder);
    let mut sizes = Vec::new();
    for (fitted, unseen) in [(&runs[0], &runs[1]), (&runs[1], &runs[0])] {
        let calibration = calibrate(&[Source::whole(fitted)], &sarathi(), &NoBase).expect("a calibration");
        println!("\n{} -> {}", fitted.name, unseen.name);
        print_terms(&calibration);
        let ours = hold(unseen, &sarathi(), &calibration.latency_model(NoBase), Some(&calibration));
        assert!(ours.notices.iter().all(|notice| notice.kind != NoticeKind::Fitted), "{:?}", ours.notices);
        let two = hold(unseen, &sarathi(), &TwoNumbers, None);
        println!("{:22} {:>4} {:>8} {:>18} {:>12} {:>10}", "", "", "ours", "95 %", "two numbers", "published");
        for metric in VIDUR_METRICS {
            for percentile in [Percentile::P50, Percentile::P95] {
                let [(error, interval), (two, _)] =
                    [&ours, &two].map(|comparison| error_of(comparison, metric, percentile));
                let [low, high] = interval.expect("50 requests have intervals");
                let beside = published(&unseen.name, metric, percentile).unwrap_or_else(|| "-".to_owned());
                let label = format!("P{}", percentile.0 / 100);
                println!(
                    "{:22} {label:>4} {error:+8.2} [{low:+7.2}, {high:+7.2}] {two:+12.2} {beside:>10}",
                    metric.label()
                );
                sizes.push(error.abs());
            }
        }
        let again = hold(fitted, &sarathi(), &calibration.latency_model(NoBase), Some(&calibration));
        assert_eq!(again.notices.iter().filter(|notice| notice.kind == NoticeKind::Fitted).count(), 1);
    }
    let within = sizes.iter().filter(|size| **size < 2.0).count();
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    println!(
        "\n{within} of {} errors within 2 %, the largest {largest:.2} %, their mean size {mean:.2} %",
        sizes.len()
    );
    assert!(within >= MOST_WITHIN && largest < LARGEST && mean < MEAN);
}

#[test]
fn a_real_vllm_run_goes_on_as_its_beginning_was_calibrated() {
    let Some(folder) = data("vllm_rtx4090_llama31_8b") else { return };
    let run = load_run_dir(&folder).expect("the records and their settings");
    let scheduler: SchedulerConfig =
        serde_json::from_value(run.meta.params["scheduler"].clone()).expect("all settings are told");
    let profile = layers(&folder);
    let source = Source { run: &run, requests: 0..FITTED };
    let calibration = calibrate(&[source], &scheduler, &profile).expect("a calibration");
    print_terms(&calibration);
    let whole = [
        ("profile alone", simulated(&run, &scheduler, &profile)),
        ("calibrated", simulated(&run, &scheduler, &calibration.latency_model(&profile))),
    ];
    let real = after(&run);
    println!("requests {FITTED} to {}, to which nothing was fitted", run.requests.len() - 1);
    println!("{:14} {:5} {:>7} {:>7} {:>7} {:>7} {:>7}", "", "", "mean", "P50", "P90", "P95", "P99");
    for (name, simulated) in &whole {
        let options = CompareOptions {
            percentiles: [5_000, 9_000, 9_500, 9_900].map(Percentile).to_vec(),
            allow_mismatch: true,
            ..CompareOptions::default()
        };
        let comparison =
            compare(std::slice::from_ref(&real), &after(simulated), None, &options).expect("the same requests");
        for metric in [Metric::Ttft, Metric::Tpot, Metric::E2e] {
            let found = comparison.metric(metric).expect("both have it");
            let mean = 100.0 * (found.sim.mean.as_f64() / found.real.mean.as_f64() - 1.0);
            print!("{name:14} {:5} {mean:+7.2}", metric.label());
            found.percentiles.iter().for_each(|row| print!(" {:+7.2}", 100.0 * row.rel_error.expect("times")));
            println!();
            assert!(*name != "calibrated" || mean.abs() < MEANS_WITHIN, "mean {} {mean:+.2} %", metric.label());
        }
    }
    println!("published simulation of all 300 requests:");
    println!("{}", fs::read_to_string(folder.join("summary.txt")).expect("summary.txt"));
}

/// The requests nothing was fitted to, numbered anew.
fn after(run: &Run) -> Run {
    run.part(FITTED as usize..run.requests.len())
}

/// The settings the two runs were served with; their block count is not told, and was never reached.
fn sarathi() -> SchedulerConfig {
    SchedulerConfig {
        policy: Policy::Sarathi,
        max_num_seqs: 16,
        max_num_batched_tokens: 16,
        block_size: 16,
        num_blocks: 100_000,
        max_model_len: 8_192,
        ..SchedulerConfig::default()
    }
}

/// 14.445 ms a step and 0.591 µs a token of context being decoded, fitted to one real run of this engine.
struct TwoNumbers;

impl LatencyModel for TwoNumbers {
    fn stage_time(&self, shape: &BatchShape, _stage: u32) -> StepTime {
        let nanos = 14_445_000.0 + 591.0 * shape.context_tokens as f64;
        StepTime { host: Ticks::default(), device: Ticks::from_nanos_f64(nanos), is_covered: true }
    }
}

fn layers(folder: &Path) -> LayeredModel {
    let open = |name: &str| File::open(folder.join("profile").join(name)).expect("a table of the profile");
    let profile = LayerProfile::read(open("dense.csv"), open("attention.csv"), open("per_sequence.csv"));
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("meta.json")).expect("meta.json")).expect("JSON");
    let captured = &meta["resolved_config"]["compilation_config"]["cudagraph_capture_sizes"];
    let captured: Vec<u32> = serde_json::from_value(captured.clone()).expect("sizes");
    LayeredModel::new(&profile.expect("a whole profile"), 32, &captured, Nanos::ZERO)
}

fn simulated(real: &Run, scheduler: &SchedulerConfig, model: &impl LatencyModel) -> Run {
    let mut rows = RequestRows::default();
    simulate(&workload_of(real), scheduler, model, &mut rows).expect("possible settings");
    rows.into_run("simulated")
}

/// The comparison of a real run with its simulation, in Vidur's definitions.
fn hold(
    real: &Run,
    scheduler: &SchedulerConfig,
    model: &impl LatencyModel,
    calibration: Option<&Calibration>,
) -> Comparison {
    let mut sim = simulated(real, scheduler, model);
    if let Some(calibration) = calibration {
        let said = serde_json::json!({ "fitted_to": calibration.fitted_to });
        sim.meta.results.insert("calibration".to_owned(), said);
    }
    let options = CompareOptions {
        percentiles: vec![Percentile::P50, Percentile::P95],
        allow_mismatch: true,
        definition: Definition::Vidur,
        ..CompareOptions::default()
    };
    compare(std::slice::from_ref(real), &sim, None, &options).expect("the same requests")
}

/// Relative error and its interval, percent.
fn error_of(comparison: &Comparison, metric: Metric, percentile: Percentile) -> (f64, Option<[f64; 2]>) {
    let metric = comparison.metric(metric).expect("both have it");
    let row = metric.percentiles.iter().find(|row| row.percentile == percentile).expect("asked for");
    let ends = row.interval.as_ref().and_then(|interval| interval.rel_low.zip(interval.rel_high));
    let interval = ends.map(|(low, high)| [100.0 * low, 100.0 * high]);
    (100.0 * row.rel_error.expect("times"), interval)
}

fn print_terms(calibration: &Calibration) {
    for fitted in &calibration.terms {
        println!("  {:?} {:.4} ± {:.4} {}", fitted.term, fitted.value, fitted.standard_error, fitted.unit);
    }
    println!("  {:?}", calibration.residuals);
    assert!(calibration.residuals.has_converged);
}

/// The published simulator's unsigned error at its best settings for that run, as printed.
fn published(folder: &Path) -> impl Fn(&str, Metric, Percentile) -> Option<String> {
    let file = File::open(folder.join("error_summary.csv")).expect("error_summary.csv");
    let mut table = TableReader::new("error_summary.csv", file).expect("a table");
    let columns = table.all_required(&["run", "metric", "percentile", "abs_error_percent"]).expect("columns");
    let mut rows: Vec<[String; 4]> = Vec::new();
    while table.next_row().expect("a row") {
        rows.push([0, 1, 2, 3].map(|index| table.text(columns[index]).expect("text").unwrap_or_default().to_owned()));
    }
    move |run, metric, percentile| {
        let best = if run == "static_small" { "2026-01-12 7b static_small" } else { "11-19Z run 7b dynamic_small" };
        let word = match metric {
            Metric::NormalisedExecution => "exec",
            Metric::NormalisedE2e => "e2e",
            Metric::NormalisedPrefill => "prefill_exec_norm",
            _ => "decode_exec_norm",
        };
        let percentile = (percentile.0 / 100).to_string();
        let found = rows.iter().find(|[of, name, at, _]| of == best && name == word && *at == percentile);
        found.map(|[.., error]| error.clone())
    }
}

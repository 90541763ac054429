//! Errors that others published of their simulations, recomputed from their rows by their definitions, to the
//! printed digit; and our own fuller answer beside each.

use fidelio::store::load_run_dir;
use fidelio_shared::metrics::{Definition, Metric};
use fidelio_shared::schema::Run;
use fidelio_shared::stats::{Percentile, Sorted};

use crate::harness::fixture;

/// Whose metrics the published tables hold.
const PUBLISHED: Definition = Definition::Vidur;

/// What the tables call a metric.
fn metric_named(name: &str) -> Metric {
    match name {
        "exec" => Metric::NormalisedExecution,
        "e2e" => Metric::NormalisedE2e,
        "prefill_exec_norm" => Metric::NormalisedPrefill,
        "decode_exec_norm" => Metric::NormalisedDecode,
        other => panic!("no metric is called {other}"),
    }
}

/// One published error, in percent, with the digits it was printed with.
struct Score {
    run: &'static str,
    name: String,
    percentile: Percentile,
    printed: String,
}

fn scores() -> Vec<Score> {
    let file = fixture("llama2_7b_a100_arxiv/error_summary.csv");
    let mut table = csv::Reader::from_path(file).expect("the published table");
    let score = |row: csv::StringRecord| Score {
        run: if row[0].ends_with("static_small") { "static_small" } else { "dynamic_small" },
        name: row[2].to_owned(),
        percentile: Percentile(row[3].parse::<u32>().expect("a percentile") * 100),
        printed: row[4].to_owned(),
    };
    table.records().map(|row| score(row.expect("a row"))).collect()
}

/// The run as it was recorded, through the importer.
fn imported(run: &str, side: &str) -> Run {
    let file = format!("llama2_7b_a100_arxiv/{run}/{side}_request_metrics.csv");
    load_run_dir(&fixture(&file)).expect("a table in seconds")
}

/// Signed error of a percentile, in percent.
fn error(definition: Definition, metric: Metric, percentile: Percentile, [real, sim]: [&Run; 2]) -> f64 {
    let [real, sim] = [real, sim].map(|run| {
        let sample = Sorted::new(definition.values_of_run(run, metric)).expect("50 requests");
        definition.quantile(&sample, percentile).as_f64()
    });
    (sim / real - 1.0) * 100.0
}

#[test]
fn sixteen_published_errors_of_two_a100_runs_come_out_to_the_printed_digit() {
    let scores = scores();
    assert_eq!(scores.len(), 16, "four metrics at two percentiles of two runs");
    println!("{:14} {:18} {:>4} {:>10} {:>10}  signed, as compared", "run", "metric", "", "published", "ours");
    for score in scores {
        let sides = [imported(score.run, "real"), imported(score.run, "sim")];
        let found = error(PUBLISHED, metric_named(&score.name), score.percentile, [&sides[0], &sides[1]]);
        let decimals = score.printed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let ours = format!("{:.decimals$}", found.abs());
        let place = format!("{:14} {:18} {:>4}", score.run, score.name, score.percentile.to_string());
        println!("{place} {:>10} {ours:>10}  {found:+.3} %", score.printed);
        assert_eq!(ours, score.printed, "{place}");
    }
}

#[test]
fn the_parts_whose_errors_cancelled_are_told_apart() {
    // Published: 12.7 % for execution per token. Its parts: prefill -91 %, decode +126 %.
    let sides = [imported("static_small", "real"), imported("static_small", "sim")];
    let at = |metric| error(Definition::Fidelio, metric, Percentile::P50, [&sides[0], &sides[1]]);
    assert!(at(Metric::NormalisedPrefill) < -90.0 && at(Metric::NormalisedDecode) > 125.0);
    assert!(at(Metric::Execution).abs() < 60.0, "the sum hides what its parts are");
}

#[test]
fn arrivals_are_those_of_the_trace_that_was_replayed() {
    let [real, sim] = ["real", "sim"].map(|side| imported("dynamic_small", side));
    assert!(real.requests.iter().zip(&sim.requests).all(|(a, b)| a.arrival == b.arrival), "sides arrive together");
    assert_eq!(real.requests[1].arrival.0, 2_828_480_711);
    let still = imported("static_small", "real");
    assert!(still.requests.iter().all(|row| row.arrival.0 == 0), "all at once");
}

#[test]
fn published_token_percentiles_pool_the_zeros_of_first_tokens() {
    let published = std::fs::read_to_string(fixture("qwen3_a100_spaced/compare/tables/token_latency_percentiles.csv"));
    let [real, sim] = ["real_run", "vidur_run"].map(|side| {
        let run = load_run_dir(&fixture(&format!("qwen3_a100_spaced/{side}"))).expect("a run");
        Sorted::new(PUBLISHED.values_of_run(&run, Metric::Itl)).expect("tokens")
    });
    assert_eq!(real.values().len(), 512, "8 requests of 64 tokens: 504 gaps, and 8 zeros");
    for line in published.expect("a table").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let percentile = Percentile(cells[0].trim_start_matches('p').parse::<u32>().expect("a percentile") * 100);
        for (sample, printed) in [(&real, cells[1]), (&sim, cells[2])] {
            let printed: f64 = printed.parse().expect("a time");
            let ours = PUBLISHED.quantile(sample, percentile).as_f64();
            assert!((ours - printed).abs() < 0.01, "{line}: {ours}");
        }
    }
}

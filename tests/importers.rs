//! Runs of other tools on the command line: read as directories and as files, compared, bundled, verified.

use std::fs;

use fidelio::store::{hash_directory, load_run_dir};
use fidelio_shared::metrics::{Metric, values};
use fidelio_shared::schema::{Origin, RequestStatus};
use fidelio_shared::stats::{Percentile, Sorted};

use crate::goldens::goldens;
use crate::harness::{Scratch, data, fixture, fixture_arg};

const REAL: &str = "llama2_7b_a100_arxiv/static_small/real_request_metrics.csv";
const SIM: &str = "llama2_7b_a100_arxiv/static_small/sim_request_metrics.csv";

#[test]
fn a_file_of_another_tool_is_summarised_by_every_tools_definition() {
    let scratch = Scratch::new("importers-summary");
    let run = fixture_arg(REAL);
    let ran = scratch.fidelio(&["summary", &run, "--definition", "all", "--slo", "ttft=60s,tpot=17ms"]).expect(0);
    for words in ["| engine | sarathi |", "| vllm-bench | 50 |", "nearest-rank percentiles", "kept TPOT"] {
        assert!(ran.stdout.contains(words), "{words} is not in\n{}", ran.stdout);
    }
    let json = scratch.fidelio(&["summary", &run, "--definition", "vllm-bench,loadgen", "--json"]).expect(0).json();
    let readings = json["definitions"].as_array().expect("readings");
    let ttft: Vec<&serde_json::Value> = readings.iter().filter(|reading| reading["metric"] == "ttft").collect();
    assert_eq!(ttft.len(), 2);
    // 25 of 50 lie below the one tool's median, the value above them is the other's.
    assert!(ttft[1]["p50_ns"].as_f64() > ttft[0]["p50_ns"].as_f64(), "{ttft:?}");
    scratch.fidelio(&["summary", &run, "--definition", "vllm"]).refused(&["none of fidelio, vllm-bench"]);
}

#[test]
fn files_of_other_tools_are_compared_bundled_and_verified_by_the_definition_named() {
    let scratch = Scratch::new("importers-compare");
    let base = ["compare", "--real", &fixture_arg(REAL), "--sim", &fixture_arg(SIM)].map(str::to_owned);
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    scratch.fidelio(&base).refused(&["neither run says `model`", "--allow-mismatch"]);
    let asked = [&base[..], &["--allow-mismatch", "--definition", "vidur", "--slo", "e2e=60s"]].concat();
    let ran = scratch.fidelio(&asked).expect(0);
    assert!(ran.stdout.contains("metrics are as `vidur` defines them"), "{}", ran.stdout);
    let summary = fs::read_to_string(scratch.join(&ran.path().display().to_string()).join("summary.md"));
    let summary = summary.expect("a summary");
    let place = summary.find("metrics are as `vidur` defines them").expect("named");
    assert!(summary[..place].lines().count() < 8, "in the first lines:\n{summary}");
    for words in ["## Normalised decode", "Goodput under E2E ≤ 60.00 s", "| requests that kept it, % |"] {
        assert!(summary.contains(words), "{words} is not in\n{summary}");
    }
    let zip = scratch.fidelio(&["bundle", &ran.path().display().to_string()]).expect(0).path();
    scratch.fidelio(&["verify", &zip.display().to_string()]).expect(0);
    let mut bundle = zip::ZipArchive::new(fs::File::open(scratch.join(&zip.display().to_string())).expect("a zip"));
    let mut meta = String::new();
    let entry = bundle.as_mut().expect("a zip").by_name("real_run/run_meta.json");
    std::io::Read::read_to_string(&mut entry.expect("metadata"), &mut meta).expect("text");
    let source = hash_directory(&fixture(REAL)).expect("a hash");
    assert!(meta.contains(&source), "what was converted is named by its hash: {meta}");
}

#[test]
fn another_definition_and_a_changed_file_are_another_comparison() {
    let scratch = Scratch::new("importers-identity");
    for (name, file) in [("real.csv", REAL), ("sim.csv", SIM)] {
        fs::copy(fixture(file), scratch.join(name)).expect("a copy");
    }
    let base = ["compare", "--real", "real.csv", "--sim", "sim.csv", "--allow-mismatch"];
    let ours = scratch.fidelio(&base).expect(0).path();
    let theirs = scratch.fidelio(&[&base[..], &["--definition", "guidellm"]].concat()).expect(0).path();
    assert_ne!(ours, theirs);
    // The number of a request's pauses, which nothing is computed from.
    let text = fs::read_to_string(scratch.join("real.csv")).expect("text");
    let pauses = text.replacen(",289,0", ",290,0", 1);
    assert_ne!(text, pauses);
    fs::write(scratch.join("real.csv"), pauses).expect("written");
    assert_ne!(scratch.fidelio(&base).expect(0).path(), ours, "the rows are the same, the file is not");
    scratch.fidelio(&["bundle", &ours.display().to_string()]).refused(&["no longer the real_run"]);
}

#[test]
fn broken_files_of_other_tools_are_refused_by_path_line_and_column() {
    let scratch = Scratch::new("importers-broken");
    let text = fs::read_to_string(fixture(REAL)).expect("text");
    let broken = text.replacen("4.379993906011805", "4.479993906011805", 1);
    fs::write(scratch.join("broken.csv"), broken).expect("written");
    scratch.fidelio(&["summary", "broken.csv"]).refused(&["`broken.csv`, line 2, column `request_e2e_time`"]);
    fs::write(scratch.join("none.jsonl"), "{}\n").expect("written");
    scratch.fidelio(&["summary", "none.jsonl"]).refused(&["`none.jsonl`, line 1", "no record of a request"]);
}

#[test]
fn every_recorded_simulation_of_vidur_is_read() {
    let Some(folders) = goldens() else { return };
    for folder in folders {
        let run = load_run_dir(&folder).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run.meta.origin(), Some(Origin::Simulated), "{}", folder.display());
        let unfinished = run.requests.iter().filter(|row| row.status != RequestStatus::Ok).count();
        let is_cut_off = folder.display().to_string().contains("timelimit");
        assert_eq!(unfinished > 0, is_cut_off, "{}: {unfinished} unfinished", folder.display());
    }
}

#[test]
fn the_vllm_run_has_the_means_and_percentiles_that_were_published_of_it() {
    let Some(folder) = data("vllm_rtx4090_llama31_8b") else { return };
    let run = load_run_dir(&folder).expect("a run");
    let by_file = load_run_dir(&folder.join("requests.jsonl")).expect("the same run");
    assert_eq!(by_file.requests, run.requests);
    assert_eq!(by_file.meta, run.meta);
    let at = |metric, percentile| {
        let sample = Sorted::new(values(&run, metric)).expect("300 requests");
        let time = if percentile == Percentile(0) { sample.mean() } else { sample.quantile(percentile) };
        format!("{:.1}", time.as_f64() / 1e6)
    };
    // `summary.txt` of the data, the column `vLLM`, ms; the mean first.
    let published = [
        (Metric::Ttft, ["65456.6", "60110.9", "121121.7", "122739.2", "137356.3"]),
        (Metric::Tpot, ["32.4", "30.8", "38.1", "48.1", "56.0"]),
        (Metric::E2e, ["86578.3", "83413.3", "141600.9", "148977.6", "153627.5"]),
    ];
    let percentiles = [Percentile(0), Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99];
    for (metric, printed) in published {
        assert_eq!(percentiles.map(|percentile| at(metric, percentile)), printed, "{}", metric.label());
    }
    let scheduler = &run.meta.params["scheduler"];
    assert_eq!((scheduler["num_blocks"].as_u64(), scheduler["policy"].as_str()), (Some(2587), Some("vllm_v1")));
    assert_eq!(run.meta.backend.as_deref(), Some("vllm 0.19.0"));
}

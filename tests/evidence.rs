//! `fidelio evidence` on the public runs: every case there, misses told, predictions as near as they were measured.

use crate::harness::{Scratch, data};

#[test]
fn every_public_run_is_predicted_again_and_every_error_is_told() {
    let Some(one) = data("llama2_7b_a100_arxiv") else { return };
    let folder = one.parent().expect("the data folder").display().to_string();
    let scratch = Scratch::new("evidence");
    let told = scratch.fidelio(&["evidence", "--data", &folder, "--out", "out", "--json"]).expect(0).json();
    let cases = told["cases"].as_array().expect("cases");
    let standing = |case: &serde_json::Value| case["standing"]["kind"].as_str().expect("a kind").to_owned();
    let errors = |case: &serde_json::Value| -> Vec<f64> {
        let rows = case["rows"].as_array().expect("rows");
        rows.iter().map(|row| row["rel_error"].as_f64().expect("real times are positive")).collect()
    };
    let across: Vec<f64> = cases
        .iter()
        .filter(|case| case["data"].as_str().is_some_and(|data| data.contains("A100")) && standing(case) == "predicted")
        .flat_map(errors)
        .collect();
    let near = across.iter().filter(|error| error.abs() <= 0.02).count();
    let worst = across.iter().map(|error| error.abs()).fold(0.0, f64::max);
    println!(
        "A100, each run from the other: {near} of {} errors within 2 %, worst {:.2} %",
        across.len(),
        worst * 100.0
    );
    assert_eq!(across.len(), 16, "two runs, four metrics, two percentiles");
    assert!(near >= 15 && worst < 0.025, "{across:?}");
    for case in cases.iter().filter(|case| standing(case) == "predicted") {
        assert!(
            case["rows"].as_array().expect("rows").iter().all(|row| row["interval"].is_object()),
            "every error has an interval: {case}"
        );
    }
    for kind in ["published", "unfitted", "predicted", "reproduced"] {
        assert!(cases.iter().any(|case| standing(case) == kind), "no case is {kind}");
    }
    let table = std::fs::read_to_string(scratch.join("out/evidence.csv")).expect("the table");
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(table.as_bytes()).records().map(|row| row.expect("as long as the header")).collect();
    assert_eq!(rows.len(), cases.iter().map(|case| errors(case).len()).sum::<usize>());
    assert!(std::fs::read_to_string(scratch.join("out/evidence.md")).expect("the report").contains("no prediction"));
}

#[test]
fn a_folder_without_data_is_told_what_it_may_hold() {
    let scratch = Scratch::new("evidence-none");
    std::fs::create_dir_all(scratch.join("empty")).expect("a folder");
    scratch
        .fidelio(&["evidence", "--data", "empty"])
        .refused(&["no run of a known format is in `empty`", "requests.jsonl"]);
    scratch.fidelio(&["evidence", "--data", "nowhere"]).refused(&["looking for data in `nowhere`"]);
}

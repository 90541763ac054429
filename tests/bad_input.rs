//! Bad input gets one clear error with its place, exit code 2, and nothing half-written.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::determinism::write_profile;
use crate::harness::{Scratch, copy_dir, fixture};

/// The published runs as files that may be broken.
fn runs(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    copy_dir(&fixture("qwen3_a100_spaced"), scratch.path());
    scratch
}

const COMPARE: [&str; 8] =
    ["compare", "--real", "real_run", "--sim", "vidur_run", "--workload", "workload", "--allow-mismatch"];

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).expect("a file");
    let changed = change(text.clone());
    assert_ne!(text, changed, "the edit changes something");
    fs::write(path, changed).expect("written");
}

/// Replaces one cell of a CSV file; `line` counts from 1, the header being line 1.
fn set_cell(path: &Path, line: usize, column: &str, value: &str) {
    edit(path, |text| {
        let mut lines: Vec<Vec<String>> =
            text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
        let index = lines[0].iter().position(|name| name == column).expect("the column");
        lines[line - 1][index] = value.to_owned();
        lines.iter().map(|cells| cells.join(",") + "\n").collect()
    });
}

#[test]
fn a_broken_cell_is_named_by_file_line_and_column() {
    let cases = [
        ("real_run/request_metrics.csv", 4, "arrival_time_ns", "-5", "negative"),
        ("real_run/request_metrics.csv", 3, "first_token_time_ns", "NaN", "not a number"),
        ("real_run/request_metrics.csv", 3, "first_token_time_ns", "soon", "not a whole number"),
        ("real_run/request_metrics.csv", 3, "first_token_time_ns", "99999999999999999999999", "not a whole number"),
        ("real_run/request_metrics.csv", 5, "ttft_ns", "1", "is not first_token_time_ns - arrival_time_ns"),
        ("real_run/request_metrics.csv", 5, "request_id", "1", "is there twice"),
        ("real_run/request_metrics.csv", 9, "request_id", "8", "7 is missing before 8"),
        ("real_run/request_metrics.csv", 2, "completion_time_ns", "5", "is before first_token_time_ns"),
        ("real_run/request_metrics.csv", 2, "num_decode_tokens_actual", "65", "65 tokens came of 64"),
        ("real_run/request_metrics.csv", 2, "status", "fine", "none of ok, error, rejected"),
        ("real_run/token_metrics.csv", 6, "token_time_ns", "1", "is before token"),
        ("real_run/token_metrics.csv", 6, "token_index", "3", "twice"),
        ("real_run/token_metrics.csv", 6, "token_index", "77", "leaves a gap"),
        ("real_run/token_metrics.csv", 6, "token_latency_ns", "7", "not the difference"),
        ("real_run/token_metrics.csv", 6, "request_id", "8", "is not in request_metrics.csv"),
        ("workload/trace_intervals.csv", 4, "arrival_time_ns", "7", "not the running sum"),
        ("workload/trace_lengths.csv", 4, "request_id", "5", "2 is missing before 5"),
    ];
    for (index, (file, line, column, value, words)) in cases.into_iter().enumerate() {
        let scratch = runs(&format!("bad-cell-{index}"));
        set_cell(&scratch.join(file), line, column, value);
        let refused = scratch.fidelio(&COMPARE).refused(&[file, words, &format!("`{column}`")]);
        // A double and a gap are found after sorting by id, so their line may be its neighbour's.
        assert!(refused.stderr.contains("line "), "{}", refused.stderr);
        assert!(!scratch.join("tmp").exists(), "nothing half-written remains");
    }
}

#[test]
fn broken_files_are_named_with_what_to_do() {
    let scratch = runs("bad-files");
    let args = COMPARE;
    let broken = |file: &str, bytes: &[u8], words: &[&str]| {
        let path = scratch.join(file);
        let good = fs::read(&path).expect("a file");
        fs::write(&path, bytes).expect("written");
        scratch.fidelio(&args).refused(words);
        fs::write(&path, good).expect("written");
    };
    let requests = "real_run/request_metrics.csv";
    let tokens = fs::read(scratch.join("real_run/token_metrics.csv")).expect("a file");
    broken(requests, b"", &[requests, "is empty"]);
    broken(requests, b"a,b,c\n1,2,3\n", &[requests, "`request_id`", "the header has: a, b, c"]);
    broken(requests, b"request_id,request_id\n1,2\n", &[requests, "twice"]);
    broken(requests, &[b'7'; 3 << 20], &[requests, "longer than"]);
    let good = fs::read_to_string(scratch.join(requests)).expect("a file");
    let unclosed = good.replacen(",ok,", ",\"ok,", 1) + &"1,2,3\n".repeat(1 << 19);
    broken(requests, unclosed.as_bytes(), &[requests, "a quote that is never closed"]);
    broken("real_run/token_metrics.csv", &tokens[..tokens.len() - 25], &["token_metrics.csv", "cells"]);
    broken("real_run/run_meta.json", b"{\"run_id\": ", &["real_run/run_meta.json", "line 1"]);
    broken("real_run/run_meta.json", b"{\"schema_version\": \"v7\"}", &["schema `v7`", "use a newer one"]);
    broken(
        "real_run/run_meta.json",
        b"{\"writer\": {\"name\": \"fidelio\", \"version\": \"0.1.0\"}, \"run_type\": \"real\"}",
        &["the run never ended", "--force"],
    );
    fs::remove_file(scratch.join(requests)).expect("removed");
    scratch.fidelio(&args).refused(&[requests, "not a run directory"]);
    scratch.fidelio(&["compare", "--real", "nowhere", "--sim", "vidur_run"]).refused(&["`nowhere`", "does not exist"]);
    scratch.fidelio(&["summary", "workload"]).refused(&["request_metrics.csv"]);
    scratch.fidelio(&["bundle", "workload"]).refused(&["not a comparison directory"]);
    scratch.fidelio(&["verify", "nowhere.zip"]).refused(&["nowhere.zip"]);
}

#[test]
fn an_endless_line_is_refused_in_bounded_memory() {
    let scratch = runs("endless-line");
    let path = scratch.join("real_run/request_metrics.csv");
    let mut file = fs::File::create(&path).expect("a file");
    file.write_all(b"request_id,arrival_time_ns\n").expect("written");
    let chunk = vec![b'1'; 1 << 20];
    for _ in 0..300 {
        file.write_all(&chunk).expect("written");
    }
    drop(file);
    // 300 MiB in one line under a limit of 256 MiB of memory: reading it whole would be killed.
    let script = format!("ulimit -v 262144; exec {} {}", env!("CARGO_BIN_EXE_fidelio"), COMPARE.join(" "));
    let output = std::process::Command::new("sh").arg("-c").arg(script).current_dir(scratch.path()).output();
    let output = output.expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("request_metrics.csv") && stderr.contains("arrival_time_ns") | stderr.contains("first_token"),
        "{stderr}"
    );
}

#[test]
fn real_world_files_are_read_crlf_bom_order_extra_columns_gzip_and_the_minimum() {
    let scratch = runs("real-world");
    let reference = scratch.fidelio(&[&COMPARE[..], &["--out", "plain"]].concat()).expect(0);
    let percentiles = |out: &str| fs::read(scratch.join(out).join("tables/ttft_percentiles.csv")).expect("a table");
    assert!(!reference.stdout.is_empty());

    let path = scratch.join("real_run/request_metrics.csv");
    edit(&path, |text| {
        let reversed = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
        let lines = text.lines().enumerate().map(|(index, line)| {
            let extra = if index == 0 { "who".to_owned() } else { format!("\"a, {index}\"") };
            format!("{extra},{}\r\n", reversed(line))
        });
        format!("\u{feff}{}", lines.collect::<String>())
    });
    scratch.fidelio(&[&COMPARE[..], &["--out", "odd"]].concat()).expect(0);
    assert_eq!(percentiles("plain"), percentiles("odd"));

    let tokens = scratch.join("real_run/token_metrics.csv");
    let bytes = fs::read(&tokens).expect("a file");
    let mut packed = flate2::write::GzEncoder::new(
        fs::File::create(scratch.join("real_run/token_metrics.csv.gz")).expect("a file"),
        flate2::Compression::default(),
    );
    packed.write_all(&bytes).expect("written");
    packed.finish().expect("written");
    fs::remove_file(&tokens).expect("removed");
    scratch.fidelio(&[&COMPARE[..], &["--out", "packed"]].concat()).expect(0);
    assert_eq!(percentiles("plain"), percentiles("packed"));

    // The minimum columns alone: the rest is derived from the token rows.
    let minimum = [
        "request_id",
        "arrival_time_ns",
        "first_token_time_ns",
        "num_prefill_tokens",
        "num_decode_tokens",
        "num_decode_tokens_actual",
    ];
    let fixture = fs::read_to_string(fixture("qwen3_a100_spaced/real_run/request_metrics.csv")).expect("a file");
    let header: Vec<&str> = fixture.lines().next().expect("a header").split(',').collect();
    let text = fixture.lines().map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let kept = minimum.map(|name| cells[header.iter().position(|column| *column == name).expect("there")]);
        kept.join(",") + "\n"
    });
    fs::write(&path, text.collect::<String>()).expect("written");
    fs::remove_file(scratch.join("real_run/run_meta.json")).expect("removed");
    scratch.fidelio(&[&COMPARE[..], &["--out", "minimum"]].concat()).expect(0);
    let e2e = |out: &str| fs::read(scratch.join(out).join("tables/e2e_percentiles.csv")).expect("a table");
    assert_eq!((percentiles("plain"), e2e("plain")), (percentiles("minimum"), e2e("minimum")));
}

#[test]
fn a_profile_of_another_model_or_without_steps_is_refused() {
    let scratch = Scratch::new("bad-profile");
    write_profile(&scratch.join("other"), "llama-70b");
    let simulate = |profile: &str| scratch.fidelio(&["simulate", "quickstart", "--profile", profile, "-q"]);
    simulate("other").refused(&["`llama-70b`", "`qwen3-30m`", "fidelio profile"]);
    write_profile(&scratch.join("good"), "qwen3-30m");
    fs::remove_file(scratch.join("good/steps.csv")).expect("removed");
    simulate("good").refused(&["steps.csv", "missing"]);
    write_profile(&scratch.join("zero"), "qwen3-30m");
    set_cell(&scratch.join("zero/steps.csv"), 3, "device_ns", "0");
    simulate("zero").refused(&["steps.csv", "line 3", "`device_ns`"]);
    write_profile(&scratch.join("long"), "qwen3-30m");
    set_cell(&scratch.join("long/steps.csv"), 3, "device_max_ns", "4000000000000000000");
    simulate("long").refused(&["steps.csv", "line 3", "more than an hour"]);
    assert!(!scratch.join("tmp/sim_runs").exists(), "nothing half-written remains");
}

#[test]
fn runs_of_different_workloads_are_not_compared() {
    let scratch = runs("other-workload");
    set_cell(&scratch.join("vidur_run/request_metrics.csv"), 4, "num_prefill_tokens", "15");
    let strict = ["compare", "--real", "real_run", "--sim", "vidur_run"];
    scratch.fidelio(&strict).refused(&["vidur_run", "num_prefill_tokens", "request 2: 15 here, 14 in the workload"]);
    scratch.fidelio(&COMPARE).expect(0);
    edit(&scratch.join("vidur_run/request_metrics.csv"), |text| {
        text.lines().take(8).map(|line| format!("{line}\n")).collect()
    });
    edit(&scratch.join("vidur_run/token_metrics.csv"), |text| {
        text.lines().filter(|line| !line.starts_with("7,")).map(|line| format!("{line}\n")).collect()
    });
    scratch.fidelio(&COMPARE).refused(&["has 7 requests, the workload has 8"]);
}

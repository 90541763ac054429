//! Traces of run directories, real and simulated, and what the steps of a run add to its summary.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fidelio::store::load_run_dir;
use fidelio_shared::schema::Run;
use serde_json::Value;

use crate::determinism::write_profile;
use crate::harness::{Scratch, copy_dir, fixture, fixture_arg};

/// A simulated run of the quickstart in `sim`.
fn simulated(scratch: &Scratch) -> Run {
    write_profile(&scratch.join("profile"), "qwen3-30m");
    scratch.fidelio(&["workload", "quickstart", "--out", "workload"]).expect(0);
    let simulate = ["simulate", "quickstart", "--workload", "workload", "--profile", "profile", "--out", "sim"];
    scratch.fidelio(&simulate).expect(0);
    load_run_dir(&scratch.join("sim")).expect("a run")
}

fn events(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).expect("JSON");
    document["traceEvents"].as_array().expect("events").clone()
}

/// Microseconds with three decimals as the nanoseconds they are.
fn nanos(event: &Value) -> u64 {
    (event["ts"].as_f64().expect("a time") * 1000.0).round() as u64
}

/// `(process, thread or id, name, start, end)` of every slice, each within the one it began in.
fn slices(events: &[Value]) -> Vec<(u64, String, String, u64, u64)> {
    let mut stacks = BTreeMap::<(u64, String), Vec<(String, u64)>>::new();
    let mut latest = BTreeMap::<(u64, String), u64>::new();
    let mut slices = Vec::new();
    for event in events {
        let phase = event["ph"].as_str().expect("a phase");
        if !"BEbe".contains(phase) {
            continue;
        }
        let track = if "BE".contains(phase) { event["tid"].to_string() } else { format!("id {}", event["id"]) };
        let key = (event["pid"].as_u64().expect("a process"), track);
        let (name, now) = (event["name"].as_str().expect("a name").to_owned(), nanos(event));
        assert!(latest.insert(key.clone(), now).is_none_or(|before| before <= now), "time runs: {event}");
        let stack = stacks.entry(key.clone()).or_default();
        if "Bb".contains(phase) {
            stack.push((name, now));
        } else {
            let (begun, start) = stack.pop().expect("something to end");
            assert_eq!(begun, name);
            slices.push((key.0, key.1, name, start, now));
        }
    }
    assert!(stacks.values().all(Vec::is_empty));
    slices
}

fn count<'a>(events: &'a [Value], phase: &'a str, name: &'a str) -> usize {
    events.iter().filter(|event| event["ph"] == phase && event["name"] == name).count()
}

#[test]
fn a_simulated_run_is_traced_step_by_step_and_request_by_request() {
    let scratch = Scratch::new("trace-sim");
    let run = simulated(&scratch);
    let steps = run.steps.as_ref().expect("steps");
    let ran = scratch.fidelio(&["trace", "sim"]).expect(0);
    let events = events(&ran.stdout);
    let slices = slices(&events);
    let found: Vec<(u64, u64)> = slices
        .iter()
        .filter(|(process, _, name, ..)| *process == 2 && name != "host" && name != "device")
        .map(|(.., start, end)| (*start, *end))
        .collect();
    let expected: Vec<(u64, u64)> = steps.iter().map(|row| (row.start.0, row.end.0)).collect();
    assert_eq!(found, expected, "every step, to the nanosecond");
    let time = |name: &str| slices.iter().filter(|row| row.2 == name).map(|row| row.4 - row.3).sum::<u64>();
    assert_eq!(time("host"), steps.iter().map(|row| row.host.0).sum::<u64>());
    assert_eq!(time("device"), steps.iter().map(|row| row.device.0).sum::<u64>());
    for row in &run.requests {
        let id = format!("id \"{}\"", row.request_id);
        let whole = slices.iter().find(|slice| slice.1 == id && slice.2 == "request").expect("a request");
        assert_eq!((whole.3, Some(whole.4)), (row.arrival.0, row.completion.map(|time| time.0)));
        let decode = slices.iter().find(|slice| slice.1 == id && slice.2 == "decode").expect("a phase");
        assert_eq!(Some(decode.3), row.first_token.map(|time| time.0));
    }
    for counter in ["running", "waiting", "KV blocks"] {
        assert!(count(&events, "C", counter) > 0, "{counter}");
    }
}

#[test]
fn a_file_holds_what_stdout_is_given_and_nothing_is_overwritten_or_left() {
    let scratch = Scratch::new("trace-out");
    copy_dir(&fixture("qwen3_a100_burst_sim"), &scratch.join("run"));
    let printed = scratch.fidelio(&["trace", "run"]).expect(0);
    assert!(printed.stderr.contains("no step_metrics.csv"), "{}", printed.stderr);
    assert_eq!(scratch.fidelio(&["trace", "run", "--out", "-", "--json", "-q"]).expect(0).stdout, printed.stdout);
    let made = scratch.fidelio(&["trace", "run", "--out", "traces/one.json"]).expect(0);
    assert_eq!(made.path(), Path::new("traces/one.json"));
    assert_eq!(fs::read_to_string(scratch.join("traces/one.json")).expect("a trace"), printed.stdout);
    scratch.fidelio(&["trace", "run", "--out", "traces/one.json"]).refused(&["already exists", "--force"]);
    scratch.fidelio(&["trace", "run", "--out", "traces/one.json", "--force"]).expect(0);
    scratch.fidelio(&["trace", "run", "--out", "traces", "--force"]).refused(&["already exists"]);
    fs::write(scratch.join("run/request_metrics.csv"), "request_id\nx\n").expect("written");
    scratch.fidelio(&["trace", "run", "--out", "two.json"]).refused(&["request_metrics.csv"]);
    scratch.fidelio(&["trace", "nowhere"]).refused(&["`nowhere`", "does not exist"]);
    fs::write(scratch.join("file"), "").expect("written");
    scratch.fidelio(&["trace", &fixture_arg("qwen3_a100_burst_sim"), "--out", "file/x.json"]).refused(&["`file`"]);
    let left = |folder: &str| {
        let entries = fs::read_dir(scratch.join(folder)).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(left("."), ["file", "run", "traces"].map(str::to_owned).into());
    assert_eq!(left("traces"), ["one.json".to_owned()].into());
}

#[test]
fn runs_without_steps_still_show_their_requests() {
    let scratch = Scratch::new("trace-foreign");
    for (name, num_requests) in
        [("qwen3_a100_spaced/real_run", 8), ("qwen3_a100_spaced/vidur_run", 8), ("qwen3_a100_burst_sim", 4)]
    {
        let ran = scratch.fidelio(&["trace", &fixture_arg(name), "-q"]).expect(0);
        let events = events(&ran.stdout);
        assert_eq!(count(&events, "b", "request"), num_requests, "{name}");
        assert_eq!(count(&events, "B", "decode"), 0, "{name}");
        assert_eq!(slices(&events).iter().filter(|row| row.2 == "decode").count(), num_requests, "{name}");
        assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    }
}

#[test]
fn the_summary_says_what_the_steps_tell_and_only_where_there_are_steps() {
    let scratch = Scratch::new("trace-summary");
    let run = simulated(&scratch);
    let rows = run.steps.as_ref().expect("steps");
    let steps = scratch.fidelio(&["summary", "sim", "--json"]).expect(0).json()["steps"].clone();
    assert_eq!(steps["num_steps"], rows.len());
    assert_eq!(steps["num_prefill_tokens"], rows.iter().map(|row| row.num_prefill_tokens).sum::<u64>());
    let replica = &steps["replicas"][0];
    // One replica without a pipeline is never in two steps at once.
    assert_eq!(replica["busy_ns"], rows.iter().map(|row| row.end.0 - row.start.0).sum::<u64>());
    assert_eq!(
        Some(replica["running"]["peak"].clone()),
        rows.iter().map(|row| row.num_running.into()).max_by_key(Value::as_u64)
    );
    let share = replica["busy_share"].as_f64().expect("a share");
    assert!(share > 0.0 && share <= 1.0, "{share}");
    let text = scratch.fidelio(&["summary", "sim"]).expect(0).stdout;
    assert!(text.contains("## Steps") && text.contains("| prefill computed |"), "{text}");
    assert_eq!(fs::read_to_string(scratch.join("sim/summary.md")).expect("summary.md").trim_end(), text.trim_end());
    let foreign = scratch.fidelio(&["summary", &fixture_arg("qwen3_a100_burst_sim")]).expect(0).stdout;
    assert!(!foreign.contains("## Steps"), "{foreign}");
}

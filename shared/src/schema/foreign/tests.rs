//! Small foreign files with rows worked out by hand, what is refused of them, and that converted runs read back.

use std::io::Read;

use crate::metrics::{Metric, values};
use crate::schema::foreign::{ForeignFormat, convert, recognise};
use crate::schema::{DataError, Folder, Origin, RequestStatus, Run, load_run};
use crate::time::Nanos;

/// A folder in memory.
struct Files<'a>(Vec<(&'a str, &'a [u8])>);

impl Folder for Files<'_> {
    fn name(&self) -> String {
        "run".to_owned()
    }

    fn open<'a>(&'a mut self, file: &str) -> Result<Option<Box<dyn Read + 'a>>, DataError> {
        let found = self.0.iter().find(|(name, _)| *name == file);
        Ok(found.map(|(_, bytes)| Box::new(*bytes) as Box<dyn Read>))
    }
}

fn read(files: &[(&str, &str)]) -> Result<Run, DataError> {
    load_run(&mut Files(files.iter().map(|(name, text)| (*name, text.as_bytes())).collect()))
}

/// Sorted as text, as the engine writes it; of request 1: 0.5 + 1.25 + 0.25 = 2 s.
const SARATHI: &str = "\
request_id,request_e2e_time,request_execution_time,request_preemption_time,request_scheduling_delay,\
request_execution_plus_preemption_time,prefill_e2e_time,prefill_time_execution_plus_preemption,\
request_inter_arrival_delay,request_num_prefill_tokens,request_num_decode_tokens,request_num_restarts,request_num_pauses
0_0,1.0,1.0,0.0,0.0,1.0,0.25,0.25,,100,4,0,3
0_10,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,1,0
0_1,2.0,1.25,0.25,0.5,1.5,0.75,0.25,0.1,50,5,0,9
0_2,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_3,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_4,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_5,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_6,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_7,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_8,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
0_9,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0
";

const RECORDS: &str = r#"{"request_id": "bench-1", "input_toks": 9, "output_toks": 3, "arrival_time": 1000.5, "queued_ts": 50.75, "scheduled_ts": 51.0, "first_token_ts": 51.5, "last_token_ts": 52.5}
{"request_id": "bench-0", "input_toks": 8, "output_toks": 1, "arrival_time": 1000.0, "queued_ts": 50.125, "scheduled_ts": 50.125, "first_token_ts": 50.25, "last_token_ts": 50.25}
"#;

const SETTINGS: &str = r#"{"model": "m", "vllm_version": "0.19.0", "finished_at": "2026-01-01T00:00:00Z",
"engine_kwargs": {"max_num_seqs": 256, "tensor_parallel_size": 1}, "kv_cache": {"num_gpu_blocks": 100, "block_size": 16},
"hardware": {"device_name": "a GPU"},
"resolved_config": {"scheduler_config": {"async_scheduling": true, "max_num_batched_tokens": 2048},
"parallel_config": {"pipeline_parallel_size": 1}}}"#;

#[test]
fn spans_become_stamps_after_the_sum_of_gaps() {
    let run = read(&[("request_metrics.csv", SARATHI)]).expect("a run");
    assert_eq!(run.meta.origin(), Some(Origin::Real));
    assert!(!run.meta.is_ours());
    let row = &run.requests[1];
    assert_eq!(row.arrival, Nanos(100_000_000));
    assert_eq!(row.scheduled, Some(Nanos(600_000_000)));
    assert_eq!(row.first_token, Some(Nanos(850_000_000)));
    assert_eq!(row.completion, Some(Nanos(2_100_000_000)));
    assert_eq!((row.num_prefill_tokens, row.num_decode_tokens_actual, row.num_preemptions), (50, 5, Some(0)));
    let last = &run.requests[10];
    assert_eq!((last.arrival, last.num_preemptions), (Nanos(1_000_000_000), Some(1)), "joined by number, not by row");
    // 0.1 added ten times is not 1.0 in doubles; rounded once, it is.
    assert_eq!(values(&run, Metric::Ttft)[..2], [250_000_000, 750_000_000]);
}

#[test]
fn the_simulators_table_is_known_by_its_column_and_its_unfinished_requests_by_their_blanks() {
    let table =
        SARATHI.replace("request_num_pauses", "request_model_execution_time").replace("request_id", "Request Id");
    let cut = table.replace("0_9,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.1,7,2,0,0", "0_9,,,,,,,,0.1,7,2,,");
    let run = read(&[("request_metrics.csv", &cut)]).expect("a run");
    assert_eq!(run.meta.origin(), Some(Origin::Simulated));
    assert_eq!(run.requests[9].status, RequestStatus::Error);
    assert!(!run.requests[9].has_output() && run.requests[9].first_token.is_none());
    assert_eq!(run.requests[10].arrival, Nanos(1_000_000_000), "those after it still arrive when they did");
}

#[test]
fn spans_that_contradict_each_other_are_refused_by_line_and_column() {
    let whole = "0_1,2.0,1.25,0.25,0.5,1.5,0.75,0.25";
    let broken = [
        ("0_1,2.1,1.25,0.25,0.5,1.5,0.75,0.25", "request_e2e_time", "is not request_scheduling_delay"),
        (
            "0_1,2.0,1.26,0.25,0.5,1.5,0.75,0.25",
            "request_execution_plus_preemption_time",
            "is not request_execution_time",
        ),
        ("0_1,2.0,1.25,0.25,0.5,1.5,0.7,0.25", "prefill_e2e_time", "is not request_scheduling_delay"),
        ("0_1,2.0,1.25,0.25,0.5,1.5,2.75,2.25", "request_e2e_time", "is less than prefill_e2e_time"),
        ("0_1,2.0,1.25,0.25,-0.5,1.5,0.75,0.25", "request_scheduling_delay", "is negative"),
        ("0_1,2.0,1.25,0.25,0.5,1.5,1e300,0.25", "prefill_e2e_time", "years long"),
        ("one,2.0,1.25,0.25,0.5,1.5,0.75,0.25", "request_id", "does not end in"),
        ("0_7,2.0,1.25,0.25,0.5,1.5,0.75,0.25", "request_id", "1 is missing before 2"),
    ];
    for (row, column, words) in broken {
        let error = read(&[("request_metrics.csv", &SARATHI.replace(whole, row))]).expect_err(words);
        assert_eq!(
            (error.file.as_str(), error.column.as_deref()),
            ("run/request_metrics.csv", Some(column)),
            "{error}"
        );
        assert!(error.line.is_some() && error.problem.contains(words), "{error}");
    }
}

#[test]
fn a_pipelines_execution_may_overlap_in_the_simulator_only() {
    let overlapping = SARATHI.replace("0_1,2.0,1.25,0.25,0.5,1.5", "0_1,2.0,1.75,0.25,0.5,2.0");
    assert!(read(&[("request_metrics.csv", &overlapping)]).is_err());
    let simulated = overlapping.replace("request_num_pauses", "request_model_execution_time");
    assert!(read(&[("request_metrics.csv", &simulated)]).is_ok());
}

#[test]
fn stamps_count_from_the_first_request_queued() {
    let run = read(&[("requests.jsonl", RECORDS), ("meta.json", SETTINGS)]).expect("a run");
    let row = &run.requests[1];
    assert_eq!((row.arrival, row.scheduled), (Nanos(625_000_000), Some(Nanos(875_000_000))));
    assert_eq!((row.first_token, row.completion), (Some(Nanos(1_375_000_000)), Some(Nanos(2_375_000_000))));
    assert_eq!(values(&run, Metric::Tpot), [500_000_000]);
    // The ways were -949.875 s and -949.75 s: the second took 0.125 s longer.
    let way = &run.meta.results["arrival_to_queued"];
    assert_eq!((way["mean_ns"].as_u64(), way["max_ns"].as_u64()), (Some(62_500_000), Some(125_000_000)));
}

#[test]
fn an_engines_settings_come_under_our_names() {
    let run = read(&[("requests.jsonl", RECORDS), ("meta.json", SETTINGS)]).expect("a run");
    assert_eq!(run.meta.backend.as_deref(), Some("vllm 0.19.0"));
    assert_eq!(run.meta.model.as_deref(), Some("m"));
    let scheduler = &run.meta.params["scheduler"];
    assert_eq!(scheduler["num_blocks"], 99, "one of vLLM's blocks holds nothing");
    assert_eq!((scheduler["max_in_flight"].as_u64(), scheduler["max_num_seqs"].as_u64()), (Some(2), Some(256)));
    assert!(scheduler.get("max_model_len").is_none(), "what is not said stays unknown");
}

#[test]
fn broken_records_are_refused_by_line_and_field() {
    let broken = [
        (RECORDS.replace("51.5", "50.9"), Some("first_token_ts"), "is before scheduled"),
        (RECORDS.replace("\"first_token_ts\": 51.5", "\"first_token_ts\": null"), Some("first_token_ts"), "is missing"),
        (RECORDS.replace("bench-1", "bench"), Some("request_id"), "does not end in"),
        (RECORDS.replace("bench-1", "bench-0"), Some("request_id"), "is there twice"),
        (RECORDS.replace("52.5", "1e300"), Some("last_token_ts"), "is not within the run"),
        (RECORDS.replace("\"input_toks\": 9", "\"input_toks\": -9"), None, "is no record"),
        (String::new(), None, "holds no request"),
    ];
    for (text, field, words) in broken {
        let error = read(&[("requests.jsonl", &text)]).expect_err(words);
        assert_eq!((error.file.as_str(), error.column.as_deref()), ("run/requests.jsonl", field), "{error}");
        assert!(error.problem.contains(words), "{error}");
    }
}

#[test]
fn a_request_without_its_last_token_failed() {
    let run = read(&[("requests.jsonl", &RECORDS.replace("52.5", "null"))]).expect("a run");
    assert_eq!((run.requests[1].status, run.requests[1].num_decode_tokens_actual), (RequestStatus::Error, 0));
}

#[test]
fn converted_runs_read_back_as_they_were() {
    for files in [&[("request_metrics.csv", SARATHI)][..], &[("requests.jsonl", RECORDS), ("meta.json", SETTINGS)]] {
        let mut folder = Files(files.iter().map(|(name, text)| (*name, text.as_bytes())).collect());
        let format = recognise(&mut folder).expect("readable").expect("foreign");
        let run = load_run(&mut folder).expect("a run");
        let converted = convert(&run, format.words(), "00ff").expect("written");
        let mut folder = Files(converted.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect());
        assert_eq!(recognise(&mut folder).expect("readable"), None, "it is ours now");
        let again = load_run(&mut folder).expect("a run");
        assert_eq!(again.requests, run.requests);
        assert_eq!(again.meta.extra["converted_from"]["sha256"], "00ff");
        assert_eq!(
            (again.meta.params, again.meta.writer, again.meta.results),
            (run.meta.params, run.meta.writer, run.meta.results)
        );
    }
    assert_eq!(recognise(&mut Files(Vec::new())).expect("readable"), None);
    assert_eq!(ForeignFormat::VllmRecords.file(), "requests.jsonl");
}

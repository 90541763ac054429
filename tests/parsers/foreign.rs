//! Small runs of other tools as files, and what must hold of any that is taken.

use std::io::Read;

use fidelio_shared::schema::foreign::{convert, recognise};
use fidelio_shared::schema::{Folder, load_run};

use super::*;

pub const SMALL_SECONDS: &str = "request_id,request_e2e_time,request_execution_time,request_preemption_time,\
request_scheduling_delay,request_execution_plus_preemption_time,prefill_e2e_time,prefill_time_execution_plus_preemption,\
request_inter_arrival_delay,request_num_prefill_tokens,request_num_decode_tokens,request_num_restarts,request_num_pauses\n\
0_0,1.0,1.0,0.0,0.0,1.0,0.25,0.25,,100,4,0,3\n0_1,2.0,1.25,0.25,0.5,1.5,0.75,0.25,0.1,50,5,1,9\n\
0_2,0.5,0.5,0.0,0.0,0.5,0.125,0.125,0.25,7,2,,0\n";

pub const SMALL_RECORDS: &str = concat!(
    r#"{"request_id": "bench-1", "input_toks": 9, "output_toks": 3, "arrival_time": 1000.5, "queued_ts": 50.75, "#,
    r#""scheduled_ts": 51.0, "first_token_ts": 51.5, "last_token_ts": 52.5}"#,
    "\n",
    r#"{"request_id": "bench-0", "input_toks": 8, "output_toks": 1, "arrival_time": 1000.0, "queued_ts": 50.125, "#,
    r#""scheduled_ts": 50.125, "first_token_ts": 50.25, "last_token_ts": 50.25}"#,
    "\n",
    r#"{"request_id": "bench-2", "input_toks": 8, "output_toks": 1, "arrival_time": null, "queued_ts": 51.0, "#,
    r#""scheduled_ts": null, "first_token_ts": null, "last_token_ts": null}"#,
    "\n",
);

pub const SMALL_SETTINGS: &str = r#"{"model": "m", "vllm_version": "0.19.0", "started_at": "2026-01-01T00:00:00Z",
"engine_kwargs": {"max_num_seqs": 256, "max_model_len": 4096}, "kv_cache": {"num_gpu_blocks": 100, "block_size": 16},
"hardware": {"device_name": "a GPU", "device_count": 1},
"resolved_config": {"scheduler_config": {"async_scheduling": true}, "parallel_config": {"pipeline_parallel_size": 1}}}
"#;

/// A folder in memory, called `run`.
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

pub fn seconds_hold(_: &str, bytes: &[u8]) -> Result<(), DataError> {
    foreign_run_holds(Files(vec![("request_metrics.csv", bytes)]))
}

pub fn records_hold(_: &str, bytes: &[u8]) -> Result<(), DataError> {
    foreign_run_holds(Files(vec![("requests.jsonl", bytes)]))
}

pub fn settings_hold(_: &str, bytes: &[u8]) -> Result<(), DataError> {
    foreign_run_holds(Files(vec![("requests.jsonl", SMALL_RECORDS.as_bytes()), ("meta.json", bytes)]))
}

/// Rows obey the rules of ours, every metric can be computed, and the converted run reads back as it was.
fn foreign_run_holds(mut files: Files<'_>) -> Result<(), DataError> {
    let run = load_run(&mut files)?;
    for (id, row) in run.requests.iter().enumerate() {
        assert_eq!(row.request_id as usize, id, "ids are 0..N-1");
        let times = [Some(row.arrival), row.scheduled, row.first_token, row.completion];
        assert!(times.into_iter().flatten().collect::<Vec<Nanos>>().is_sorted(), "{row:?}");
    }
    fidelio_shared::report::run_markdown(&run);
    let Some(format) = recognise(&mut files)? else { return Ok(()) };
    let converted = convert(&run, format.words(), "0").expect("memory takes everything");
    let entries = converted.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let again = load_run(&mut Files(entries)).expect("ours");
    assert_eq!((again.requests, again.meta.params), (run.requests, run.meta.params));
    Ok(())
}

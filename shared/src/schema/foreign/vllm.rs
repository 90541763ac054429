//! `requests.jsonl` and `meta.json` of a vLLM engine: the stamps it gave each request, and its settings.
//!
//! The records are those of LLMServingSim's benchmark of vLLM V1 (casys-kaist/LLMServingSim): one JSON
//! object a line. `arrival_time` is the client's wall clock, every other stamp the engine's monotonic one,
//! and nothing says how far they are apart. So a request arrives when it is queued, time zero is the first
//! such moment, and what the wall clock says of the way there is told beside the run (`results`).

use std::io::Read;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::schema::foreign::{ForeignFormat, known, recognised};
use crate::schema::requests::in_id_order;
use crate::schema::{DataError, JsonLines, RequestRow, RequestStatus, RunMeta, Writer, read_json};
use crate::time::Nanos;

/// A longer line is no record of a request.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// One line. Stamps are seconds.
#[derive(Deserialize)]
struct Record {
    request_id: String,
    input_toks: u32,
    output_toks: u32,
    arrival_time: Option<f64>,
    queued_ts: f64,
    scheduled_ts: Option<f64>,
    first_token_ts: Option<f64>,
    last_token_ts: Option<f64>,
}

/// Reads and checks all records, sorted by request, and tells `meta` what was recognised.
///
/// # Errors
/// The first broken line or record, by file, line and field.
pub(crate) fn read(file: &str, input: impl Read, meta: &mut RunMeta) -> Result<Vec<RequestRow>, DataError> {
    let mut lines = JsonLines::new(file, input, MAX_LINE_BYTES);
    let mut records = Vec::new();
    while let Some(line) = lines.next_line()? {
        let parsed: Result<Record, _> = serde_json::from_slice(line);
        let record = parsed.map_err(|error| lines.error(format!("is no record of a request: {error}")))?;
        let id = trailing_number(&record.request_id).ok_or_else(|| {
            let problem = format!("`{}` does not end in the request's number", record.request_id);
            lines.error(problem).in_column("request_id")
        })?;
        records.push((lines.number(), id, record));
    }
    let records = in_id_order(file, records, |(line, id, _)| (*line, *id))?;
    // Doubles in JSON are finite, so the least is one of them.
    let zero = records.iter().map(|(_, _, record)| record.queued_ts).fold(f64::INFINITY, f64::min);
    let row = |(line, id, record): &(u64, u32, Record)| {
        row(*id, record, zero).map_err(|(field, problem)| DataError::new(file, problem).at_line(*line).in_column(field))
    };
    let rows = records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    recognised(meta, ForeignFormat::VllmRecords);
    meta.run_type.get_or_insert_with(|| "real".to_owned());
    meta.backend.get_or_insert_with(|| "vllm".to_owned());
    let version = "of unknown version".to_owned();
    meta.writer.get_or_insert_with(|| Writer { name: "vllm".to_owned(), version });
    if let Some(way) = way_to_the_queue(&records) {
        meta.results.insert("arrival_to_queued".to_owned(), way);
    }
    Ok(rows)
}

/// `bench-12` is request 12.
fn trailing_number(id: &str) -> Option<u32> {
    let digits = id.len() - id.trim_end_matches(|char: char| char.is_ascii_digit()).len();
    id[id.len() - digits..].parse().ok()
}

fn row(id: u32, record: &Record, zero: f64) -> Result<RequestRow, (&'static str, String)> {
    let since = |field: &'static str, stamp: f64| {
        let time = Nanos::from_secs_f64(stamp - zero).filter(|time| *time <= crate::schema::table::MAX_TIME);
        time.ok_or_else(|| (field, format!("{stamp} s is not within the run, which begins at {zero} s")))
    };
    let optional = |field, stamp: Option<f64>| stamp.map(|stamp| since(field, stamp)).transpose();
    let completion = optional("last_token_ts", record.last_token_ts)?;
    let row = RequestRow {
        request_id: id,
        arrival: since("queued_ts", record.queued_ts)?,
        sent: None,
        scheduled: optional("scheduled_ts", record.scheduled_ts)?,
        first_token: optional("first_token_ts", record.first_token_ts)?,
        completion,
        num_prefill_tokens: record.input_toks,
        num_decode_tokens: record.output_toks,
        num_decode_tokens_actual: if completion.is_some() { record.output_toks } else { 0 },
        status: if completion.is_some() { RequestStatus::Ok } else { RequestStatus::Error },
        num_preemptions: None,
        error_msg: completion.is_none().then(|| "has no last token".to_owned()),
    };
    if row.has_output() && row.first_token.is_none() {
        return Err(("first_token_ts", "is missing though the request has a last token".to_owned()));
    }
    row.check_order().map_err(|(column, problem)| (field_of(column), problem))?;
    Ok(row)
}

/// The record's field that became our column.
fn field_of(column: &str) -> &'static str {
    match column {
        "scheduled_time_ns" => "scheduled_ts",
        "first_token_time_ns" => "first_token_ts",
        "completion_time_ns" => "last_token_ts",
        _ => "queued_ts",
    }
}

/// What TTFT leaves out when it starts at the queue: how much longer than the quickest request each took
/// from the client's arrival to the queue, in nanoseconds. `None` unless every record has an arrival.
fn way_to_the_queue(records: &[(u64, u32, Record)]) -> Option<Value> {
    let ways: Option<Vec<f64>> =
        records.iter().map(|(_, _, record)| Some(record.queued_ts - record.arrival_time?)).collect();
    let ways = ways?;
    let least = ways.iter().copied().fold(f64::INFINITY, f64::min);
    let beyond = |way: &f64| Nanos::from_secs_f64(way - least).map(|span| span.0);
    let beyond: Option<Vec<u64>> = ways.iter().map(beyond).collect();
    let beyond = beyond?;
    let mean = beyond.iter().map(|span| u128::from(*span)).sum::<u128>() / beyond.len() as u128;
    Some(json!({
        "what": "TTFT counts from the queue; from `arrival_time`, a wall clock of unknown offset, it is longer by this, \
                 and by what the quickest request took",
        "mean_ns": mean as u64,
        "max_ns": beyond.iter().max(),
    }))
}

/// What `meta.json` beside the records says, under our names.
#[derive(Deserialize)]
struct Document {
    model: Option<String>,
    vllm_version: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    #[serde(default)]
    engine_kwargs: Map<String, Value>,
    #[serde(default)]
    kv_cache: Map<String, Value>,
    #[serde(default)]
    hardware: Map<String, Value>,
    #[serde(default)]
    resolved_config: Map<String, Value>,
}

impl Document {
    /// A setting as the engine resolved it, else as it was asked for.
    fn setting(&self, section: &str, name: &str) -> Option<Value> {
        let resolved = self.resolved_config.get(section).and_then(|section| section.get(name));
        resolved.or_else(|| self.engine_kwargs.get(name)).filter(|value| !value.is_null()).cloned()
    }
}

/// Puts the engine's settings, model and device into `meta`, where it does not say them already.
///
/// # Errors
/// When the document is not what the benchmark writes.
pub(crate) fn describe(file: &str, bytes: &[u8], meta: &mut RunMeta) -> Result<(), DataError> {
    let document: Document = read_json(file, bytes)?;
    let scheduler = scheduler(&document);
    if let Some(version) = &document.vllm_version {
        meta.backend = Some(format!("vllm {version}"));
        meta.writer = Some(Writer { name: "vllm".to_owned(), version: version.clone() });
    }
    let text = |name: &str| document.hardware.get(name).filter(|value| !value.is_null()).cloned();
    let hardware = known([
        ("device_name", text("device_name")),
        ("memory_bytes", text("device_total_memory_bytes")),
        ("compute_capability", text("device_capability")),
        ("cuda_version", text("cuda_version")),
        ("num_devices", text("device_count")),
    ]);
    if !hardware.is_empty() {
        meta.hardware.get_or_insert(Value::Object(hardware));
    }
    let cluster = known([
        ("num_replicas", document.setting("parallel_config", "data_parallel_size")),
        ("tensor_parallel_size", document.setting("parallel_config", "tensor_parallel_size")),
        ("pipeline_parallel_size", document.setting("parallel_config", "pipeline_parallel_size")),
    ]);
    meta.params.entry("scheduler").or_insert(Value::Object(scheduler));
    meta.params.entry("cluster").or_insert(Value::Object(cluster));
    meta.model = meta.model.take().or(document.model);
    meta.started_at = meta.started_at.take().or(document.started_at);
    meta.ended_at = meta.ended_at.take().or(document.finished_at);
    Ok(())
}

/// The settings two runs must share. Of the blocks vLLM counts, one is its null block and holds no tokens;
/// its V1 scheduler keeps no watermark, and has a second batch out when it schedules asynchronously.
fn scheduler(document: &Document) -> Map<String, Value> {
    let setting = |name| document.setting("scheduler_config", name);
    let cache = |name: &str| {
        let counted = document.kv_cache.get(name).filter(|value| !value.is_null()).cloned();
        counted.or_else(|| document.setting("cache_config", name))
    };
    let is_async = setting("async_scheduling").and_then(|value| value.as_bool());
    let stages = document.setting("parallel_config", "pipeline_parallel_size").and_then(|value| value.as_u64());
    let in_flight = match (is_async, stages) {
        (Some(true), Some(1)) => Some(2),
        (Some(false), stages) => stages,
        _ => None,
    };
    known([
        ("policy", Some(json!("vllm_v1"))),
        ("max_num_seqs", setting("max_num_seqs")),
        ("max_num_batched_tokens", setting("max_num_batched_tokens")),
        ("long_prefill_token_threshold", setting("long_prefill_token_threshold")),
        ("block_size", cache("block_size")),
        ("num_blocks", cache("num_gpu_blocks").and_then(|count| Some(json!(count.as_u64()?.checked_sub(1)?)))),
        ("watermark_permille", Some(json!(0))),
        ("max_model_len", document.setting("model_config", "max_model_len")),
        ("reserve_full_prompt", setting("scheduler_reserve_full_isl")),
        ("async_scheduling", is_async.map(Value::Bool)),
        ("max_in_flight", in_flight.map(|count| json!(count))),
        ("enable_prefix_caching", cache("enable_prefix_caching")),
    ])
}

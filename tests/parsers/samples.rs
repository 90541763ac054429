//! A small run and everything around it as files, through our own writers; `late` shifts what is not the workload.

use super::*;

pub fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), DataError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("memory takes everything");
    bytes
}

pub fn write_requests<'a>(rows: impl IntoIterator<Item = &'a RequestRow>) -> Vec<u8> {
    written(|out| {
        let mut writer = RequestWriter::new(out, "test")?;
        rows.into_iter().try_for_each(|row| writer.write(row))?;
        writer.flush()
    })
}

/// Writes tokens as an engine does: in the order of time, requests interleaved.
pub fn write_tokens(lists: &[Vec<Nanos>], with_ids: bool) -> Vec<u8> {
    let mut rows: Vec<(Nanos, u32, u32)> = Vec::new();
    for (request, times) in (0u32..).zip(lists) {
        rows.extend((0u32..).zip(times).map(|(index, time)| (*time, index, request)));
    }
    rows.sort_unstable();
    written(|out| {
        let mut writer = TokenWriter::new(out, lists.len(), with_ids)?;
        rows.iter().try_for_each(|(time, index, request)| writer.write(*request, *index, *time, Some(7)))?;
        writer.flush()
    })
}

pub fn write_steps(rows: &[StepRow]) -> Vec<u8> {
    written(|out| {
        let mut writer = StepWriter::new(out);
        rows.iter().try_for_each(|row| writer.write(row))?;
        writer.flush()
    })
}

pub fn write_prompts(prompts: &[PromptRow]) -> Vec<u8> {
    let lines = prompts.iter().map(|prompt| serde_json::to_string(prompt).expect("JSON") + "\n");
    lines.collect::<String>().into_bytes()
}

pub fn small_tokens(late: u64) -> Vec<Vec<Nanos>> {
    let times =
        |id: u64, count: u64| (0..count).map(move |index| Nanos(1_000 * id + late + 500 + 300 * index)).collect();
    (0..NUM_REQUESTS as u64).map(|id| times(id, id + 1)).collect()
}

pub fn small_requests(late: u64) -> Vec<RequestRow> {
    let rows = (0u32..).zip(small_tokens(late)).map(|(id, times)| RequestRow {
        request_id: id,
        arrival: Nanos(1_000 * u64::from(id)),
        sent: Some(Nanos(1_000 * u64::from(id) + late / 2)),
        scheduled: Some(Nanos(1_000 * u64::from(id) + late)),
        first_token: times.first().copied(),
        completion: times.last().copied(),
        num_prefill_tokens: 5,
        num_decode_tokens: times.len() as u32,
        num_decode_tokens_actual: times.len() as u32,
        status: RequestStatus::Ok,
        num_preemptions: Some(0),
        error_msg: None,
    });
    rows.collect()
}

pub fn small_steps() -> Vec<StepRow> {
    let row = |index: u64| StepRow {
        step_index: index,
        start: Nanos(1_000 * index),
        end: Nanos(1_000 * index + 900),
        host: Nanos(200),
        device: Nanos(700),
        num_prefill_tokens: 5,
        num_running: 1,
        ..StepRow::default()
    };
    (0..4).map(row).collect()
}

pub fn small_workload() -> Workload {
    let rows = (0..NUM_REQUESTS as u64).map(|id| WorkloadRow {
        prompt_id: format!("p{id}"),
        num_prefill_tokens: 5,
        num_decode_tokens: id as u32 + 1,
        inter_arrival: Nanos(if id == 0 { 0 } else { 1_000 }),
        arrival: Nanos(1_000 * id),
    });
    let mut prefixes = Prefixes::new(4);
    for hashes in [&[7, 8][..], &[7], &[]] {
        prefixes.push(hashes.iter().copied());
    }
    Workload { rows: rows.collect(), prefixes: Some(prefixes) }
}

pub fn write_prefixes(workload: &Workload) -> Vec<u8> {
    let prefixes = workload.prefixes.as_ref().expect("prefixes");
    written(|out| {
        let mut writer = PrefixWriter::new(out, prefixes.block_tokens)?;
        (0..workload.rows.len() as u32).try_for_each(|id| writer.write(prefixes.of(id)))?;
        writer.flush()
    })
}

pub const SMALL_AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n\
                               2023-11-16 18:15:50.9951690,396,109\r\n2023-11-17 00:00:00,1,1\r\n";

pub const SMALL_MOONCAKE: &str = "{\"timestamp\": 0, \"input_length\": 1030, \"output_length\": 6, \"hash_ids\": [0, 1, 2]}\n\
                                  {\"timestamp\": 40, \"input_length\": 513, \"output_length\": 3, \"hash_ids\": [0, 9]}\n\
                                  {\"timestamp\": 40, \"input_length\": 5, \"output_length\": 1, \"hash_ids\": []}\n";

pub const SMALL_REPLAY: &str = "arrived_at,num_prefill_tokens,num_decode_tokens,prompt_id\n0.0,9,2,request_0\n0.25,3,1,b\n\
                                1.5,4,4,request_1\n";

pub fn small_prompts() -> Vec<PromptRow> {
    let prompt = |id: u32| PromptRow {
        prompt_id: format!("p{id}"),
        text: "why \"so\", 你好?".to_owned(),
        num_decode_tokens: (id > 0).then_some(id),
    };
    (0..3).map(prompt).collect()
}

pub fn small_profile() -> StepProfile {
    let row = |tokens: u64, decodes: u64| StepProfileRow {
        shape: BatchShape {
            num_prefill_tokens: tokens,
            num_prefill_seqs: u64::from(tokens > 0),
            prefill_pairs: tokens * (tokens + 1) / 2,
            num_decode_seqs: decodes,
            context_tokens: decodes * 10,
            num_sampled: decodes + 1,
            ..BatchShape::default()
        },
        num_repeats: 5,
        host: Nanos(50),
        device: Nanos(1_000 + 10 * tokens + 7 * decodes),
        device_min: Nanos(900),
        device_max: Nanos(9_000),
        is_held_out: tokens == 4,
    };
    StepProfile { rows: vec![row(1, 0), row(4, 0), row(64, 0), row(0, 1), row(0, 8)] }
}

pub fn small_meta(run_type: &str) -> RunMeta {
    RunMeta {
        schema_version: Some("v1".to_owned()),
        writer: Some(Writer::this()),
        run_type: Some(run_type.to_owned()),
        model: Some("m".to_owned()),
        ended_at: Some("2026-01-01T00:00:00Z".to_owned()),
        ..RunMeta::default()
    }
}

/// Two runs and their workload, as the entries of a zip.
pub fn small_runs() -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    for (folder, run_type, late) in [("real_run", "real", 0), ("sim_run", "vidur", 70)] {
        entries.push((format!("{folder}/run_meta.json"), write_json(&small_meta(run_type))));
        entries.push((format!("{folder}/request_metrics.csv"), write_requests(&small_requests(late))));
        entries.push((format!("{folder}/token_metrics.csv"), write_tokens(&small_tokens(late), false)));
        entries.push((format!("{folder}/step_metrics.csv"), write_steps(&small_steps())));
    }
    let workload = small_workload();
    entries.push(("workload/trace_lengths.csv".to_owned(), written(|out| workload.write_lengths(out))));
    entries.push(("workload/trace_intervals.csv".to_owned(), written(|out| workload.write_intervals(out))));
    entries.push(("workload/trace_prefixes.csv".to_owned(), write_prefixes(&workload)));
    entries
}

/// A bundle of `entries` whose manifest is right about them.
pub fn bundle_of(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = BundleWriter::new("comparison_0000000000", None, false);
    for (name, bytes) in entries {
        writer.add(name.as_str(), Box::new(move || Ok(Box::new(Cursor::new(bytes.clone())))));
    }
    let mut zip = Cursor::new(Vec::new());
    writer.write(&mut zip).expect("a bundle");
    zip.into_inner()
}

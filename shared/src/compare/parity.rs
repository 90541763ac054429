//! The parity gate: every setting a real run and its simulation must share, as each of them says it.

use serde_json::Value;

use crate::schema::comparison::{ParityRow, ParityState};
use crate::schema::{Origin, Run, RunMeta};

/// Settings that must match, with the other names tools give them.
const SETTINGS: [(&str, &[&str]); 15] = [
    ("policy", &["scheduler", "scheduler_type"]),
    ("max_num_seqs", &["batch_size_cap"]),
    ("max_num_batched_tokens", &["chunk_size"]),
    ("long_prefill_token_threshold", &[]),
    ("block_size", &[]),
    ("num_blocks", &["num_gpu_blocks"]),
    ("watermark_permille", &[]),
    ("max_model_len", &[]),
    ("max_in_flight", &[]),
    ("reserve_full_prompt", &["scheduler_reserve_full_isl"]),
    ("enable_prefix_caching", &[]),
    ("async_scheduling", &[]),
    ("num_replicas", &["data_parallel_size"]),
    ("tensor_parallel_size", &["tensor_parallel"]),
    ("pipeline_parallel_size", &["pipeline_parallel", "num_pipeline_stages"]),
];

/// Compares what both runs say, the LLM first.
pub fn parity(real: &Run, sim: &Run) -> Vec<ParityRow> {
    let mut rows = vec![row("model", real.meta.model.clone(), sim.meta.model.clone())];
    for (setting, aliases) in SETTINGS {
        rows.push(row(setting, said(&real.meta, setting, aliases), said(&sim.meta, setting, aliases)));
    }
    rows
}

/// What is wrong with the repeats of a real run: one that was simulated, or ran with other settings.
pub fn repeats(first: &Run, repeats: &[Run]) -> Option<String> {
    repeats.iter().find_map(|repeat| {
        if repeat.meta.origin() == Some(Origin::Simulated) {
            return Some(format!("`{}` was simulated: it is no repeat of a real run", repeat.name));
        }
        let differs = parity(first, repeat).into_iter().find(|row| row.state == ParityState::Differs)?;
        Some(format!("`{}` is no repeat of the real run: its `{}` differs", repeat.name, differs.setting))
    })
}

fn row(setting: &str, real: Option<String>, sim: Option<String>) -> ParityRow {
    let state = match (&real, &sim) {
        (Some(real), Some(sim)) if real == sim => ParityState::Matched,
        (Some(_), Some(_)) => ParityState::Differs,
        _ => ParityState::Unknown,
    };
    ParityRow { setting: setting.to_owned(), real, sim, state }
}

/// Looks in `params.scheduler` and `params.cluster` first, where ours are, then in `params` itself.
fn said(meta: &RunMeta, setting: &str, aliases: &[&str]) -> Option<String> {
    let table = |name: &str| meta.params.get(name).and_then(Value::as_object);
    let places = [table("scheduler"), table("cluster"), Some(&meta.params)];
    for place in places.into_iter().flatten() {
        for name in std::iter::once(&setting).chain(aliases) {
            match place.get(*name) {
                Some(Value::String(text)) => return Some(text.clone()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => return Some(value.to_string()),
                _ => {}
            }
        }
    }
    None
}

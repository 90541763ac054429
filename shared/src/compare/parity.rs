//! The parity gate: every setting a real run and its simulation must share, as each of them says it.

use serde_json::Value;

use crate::compare::workload_of;
use crate::schema::comparison::{ParityRow, ParityState};
use crate::schema::{Origin, Run, RunMeta, Workload, WorkloadRow};
use crate::serving::SchedulerConfig;

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

/// Where a run's first token is stamped, and what its times are counted on.
const STAMPS: [(&str, &str); 2] = [
    ("ttft_endpoint", "end of the step that sampled the first token"),
    ("clock", "nanoseconds since the run began, never set back"),
];

/// Compares what both runs say: the LLM, what was asked of it, then every setting.
pub fn parity(real: &Run, sim: &Run) -> Vec<ParityRow> {
    let mut rows = vec![row("model", told(&real.meta.model), told(&sim.meta.model))];
    rows.extend(asked(real, sim));
    let sides = [&real.meta, &sim.meta];
    for (setting, aliases) in SETTINGS {
        let [real, sim] = sides.map(|meta| said(meta, setting, aliases).or_else(|| usual(meta, setting)));
        rows.push(row(setting, real, sim));
    }
    for (setting, ours) in STAMPS {
        let defaulted = |meta: &RunMeta| meta.is_ours().then(|| Said::Defaulted(ours.to_owned()));
        let [real, sim] = sides.map(|meta| said(meta, setting, &[]).or_else(|| defaulted(meta)));
        rows.push(row(setting, real, sim));
    }
    rows
}

/// What both runs were asked, from their own rows: they tell it even where the metadata does not.
fn asked(real: &Run, sim: &Run) -> [ParityRow; 3] {
    let sides = [real, sim].map(workload_of);
    let of = |name: &str, value: &dyn Fn(&Workload) -> String| {
        let [real, sim] = [&sides[0], &sides[1]].map(|workload| Some(Said::Told(value(workload))));
        row(name, real, sim)
    };
    let sum = |workload: &Workload, tokens: fn(&WorkloadRow) -> u32| {
        workload.rows.iter().map(|row| u64::from(tokens(row))).sum::<u64>().to_string()
    };
    [
        of("workload", &|workload| workload.sha256()),
        of("prompt tokens", &|workload| sum(workload, |row| row.num_prefill_tokens)),
        of("output tokens asked", &|workload| sum(workload, |row| row.num_decode_tokens)),
    ]
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

/// What a run's metadata says of one of [`SETTINGS`], by any of its names.
pub fn said_setting(meta: &RunMeta, setting: &str) -> Option<String> {
    let aliases = SETTINGS.iter().find(|(name, _)| *name == setting).map_or(&[][..], |(_, aliases)| aliases);
    said(meta, setting, aliases).map(|(Said::Told(text) | Said::Defaulted(text))| text)
}

/// What a run has for a setting.
enum Said {
    /// Its metadata says it.
    Told(String),
    /// A run of ours that does not say it had this.
    Defaulted(String),
}

fn told(value: &Option<String>) -> Option<Said> {
    value.clone().map(Said::Told)
}

/// What a run of ours had for a setting that it does not name, because all runs had it then.
fn usual(meta: &RunMeta, setting: &str) -> Option<Said> {
    let scheduler = serde_json::to_value(SchedulerConfig::default()).expect("plain values");
    let value = match setting {
        _ if !meta.is_ours() => return None,
        "num_replicas" | "tensor_parallel_size" | "pipeline_parallel_size" => "1".to_owned(),
        // Without these a run of ours is not to be known.
        "policy" | "max_num_seqs" | "max_num_batched_tokens" | "block_size" | "num_blocks" | "max_model_len" => {
            return None;
        }
        setting => scheduler.get(setting)?.to_string(),
    };
    Some(Said::Defaulted(value))
}

fn row(setting: &str, real: Option<Said>, sim: Option<Said>) -> ParityRow {
    use Said::{Defaulted, Told};
    let (is_defaulted, real, sim) = match (real, sim) {
        (Some(Told(real)), Some(Told(sim))) => (false, Some(real), Some(sim)),
        (real, sim) => {
            let is_defaulted = matches!(real, Some(Defaulted(_))) || matches!(sim, Some(Defaulted(_)));
            let text = |said: Option<Said>| said.map(|(Told(text) | Defaulted(text))| text);
            (is_defaulted, text(real), text(sim))
        }
    };
    let state = match (&real, &sim) {
        (Some(real), Some(sim)) if real != sim => ParityState::Differs,
        (Some(_), Some(_)) if is_defaulted => ParityState::Defaulted,
        (Some(_), Some(_)) => ParityState::Matched,
        _ => ParityState::Unknown,
    };
    ParityRow { setting: setting.to_owned(), real, sim, state }
}

/// Looks in `params.scheduler` and `params.cluster` first, where ours are, then in `params` itself.
fn said(meta: &RunMeta, setting: &str, aliases: &[&str]) -> Option<Said> {
    let table = |name: &str| meta.params.get(name).and_then(Value::as_object);
    let places = [table("scheduler"), table("cluster"), Some(&meta.params)];
    for place in places.into_iter().flatten() {
        for name in std::iter::once(&setting).chain(aliases) {
            match place.get(*name) {
                Some(Value::String(text)) => return Some(Said::Told(text.clone())),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                    return Some(Said::Told(value.to_string()));
                }
                _ => {}
            }
        }
    }
    None
}

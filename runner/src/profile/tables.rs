//! Single operations of a layer in Vidur's table layout: `mlp.csv` and `attention.csv`, times in milliseconds.

use std::io::Write;

use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::time::Nanos;

use crate::engine::qwen3::{OpName, Qwen3Config};
use crate::engine::{AttentionRow, OperationRow, Samples};

const MLP_OPERATIONS: [OpName; 12] = [
    OpName::Emb,
    OpName::InputLayernorm,
    OpName::AttnPreProj,
    OpName::AttnRope,
    OpName::AttnPostProj,
    OpName::PostAttentionLayernorm,
    OpName::MlpUpProj,
    OpName::MlpAct,
    OpName::MlpDownProj,
    OpName::Add,
    // Ours; of rows that want logits, whose number is then `num_tokens`.
    OpName::FinalNorm,
    OpName::LmHead,
];
const ATTENTION_OPERATIONS: [OpName; 3] = [OpName::AttnKvCacheSave, OpName::AttnPrefill, OpName::AttnDecode];

/// Writes `mlp.csv`.
///
/// # Errors
/// When the output fails.
pub fn write_mlp(output: impl Write, rows: &[OperationRow], model: &Qwen3Config) -> Result<(), csv::Error> {
    let shape = [
        ("n_head", model.num_attention_heads.to_string()),
        ("n_kv_head", model.num_key_value_heads.to_string()),
        ("n_embd", model.hidden_size.to_string()),
        ("n_expanded_embd", model.intermediate_size.to_string()),
        ("vocab_size", model.vocab_size.to_string()),
        ("use_gated_mlp", "True".to_owned()),
    ];
    let rows = rows.iter().map(|row| {
        let mut keys = shape.to_vec();
        keys.push(("num_tokens", row.num_tokens.to_string()));
        keys.push(("num_tensor_parallel_workers", "1".to_owned()));
        (&row.samples, keys)
    });
    write_table(output, &MLP_OPERATIONS, rows)
}

/// Writes `attention.csv`; `backend` is what computed it.
///
/// # Errors
/// When the output fails.
pub fn write_attention(
    output: impl Write,
    rows: &[AttentionRow],
    model: &Qwen3Config,
    config: &SchedulerConfig,
    backend: &str,
) -> Result<(), csv::Error> {
    let rows = rows.iter().map(|row| {
        let is_prefill = if row.size.prefill_chunk_size > 0 { "True" } else { "False" };
        let keys = vec![
            ("n_embd", model.hidden_size.to_string()),
            ("n_q_head", model.num_attention_heads.to_string()),
            ("n_kv_head", model.num_key_value_heads.to_string()),
            ("block_size", config.block_size.to_string()),
            ("num_tensor_parallel_workers", "1".to_owned()),
            ("max_model_len", config.max_model_len.to_string()),
            ("batch_size", row.size.batch_size.to_string()),
            ("prefill_chunk_size", row.size.prefill_chunk_size.to_string()),
            ("kv_cache_size", row.size.kv_cache_size.to_string()),
            ("is_prefill", is_prefill.to_owned()),
            ("attention_backend", backend.to_owned()),
        ];
        (&row.samples, keys)
    });
    write_table(output, &ATTENTION_OPERATIONS, rows)
}

/// Five statistics an operation, blank where it did not run, then the keys.
fn write_table<'a>(
    output: impl Write,
    operations: &[OpName],
    rows: impl Iterator<Item = (&'a Samples, Vec<(&'static str, String)>)>,
) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(output);
    let mut has_header = false;
    for (samples, keys) in rows {
        if !has_header {
            let statistics = operations.iter().flat_map(|operation| {
                ["min", "max", "mean", "median", "std"].map(|statistic| format!("time_stats.{operation}.{statistic}"))
            });
            csv.write_record(statistics.chain(keys.iter().map(|(name, _)| (*name).to_owned())))?;
            has_header = true;
        }
        let cells = operations.iter().flat_map(|operation| statistics(samples.get(operation)));
        csv.write_record(cells.chain(keys.into_iter().map(|(_, value)| value)))?;
    }
    csv.flush()?;
    Ok(())
}

fn statistics(samples: Option<&Vec<Nanos>>) -> [String; 5] {
    let mut millis: Vec<f64> = samples.into_iter().flatten().map(|span| span.as_millis_f64()).collect();
    millis.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (millis.first(), millis.last()) else { return Default::default() };
    let count = millis.len() as f64;
    let mean = millis.iter().sum::<f64>() / count;
    let variance = millis.iter().map(|time| (time - mean) * (time - mean)).sum::<f64>() / count;
    [*min, *max, mean, millis[millis.len() / 2], variance.sqrt()].map(|value| format!("{value:.6}"))
}

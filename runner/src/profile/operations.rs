//! Single operations of a layer in Vidur's table layout: `mlp.csv` and `attention.csv`, times in milliseconds.

use std::collections::BTreeMap;
use std::io::Write;

use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::time::Nanos;

use crate::engine::CandleExecutor;
use crate::engine::qwen3::{AttentionWork, KvCache, ModelError, OpName, Qwen3, Qwen3Config};

const MLP_OPERATIONS: [OpName; 10] = [
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
];
const ATTENTION_OPERATIONS: [OpName; 3] = [OpName::AttnKvCacheSave, OpName::AttnPrefill, OpName::AttnDecode];

/// Samples of one operation by name.
type Samples = BTreeMap<OpName, Vec<Nanos>>;

/// One row of `mlp.csv`.
pub struct OperationRow {
    num_tokens: usize,
    samples: Samples,
}

/// One row of `attention.csv`.
pub struct AttentionRow {
    batch_size: usize,
    prefill_chunk_size: usize,
    kv_cache_size: usize,
    samples: Samples,
}

/// Times every operation over a grid of sizes, `repeats` times each over different layers.
///
/// # Errors
/// When the model cannot compute a size.
pub fn operations(
    executor: &mut CandleExecutor,
    config: &SchedulerConfig,
    repeats: u32,
) -> Result<(Vec<OperationRow>, Vec<AttentionRow>), ModelError> {
    executor.with_model(|model, cache| {
        let room = cache.num_blocks() * cache.block_size();
        let longest = (config.max_model_len as usize).min(room);
        let chunk = (config.max_num_batched_tokens as usize).min(longest);
        let sizes = || std::iter::successors(Some(chunk), |size| (*size > 1).then(|| size / 2));
        let mut mlp = Vec::new();
        for num_tokens in sizes() {
            let samples = sample(repeats, |layer| model.time_operations(num_tokens, layer, cache))?;
            mlp.push(OperationRow { num_tokens, samples });
        }
        let mut attention = Vec::new();
        // A chunk of one token is a decode.
        for size in sizes().filter(|size| *size > 1) {
            for context in [0, (longest - size) / 2] {
                attention.push(attention_row(model, cache, repeats, 1, size, context)?);
            }
        }
        for batch in std::iter::successors(Some(config.max_num_seqs as usize), |size| (*size > 1).then(|| size / 2)) {
            let fits = (room / batch).saturating_sub(cache.block_size()).min(longest - 1);
            for context in [fits / 8, fits] {
                attention.push(attention_row(model, cache, repeats, batch, 0, context.max(1))?);
            }
        }
        Ok((mlp, attention))
    })
}

/// `chunk` 0 is a decode batch.
fn attention_row(
    model: &Qwen3,
    cache: &mut KvCache,
    repeats: u32,
    batch_size: usize,
    chunk: usize,
    context: usize,
) -> Result<AttentionRow, ModelError> {
    let work = vec![AttentionWork { start: context, num_tokens: chunk.max(1) }; batch_size];
    let samples = sample(repeats, |layer| model.time_attention(&work, layer, cache))?;
    Ok(AttentionRow { batch_size, prefill_chunk_size: chunk, kv_cache_size: context, samples })
}

/// One warm-up, then `repeats` passes over successive layers.
fn sample(
    repeats: u32,
    mut pass: impl FnMut(usize) -> Result<Vec<(OpName, Nanos)>, ModelError>,
) -> Result<Samples, ModelError> {
    pass(0)?;
    let mut samples = Samples::new();
    for layer in 1..=repeats.max(1) as usize {
        for (name, span) in pass(layer)? {
            samples.entry(name).or_default().push(span);
        }
    }
    Ok(samples)
}

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

/// Writes `attention.csv`.
///
/// # Errors
/// When the output fails.
pub fn write_attention(
    output: impl Write,
    rows: &[AttentionRow],
    model: &Qwen3Config,
    config: &SchedulerConfig,
) -> Result<(), csv::Error> {
    let rows = rows.iter().map(|row| {
        let is_prefill = if row.prefill_chunk_size > 0 { "True" } else { "False" };
        let keys = vec![
            ("n_embd", model.hidden_size.to_string()),
            ("n_q_head", model.num_attention_heads.to_string()),
            ("n_kv_head", model.num_key_value_heads.to_string()),
            ("block_size", config.block_size.to_string()),
            ("num_tensor_parallel_workers", "1".to_owned()),
            ("max_model_len", config.max_model_len.to_string()),
            ("batch_size", row.batch_size.to_string()),
            ("prefill_chunk_size", row.prefill_chunk_size.to_string()),
            ("kv_cache_size", row.kv_cache_size.to_string()),
            ("is_prefill", is_prefill.to_owned()),
            ("attention_backend", "fidelio-cpu".to_owned()),
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

//! Times of steps, beside what the device could do at best.

use std::time::Instant;

use fidelio::engine::cuda::{CudaExecutor, Path, ceilings};
use fidelio::engine::qwen3::Qwen3Config;
use fidelio::engine::{Engine, Executor};
use fidelio_shared::serving::Batch;
use fidelio_shared::workload::synthetic_prompt;
use serde_json::{Value, json};

use super::setup::{ModelArgs, decode as decode_batch, item};

const WARM_UP_STEPS: u64 = 10;

pub fn device() -> anyhow::Result<Value> {
    let device = device_json()?;
    let ceilings = ceilings()?;
    Ok(json!({
        "device": device,
        "copy_bytes_per_s": ceilings.copy_bytes_per_s,
        "gemm_flops": ceilings.gemm_flops,
    }))
}

fn device_json() -> anyhow::Result<Value> {
    let found = fidelio::engine::cuda::device()?;
    let (major, minor) = found.compute_capability;
    Ok(json!({
        "name": found.name,
        "compute_capability": format!("{major}.{minor}"),
        "num_multiprocessors": found.num_multiprocessors,
        "memory_bytes": found.memory_bytes,
        "free_bytes": found.free_bytes,
        "l2_bytes": found.l2_bytes,
        "driver_cuda_version": found.driver_cuda_version,
    }))
}

/// Median device time and mean wall time of steps, in milliseconds.
struct Timed {
    device_ms: f64,
    wall_ms: f64,
}

fn time(engine: &mut CudaExecutor, batch: impl Fn(u64) -> Batch, steps: u64) -> anyhow::Result<Timed> {
    for index in 0..WARM_UP_STEPS {
        engine.execute(&batch(index))?;
    }
    let mut devices = Vec::new();
    let start = Instant::now();
    for index in 0..steps.max(1) {
        devices.push(engine.execute(&batch(index))?.device.as_millis_f64());
    }
    let wall_ms = start.elapsed().as_secs_f64() * 1e3 / steps.max(1) as f64;
    devices.sort_by(f64::total_cmp);
    Ok(Timed { device_ms: devices[devices.len() / 2], wall_ms })
}

pub fn decode(model: &ModelArgs, batches: &[u32], contexts: &[u32], steps: u64) -> anyhow::Result<Value> {
    let copy_rate = ceilings()?.copy_bytes_per_s;
    let most = batches.iter().copied().max().unwrap_or(1);
    let longest = contexts.iter().copied().max().unwrap_or(1) + 16;
    let mut engine = model.engine(most, most.max(64), longest)?;
    let mut rows = Vec::new();
    for context in contexts {
        for batch in batches {
            if u64::from(*batch) * u64::from(context + 17) > u64::from(engine.num_blocks()) * 16 {
                continue;
            }
            for id in 0..*batch {
                engine.register(id, &synthetic_prompt(7, id, context + 1, 32_000));
            }
            let timed = time(&mut engine, |index| decode_batch(index, *batch, *context), steps)?;
            (0..*batch).for_each(|id| engine.release(id));
            rows.push(json!({
                "batch": batch,
                "context": context,
                "device_ms": timed.device_ms,
                "wall_ms": timed.wall_ms,
                "floor_ms": floor_bytes(engine.config(), *batch, *context) / copy_rate * 1e3,
                "path": path_of(&engine, *batch),
            }));
        }
    }
    Ok(json!({ "rows": rows, "copy_bytes_per_s": copy_rate }))
}

/// Bytes a decode step must read: every weight once (of an untied embedding only the rows looked up), and
/// keys and values of all contexts.
fn floor_bytes(config: &Qwen3Config, batch: u32, context: u32) -> f64 {
    let untied = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let weights = 2.0 * (config.num_parameters() - untied as u64) as f64;
    // Half of what the CPU's 32-bit floats take.
    let cache = config.kv_bytes_per_token() as f64 / 2.0;
    weights + cache * f64::from(batch) * f64::from(context + 1)
}

fn path_of(engine: &CudaExecutor, batch: u32) -> &'static str {
    let bucket =
        engine.paths().into_iter().find(|(shape, _)| shape.prefill_rows == 0 && shape.decode_rows >= batch as usize);
    match bucket {
        Some((_, Path::Fused)) => "fused",
        Some((_, Path::Gemm)) => "gemm",
        None => "eager",
    }
}

pub fn prefill(model: &ModelArgs, sizes: &[u32], steps: u64) -> anyhow::Result<Value> {
    let rate = ceilings()?.gemm_flops;
    let most = sizes.iter().copied().max().unwrap_or(1);
    let mut engine = model.engine(8, most, most)?;
    let mut rows = Vec::new();
    for tokens in sizes {
        engine.register(0, &synthetic_prompt(7, 0, *tokens, 32_000));
        let timed = time(&mut engine, |index| Batch::listed(index, vec![item(0, 0, *tokens)], Vec::new()), steps)?;
        engine.release(0);
        let operations = prefill_operations(engine.config(), *tokens);
        rows.push(json!({
            "tokens": tokens,
            "device_ms": timed.device_ms,
            "wall_ms": timed.wall_ms,
            "flops": operations / (timed.device_ms / 1e3),
            "floor_ms": operations / rate * 1e3,
        }));
    }
    Ok(json!({ "rows": rows, "gemm_flops": rate }))
}

/// Operations of one prefill: products of all layers for every token, causal attention, the head for one.
fn prefill_operations(config: &Qwen3Config, tokens: u32) -> f64 {
    let tokens = f64::from(tokens);
    let (hidden, query) = (config.hidden_size as f64, config.query_size() as f64);
    let projections = hidden * (2.0 * query + 2.0 * config.key_value_size() as f64);
    let feed_forward = 3.0 * hidden * config.intermediate_size as f64;
    let attention = 2.0 * query * tokens / 2.0;
    let layers = config.num_hidden_layers as f64 * tokens * (projections + feed_forward + attention);
    2.0 * (layers + hidden * config.vocab_size as f64)
}

pub fn timeline(model: &ModelArgs, batch: u32, steps: u64) -> anyhow::Result<Value> {
    let context = 128;
    let mut engine = model.engine(batch, batch.max(64), context + WARM_UP_STEPS as u32 + steps as u32 + 1)?;
    for id in 0..batch {
        engine.register(id, &synthetic_prompt(7, id, context + 1, 32_000));
    }
    for index in 0..WARM_UP_STEPS {
        engine.execute(&decode_batch(index, batch, context + index as u32))?;
    }
    engine.start_clock();
    let mut rows = Vec::new();
    let (mut gaps, mut total) = (0, 0);
    for index in 0..steps {
        let start = engine.now();
        let result = engine.execute(&decode_batch(index, batch, context + (WARM_UP_STEPS + index) as u32))?;
        let wall = engine.now() - start;
        // Everything in a step during which the device computed nothing.
        let gap = wall.saturating_sub(result.device);
        gaps += gap.0;
        total += wall.0;
        let phases = result.phases.unwrap_or_default();
        rows.push(json!({
            "start_ns": start.0,
            "host_ns": gap.0,
            "device_ns": result.device.0,
            "gap_ns": gap.0,
            "prepare_ns": phases.prepare.0,
            "launch_ns": phases.launch.0,
            "wait_ns": phases.wait.0,
            "sample_ns": phases.sample.0,
        }));
    }
    Ok(json!({ "steps": rows, "gap_share": gaps as f64 / total.max(1) as f64 }))
}

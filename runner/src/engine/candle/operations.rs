//! Single operations of the CPU engine under its stopwatch, over the grid every engine is timed on.

use fidelio_shared::serving::SchedulerConfig;
use fidelio_shared::time::Nanos;

use super::CandleExecutor;
use crate::engine::operations::{AttentionRow, OperationGrid, OperationRow, Samples};
use crate::engine::qwen3::{AttentionWork, ModelError, OpName};

/// Times every operation over the grid, `repeats` times each over different layers.
///
/// # Errors
/// When the model cannot compute a size.
pub fn operations(
    executor: &mut CandleExecutor,
    config: &SchedulerConfig,
    repeats: u32,
) -> Result<(Vec<OperationRow>, Vec<AttentionRow>), ModelError> {
    let grid = OperationGrid::of(config);
    executor.with_model(|model, cache| {
        let mut mlp = Vec::with_capacity(grid.tokens.len());
        for num_tokens in grid.tokens {
            let mut samples = sample(repeats, |layer| model.time_operations(num_tokens, layer, cache))?;
            if num_tokens <= grid.max_sampled {
                samples.extend(sample(repeats, |_| model.time_head(num_tokens))?);
            }
            mlp.push(OperationRow { num_tokens, samples });
        }
        let mut attention = Vec::with_capacity(grid.attention.len());
        for size in grid.attention {
            let share = AttentionWork { start: size.kv_cache_size, num_tokens: size.prefill_chunk_size.max(1) };
            let work = vec![share; size.batch_size];
            let samples = sample(repeats, |layer| model.time_attention(&work, layer, cache))?;
            attention.push(AttentionRow { size, samples });
        }
        Ok((mlp, attention))
    })
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

//! Device memory of one engine: KV cache, activations, and how many blocks fit. Knows no kernel.

use cudarc::driver::sys::CUdeviceptr;

use super::buckets::num_splits;
use super::device::{Buffer, Gpu};
use super::error::GpuError;
use crate::engine::qwen3::Qwen3Config;

/// Kept free for captured graphs and the driver.
const RESERVE_BYTES: u64 = 512 << 20;

/// Blocks are counted in steps of this many.
const ROUNDED_BLOCKS: usize = 256;

/// The largest step the engine is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Rows of a step.
    pub(super) rows: usize,
    /// Sequences of a step, and rows of logits.
    pub(super) seqs: usize,
    /// Tokens of a sequence.
    pub(super) model_len: usize,
    /// Tokens of a KV block.
    pub(super) block_size: usize,
}

/// Buffers every layer uses in turn, `[rows][width]` each.
pub(super) struct Activations {
    /// The residual stream, f32.
    pub(super) residual: Buffer,
    pub(super) normed: Buffer,
    pub(super) query_key_value: Buffer,
    /// What attention gives.
    pub(super) context: Buffer,
    pub(super) gate_up: Buffer,
    pub(super) gated: Buffer,
    /// f32, `[sequences][vocabulary]`.
    pub(super) logits: Buffer,
    /// The best token of each wanted row with its logit, as one number.
    pub(super) best: Buffer,
    /// Partial results of decode attention, their maxima and sums, and how many have arrived.
    pub(super) partial: Buffer,
    pub(super) partial_ml: Buffer,
    pub(super) counters: Buffer,
}

/// Keys and values of all layers, each `[layer][key or value][block][head][slot][head_dim]` in bfloat16.
pub(super) struct KvCache {
    buffer: Buffer,
    /// Bytes of one layer's keys; its values take as many.
    half_layer_bytes: usize,
    pub(super) num_blocks: usize,
}

const STEP_HINT: &str = "lower scheduler.max_num_batched_tokens or scheduler.max_num_seqs";

impl Activations {
    pub(super) fn new(gpu: &Gpu, config: &Qwen3Config, limits: Limits) -> Result<Self, GpuError> {
        let Limits { rows, seqs, .. } = limits;
        let bf16 = |width: usize, what| gpu.zeroed::<u16>(rows * width, what, STEP_HINT);
        let packed = config.query_size() + 2 * config.key_value_size();
        // Pieces of all sequences together are most where there are few sequences.
        let splits = |seqs| {
            num_splits(seqs, config.num_key_value_heads, gpu.properties.num_multiprocessors as usize, limits.model_len)
        };
        let pieces = (1..=seqs).map(|seqs| seqs * splits(seqs)).max().unwrap_or(1);
        Ok(Activations {
            residual: gpu.zeroed::<f32>(rows * config.hidden_size, "the residual stream", STEP_HINT)?,
            normed: bf16(config.hidden_size, "normed activations")?,
            query_key_value: bf16(packed, "queries, keys and values")?,
            context: bf16(config.query_size(), "attention's results")?,
            gate_up: bf16(2 * config.intermediate_size, "gate and up projections")?,
            gated: bf16(config.intermediate_size, "gated activations")?,
            logits: gpu.zeroed::<f32>(seqs * config.vocab_size, "the logits", STEP_HINT)?,
            best: gpu.zeroed::<u64>(seqs, "the sampled tokens", STEP_HINT)?,
            partial: gpu.zeroed::<f32>(pieces * config.query_size(), "partial attention", STEP_HINT)?,
            partial_ml: gpu.zeroed::<f32>(pieces * 2 * config.num_attention_heads, "partial attention", STEP_HINT)?,
            counters: gpu.zeroed::<i32>(seqs * config.num_key_value_heads, "attention's counters", STEP_HINT)?,
        })
    }
}

impl KvCache {
    /// As many blocks as asked for, or as many as fit.
    pub(super) fn new(
        gpu: &Gpu,
        config: &Qwen3Config,
        block_size: usize,
        num_blocks: Option<usize>,
        utilization: f64,
    ) -> Result<Self, GpuError> {
        let half_layer = |blocks: usize| blocks * block_size * config.key_value_size() * size_of::<u16>();
        let block_bytes = 2 * config.num_hidden_layers * half_layer(1);
        let num_blocks = match num_blocks {
            Some(num_blocks) => num_blocks,
            None => fitting_blocks(gpu, utilization, block_bytes as u64)?,
        };
        let hint = "lower scheduler.num_blocks, or set it to 0 to use what is free";
        let buffer = gpu.zeroed::<u8>(num_blocks.saturating_mul(block_bytes), "the KV blocks", hint)?;
        Ok(KvCache { buffer, half_layer_bytes: half_layer(num_blocks), num_blocks })
    }

    /// Where a layer's keys begin.
    pub(super) fn keys(&self, layer: usize) -> CUdeviceptr {
        self.buffer.at(2 * layer * self.half_layer_bytes)
    }

    /// Where a layer's values begin.
    pub(super) fn values(&self, layer: usize) -> CUdeviceptr {
        self.buffer.at((2 * layer + 1) * self.half_layer_bytes)
    }
}

/// Blocks that fit into the share of memory an engine may use, after everything else was allocated.
fn fitting_blocks(gpu: &Gpu, utilization: f64, block_bytes: u64) -> Result<usize, GpuError> {
    let (total, free) = (gpu.properties.memory_bytes, gpu.free_bytes()?);
    let usable = blocks_in(total, free, utilization, block_bytes);
    if usable == 0 {
        return Err(GpuError::OutOfMemory {
            what: "one KV block and a reserve",
            asked_bytes: block_bytes + RESERVE_BYTES,
            free_bytes: free,
            hint: "raise hardware.gpu_memory_utilization, lower scheduler.max_num_batched_tokens, or choose a smaller model",
        });
    }
    Ok(usable)
}

/// Memory others hold counts against the share, as in vLLM.
fn blocks_in(total: u64, free: u64, utilization: f64, block_bytes: u64) -> usize {
    let share = (total as f64 * utilization) as u64;
    let left = share.saturating_sub(total - free.min(total)).saturating_sub(RESERVE_BYTES);
    // A block's number and its slots are 32-bit words on the device.
    let blocks = (left / block_bytes.max(1)).min(1 << 26) as usize;
    // Free memory differs a little from one start to the next; a profile and a run shall have as many blocks.
    if blocks > ROUNDED_BLOCKS { blocks / ROUNDED_BLOCKS * ROUNDED_BLOCKS } else { blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_the_share_that_is_left() {
        let gib = 1 << 30;
        // 0.9 of 80 GiB is 72; 10 are taken, 0.5 are kept: 61.5 GiB of 1 MiB blocks.
        assert_eq!(blocks_in(80 * gib, 70 * gib, 0.9, 1 << 20), 62_976);
        assert_eq!(blocks_in(80 * gib, 8 * gib, 0.9, 1 << 20), 0, "others hold the share already");
    }
}

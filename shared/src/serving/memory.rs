//! How many KV blocks a device has room for: vLLM's way, and Vidur's planner. Knows no scheduler.

use crate::latency::ModelShape;

/// What vLLM knows of a device and of its own settings when it sizes the KV cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VllmMemory {
    /// Memory of the device, in bytes, as its driver reports it.
    pub total_bytes: u64,
    /// Share of it the engine may use, 0..=1.
    pub gpu_memory_utilization: f64,
    /// Sequences in one step, at most.
    pub max_num_seqs: u32,
    /// Tokens in one step, at most.
    pub max_num_batched_tokens: u32,
    /// Memory taken outside the tensor allocator: libraries, communication, graphs if they are counted.
    /// [`VllmMemory::NON_TORCH_BYTES`] when nobody measured it.
    pub non_torch_bytes: u64,
}

impl VllmMemory {
    /// 0.11 GiB: what public vLLM logs of an 8B model on one device commonly say.
    pub const NON_TORCH_BYTES: u64 = 118_111_601;
}

/// Where a device's memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VllmPlan {
    /// What the engine may use.
    pub requested_bytes: u64,
    /// Weights on the fullest device.
    pub weight_bytes: u64,
    /// Estimated peak of a step's intermediate tensors.
    pub activation_bytes: u64,
    /// Bytes of one KV block over the layers of a stage.
    pub block_bytes: u64,
    /// KV blocks that fit.
    pub num_blocks: u32,
}

/// KV blocks as vLLM counts them: what it may use less weights, peak activation and non-torch memory,
/// in whole blocks. The peak is estimated, see [`activation_bytes`]; vLLM measures it.
///
/// # Errors
/// An impossible shape or share, or a device too small for one block; the message says what it holds.
pub fn vllm_blocks(shape: &ModelShape, memory: &VllmMemory, block_size: u32) -> Result<VllmPlan, String> {
    shape.check()?;
    let share = memory.gpu_memory_utilization;
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("`gpu_memory_utilization` {share} must be above 0 and at most 1"));
    }
    if block_size == 0 {
        return Err("`block_size` must be at least 1".to_owned());
    }
    let requested_bytes = (memory.total_bytes as f64 * share) as u64;
    let weight_bytes = shape.weight_bytes_per_device();
    let activation_bytes = activation_bytes(shape, memory);
    let block_bytes = u64::from(shape.stage_layers(0)) * u64::from(block_size) * shape.kv_bytes_per_token_layer();
    let taken = weight_bytes + activation_bytes + memory.non_torch_bytes;
    let num_blocks = requested_bytes.saturating_sub(taken) / block_bytes;
    if num_blocks == 0 {
        return Err(format!(
            "no KV block fits: of {requested_bytes} bytes the weights take {weight_bytes}, a step {activation_bytes}, \
             libraries {}",
            memory.non_torch_bytes
        ));
    }
    let num_blocks = u32::try_from(num_blocks).map_err(|_| format!("{num_blocks} KV blocks are too many to count"))?;
    Ok(VllmPlan { requested_bytes, weight_bytes, activation_bytes, block_bytes, num_blocks })
}

/// Peak of the tensors alive at once in the largest step, the larger of two moments:
/// the feed-forward part (residual, its norm, both halves of the gate and their product), and
/// sampling by top-k and top-p, where every logit is there as the model gave it, as 32-bit float,
/// sorted, as 64-bit index, as probability, as running sum, as mask and put back in order,
/// beside two copies of the hidden states.
pub fn activation_bytes(shape: &ModelShape, memory: &VllmMemory) -> u64 {
    let dtype = u64::from(shape.dtype_bytes);
    let tensor_parallel = u64::from(shape.tensor_parallel);
    let (hidden, tokens) = (u64::from(shape.hidden_size), u64::from(memory.max_num_batched_tokens));
    let mlp = if shape.is_gated { 3 } else { 2 } * u64::from(shape.mlp_hidden_size) / tensor_parallel;
    let forward = tokens * dtype * (2 * hidden + mlp);
    let bytes_per_logit = dtype + 4 + 4 + 8 + 4 + 4 + 1 + 4;
    let logits = u64::from(memory.max_num_seqs) * u64::from(shape.vocab_size);
    forward.max(logits * bytes_per_logit + tokens * dtype * 2 * hidden)
}

/// What Vidur's planner is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VidurMemory {
    /// Memory of the device, in GiB.
    pub total_gib: f64,
    /// Share of it left alone, 0..1; Vidur's own is 0.1.
    pub margin: f64,
    /// Tokens of a longest request.
    pub max_tokens: u32,
}

/// What Vidur's planner finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VidurPlan {
    /// Longest requests a device has room for: Vidur's largest batch, before its cap.
    pub plan_batch: u32,
    /// The same over all stages.
    pub num_slots: u32,
    /// KV blocks.
    pub num_blocks: u32,
}

/// KV blocks as Vidur counts them: whole longest requests in what the layers' matrices leave of the
/// device. Embeddings, output head, norms and activations are not counted, and a request is charged
/// the layers of all stages; two bytes an element whatever the shape says.
///
/// # Errors
/// An impossible shape, or a device too small for one longest request.
pub fn vidur_blocks(shape: &ModelShape, memory: &VidurMemory, block_size: u32) -> Result<VidurPlan, String> {
    shape.check()?;
    if block_size == 0 || memory.max_tokens < block_size {
        return Err(format!("`max_tokens` {} must fill a block of {block_size} tokens", memory.max_tokens));
    }
    let stage_layers = u64::from(shape.num_layers / shape.pipeline_parallel);
    let weights = 2 * shape.matrix_params_per_layer() * stage_layers;
    let available = memory.total_gib * f64::from(1 << 30) * (1.0 - memory.margin);
    let per_token = 4 * u64::from(shape.head_dim) * shape.kv_heads_per_device() * u64::from(shape.num_layers);
    let request = per_token * u64::from(memory.max_tokens);
    let plan_batch = libm::floor((available - weights as f64) / request as f64);
    if plan_batch < 1.0 {
        return Err(format!(
            "no request of {} tokens fits: of {available} bytes the weights take {weights}, a request {request}",
            memory.max_tokens
        ));
    }
    let num_slots = plan_batch * f64::from(shape.pipeline_parallel);
    let num_blocks = num_slots * f64::from(memory.max_tokens / block_size);
    if num_blocks > f64::from(u32::MAX) {
        return Err(format!("{num_blocks} KV blocks are too many to count"));
    }
    Ok(VidurPlan { plan_batch: plan_batch as u32, num_slots: num_slots as u32, num_blocks: num_blocks as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::model_shape::tests::llama31_8b;

    const RTX_4090: VllmMemory = VllmMemory {
        total_bytes: 25_250_627_584,
        gpu_memory_utilization: 0.9,
        max_num_seqs: 256,
        max_num_batched_tokens: 2_048,
        non_torch_bytes: VllmMemory::NON_TORCH_BYTES,
    };

    #[test]
    fn an_rtx_4090_has_room_for_about_as_many_blocks_as_vllm_found() {
        let plan = vllm_blocks(&llama31_8b(), &RTX_4090, 16).expect("it fits");
        assert_eq!((plan.weight_bytes, plan.block_bytes), (16_060_522_496, 2_097_152));
        // vLLM 0.19 found 2,588 there.
        assert_eq!(plan.num_blocks, 2_620);
    }

    #[test]
    fn without_the_sampler_the_feed_forward_part_is_the_peak() {
        let memory = VllmMemory { max_num_seqs: 1, ..RTX_4090 };
        assert_eq!(activation_bytes(&llama31_8b(), &memory), 2_048 * 2 * (2 * 4_096 + 3 * 14_336));
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_sizes() {
        let memory = VllmMemory { total_bytes: 17_000_000_000, ..RTX_4090 };
        let error = vllm_blocks(&llama31_8b(), &memory, 16).expect_err("16 GB of weights in 15.3");
        assert!(error.contains("16060522496"), "{error}");
        let memory = VidurMemory { total_gib: 14.0, margin: 0.1, max_tokens: 4_096 };
        let error = vidur_blocks(&llama31_8b(), &memory, 16).expect_err("too small");
        assert!(error.contains("no request of 4096 tokens fits"), "{error}");
    }
}

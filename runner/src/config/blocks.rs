//! KV blocks that follow from a device's known memory, as vLLM counts them.

use fidelio_shared::serving::memory::{VllmMemory, vllm_blocks};
use fidelio_shared::serving::{Policy, SchedulerConfig};

use super::experiment::{ClusterSettings, Experiment, HardwareConfig, ModelConfig};
use super::model_shape::model_shape;

impl Experiment {
    /// KV blocks the hardware's known memory has room for; `None` where it is not known.
    ///
    /// # Errors
    /// When the model or its blocks do not fit, in words.
    pub fn blocks_from_memory(&self) -> Result<Option<u32>, String> {
        blocks_from_memory(&self.model, &self.hardware, &self.cluster, &self.scheduler)
    }
}

/// As [`Experiment::blocks_from_memory`], of its parts.
pub(super) fn blocks_from_memory(
    model: &ModelConfig,
    hardware: &HardwareConfig,
    cluster: &ClusterSettings,
    scheduler: &SchedulerConfig,
) -> Result<Option<u32>, String> {
    let Some(device) = &hardware.device else { return Ok(None) };
    let memory = VllmMemory {
        total_bytes: device.memory_bytes,
        gpu_memory_utilization: hardware.gpu_memory_utilization,
        max_num_seqs: scheduler.max_num_seqs,
        max_num_batched_tokens: scheduler.max_num_batched_tokens,
        non_torch_bytes: VllmMemory::NON_TORCH_BYTES,
    };
    let plan = vllm_blocks(&model_shape(model, cluster)?, &memory, scheduler.block_size)?;
    // vLLM keeps one block for itself.
    let kept = u32::from(scheduler.policy == Policy::VllmV1 && plan.num_blocks > 1);
    Ok(Some(plan.num_blocks - kept))
}

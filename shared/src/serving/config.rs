//! Scheduler settings, in vLLM's and Sarathi's names, and their limits.

use serde::{Deserialize, Serialize};

/// Which scheduler chooses the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// vLLM's V1 scheduler: one token budget a step, running requests first, then waiting ones FIFO;
    /// out of blocks, the last-arrived running request is preempted and recomputed.
    #[default]
    VllmV1,
    /// Sarathi-Serve: decodes first, one token each, then unfinished prefills, then new requests,
    /// within one chunk of tokens; out of blocks, the last-arrived running request restarts.
    Sarathi,
}

/// Settings of one replica's scheduler. A real run and its simulation must share all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Which scheduler.
    pub policy: Policy,
    /// Sequences running at once, at most.
    pub max_num_seqs: u32,
    /// Tokens computed in one step, at most (`chunk_size` in Sarathi's words).
    pub max_num_batched_tokens: u32,
    /// Prefill tokens one request may get in one step; 0 is no limit of its own.
    #[serde(default)]
    pub long_prefill_token_threshold: u32,
    /// Tokens in one KV block.
    pub block_size: u32,
    /// KV blocks in all.
    pub num_blocks: u32,
    /// Blocks kept free when a new request is admitted, in thousandths of all blocks (vLLM V1: 0).
    #[serde(default)]
    pub watermark_permille: u32,
    /// Longest sequence served, prompt and output together, in tokens.
    pub max_model_len: u32,
    /// Batches out at once (1 unless pipeline parallel or scheduled asynchronously).
    #[serde(default = "one")]
    pub max_in_flight: u32,
}

fn one() -> u32 {
    1
}

impl SchedulerConfig {
    /// Checks that the settings can serve anything at all.
    ///
    /// # Errors
    /// The first impossible setting, named, with what to change.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("block_size", self.block_size),
            ("num_blocks", self.num_blocks),
            ("max_model_len", self.max_model_len),
            ("max_in_flight", self.max_in_flight),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("`{name}` must be at least 1"));
        }
        if self.watermark_permille >= 1000 {
            return Err("`watermark_permille` must be below 1000".to_owned());
        }
        if self.max_num_batched_tokens < self.max_num_seqs {
            return Err(format!(
                "`max_num_batched_tokens` {} must be at least `max_num_seqs` {}, so that every running sequence can decode",
                self.max_num_batched_tokens, self.max_num_seqs
            ));
        }
        Ok(())
    }

    /// Blocks a sequence of `num_tokens` tokens fills.
    pub fn blocks_for(&self, num_tokens: u32) -> u32 {
        num_tokens.div_ceil(self.block_size)
    }
}

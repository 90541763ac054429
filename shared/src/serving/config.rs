//! Scheduler settings, in vLLM's and Sarathi's names, and their limits.

use serde::{Deserialize, Serialize};

/// Which scheduler chooses the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// vLLM's V1 scheduler: one token budget a step, running requests first, then waiting ones FIFO;
    /// out of blocks, the last-admitted running request is preempted and recomputed.
    #[default]
    VllmV1,
    /// Sarathi-Serve: decodes first, one token each, then unfinished prefills, then new requests,
    /// within one chunk of tokens; out of blocks, the last running request restarts.
    Sarathi,
    /// vLLM before V1, as Vidur has it: whole prompts first, in batches of their own, then all decodes.
    VidurVllm,
    /// Orca: requests join at any iteration, each with the blocks of a whole longest sequence.
    Orca,
    /// FasterTransformer: a batch of requests is served to its end before its places are given anew.
    FasterTransformer,
    /// LightLLM: token-wise memory; a request is admitted when the most its batch can grow to fits.
    Lightllm,
}

impl Policy {
    /// All of them, in the order people read about them.
    pub const ALL: [Policy; 6] =
        [Policy::VllmV1, Policy::Sarathi, Policy::VidurVllm, Policy::Orca, Policy::FasterTransformer, Policy::Lightllm];

    /// Batches hold at most `max_num_batched_tokens` tokens.
    pub fn has_token_budget(self) -> bool {
        matches!(self, Policy::VllmV1 | Policy::Sarathi)
    }

    /// Every sequence is given the blocks of a longest one when it is admitted.
    pub fn reserves_longest(self) -> bool {
        matches!(self, Policy::Orca | Policy::FasterTransformer)
    }
}

/// Settings of one replica's scheduler. A real run and its simulation must share all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Which scheduler.
    pub policy: Policy,
    /// Sequences running at once, at most (`batch_size_cap` in Vidur's words).
    pub max_num_seqs: u32,
    /// Tokens computed in one step, at most (`chunk_size` in Sarathi's words, `max_tokens_in_batch` in Vidur's).
    pub max_num_batched_tokens: u32,
    /// Prefill tokens one request may get in one step; 0 is no limit of its own.
    #[serde(default)]
    pub long_prefill_token_threshold: u32,
    /// Tokens in one KV block.
    pub block_size: u32,
    /// KV blocks in all; 0 while they are still to be derived from a device's memory.
    #[serde(default)]
    pub num_blocks: u32,
    /// Blocks kept free when a new request is admitted, in thousandths of all blocks, rounded down (vLLM V1: 0).
    #[serde(default)]
    pub watermark_permille: u32,
    /// Longest sequence served, prompt and output together, in tokens.
    pub max_model_len: u32,
    /// A request is admitted only when the blocks of all its known tokens are free, though it takes those of
    /// its first share alone (`vllm_v1`; vLLM calls it `scheduler_reserve_full_isl`).
    #[serde(default = "yes")]
    pub reserve_full_prompt: bool,
    /// The next batch is chosen while one is computed, with a placeholder for the token it will give
    /// (`vllm_v1`, with `max_in_flight` 2).
    #[serde(default)]
    pub async_scheduling: bool,
    /// Batches out at once: the number of pipeline stages, or 2 when scheduled asynchronously.
    #[serde(default = "one")]
    pub max_in_flight: u32,
    /// Blocks of a prompt that another request left in the KV cache are used again (`vllm_v1`).
    #[serde(default)]
    pub enable_prefix_caching: bool,
    /// Decode steps after which LightLLM looks at its waiting requests again.
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub max_waiting_iters: u32,
    /// Reproduce Vidur's oddities: see ARCHITECTURE.md.
    #[serde(default, skip_serializing_if = "is_false")]
    pub vidur_oddities: bool,
}

fn one() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

fn is_ten(value: &u32) -> bool {
    *value == ten()
}

fn yes() -> bool {
    true
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Default for SchedulerConfig {
    /// vLLM's own defaults for a server, with 16,384 blocks.
    fn default() -> Self {
        SchedulerConfig {
            policy: Policy::VllmV1,
            max_num_seqs: 256,
            max_num_batched_tokens: 2_048,
            long_prefill_token_threshold: 0,
            block_size: 16,
            num_blocks: 16_384,
            watermark_permille: 0,
            max_model_len: 8_192,
            reserve_full_prompt: true,
            async_scheduling: false,
            max_in_flight: one(),
            enable_prefix_caching: false,
            max_waiting_iters: ten(),
            vidur_oddities: false,
        }
    }
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
        if self.policy.has_token_budget() && self.max_num_batched_tokens < self.max_num_seqs {
            return Err(format!(
                "`max_num_batched_tokens` {} must be at least `max_num_seqs` {}, so that every running sequence can decode",
                self.max_num_batched_tokens, self.max_num_seqs
            ));
        }
        if self.policy == Policy::Lightllm && (self.block_size != 1 || self.max_in_flight != 1) {
            return Err("`lightllm` counts memory in tokens and has one stage: it needs `block_size` 1 and \
                        `max_in_flight` 1"
                .to_owned());
        }
        if self.num_stages() > self.max_num_seqs {
            return Err(format!(
                "`max_num_seqs` {} must be at least the {} pipeline stages, so that every stage has a sequence",
                self.max_num_seqs,
                self.num_stages()
            ));
        }
        self.check_sizes()?;
        if self.async_scheduling && (self.policy != Policy::VllmV1 || self.max_in_flight != 2) {
            return Err("`async_scheduling` goes with the policy `vllm_v1` and `max_in_flight` 2".to_owned());
        }
        if self.enable_prefix_caching && self.policy != Policy::VllmV1 {
            return Err("`enable_prefix_caching` goes with the policy `vllm_v1`".to_owned());
        }
        Ok(())
    }

    /// Sizes that memory or a counter could not hold.
    fn check_sizes(&self) -> Result<(), String> {
        let most_blocks = if self.enable_prefix_caching { 1 << 26 } else { 1 << 30 };
        let limits = [("block_size", self.block_size, 1 << 16), ("num_blocks", self.num_blocks, most_blocks)];
        if let Some((name, value, most)) = limits.into_iter().find(|(_, value, most)| value > most) {
            return Err(format!("`{name}` {value} must be at most {most}"));
        }
        if self.policy.reserves_longest() && self.blocks_of_longest() == 0 {
            return Err("`max_model_len` must fill at least one block, as Vidur rounds down".to_owned());
        }
        Ok(())
    }

    /// Blocks a sequence of `num_tokens` tokens fills.
    pub fn blocks_for(&self, num_tokens: u32) -> u32 {
        num_tokens.div_ceil(self.block_size)
    }

    /// Blocks of a longest sequence, as the reserving policies give them. Vidur rounds down.
    pub fn blocks_of_longest(&self) -> u32 {
        if self.vidur_oddities { self.max_model_len / self.block_size } else { self.blocks_for(self.max_model_len) }
    }

    /// Pipeline stages a batch goes through.
    pub fn num_stages(&self) -> u32 {
        if self.async_scheduling { 1 } else { self.max_in_flight }
    }

    /// Sequences in one batch, at most, when `max_in_flight` of them share the running ones.
    pub fn micro_batch(&self) -> usize {
        (self.max_num_seqs / self.max_in_flight) as usize
    }

    /// Blocks kept free when a new request is admitted.
    pub fn watermark(&self) -> u32 {
        (u64::from(self.num_blocks) * u64::from(self.watermark_permille) / 1000) as u32
    }
}

//! Names of the operations of one layer and the stopwatch that a forward pass may carry.

use std::fmt;
use std::time::Instant;

use fidelio_shared::time::Nanos;

/// One timed operation, in the names Vidur's profiles use; the last two are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpName {
    /// Embedding lookup.
    Emb,
    /// Norm before attention.
    InputLayernorm,
    /// Query, key and value projections, as one matrix.
    AttnPreProj,
    /// Norm of every query and key head, then rotary embedding.
    AttnRope,
    /// Writing keys and values into the cache.
    AttnKvCacheSave,
    /// Attention of a batch with at least one share of several tokens.
    AttnPrefill,
    /// Attention of a batch whose shares are single tokens.
    AttnDecode,
    /// Output projection of attention.
    AttnPostProj,
    /// Norm before the feed-forward layer.
    PostAttentionLayernorm,
    /// Gate and up projections, as one matrix.
    MlpUpProj,
    /// SiLU of the gate times up.
    MlpAct,
    /// Down projection.
    MlpDownProj,
    /// One addition to the residual stream (a layer has two).
    Add,
    /// Norm after the last layer, rows that want logits only.
    FinalNorm,
    /// Output head, rows that want logits only.
    LmHead,
}

impl OpName {
    /// The name in a profile's columns, as `mlp_up_proj`.
    pub const fn as_str(self) -> &'static str {
        match self {
            OpName::Emb => "emb",
            OpName::InputLayernorm => "input_layernorm",
            OpName::AttnPreProj => "attn_pre_proj",
            OpName::AttnRope => "attn_rope",
            OpName::AttnKvCacheSave => "attn_kv_cache_save",
            OpName::AttnPrefill => "attn_prefill",
            OpName::AttnDecode => "attn_decode",
            OpName::AttnPostProj => "attn_post_proj",
            OpName::PostAttentionLayernorm => "post_attention_layernorm",
            OpName::MlpUpProj => "mlp_up_proj",
            OpName::MlpAct => "mlp_act",
            OpName::MlpDownProj => "mlp_down_proj",
            OpName::Add => "add",
            OpName::FinalNorm => "final_norm",
            OpName::LmHead => "lm_head",
        }
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Spans of operations in the order they ran. Switched off it reads no clock.
#[derive(Clone, Debug, Default)]
pub struct OpTimes {
    is_on: bool,
    spans: Vec<(OpName, Nanos)>,
}

impl OpTimes {
    /// A stopwatch that records nothing, for ordinary forward passes.
    pub fn off() -> Self {
        OpTimes::default()
    }

    /// A stopwatch that records every operation.
    pub fn on() -> Self {
        OpTimes { is_on: true, spans: Vec::new() }
    }

    /// What was recorded.
    pub fn into_spans(self) -> Vec<(OpName, Nanos)> {
        self.spans
    }

    /// Runs `operation` and, when on, records how long it took.
    pub(super) fn time<R>(&mut self, name: OpName, operation: impl FnOnce() -> R) -> R {
        if !self.is_on {
            return operation();
        }
        let start = Instant::now();
        let result = operation();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spans.push((name, Nanos(nanos)));
        result
    }
}

//! Which model on which settings: the engine a figure is measured on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use fidelio::engine::cuda::{CudaExecutor, CudaOptions, kernel_cache};
use fidelio::engine::qwen3::{LoadFormat, Qwen3Config};
use fidelio_shared::serving::{Batch, BatchItem, RequestId};
use indicatif::ProgressBar;

/// Qwen3-0.6B, as published.
const QWEN3_06B: &str = r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": true, "max_position_embeddings": 40960}"#;

#[derive(Args, Clone)]
pub struct ModelArgs {
    /// A Hugging Face directory, or `dummy`: Qwen3-0.6B with random weights.
    #[arg(long, default_value = "dummy")]
    model: String,
    /// Launch every kernel by itself, without graphs.
    #[arg(long)]
    eager: bool,
    /// Start no kernel before the one before it has ended.
    #[arg(long)]
    no_programmatic_launch: bool,
}

impl ModelArgs {
    pub fn config(&self) -> anyhow::Result<Qwen3Config> {
        Ok(match self.directory() {
            Some(directory) => Qwen3Config::from_file(&directory.join("config.json"))?,
            None => Qwen3Config::from_json(QWEN3_06B)?,
        })
    }

    pub fn format(&self) -> LoadFormat {
        match self.directory() {
            Some(directory) => LoadFormat::Safetensors { directory },
            None => LoadFormat::Dummy { seed: 42 },
        }
    }

    fn directory(&self) -> Option<PathBuf> {
        (self.model != "dummy").then(|| PathBuf::from(&self.model))
    }

    /// An engine for steps of `max_num_seqs` sequences of up to `max_model_len` tokens.
    pub fn engine(&self, max_num_seqs: u32, max_tokens: u32, max_model_len: u32) -> anyhow::Result<CudaExecutor> {
        self.engine_of(self.config()?, max_num_seqs, max_tokens, max_model_len)
    }

    pub fn engine_of(
        &self,
        config: Qwen3Config,
        max_num_seqs: u32,
        max_tokens: u32,
        max_model_len: u32,
    ) -> anyhow::Result<CudaExecutor> {
        let options = CudaOptions {
            num_blocks: None,
            block_size: 16,
            max_num_seqs: max_num_seqs as usize,
            max_captured_seqs: None,
            max_num_batched_tokens: max_tokens as usize,
            max_model_len: max_model_len as usize,
            gpu_memory_utilization: 0.9,
            cuda_graphs: !self.eager,
            programmatic_launch: !self.no_programmatic_launch,
            sampled_vocab_size: config.vocab_size,
            stop_token_ids: Vec::new(),
            kernel_cache: kernel_cache(),
        };
        let never = Arc::new(AtomicBool::new(false));
        CudaExecutor::load(config, &self.format(), options, never, &ProgressBar::hidden())
    }
}

/// Tokens `start .. start + num_tokens` of one sequence; its last one samples.
pub fn item(request_id: RequestId, start: u32, num_tokens: u32) -> BatchItem {
    BatchItem { request_id, start, num_tokens, emits_token: true, is_decode: num_tokens == 1 && start > 0 }
}

/// One decode of each of `num_seqs` sequences after `context` tokens.
pub fn decode(index: u64, num_seqs: u32, context: u32) -> Batch {
    Batch::listed(index, (0..num_seqs).map(|id| item(id, context, 1)).collect(), Vec::new())
}

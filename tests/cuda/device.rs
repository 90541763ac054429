//! The emulated GPU in this process, and engines on it and on the processor with the same weights.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fidelio::engine::cuda::{self, CudaExecutor, CudaOptions};
use fidelio::engine::qwen3::{LoadFormat, Qwen3, Qwen3Config};
use indicatif::ProgressBar;

/// Seed of the weights both engines hold.
const WEIGHTS: LoadFormat = LoadFormat::Dummy { seed: 11 };

/// Builds the emulated GPU's libraries once and tells where they lie; none, loudly, without a C++ compiler.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            if Command::new("g++").arg("--version").output().is_err() {
                eprintln!("SKIPPED: the emulated GPU needs `g++`, which is not here");
                return None;
            }
            let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/emulated_gpu");
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("emulated_gpu");
            let built = Command::new("bash").arg(sources.join("build.sh")).arg(&folder).output().unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            Some(folder)
        })
        .as_deref()
}

/// Opens the emulated GPU in this process. One test at a time uses it: kernels keep their shared memory in statics.
pub fn emulated() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    static OPENED: OnceLock<()> = OnceLock::new();
    let folder = folder()?;
    OPENED.get_or_init(|| cuda::add_library_folder(folder.to_path_buf()));
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Shape of a small model the kernels compute.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub head_dim: usize,
    pub num_q_heads: usize,
    pub num_kv_heads: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub block_size: usize,
}

impl Shape {
    pub const SMALL: Shape = Shape {
        head_dim: 64,
        num_q_heads: 4,
        num_kv_heads: 2,
        hidden: 160,
        intermediate: 320,
        layers: 3,
        block_size: 16,
    };

    /// Wide heads, four queries a key, blocks of an odd size.
    pub const GROUPED: Shape = Shape {
        head_dim: 128,
        num_q_heads: 8,
        num_kv_heads: 2,
        hidden: 256,
        intermediate: 416,
        layers: 2,
        block_size: 5,
    };

    pub const VOCAB: usize = 504;

    pub fn config(&self) -> Qwen3Config {
        Qwen3Config::from_json(&self.json()).unwrap()
    }

    pub fn json(&self) -> String {
        let Shape { head_dim, num_q_heads, num_kv_heads, hidden, intermediate, layers, .. } = self;
        format!(
            r#"{{"model_type": "qwen3", "vocab_size": {}, "hidden_size": {hidden}, "intermediate_size": {intermediate},
            "num_hidden_layers": {layers}, "num_attention_heads": {num_q_heads}, "num_key_value_heads": {num_kv_heads},
            "head_dim": {head_dim}, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": true,
            "max_position_embeddings": 4096}}"#,
            Shape::VOCAB
        )
    }

    pub fn options(&self) -> CudaOptions {
        CudaOptions {
            num_blocks: Some(400),
            block_size: self.block_size,
            max_num_seqs: 12,
            max_captured_seqs: None,
            max_num_batched_tokens: 80,
            max_model_len: 512,
            gpu_memory_utilization: 0.9,
            cuda_graphs: true,
            programmatic_launch: true,
            sampled_vocab_size: Shape::VOCAB - 4,
            stop_token_ids: Vec::new(),
            kernel_cache: folder().map(|folder| folder.join("kernels")),
        }
    }

    pub fn gpu(&self, options: CudaOptions) -> CudaExecutor {
        self.try_gpu(options).unwrap()
    }

    pub fn try_gpu(&self, options: CudaOptions) -> anyhow::Result<CudaExecutor> {
        let never = Arc::new(AtomicBool::new(false));
        CudaExecutor::load(self.config(), &WEIGHTS, options, never, &ProgressBar::hidden())
    }

    pub fn cpu_model(&self) -> Qwen3 {
        Qwen3::load(self.config(), &WEIGHTS).unwrap()
    }
}

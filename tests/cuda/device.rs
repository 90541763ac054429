//! The emulated GPU in this process, and engines on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fidelio::engine::cuda::{self, CudaExecutor, CudaOptions};
use indicatif::ProgressBar;

pub use crate::truth::Shape;
use crate::truth::WEIGHTS;

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

impl Shape {
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
            sampled_vocab_size: Shape::SAMPLED,
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
}

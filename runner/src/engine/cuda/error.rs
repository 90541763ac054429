//! What can go wrong on the device, in words a person can act on.

use cudarc::cublaslt::result::CublasError;
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use crate::engine::qwen3::ModelError;

/// What can go wrong on the device.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The driver refused a call.
    #[error("{doing} failed on the GPU: {code:?}")]
    Driver {
        /// What was being done.
        doing: &'static str,
        /// The driver's code. Its own words are not asked for: that call may fail as well.
        code: CUresult,
    },
    /// Device memory ran out.
    #[error(
        "the GPU is out of memory: {what} need {asked_bytes} bytes ({}), {free_bytes} ({}) are free",
        gibibytes(*asked_bytes),
        gibibytes(*free_bytes)
    )]
    OutOfMemory {
        /// What did not fit.
        what: &'static str,
        /// Its size.
        asked_bytes: u64,
        /// What was free.
        free_bytes: u64,
        /// Which setting to lower.
        hint: &'static str,
    },
    /// Device memory ran out in a call that allocates by itself: a launch, a graph.
    #[error("{doing} failed: the GPU is out of memory, {free_bytes} bytes ({}) are free", gibibytes(*free_bytes))]
    Exhausted {
        /// What was being done.
        doing: &'static str,
        /// What was free.
        free_bytes: u64,
    },
    /// A kernel did not compile; the compiler's words.
    #[error("compiling the kernels for {architecture} failed:\n{log}")]
    Compile {
        /// As `sm_90`.
        architecture: String,
        /// The compiler's log.
        log: String,
    },
    /// cuBLASLt refused a call.
    #[error("{doing} failed in cuBLASLt: {code:?}")]
    Blas {
        /// What was being done.
        doing: String,
        /// Its code.
        code: CublasError,
    },
    /// The model or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model has a shape the kernels do not compute.
    #[error("the CUDA engine does not compute this model: {0}")]
    Shape(String),
    /// A step does not fit into what was set up for it.
    #[error("{0}")]
    Step(String),
}

impl GpuError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            GpuError::OutOfMemory { hint, .. } => Some(hint),
            GpuError::Exhausted { .. } => {
                Some("lower scheduler.num_blocks or hardware.gpu_memory_utilization, or set backend.cuda.graphs=false")
            }
            GpuError::Shape(_) => Some("`backend=candle-cpu` computes any dense Qwen3"),
            _ => None,
        }
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Names what was being done when the driver refused.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, GpuError>;
}

impl<T> Doing<T> for Result<T, DriverError> {
    fn doing(self, doing: &'static str) -> Result<T, GpuError> {
        self.map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free_bytes = cudarc::driver::result::mem_get_info().map_or(0, |(free, _)| free as u64);
                GpuError::Exhausted { doing, free_bytes }
            }
            code => GpuError::Driver { doing, code },
        })
    }
}

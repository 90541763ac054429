//! Qwen3 dense in bfloat16 on an NVIDIA GPU: our own kernels, cuBLASLt for large products, CUDA graphs.
//! CUDA is loaded at run time, so this is in every build and needs no toolkit.

mod buckets;
mod ceilings;
mod compile;
mod device;
mod error;
mod executor;
mod gemm;
mod graphs;
mod launch;
mod libraries;
mod memory;
mod model;
mod operations;
mod products;
mod step;
mod telemetry;
mod weights;

pub use ceilings::{Ceilings, ceilings};
pub use compile::{Compiled, KernelShape, compile, kernel_cache};
pub use error::GpuError;
pub use executor::{CudaExecutor, CudaOptions};
pub use libraries::{
    CudaDevice, CudaUnavailable, LIBRARIES_VARIABLE, add_library_folder, device, has_compiler, has_driver,
    has_matrix_library, require, usable,
};
pub use model::Path;
pub use step::StepShape;
pub use telemetry::NvmlSampler;

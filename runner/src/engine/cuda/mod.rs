//! Qwen3 dense in bfloat16 on an NVIDIA GPU: our own kernels, cuBLASLt for large products, CUDA graphs.
//! CUDA is loaded at run time, so this is in every build and needs no toolkit.

mod libraries;
mod presence;
mod telemetry;

pub use libraries::{CudaDevice, CudaUnavailable, LIBRARIES_VARIABLE, device, has_compiler, require};
pub use presence::{has_driver, has_matrix_library};
pub use telemetry::NvmlSampler;

//! The CUDA engine without a GPU: its kernels and its executor on an emulated one (`emulated_gpu/`), held to the
//! CPU model's numbers; its kernels through NVIDIA's compiler; its verbs where nothing of CUDA is there.

mod calls;
mod cli;
mod compiling;
mod device;
mod truth;

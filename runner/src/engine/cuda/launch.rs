//! Our kernels as functions of the device, and how one is put on the stream.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUdeviceptr, CUfunction_attribute, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue, CUlaunchConfig,
    cuLaunchKernelEx,
};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream};
use cudarc::nvrtc::Ptx;

use super::compile::host_constant;
use super::error::{Doing, GpuError};

/// Most arguments a kernel has.
const MAX_ARGS: usize = 16;

/// An argument of a kernel: an address or a number, in the low bytes.
#[derive(Clone, Copy)]
pub(super) struct Arg(u64);

impl From<CUdeviceptr> for Arg {
    fn from(address: CUdeviceptr) -> Self {
        Arg(address)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Arg(u64::from(number as u32))
    }
}

impl From<usize> for Arg {
    /// Sizes are checked to be far below 2³¹ when the model is loaded.
    fn from(number: usize) -> Self {
        Arg::from(number as i32)
    }
}

/// Blocks and threads of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) blocks: (usize, usize, usize),
    pub(super) threads: usize,
    /// Dynamic shared memory, bytes.
    pub(super) shared_bytes: usize,
}

impl Grid {
    pub(super) fn new(blocks: (usize, usize, usize), threads: usize) -> Self {
        Grid { blocks, threads, shared_bytes: 0 }
    }
}

/// The compiled kernels. Looked up once, when they are loaded.
pub(super) struct Kernels {
    pub(super) embed: CudaFunction,
    pub(super) rms_norm: CudaFunction,
    pub(super) silu_mul: CudaFunction,
    pub(super) argmax: CudaFunction,
    pub(super) decode_attention: CudaFunction,
    pub(super) prefill_qkv: CudaFunction,
    pub(super) prefill_attention: CudaFunction,
    pub(super) prefill_shared_bytes: usize,
    /// For at most 8 rows, and for at most 16.
    pub(super) skinny: [SkinnyKernels; 2],
    programmatic: bool,
}

/// Matrix products of few rows, fused with what is around them.
pub(super) struct SkinnyKernels {
    pub(super) qkv: CudaFunction,
    pub(super) silu: CudaFunction,
    pub(super) add: CudaFunction,
    pub(super) logits: CudaFunction,
}

/// Columns of the output that one block of a skinny kernel computes; the kernels say how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkinnyColumns {
    pub(super) qkv: usize,
    pub(super) silu: usize,
    pub(super) add: usize,
    pub(super) logits: usize,
}

impl SkinnyColumns {
    pub(super) fn of_source() -> Self {
        SkinnyColumns {
            qkv: host_constant("SKINNY_QKV_COLUMNS"),
            silu: host_constant("SKINNY_SILU_COLUMNS"),
            add: host_constant("SKINNY_ADD_COLUMNS"),
            logits: host_constant("SKINNY_LOGITS_COLUMNS"),
        }
    }
}

impl Kernels {
    /// Loads machine code. With `programmatic`, a kernel may start while the one before it ends
    /// (programmatic dependent launch; every kernel waits for its inputs itself).
    pub(super) fn load(
        context: &Arc<CudaContext>,
        cubin: Vec<u8>,
        head_dim: usize,
        programmatic: bool,
    ) -> Result<Self, GpuError> {
        let module = context.load_module(Ptx::from_binary(cubin)).doing("loading the kernels")?;
        let function = |name: &str| module.load_function(name).doing("looking up a kernel");
        let skinny = |rows: usize| -> Result<SkinnyKernels, GpuError> {
            Ok(SkinnyKernels {
                qkv: function(&format!("skinny_qkv_{rows}"))?,
                silu: function(&format!("skinny_silu_{rows}"))?,
                add: function(&format!("skinny_add_{rows}"))?,
                logits: function(&format!("skinny_logits_{rows}"))?,
            })
        };
        let prefill_attention = function("prefill_attention")?;
        let prefill_shared_bytes = host_constant(&format!("PREFILL_SHARED_{head_dim}"));
        prefill_attention
            .set_attribute(
                CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                prefill_shared_bytes as i32,
            )
            .doing("asking for shared memory")?;
        Ok(Kernels {
            embed: function("embed")?,
            rms_norm: function("rms_norm")?,
            silu_mul: function("silu_mul")?,
            argmax: function("argmax")?,
            decode_attention: function("decode_attention")?,
            prefill_qkv: function("prefill_qkv")?,
            prefill_attention,
            prefill_shared_bytes,
            skinny: [skinny(8)?, skinny(16)?],
            programmatic,
        })
    }

    /// The skinny kernels for `rows`, at most 16.
    pub(super) fn skinny(&self, rows: usize) -> &SkinnyKernels {
        &self.skinny[usize::from(rows > 8)]
    }

    /// Puts one kernel on the stream.
    ///
    /// The arguments must be what the kernel's signature says: nothing here can check them.
    pub(super) fn launch(
        &self,
        stream: &CudaStream,
        kernel: &CudaFunction,
        grid: Grid,
        args: &[Arg],
    ) -> Result<(), GpuError> {
        assert!(args.len() <= MAX_ARGS, "a kernel of more arguments than any");
        let mut parameters = [std::ptr::null_mut::<c_void>(); MAX_ARGS];
        for (parameter, arg) in parameters.iter_mut().zip(args) {
            *parameter = (&raw const arg.0).cast_mut().cast();
        }
        let mut value = CUlaunchAttributeValue { pad: [0; 64] };
        value.programmaticStreamSerializationAllowed = 1;
        let mut attribute = CUlaunchAttribute {
            id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value,
        };
        let config = CUlaunchConfig {
            gridDimX: grid.blocks.0 as u32,
            gridDimY: grid.blocks.1 as u32,
            gridDimZ: grid.blocks.2 as u32,
            blockDimX: grid.threads as u32,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: grid.shared_bytes as u32,
            hStream: stream.cu_stream(),
            attrs: &mut attribute,
            numAttrs: u32::from(self.programmatic),
        };
        // SAFETY: the function is loaded, the parameters point at live values of at least their kernel's sizes,
        // and the addresses among them belong to buffers that outlive the stream's work.
        unsafe {
            cuLaunchKernelEx(&config, kernel.cu_function(), parameters.as_mut_ptr(), std::ptr::null_mut()).result()
        }
        .doing("launching a kernel")
    }
}

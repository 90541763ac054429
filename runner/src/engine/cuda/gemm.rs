//! Matrix products through cuBLASLt: one plan a shape, its algorithm chosen once by measurement and kept.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublaslt::result::{self as blas, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUdeviceptr;

use super::device::{Buffer, Gpu};
use super::error::{Doing, GpuError};

/// Bytes of scratch memory an algorithm may ask for; what cuBLAS itself takes on Hopper.
const WORKSPACE_BYTES: usize = 32 << 20;

/// An algorithm whose first run takes this many times the best so far is not timed again.
const HOPELESS: f32 = 2.0;

/// Algorithms asked for and tried.
const MAX_CANDIDATES: usize = 8;

/// Shape of `y[rows][outputs] (+)= x[rows][inputs] · w[outputs][inputs]ᵀ`, all row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GemmShape {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) output: GemmOutput,
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GemmOutput {
    /// Written as bfloat16.
    Bf16,
    /// Written as 32-bit floats.
    F32,
    /// Added to the 32-bit floats that are there: the residual stream.
    AddF32,
}

/// Operands of one product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands {
    /// bfloat16 `[rows][inputs]`.
    pub(super) x: CUdeviceptr,
    /// bfloat16 `[outputs][inputs]`.
    pub(super) w: CUdeviceptr,
    /// `[rows][outputs]`.
    pub(super) y: CUdeviceptr,
}

/// cuBLASLt with its scratch memory and the plans made so far.
pub(super) struct Gemms {
    handle: sys::cublasLtHandle_t,
    workspace: Buffer,
    stream: Arc<CudaStream>,
    plans: BTreeMap<GemmShape, Plan>,
}

/// Descriptors and the algorithm of one shape.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    x: sys::cublasLtMatrixLayout_t,
    w: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    beta: f32,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Gemms {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let handle = blas::create_handle().map_err(|code| failed("starting", code))?;
        let hint = "lower scheduler.num_blocks or hardware.gpu_memory_utilization";
        let workspace = gpu.allocate::<u8>(WORKSPACE_BYTES, "the scratch memory of matrix products", hint)?;
        Ok(Gemms { handle, workspace, stream: gpu.stream.clone(), plans: BTreeMap::new() })
    }

    /// Makes the plan of `shape` unless it is there: times the algorithms cuBLASLt proposes, each over all
    /// of `operands` (different weights, so that none stays in the cache), and keeps the quickest.
    pub(super) fn prepare(&mut self, gpu: &Gpu, shape: GemmShape, operands: &[Operands]) -> Result<(), GpuError> {
        if self.plans.contains_key(&shape) {
            return Ok(());
        }
        let mut plan = Plan::new(shape).map_err(|code| failed_at("describing", shape, code))?;
        let mut best: Option<(f32, sys::cublasLtMatmulAlgo_t)> = None;
        for candidate in self.candidates(&plan, shape)? {
            plan.algorithm = candidate.algo;
            // One that fails, or cannot be captured, is no candidate.
            let least = best.map_or(f32::INFINITY, |(least, _)| least);
            match self.time(gpu, &plan, shape, operands, least) {
                Ok(millis) if millis < least => best = Some((millis, candidate.algo)),
                Ok(_) | Err(GpuError::Blas { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let none = || failed_at("running", shape, CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED));
        plan.algorithm = best.ok_or_else(none)?.1;
        self.plans.insert(shape, plan);
        Ok(())
    }

    /// Device time of all the products, by replays of a graph: called one by one, short ones would show how long
    /// the call takes. An algorithm far from `least` is timed once only.
    fn time(
        &self,
        gpu: &Gpu,
        plan: &Plan,
        shape: GemmShape,
        operands: &[Operands],
        least: f32,
    ) -> Result<f32, GpuError> {
        let run = || operands.iter().try_for_each(|operands| self.run(plan, shape, *operands));
        // Loads the kernel, which a capture does not allow.
        operands.first().map_or(Ok(()), |operands| self.run(plan, shape, *operands))?;
        gpu.synchronize()?;
        let graph = gpu.capture(run)?;
        let replay = || graph.launch().doing("launching a graph");
        let first = gpu.time(replay)?;
        if first > HOPELESS * least {
            return Ok(first);
        }
        Ok(gpu.time(replay)?.min(gpu.time(replay)?))
    }

    /// Queues one product.
    ///
    /// # Errors
    /// When its shape was never prepared, or the library refuses.
    pub(super) fn enqueue(&self, shape: GemmShape, operands: Operands) -> Result<(), GpuError> {
        match self.plans.get(&shape) {
            Some(plan) => self.run(plan, shape, operands),
            None => Err(GpuError::Step(format!("a matrix product of {shape:?} was not prepared"))),
        }
    }

    fn candidates(&self, plan: &Plan, shape: GemmShape) -> Result<Vec<sys::cublasLtMatmulHeuristicResult_t>, GpuError> {
        let failed = |code| failed_at("asking for algorithms of", shape, code);
        let preference = Preference::new(WORKSPACE_BYTES).map_err(failed)?;
        // SAFETY: plain numbers, for which zero bits are a value.
        let mut found: [sys::cublasLtMatmulHeuristicResult_t; MAX_CANDIDATES] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: all descriptors are live; at most `MAX_CANDIDATES` results are written.
        unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                self.handle,
                plan.operation,
                plan.w,
                plan.x,
                plan.y,
                plan.y,
                preference.0,
                MAX_CANDIDATES as i32,
                found.as_mut_ptr(),
                &mut count,
            )
        }
        .result()
        .map_err(failed)?;
        let usable = |candidate: &sys::cublasLtMatmulHeuristicResult_t| {
            candidate.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS && candidate.workspaceSize <= WORKSPACE_BYTES
        };
        Ok(found.into_iter().take(count as usize).filter(usable).collect())
    }

    fn run(&self, plan: &Plan, shape: GemmShape, operands: Operands) -> Result<(), GpuError> {
        let alpha = 1.0f32;
        // Row by row, `y = x wᵀ` is column by column `yᵀ = w xᵀ`: the weight is the first factor.
        // SAFETY: descriptors are live, addresses belong to buffers of the shape's sizes, scalars are read at once.
        unsafe {
            blas::matmul(
                self.handle,
                plan.operation,
                (&raw const alpha).cast(),
                (&raw const plan.beta).cast(),
                operands.w as *const c_void,
                plan.w,
                operands.x as *const c_void,
                plan.x,
                operands.y as *const c_void,
                plan.y,
                operands.y as *mut c_void,
                plan.y,
                &plan.algorithm,
                self.workspace.address() as *mut c_void,
                self.workspace.num_bytes(),
                self.stream.cu_stream().cast(),
            )
        }
        .map_err(|code| failed_at("running", shape, code))
    }
}

impl Plan {
    fn new(shape: GemmShape) -> Result<Self, CublasError> {
        use sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        use sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
        use sys::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let GemmShape { rows, inputs, outputs, output } = shape;
        let output_type = if output == GemmOutput::Bf16 { CUDA_R_16BF } else { CUDA_R_32F };
        let operation = blas::create_matmul_desc(CUBLAS_COMPUTE_32F, CUDA_R_32F)?;
        // `CUBLAS_OP_T` of cuBLAS's own header, which cuBLASLt's bindings leave out.
        let transposed: i32 = 1;
        // SAFETY: the descriptor is live; the attribute is a 32-bit number, copied at once.
        unsafe {
            blas::set_matmul_desc_attribute(
                operation,
                CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transposed).cast(),
                size_of::<i32>(),
            )
        }?;
        Ok(Plan {
            operation,
            w: blas::create_matrix_layout(CUDA_R_16BF, inputs as u64, outputs as u64, inputs as i64)?,
            x: blas::create_matrix_layout(CUDA_R_16BF, inputs as u64, rows as u64, inputs as i64)?,
            y: blas::create_matrix_layout(output_type, outputs as u64, rows as u64, outputs as i64)?,
            beta: if output == GemmOutput::AddF32 { 1.0 } else { 0.0 },
            // SAFETY: plain numbers, replaced before the plan is run.
            algorithm: unsafe { std::mem::zeroed() },
        })
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: each was made in `Plan::new` and is destroyed once. A refusal leaves nothing to do.
        unsafe {
            let _ = blas::destroy_matmul_desc(self.operation);
            for layout in [self.x, self.w, self.y] {
                let _ = blas::destroy_matrix_layout(layout);
            }
        }
    }
}

/// What an algorithm may use, destroyed when dropped.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new(workspace_bytes: usize) -> Result<Self, CublasError> {
        use sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let preference = Preference(blas::create_matmul_pref()?);
        // SAFETY: the preference is live; the attribute is a 64-bit number, copied at once.
        unsafe {
            blas::set_matmul_pref_attribute(
                preference.0,
                CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace_bytes).cast(),
                size_of::<usize>(),
            )
        }?;
        Ok(preference)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made in `Preference::new`, destroyed once. A refusal leaves nothing to do.
        unsafe {
            let _ = blas::destroy_matmul_pref(self.0);
        }
    }
}

impl Drop for Gemms {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: made in `Gemms::new`, destroyed once, after its plans.
        unsafe {
            let _ = blas::destroy_handle(self.handle);
        }
    }
}

fn failed(doing: &str, code: CublasError) -> GpuError {
    GpuError::Blas { doing: doing.to_owned(), code }
}

fn failed_at(doing: &str, shape: GemmShape, code: CublasError) -> GpuError {
    failed(&format!("{doing} a matrix product of {shape:?}"), code)
}

//! What the device can do at best, measured: the copy rate of its memory and the rate of a large matrix product.

use cudarc::driver::result;

use super::device::Gpu;
use super::error::{Doing, GpuError};
use super::gemm::{GemmOutput, GemmShape, Gemms, Operands};
use super::libraries::require;
use super::products::noise;

/// Side of the square product.
const PRODUCT_SIDE: usize = 8192;

/// Bytes copied at once: several times any L2 cache.
const COPY_BYTES: usize = 4 << 30;

const REPEATS: usize = 10;

/// Measured rates of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read plus bytes written by a copy within device memory, a second.
    pub copy_bytes_per_s: f64,
    /// Operations of an 8192 × 8192 × 8192 product of random bfloat16 numbers, a second.
    pub gemm_flops: f64,
}

/// Measures the first device; takes up to 8 GiB of its memory for less than a second.
///
/// # Errors
/// What is missing, or memory that is not free.
pub fn ceilings() -> anyhow::Result<Ceilings> {
    let gpu = Gpu::open(require()?)?;
    Ok(Ceilings { copy_bytes_per_s: copy_rate(&gpu)?, gemm_flops: product_rate(&gpu)? })
}

fn copy_rate(gpu: &Gpu) -> Result<f64, GpuError> {
    let bytes = COPY_BYTES.min(gpu.free_bytes()? as usize / 4);
    let hint = "free the GPU of other processes";
    let from = gpu.zeroed::<u8>(bytes, "a copy's source", hint)?;
    let to = gpu.zeroed::<u8>(bytes, "a copy's target", hint)?;
    let millis = median_time(gpu, || {
        // SAFETY: both buffers are `bytes` long.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), bytes, gpu.stream.cu_stream()) }
            .doing("copying device memory")
    })?;
    Ok(2.0 * bytes as f64 / (f64::from(millis) / 1e3))
}

fn product_rate(gpu: &Gpu) -> Result<f64, GpuError> {
    // Far smaller where the device is far smaller than any GPU: the emulated one of the tests.
    let side = if gpu.properties.num_multiprocessors < 16 { 256 } else { PRODUCT_SIDE };
    let hint = "free the GPU of other processes";
    let matrix = |what| -> Result<_, GpuError> {
        let buffer = gpu.allocate::<u16>(side * side, what, hint)?;
        gpu.upload(&noise(side * side), &buffer, 0)?;
        Ok(buffer)
    };
    let (x, w, y) = (matrix("a product's factor")?, matrix("a product's factor")?, matrix("a product's result")?);
    let shape = GemmShape { rows: side, inputs: side, outputs: side, output: GemmOutput::Bf16 };
    let operands = Operands { x: x.address(), w: w.address(), y: y.address() };
    let mut gemms = Gemms::new(gpu)?;
    gemms.prepare(gpu, shape, &[operands])?;
    let millis = median_time(gpu, || gemms.enqueue(shape, operands))?;
    Ok(2.0 * (side as f64).powi(3) / (f64::from(millis) / 1e3))
}

/// Milliseconds of the median of some runs after one that warms up.
fn median_time(gpu: &Gpu, run: impl Fn() -> Result<(), GpuError>) -> Result<f32, GpuError> {
    run()?;
    let mut times = (0..REPEATS).map(|_| gpu.time(&run)).collect::<Result<Vec<f32>, _>>()?;
    times.sort_by(f32::total_cmp);
    Ok(times[REPEATS / 2])
}

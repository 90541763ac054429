//! A matrix product with a weight, by candle's GEMM for many rows and by our own kernel for few.
//! Knows matrices only.

use candle_core::{Device, Storage, Tensor};
use rayon::prelude::*;

use super::ModelError;
use super::kernels;

/// Most rows our kernel takes. candle's GEMM first packs the whole weight, which costs more than the
/// products until there are about this many rows (measured on two x86-64 cores).
const MAX_ROWS_OF_OWN_KERNEL: usize = 64;

/// Bytes of weights one task streams: small enough to stay in a core's cache between groups of rows.
const WEIGHT_BYTES_PER_TASK: usize = 1 << 18;

/// `y = x Wᵀ + b` with `W` as `[outputs, inputs]`, the layout of the files: a decode step then reads
/// every weight once, in order.
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
    num_outputs: usize,
    num_inputs: usize,
}

impl Linear {
    pub(super) fn new(weight: Tensor, bias: Option<Vec<f32>>) -> Result<Self, ModelError> {
        let (num_outputs, num_inputs) = weight.dims2()?;
        Ok(Linear { weight: weight.contiguous()?, bias, num_outputs, num_inputs })
    }

    /// Width of an input row.
    pub(super) fn num_inputs(&self) -> usize {
        self.num_inputs
    }

    /// `outputs` is `[rows, num_outputs]`, `inputs` is `[rows, num_inputs]`, both row by row.
    pub(super) fn forward(&self, inputs: &[f32], outputs: &mut [f32]) -> Result<(), ModelError> {
        let rows = inputs.len() / self.num_inputs;
        if rows <= MAX_ROWS_OF_OWN_KERNEL {
            with_values(&self.weight, |weight| self.few_rows(weight, inputs, outputs))?;
        } else {
            let inputs = Tensor::from_slice(inputs, (rows, self.num_inputs), &Device::Cpu)?;
            let product = inputs.matmul(&self.weight.t()?)?;
            with_values(&product, |values| outputs.copy_from_slice(values))?;
        }
        if let Some(bias) = &self.bias {
            for row in outputs.chunks_exact_mut(self.num_outputs) {
                row.iter_mut().zip(bias).for_each(|(output, bias)| *output += bias);
            }
        }
        Ok(())
    }

    fn few_rows(&self, weight: &[f32], inputs: &[f32], outputs: &mut [f32]) {
        let inputs: Vec<&[f32]> = inputs.chunks_exact(self.num_inputs).collect();
        let columns = (WEIGHT_BYTES_PER_TASK / size_of::<f32>() / self.num_inputs).clamp(1, self.num_outputs);
        let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
        tasks.resize_with(self.num_outputs.div_ceil(columns), || Vec::with_capacity(inputs.len()));
        for row in outputs.chunks_exact_mut(self.num_outputs) {
            for (task, piece) in tasks.iter_mut().zip(row.chunks_mut(columns)) {
                task.push(piece);
            }
        }
        let weights = weight.par_chunks(columns * self.num_inputs);
        tasks.into_par_iter().zip(weights).for_each(|(mut outputs, weight)| {
            for (inputs, outputs) in inputs.chunks(4).zip(outputs.chunks_mut(4)) {
                match *inputs {
                    [a] => kernels::multiply_rows(weight, [a], outputs),
                    [a, b] => kernels::multiply_rows(weight, [a, b], outputs),
                    [a, b, c] => kernels::multiply_rows(weight, [a, b, c], outputs),
                    [a, b, c, d] => kernels::multiply_rows(weight, [a, b, c, d], outputs),
                    _ => {}
                }
            }
        });
    }
}

/// Lends the values of a contiguous f32 tensor on the CPU.
pub(super) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R, ModelError> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(read(&storage.as_slice::<f32>()?[start..end])),
        _ => Err(ModelError::Batch("a weight is not a contiguous tensor on the CPU".to_owned())),
    }
}

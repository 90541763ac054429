//! Weights as tensors on a device. Knows names and shapes only as they are asked for.

use candle_core::{DType, Device, Tensor};
use indicatif::ProgressBar;

use crate::engine::qwen3::{ModelError, WeightSource};

/// Puts weights onto one device in one type.
pub(super) struct Loader<'a> {
    pub(super) source: WeightSource,
    pub(super) dtype: DType,
    pub(super) device: &'a Device,
    /// Counts bytes.
    pub(super) progress: &'a ProgressBar,
}

/// `y = x Wᵀ + b`, with `W` as `[outputs, inputs]`, the layout of the files.
pub(super) struct Projection {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Loader<'_> {
    /// A matrix of `[rows, columns]`.
    pub(super) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, ModelError> {
        let matrix = match self.dtype {
            DType::BF16 => {
                let bytes = self.source.bf16_bytes(name, rows, columns)?;
                Tensor::from_raw_buffer(&bytes, DType::BF16, &[rows, columns], self.device)?
            }
            other => self.source.matrix(name, rows, columns)?.to_dtype(other)?.to_device(self.device)?,
        };
        self.progress.inc((rows * columns * self.dtype.size_in_bytes()) as u64);
        Ok(matrix)
    }

    /// The weight of a norm.
    pub(super) fn norm(&self, name: &str, length: usize) -> Result<Tensor, ModelError> {
        self.vector(self.source.norm(name, length)?)
    }

    /// The projection `name` of `inputs` values to `outputs`.
    pub(super) fn projection(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
        has_bias: bool,
    ) -> Result<Projection, ModelError> {
        let bias = || self.vector(self.source.bias(&[(format!("{name}.bias"), outputs)])?);
        let bias = has_bias.then(bias).transpose()?;
        Ok(Projection { weight: self.matrix(&format!("{name}.weight"), outputs, inputs)?, bias })
    }

    fn vector(&self, values: Vec<f32>) -> Result<Tensor, ModelError> {
        Ok(Tensor::new(values, self.device)?.to_dtype(self.dtype)?)
    }
}

impl Projection {
    /// A projection without a bias.
    pub(super) fn of(weight: Tensor) -> Self {
        Projection { weight, bias: None }
    }

    /// Rows to rows.
    pub(super) fn forward(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        let product = rows.matmul(&self.weight.t()?)?;
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}

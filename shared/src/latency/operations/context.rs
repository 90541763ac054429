//! What is known of an operation beside its samples: the model's widths and the device it ran on.

use super::Operation;

/// Sizes of a model that decide what its operations compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationShape {
    /// Query heads.
    pub num_q_heads: u32,
    /// Key and value heads.
    pub num_kv_heads: u32,
    /// Width of the residual stream.
    pub embedding_dim: u32,
    /// Width of the MLP.
    pub mlp_hidden_dim: u32,
    /// The MLP has a gate beside its up projection.
    pub use_gated_mlp: bool,
    /// Rows of the embedding, padded as the profile has it.
    pub vocab_size: u32,
}

/// Where samples were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationContext {
    /// The model.
    pub shape: OperationShape,
    /// Devices that share one layer.
    pub tensor_parallel: u32,
    /// Streaming multiprocessors of the device, see [`num_multiprocessors`]; without it steps of the
    /// times where a kernel needs one more wave of blocks are not foreseen.
    pub num_multiprocessors: Option<u32>,
}

impl OperationContext {
    /// Query heads on one device.
    pub(super) fn q_heads(&self) -> f64 {
        f64::from(self.shape.num_q_heads) / f64::from(self.tensor_parallel)
    }

    /// Key and value heads on one device; at least one, as they are replicated below that.
    pub(super) fn kv_heads(&self) -> f64 {
        (f64::from(self.shape.num_kv_heads) / f64::from(self.tensor_parallel)).max(1.0)
    }

    /// Columns of a matrix multiplication's result on one device; `None` for what multiplies no matrix.
    pub(super) fn output_width(&self, operation: Operation) -> Option<f64> {
        let shape = &self.shape;
        let head_dim = f64::from(shape.embedding_dim) / f64::from(shape.num_q_heads);
        let mlp = f64::from(shape.mlp_hidden_dim) / f64::from(self.tensor_parallel);
        match operation {
            Operation::AttnPreProj => Some((self.q_heads() + 2.0 * self.kv_heads()) * head_dim),
            Operation::AttnPostProj | Operation::MlpDownProj => Some(f64::from(shape.embedding_dim)),
            Operation::MlpUpProj => Some(if shape.use_gated_mlp { 2.0 * mlp } else { mlp }),
            _ => None,
        }
    }
}

/// Streaming multiprocessors of a device by its name in profiles (`a100`, `h100`), from NVIDIA's
/// architecture whitepapers (SXM parts where there are several); `None` for one not listed.
pub fn num_multiprocessors(device: &str) -> Option<u32> {
    match device.to_ascii_lowercase().as_str() {
        "a100" | "a800" => Some(108),
        "h100" | "h800" | "h200" => Some(132),
        "a30" => Some(56),
        "a40" => Some(84),
        "v100" => Some(80),
        "rtx3090" => Some(82),
        "rtx4090" => Some(128),
        "l40" | "l40s" => Some(142),
        _ => None,
    }
}

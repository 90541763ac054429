//! The dimensions of a decoder-only transformer, and the parameters and bytes that follow from them.

use serde::{Deserialize, Serialize};

/// Dimensions of a model, and how it is cut over devices. Parameters are counted here and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// Transformer layers, all with attention.
    pub num_layers: u32,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Query heads.
    pub num_q_heads: u32,
    /// Key and value heads.
    pub num_kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Width of the feed-forward part.
    pub mlp_hidden_size: u32,
    /// The feed-forward part has a gate, so three matrices and not two.
    pub is_gated: bool,
    /// Rows of the embedding table and of the output head.
    pub vocab_size: u32,
    /// The output head is the embedding table.
    pub has_tied_embeddings: bool,
    /// Queries and keys have a norm of their own (Qwen3).
    #[serde(default)]
    pub has_qk_norm: bool,
    /// Bytes of a weight and of a cached key or value element.
    pub dtype_bytes: u32,
    /// Devices every matrix is cut over.
    #[serde(default = "one")]
    pub tensor_parallel: u32,
    /// Stages the layers are cut into.
    #[serde(default = "one")]
    pub pipeline_parallel: u32,
}

fn one() -> u32 {
    1
}

impl ModelShape {
    /// Checks that the dimensions go together.
    ///
    /// # Errors
    /// The first dimension that is zero or does not divide, named.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("num_layers", self.num_layers),
            ("hidden_size", self.hidden_size),
            ("num_q_heads", self.num_q_heads),
            ("num_kv_heads", self.num_kv_heads),
            ("head_dim", self.head_dim),
            ("mlp_hidden_size", self.mlp_hidden_size),
            ("vocab_size", self.vocab_size),
            ("dtype_bytes", self.dtype_bytes),
            ("tensor_parallel", self.tensor_parallel),
            ("pipeline_parallel", self.pipeline_parallel),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("`{name}` must be at least 1"));
        }
        if !self.num_q_heads.is_multiple_of(self.num_kv_heads) {
            return Err(format!(
                "`num_q_heads` {} must be a multiple of `num_kv_heads` {}",
                self.num_q_heads, self.num_kv_heads
            ));
        }
        if !self.num_q_heads.is_multiple_of(self.tensor_parallel) {
            return Err(format!(
                "`num_q_heads` {} must be a multiple of `tensor_parallel` {}",
                self.num_q_heads, self.tensor_parallel
            ));
        }
        if self.pipeline_parallel > self.num_layers {
            return Err(format!(
                "`pipeline_parallel` {} must be at most `num_layers` {}",
                self.pipeline_parallel, self.num_layers
            ));
        }
        Ok(())
    }

    /// Query heads one device holds.
    pub fn q_heads_per_device(&self) -> u64 {
        u64::from(self.num_q_heads / self.tensor_parallel)
    }

    /// Key-value heads one device holds: each at least one, so few heads over many devices are repeated.
    pub fn kv_heads_per_device(&self) -> u64 {
        u64::from(self.num_kv_heads.div_ceil(self.tensor_parallel))
    }

    /// Parameters of one layer's matrices on one device: attention and feed-forward, no norms.
    pub fn matrix_params_per_layer(&self) -> u64 {
        let head = u64::from(self.hidden_size) * u64::from(self.head_dim);
        let attention = head * (2 * self.q_heads_per_device() + 2 * self.kv_heads_per_device());
        let num_mlp_matrices = if self.is_gated { 3 } else { 2 };
        let mlp = num_mlp_matrices * u64::from(self.hidden_size) * u64::from(self.mlp_hidden_size);
        attention + mlp / u64::from(self.tensor_parallel)
    }

    /// Parameters of one layer's norms, which every device holds whole.
    pub fn norm_params_per_layer(&self) -> u64 {
        let qk = if self.has_qk_norm { 2 * u64::from(self.head_dim) } else { 0 };
        2 * u64::from(self.hidden_size) + qk
    }

    /// Parameters of the embedding table on one device.
    pub fn embedding_params(&self) -> u64 {
        u64::from(self.vocab_size) * u64::from(self.hidden_size) / u64::from(self.tensor_parallel)
    }

    /// Layers of pipeline stage `stage`: the first stages take what does not divide.
    pub fn stage_layers(&self, stage: u32) -> u32 {
        let (layers, stages) = (self.num_layers, self.pipeline_parallel);
        layers / stages + u32::from(stage < layers % stages)
    }

    /// Parameters one device of pipeline stage `stage` holds; the first stage has the embedding table,
    /// the last the final norm and the output head.
    pub fn stage_params(&self, stage: u32) -> u64 {
        let layer = self.matrix_params_per_layer() + self.norm_params_per_layer();
        let (is_first, is_last) = (stage == 0, stage + 1 == self.pipeline_parallel);
        let has_own_head = is_last && !(is_first && self.has_tied_embeddings);
        u64::from(self.stage_layers(stage)) * layer
            + u64::from(is_first) * self.embedding_params()
            + u64::from(has_own_head) * self.embedding_params()
            + u64::from(is_last) * u64::from(self.hidden_size)
    }

    /// Bytes of weights on the device that holds most.
    pub fn weight_bytes_per_device(&self) -> u64 {
        let params = (0..self.pipeline_parallel).map(|stage| self.stage_params(stage)).max();
        params.unwrap_or(0) * u64::from(self.dtype_bytes)
    }

    /// Bytes of keys and values of one token in one layer on one device.
    pub fn kv_bytes_per_token_layer(&self) -> u64 {
        2 * self.kv_heads_per_device() * u64::from(self.head_dim) * u64::from(self.dtype_bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn llama31_8b() -> ModelShape {
        ModelShape {
            num_layers: 32,
            hidden_size: 4096,
            num_q_heads: 32,
            num_kv_heads: 8,
            head_dim: 128,
            mlp_hidden_size: 14336,
            is_gated: true,
            vocab_size: 128_256,
            has_tied_embeddings: false,
            has_qk_norm: false,
            dtype_bytes: 2,
            tensor_parallel: 1,
            pipeline_parallel: 1,
        }
    }

    pub(crate) fn qwen3_0_6b() -> ModelShape {
        ModelShape {
            num_layers: 28,
            hidden_size: 1024,
            num_q_heads: 16,
            num_kv_heads: 8,
            head_dim: 128,
            mlp_hidden_size: 3072,
            is_gated: true,
            vocab_size: 151_936,
            has_tied_embeddings: true,
            has_qk_norm: true,
            dtype_bytes: 2,
            tensor_parallel: 1,
            pipeline_parallel: 1,
        }
    }

    #[test]
    fn parameters_of_known_models_are_those_their_authors_count() {
        assert_eq!(llama31_8b().stage_params(0), 8_030_261_248);
        assert_eq!(qwen3_0_6b().stage_params(0), 596_049_920);
        assert_eq!(qwen3_0_6b().weight_bytes_per_device(), 1_192_099_840);
        assert_eq!(28 * qwen3_0_6b().kv_bytes_per_token_layer(), 114_688);
    }

    #[test]
    fn a_model_cut_over_devices_keeps_its_matrices_and_repeats_its_norms_and_tied_head() {
        let whole = llama31_8b();
        let cut = ModelShape { tensor_parallel: 4, ..whole.clone() };
        assert_eq!(4 * cut.matrix_params_per_layer(), whole.matrix_params_per_layer());
        assert_eq!(cut.norm_params_per_layer(), whole.norm_params_per_layer());
        let wide = ModelShape { tensor_parallel: 16, ..whole.clone() };
        assert_eq!(wide.kv_heads_per_device(), 1, "8 heads over 16 devices are held twice");

        let staged = ModelShape { pipeline_parallel: 3, ..whole.clone() };
        assert_eq!((0..3).map(|stage| staged.stage_layers(stage)).collect::<Vec<_>>(), [11, 11, 10]);
        assert_eq!((0..3).map(|stage| staged.stage_params(stage)).sum::<u64>(), whole.stage_params(0));
        let tied = ModelShape { pipeline_parallel: 2, ..qwen3_0_6b() };
        let sum: u64 = (0..2).map(|stage| tied.stage_params(stage)).sum();
        assert_eq!(sum, 596_049_920 + tied.embedding_params(), "the last stage holds its own copy of the tied table");
    }

    #[test]
    fn impossible_dimensions_are_named() {
        assert_eq!(llama31_8b().check(), Ok(()));
        let broken = ModelShape { num_kv_heads: 5, ..llama31_8b() };
        assert!(broken.check().expect_err("5 does not divide 32").contains("num_kv_heads"));
        let broken = ModelShape { pipeline_parallel: 33, ..llama31_8b() };
        assert!(broken.check().expect_err("33 stages of 32 layers").contains("pipeline_parallel"));
        let broken = ModelShape { head_dim: 0, ..llama31_8b() };
        assert!(broken.check().expect_err("no head").contains("head_dim"));
    }
}

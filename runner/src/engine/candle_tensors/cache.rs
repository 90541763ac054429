//! Keys and values of all sequences as tensors, one row a slot of a block. Knows no sequences.

use candle_core::{DType, Device, Tensor};

use crate::engine::qwen3::{ModelError, Paging, Qwen3Config};

/// Paged keys and values of every layer.
pub(super) struct TensorCache {
    pub(super) paging: Paging,
    pub(super) layers: Vec<LayerCache>,
}

/// One layer's share, each `[slots, key-value heads * head_dim]`; slot `s` of block `b` is row `b * block_size + s`.
pub(super) struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl TensorCache {
    /// All zeros.
    pub(super) fn new(config: &Qwen3Config, paging: Paging, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        let shape = (paging.num_blocks * paging.block_size, config.key_value_size());
        let new_layer = || -> Result<LayerCache, ModelError> {
            Ok(LayerCache { keys: Tensor::zeros(shape, dtype, device)?, values: Tensor::zeros(shape, dtype, device)? })
        };
        let layers = (0..config.num_hidden_layers).map(|_| new_layer()).collect::<Result<_, _>>()?;
        Ok(TensorCache { paging, layers })
    }

    /// Bytes of a cache with these settings.
    pub(super) fn num_bytes(config: &Qwen3Config, paging: Paging, dtype: DType) -> u64 {
        let values = 2 * config.num_hidden_layers * config.key_value_size() * dtype.size_in_bytes();
        (paging.num_blocks as u64).saturating_mul(paging.block_size as u64).saturating_mul(values as u64)
    }
}

impl LayerCache {
    /// Writes rows of keys and values into their slots: `slots` names each value's row, as scattering wants it.
    pub(super) fn write(&self, slots: &Tensor, keys: &Tensor, values: &Tensor) -> Result<(), ModelError> {
        self.keys.scatter_set(slots, &keys.contiguous()?, 0)?;
        self.values.scatter_set(slots, &values.contiguous()?, 0)?;
        Ok(())
    }

    /// The keys and the values in `slots`, one row each.
    pub(super) fn read(&self, slots: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        Ok((self.keys.index_select(slots, 0)?, self.values.index_select(slots, 0)?))
    }
}

//! The dimensions of an LLM, from the field names of a Hugging Face `config.json`.

use fidelio_shared::latency::ModelShape;
use serde_json::Value;

use super::experiment::{ClusterSettings, ModelConfig};

/// The model's dimensions, cut over the cluster's devices, in 16-bit weights.
///
/// # Errors
/// A `config.json` that cannot be read, or a dimension that is missing, named.
pub fn model_shape(model: &ModelConfig, cluster: &ClusterSettings) -> Result<ModelShape, String> {
    let text = model.config_json().map_err(|error| error.to_string())?;
    let config: Value = serde_json::from_str(&text).map_err(|error| format!("`config.json`: {error}"))?;
    let optional = |name: &str| config[name].as_u64().and_then(|value| u32::try_from(value).ok());
    let number = |name: &str| optional(name).ok_or_else(|| format!("the model's config has no count `{name}`"));
    let (hidden_size, num_q_heads) = (number("hidden_size")?, number("num_attention_heads")?);
    let kind = config["model_type"].as_str().unwrap_or_default();
    let shape = ModelShape {
        num_layers: number("num_hidden_layers")?,
        hidden_size,
        num_q_heads,
        num_kv_heads: optional("num_key_value_heads").unwrap_or(num_q_heads),
        head_dim: optional("head_dim").unwrap_or(hidden_size / num_q_heads.max(1)),
        mlp_hidden_size: number("intermediate_size")?,
        is_gated: true,
        vocab_size: number("vocab_size")?,
        has_tied_embeddings: config["tie_word_embeddings"].as_bool().unwrap_or(false),
        has_qk_norm: kind == "qwen3",
        dtype_bytes: 2,
        tensor_parallel: cluster.tensor_parallel,
        pipeline_parallel: cluster.pipeline_parallel,
    };
    shape.check()?;
    Ok(shape)
}

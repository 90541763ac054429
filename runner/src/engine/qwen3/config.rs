//! The shape of a Qwen3 dense model, read from a Hugging Face `config.json`. Knows no weights.

use std::path::Path;

use serde::Deserialize;

use super::ModelError;

/// Shape and constants of one Qwen3 dense model. All sizes are counts of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3Config {
    /// Rows of the embedding, at least the tokenizer's vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of one head. Its own field: not `hidden_size / num_attention_heads` in Qwen3.
    pub head_dim: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// The four attention projections have biases.
    pub attention_bias: bool,
}

/// The JSON as it is written, every field optional so that an absent one is named, not guessed.
#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    vocab_size: Option<usize>,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<RopeParameters>,
    tie_word_embeddings: Option<bool>,
    max_position_embeddings: Option<usize>,
    attention_bias: Option<bool>,
    hidden_act: Option<String>,
    use_sliding_window: Option<bool>,
}

/// Where newer writers keep the rotary settings; older ones use `rope_theta` and `rope_scaling`.
#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

impl Qwen3Config {
    /// Reads and validates the text of a `config.json`.
    ///
    /// # Errors
    /// Not JSON, another `model_type`, a missing or impossible field, or a variant this model does
    /// not compute (scaled rotary embedding, sliding window); each names the field.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let raw: RawConfig = serde_json::from_str(text).map_err(ModelError::ConfigSyntax)?;
        raw.refuse_other_models()?;
        let config = Qwen3Config {
            vocab_size: required("vocab_size", raw.vocab_size)?,
            hidden_size: required("hidden_size", raw.hidden_size)?,
            intermediate_size: required("intermediate_size", raw.intermediate_size)?,
            num_hidden_layers: required("num_hidden_layers", raw.num_hidden_layers)?,
            num_attention_heads: required("num_attention_heads", raw.num_attention_heads)?,
            num_key_value_heads: required("num_key_value_heads", raw.num_key_value_heads)?,
            head_dim: required("head_dim", raw.head_dim)?,
            rms_norm_eps: required("rms_norm_eps", raw.rms_norm_eps)? as f32,
            rope_theta: required("rope_theta", raw.rope_theta())?,
            tie_word_embeddings: required("tie_word_embeddings", raw.tie_word_embeddings)?,
            max_position_embeddings: required("max_position_embeddings", raw.max_position_embeddings)?,
            attention_bias: raw.attention_bias.unwrap_or(false),
        };
        config.validate()?;
        Ok(config)
    }

    /// Reads and validates a `config.json` file.
    ///
    /// # Errors
    /// As [`Qwen3Config::from_json`], with the file's path.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|error| ModelError::in_file(path, ModelError::Read(error)))?;
        Self::from_json(&text).map_err(|error| ModelError::in_file(path, error))
    }

    /// Parameters of the whole model, a tied head counted once.
    pub fn num_parameters(&self) -> u64 {
        let [vocab, hidden, intermediate] =
            [self.vocab_size, self.hidden_size, self.intermediate_size].map(|n| n as u128);
        let [query, key_value, head_dim] = [self.query_size(), self.key_value_size(), self.head_dim].map(|n| n as u128);
        let biases = if self.attention_bias { query + 2 * key_value + hidden } else { 0 };
        let attention = 2 * hidden * query + 2 * hidden * key_value + 2 * head_dim + biases;
        let layer = attention + 3 * hidden * intermediate + 2 * hidden;
        let heads = if self.tie_word_embeddings { 1 } else { 2 };
        let total = heads * vocab * hidden + self.num_hidden_layers as u128 * layer + hidden;
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// Bytes of one token's keys and values over all layers, in f32.
    pub fn kv_bytes_per_token(&self) -> u64 {
        (2 * self.num_hidden_layers * self.key_value_size() * size_of::<f32>()) as u64
    }

    /// Width of all query heads together.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads together; the value heads are as wide.
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Radians a position turns each pair of a head by.
    pub(in crate::engine) fn inverse_frequencies(&self) -> Vec<f32> {
        let head_dim = self.head_dim as f64;
        (0..self.head_dim / 2).map(|pair| self.rope_theta.powf(-((2 * pair) as f64) / head_dim) as f32).collect()
    }

    fn validate(&self) -> Result<(), ModelError> {
        // The bound keeps products of these sizes far from overflow.
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, size) in sizes {
            if !(1..=1 << 20).contains(&size) {
                return Err(invalid(field, format!("{size} is not between 1 and 1048576")));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (query, key_value) = (self.num_attention_heads, self.num_key_value_heads);
            return Err(invalid(
                "num_key_value_heads",
                format!("{key_value} does not divide num_attention_heads {query}"),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(invalid("head_dim", format!("{} is odd; rotary embedding needs pairs", self.head_dim)));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return Err(invalid("rms_norm_eps", format!("{} is not a small positive number", self.rms_norm_eps)));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return Err(invalid("rope_theta", format!("{} is not above 1", self.rope_theta)));
        }
        Ok(())
    }
}

impl RawConfig {
    fn rope_theta(&self) -> Option<f64> {
        self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(self.rope_theta)
    }

    fn refuse_other_models(&self) -> Result<(), ModelError> {
        match self.model_type.as_deref() {
            Some("qwen3") => {}
            Some(other) => return Err(invalid("model_type", format!("`{other}` is not supported, only `qwen3` is"))),
            None => return Err(invalid("model_type", "missing".to_owned())),
        }
        for (field, rope) in [("rope_parameters", &self.rope_parameters), ("rope_scaling", &self.rope_scaling)] {
            let kind = rope.as_ref().and_then(|rope| rope.rope_type.as_deref()).unwrap_or("default");
            if kind != "default" {
                return Err(invalid(field, format!("rotary embedding of type `{kind}` is not supported")));
            }
        }
        if self.use_sliding_window == Some(true) {
            return Err(invalid("use_sliding_window", "sliding-window attention is not supported".to_owned()));
        }
        match self.hidden_act.as_deref() {
            None | Some("silu") => Ok(()),
            Some(other) => Err(invalid("hidden_act", format!("`{other}` is not supported, only `silu` is"))),
        }
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ModelError> {
    value.ok_or_else(|| invalid(field, "missing".to_owned()))
}

fn invalid(field: &'static str, problem: String) -> ModelError {
    ModelError::Config { field, problem }
}

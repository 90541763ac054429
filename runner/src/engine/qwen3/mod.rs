//! Qwen3 dense in f32 on the CPU: packed batches of sequences over a paged KV cache.
//! Knows no scheduler, no tokenizer and no clock but the one that times single operations.

mod attention;
mod config;
mod kernels;
mod kv_cache;
mod layer;
mod linear;
mod model;
mod operation;
mod packed;
mod timing;
mod weights;

use std::path::{Path, PathBuf};

pub use config::Qwen3Config;
pub use kv_cache::KvCache;
pub(in crate::engine) use kv_cache::Paging;
pub use model::Qwen3;
pub use operation::{OpName, OpTimes};
pub(in crate::engine) use packed::Packed;
pub use packed::{LogitsWanted, SequenceShare};
pub use timing::AttentionWork;
pub use weights::LoadFormat;
pub(in crate::engine) use weights::WeightSource;

/// What can be wrong with a model, its files or a batch given to it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// One of the model's files; the source says what is wrong with it.
    #[error("cannot use the model file `{}`", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<ModelError>,
    },
    /// The file cannot be read.
    #[error("cannot read it")]
    Read(#[source] std::io::Error),
    /// The configuration is not JSON, or a field has the wrong type.
    #[error("not a model configuration")]
    ConfigSyntax(#[source] serde_json::Error),
    /// A field of the configuration is missing or impossible.
    #[error("field `{field}`: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The index of shards is not what it should be.
    #[error("not an index of safetensors shards")]
    IndexSyntax(#[source] serde_json::Error),
    /// The file is absent, cut short or no safetensors file.
    #[error("not a complete safetensors file")]
    Safetensors(#[source] candle_core::Error),
    /// The model needs a tensor that no file has.
    #[error("tensor `{tensor}` is missing, expected with shape {expected:?}")]
    MissingTensor {
        /// Its name.
        tensor: String,
        /// The shape the configuration implies.
        expected: Vec<usize>,
    },
    /// A tensor does not fit the configuration.
    #[error("tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// Its name.
        tensor: String,
        /// The shape the configuration implies.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is of a type the CPU model does not take.
    #[error("tensor `{tensor}` is of type {found}, expected F32, F16 or BF16")]
    TensorType {
        /// Its name.
        tensor: String,
        /// The type in the file.
        found: String,
    },
    /// Not enough free memory.
    #[error("{what} need {needed_bytes} bytes of memory, only {available_bytes} are available")]
    Memory {
        /// What does not fit.
        what: &'static str,
        /// Its size in bytes.
        needed_bytes: u64,
        /// Free memory in bytes.
        available_bytes: u64,
    },
    /// The batch cannot be computed as asked.
    #[error("{0}")]
    Batch(String),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Compute(#[from] candle_core::Error),
}

impl ModelError {
    fn in_file(path: &Path, error: ModelError) -> Self {
        ModelError::InFile { path: path.to_owned(), source: Box::new(error) }
    }
}

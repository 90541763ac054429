//! Configuration: presets and overrides in, one resolved [`Experiment`] out. Knows files, not the command line parser.
//!
//! Layers are applied in order: the experiment file, the user's file, the command line. A layer first
//! chooses options (`[use]`, or `group=option`), which starts those groups afresh from their preset
//! files, and then changes single keys. So a later choice of an option also drops what earlier layers
//! had changed in that group, and setting another `kind` in a table starts that table afresh.

mod blocks;
mod check;
mod error;
mod experiment;
mod layers;
mod model_shape;
mod presets;
mod resolve;

pub use error::ConfigError;
pub use experiment::{
    BackendConfig, BackendKind, Clock, ClusterSettings, CompareConfig, ConfigSource, CudaConfig, Experiment,
    HardwareConfig, LatencyConfig, LatencyKind, LoadFormat, ModelConfig, ProfileConfig, SimulationConfig,
};
pub use model_shape::model_shape;
pub use presets::{DEMO_PROMPTS, GROUPS, Library, Listing, QWEN3_TOKENIZER_GZ};
pub use resolve::{ConfigRequest, resolve, user_file};

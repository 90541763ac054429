//! The resolved experiment: every setting of a run, plain values. Saved with every artifact as `params`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fidelio_shared::capacity::CapacityOptions;
use fidelio_shared::latency::Hardware;
use fidelio_shared::metrics::{Definition, Metric, Slo};
use fidelio_shared::schema::DataError;
use fidelio_shared::schema::comparison::CompareOptions;
use fidelio_shared::serving::{ClusterConfig, RouterPolicy, SchedulerConfig};
use fidelio_shared::stats::{BootstrapOptions, Percentile};
use fidelio_shared::workload::WorkloadSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Every setting of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experiment {
    /// The preset's name, or the file's without `.toml`.
    pub name: String,
    /// Chosen option of each group that was chosen by name.
    #[serde(rename = "use")]
    pub options: BTreeMap<String, String>,
    /// Seed of everything that does not set its own.
    pub seed: u64,
    /// The LLM.
    pub model: ModelConfig,
    /// The machine.
    pub hardware: HardwareConfig,
    /// What is asked, and when.
    pub workload: WorkloadSpec,
    /// Limits of the serving core.
    pub scheduler: SchedulerConfig,
    /// Copies of the engine, and devices of each.
    pub cluster: ClusterSettings,
    /// What computes for real.
    pub backend: BackendConfig,
    /// What predicts step times.
    pub latency: LatencyConfig,
    /// How time passes in a simulation, and what it writes.
    pub simulation: SimulationConfig,
    /// How step times are measured.
    pub profile: ProfileConfig,
    /// How real and simulated runs are compared.
    pub compare: CompareConfig,
    /// How the highest sustained rate is searched for.
    pub capacity: CapacityOptions,
    /// Where all this came from; not part of the settings.
    #[serde(skip)]
    pub source: ConfigSource,
}

impl Experiment {
    /// The settings as `params` of a run's metadata.
    pub fn params(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("an experiment has string keys and finite numbers"),
        }
    }

    /// The configuration root and the experiment, as the metadata's `hydra` field.
    pub fn hydra(&self) -> Value {
        serde_json::json!({ "config_path": self.source.config_path, "config_name": self.source.config_name })
    }
}

/// Where an experiment was composed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSource {
    /// `builtin`, or the directory the experiment file lies in.
    pub config_path: String,
    /// The experiment's name.
    pub config_name: String,
    /// Overrides of the command line, as typed.
    pub overrides: Vec<String>,
    /// What a person should be told (built-in presets that were shadowed).
    pub notices: Vec<String>,
}

/// The LLM: a shape, and where weights and tokenizer come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name in reports and profile directories.
    pub name: String,
    /// Shape, in the field names of a Hugging Face `config.json`; this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// Hugging Face directory with `config.json` (and `*.safetensors`, `tokenizer.json`); this or `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where weights come from.
    pub load_format: LoadFormat,
    /// Seed of dummy weights.
    pub dummy_seed: u64,
    /// `builtin:qwen3`, a directory with a `tokenizer.json`, such a file, or `hub:OWNER/NAME[@REVISION]`.
    pub tokenizer: String,
}

impl ModelConfig {
    /// The text of the Hugging Face `config.json`, from wherever it is.
    ///
    /// # Errors
    /// When the directory's file cannot be read.
    pub fn config_json(&self) -> Result<String, DataError> {
        match (&self.config, &self.path) {
            (Some(config), _) => Ok(Value::Object(config.clone()).to_string()),
            (None, Some(path)) => {
                let file = path.join("config.json");
                std::fs::read_to_string(&file).map_err(|error| {
                    DataError::new(file.display().to_string(), format!("cannot read: {error}"))
                        .with_hint("`model.path` is a Hugging Face directory with `config.json` and `*.safetensors`")
                })
            }
            (None, None) => unreachable!("resolving requires `config` or `path`"),
        }
    }
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadFormat {
    /// Random by seed: times do not depend on the values.
    Dummy,
    /// `*.safetensors` in `model.path`.
    Safetensors,
}

/// The machine a real run uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareConfig {
    /// Name in reports and profile directories.
    pub name: String,
    /// Threads that compute; absent: as many as the machine has processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_threads: Option<u32>,
    /// Peak figures of the accelerator, for the roofline and to derive `scheduler.num_blocks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Hardware>,
    /// Share of the accelerator's memory an engine may use.
    #[serde(default = "nine_tenths", skip_serializing_if = "is_nine_tenths")]
    pub gpu_memory_utilization: f64,
}

fn nine_tenths() -> f64 {
    0.9
}

fn is_nine_tenths(value: &f64) -> bool {
    *value == nine_tenths()
}

/// Copies of the engine behind a router, and the devices each is cut over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Copies.
    pub num_replicas: u32,
    /// Who serves a request.
    pub router: RouterPolicy,
    /// How much busier than the least busy a replica may be to be chosen for its cache, in requests.
    pub imbalance: u32,
    /// Devices every matrix is cut over.
    pub tensor_parallel: u32,
    /// Stages the layers are cut into.
    pub pipeline_parallel: u32,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        let ClusterConfig { num_replicas, router, imbalance } = ClusterConfig::default();
        ClusterSettings { num_replicas, router, imbalance, tensor_parallel: 1, pipeline_parallel: 1 }
    }
}

impl ClusterSettings {
    /// What the simulator takes; the rest is the latency model's.
    pub fn config(&self) -> ClusterConfig {
        ClusterConfig { num_replicas: self.num_replicas, router: self.router, imbalance: self.imbalance }
    }

    /// One engine on one device.
    pub fn is_single(&self) -> bool {
        (self.num_replicas, self.tensor_parallel, self.pipeline_parallel) == (1, 1, 1)
    }
}

/// What computes for real, and how a measurement is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// Which executor.
    pub kind: BackendKind,
    /// End a request at the model's end-of-sequence token instead of its exact length.
    #[serde(default)]
    pub stop_at_eos: bool,
    /// Requests served before the clock starts; they are in no output.
    pub warmup_requests: u32,
    /// Real runs of the same workload; those after the first serve the noise floor.
    pub repeats: u32,
    /// How the GPU is driven; there with `kind = "cuda"`, and with no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<CudaConfig>,
}

/// How the CUDA engine drives the GPU. None of this changes what is computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CudaConfig {
    /// Replay one CUDA graph a decode bucket; without it every kernel is launched by itself.
    pub graphs: bool,
    /// Let a kernel begin while the one before it drains.
    pub programmatic_launch: bool,
    /// Decoding sequences of the largest graph; absent: all up to `scheduler.max_num_seqs`. Larger batches are launched
    /// kernel by kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_captured_seqs: Option<u32>,
}

impl Default for CudaConfig {
    fn default() -> Self {
        CudaConfig { graphs: true, programmatic_launch: true, max_captured_seqs: None }
    }
}

/// Which executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// candle on the processor, f32.
    CandleCpu,
    /// Our own kernels on an NVIDIA GPU, bfloat16.
    Cuda,
    /// candle's tensor operations on an NVIDIA GPU, bfloat16: a cross-check, in builds made for it.
    CandleCuda,
}

impl BackendKind {
    /// As configuration and metadata write it.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::CandleCpu => "candle-cpu",
            BackendKind::Cuda => "cuda",
            BackendKind::CandleCuda => "candle-cuda",
        }
    }
}

/// What predicts step times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyConfig {
    /// Which model.
    pub kind: LatencyKind,
    /// Add host time: measured between steps (`steps`), of Vidur's operations (`vidur-tables`, `operations`).
    #[serde(default = "yes")]
    pub host_overhead: bool,
    /// The profile, unless `--profile` names one: a directory of the kind's own format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<PathBuf>,
    /// Host time of every step, µs, for kinds that measured none (`layers`, `roofline`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub host_us: f64,
    /// Device of a Vidur profiling root, as its folders call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Node of a Vidur profiling root, for collectives and host operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_device: Option<String>,
    /// Model of a Vidur profiling root, as its folders call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Batch sizes with a captured graph: a smaller batch is padded to the next (`layers`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capture_sizes: Vec<u32>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Which latency model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyKind {
    /// Interpolation between measured engine steps (`steps.csv`).
    Steps,
    /// Vidur's formula over its predictors' exported tables (`<operation>.csv` or `.csv.gz`).
    VidurTables,
    /// Vidur's formula over a Vidur profiling root, with a predictor of our own.
    Operations,
    /// The sum of profiled layers (`dense.csv`, `attention.csv`, `per_sequence.csv`).
    Layers,
    /// The device's peak figures: a floor, not a measurement.
    Roofline,
    /// Terms fitted to real runs (`calibration.json`).
    Calibrated,
}

impl LatencyKind {
    /// As configuration and metadata write it.
    pub fn name(self) -> &'static str {
        match self {
            LatencyKind::Steps => "steps",
            LatencyKind::VidurTables => "vidur-tables",
            LatencyKind::Operations => "operations",
            LatencyKind::Layers => "layers",
            LatencyKind::Roofline => "roofline",
            LatencyKind::Calibrated => "calibrated",
        }
    }
}

/// How time passes in a simulation, and what it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulationConfig {
    /// Whose clock.
    pub clock: Clock,
    /// Write `token_metrics.csv`. Without it a simulation is many times faster, and has no ITL.
    pub tokens: bool,
    /// The simulation ends with the first event after this instant, s (`clock = "vidur"`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<f64>,
}

impl Default for SimulationConfig {
    fn default() -> Self {
        SimulationConfig { clock: Clock::Native, tokens: true, time_limit_s: None }
    }
}

/// Whose clock a simulation runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Whole picoseconds; events of one instant as the engine's loop sees them.
    #[default]
    Native,
    /// Vidur's doubles, event order and oddities, to give its very numbers.
    Vidur,
}

/// How step times are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Measurements of each batch shape.
    pub repeats: u32,
    /// Unmeasured runs of each batch shape before those.
    pub warmup_repeats: u32,
    /// Budget, s: the grid is thinned to fit.
    pub max_seconds: f64,
    /// Budget of what is added to the grid where the step model errs, s; 0 adds nothing.
    pub refine_seconds: f64,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        ProfileConfig { repeats: 5, warmup_repeats: 1, max_seconds: 60.0, refine_seconds: 5.0 }
    }
}

/// How real and simulated runs are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompareConfig {
    /// Largest relative error accepted, as a fraction (0.1 is 10 %). Absent: none is declared, and the
    /// usual one is applied without failing the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Percentiles to compare, in percent, at most two decimals.
    pub percentiles: Vec<f64>,
    /// How intervals are computed.
    pub bootstrap: BootstrapOptions,
    /// Whose metrics and percentiles (`fidelio`, `vllm-bench`, …).
    #[serde(skip_serializing_if = "is_ours")]
    pub definition: Definition,
    /// The service-level objective goodput is counted by, as `ttft=200ms,tpot=50ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Metrics the verdict rests on, by key; none is TTFT, ITL, TPOT and E2E.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdict_on: Vec<Metric>,
}

fn is_ours(definition: &Definition) -> bool {
    *definition == Definition::Fidelio
}

impl Default for CompareConfig {
    fn default() -> Self {
        let usual = Percentile::USUAL.iter().map(|percentile| percentile.fraction() * 100.0);
        CompareConfig {
            tolerance: None,
            percentiles: usual.collect(),
            bootstrap: BootstrapOptions::default(),
            definition: Definition::default(),
            slo: None,
            verdict_on: Vec::new(),
        }
    }
}

impl CompareConfig {
    /// As a comparison takes them; `allow_mismatch` is the command's to set.
    pub fn options(&self) -> CompareOptions {
        let usual = CompareOptions::default();
        CompareOptions {
            tolerance: self.tolerance.unwrap_or(usual.tolerance),
            is_tolerance_declared: self.tolerance.is_some(),
            percentiles: self.percentiles.iter().map(|percent| Percentile((percent * 100.0).round() as u32)).collect(),
            bootstrap: self.bootstrap,
            definition: self.definition,
            slo: self.slo,
            verdict_on: self.verdict_on.clone(),
            ..usual
        }
    }
}

fn yes() -> bool {
    true
}

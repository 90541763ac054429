//! From a resolved experiment to a loaded engine.

use std::path::Path;

use anyhow::Context;
use candle_core::{DType, Device};
use fidelio_shared::schema::DataError;
use indicatif::ProgressBar;

use crate::config::{BackendKind, Experiment, LoadFormat};
#[cfg(feature = "cuda")]
use crate::engine::cuda::{self, CudaExecutor, CudaOptions};
use crate::engine::qwen3::{self, Qwen3, Qwen3Config};
use crate::engine::{CandleExecutor, CandleOptions, CandleTensors, Engine, TensorOptions};
use crate::error::Hinted;
use crate::interrupt;
use crate::workload::PromptTokenizer;

/// Tokens that end a Qwen3 sequence when the model's configuration names none: `<|im_end|>`, `<|endoftext|>`.
const QWEN3_STOP_TOKENS: [u32; 2] = [151_645, 151_643];

#[cfg(feature = "cuda")]
const CUDA_UNAVAILABLE: &str = "`backend=cuda` cannot be used on this machine";

/// The model's shape, as its `config.json` says it.
///
/// # Errors
/// When the document cannot be read or is not of a model this engine runs.
pub fn model_config(experiment: &Experiment) -> anyhow::Result<Qwen3Config> {
    let json = experiment.model.config_json()?;
    Qwen3Config::from_json(&json)
        .with_context(|| format!("reading the configuration of model `{}`", experiment.model.name))
}

/// Threads the experiment computes with.
fn num_threads(experiment: &Experiment) -> usize {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    experiment.hardware.num_threads.map_or(available, |threads| threads as usize)
}

/// Loads the model onto the experiment's backend.
///
/// # Errors
/// When weights, tokenizer or memory are not to be had.
pub fn load(experiment: &Experiment, progress: &ProgressBar) -> anyhow::Result<Box<dyn Engine>> {
    let config = model_config(experiment)?;
    let longest = config.max_position_embeddings;
    if experiment.scheduler.max_model_len as usize > longest {
        let asked = experiment.scheduler.max_model_len;
        let problem = format!("`scheduler.max_model_len` {asked} is more than the model's {longest}");
        return Err(Hinted::new(problem, format!("set scheduler.max_model_len={longest} or less")).into());
    }
    match experiment.backend.kind {
        BackendKind::CandleCpu => Ok(Box::new(candle(experiment, config)?)),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(Box::new(on_gpu(experiment, config, progress)?)),
        #[cfg(not(feature = "cuda"))]
        BackendKind::Cuda => Err(without_cuda()),
        BackendKind::CandleCuda => Ok(Box::new(tensors(experiment, config, candle_gpu()?, progress)?)),
    }
}

/// The experiment's backend can be used on this machine: a question that costs little, to be asked before work is done
/// for it.
///
/// # Errors
/// What is missing, with what to do about it.
pub fn check(experiment: &Experiment) -> anyhow::Result<()> {
    match experiment.backend.kind {
        BackendKind::CandleCpu if experiment.hardware.name == "this-gpu" => Err(Hinted::new(
            "`hardware=this-gpu` with a backend of the processor would file its times as the GPU's",
            "say `hardware=this-machine`, or `backend=cuda`",
        )
        .into()),
        BackendKind::CandleCpu => Ok(()),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => cuda::require().map(drop).context(CUDA_UNAVAILABLE),
        #[cfg(not(feature = "cuda"))]
        BackendKind::Cuda => Err(without_cuda()),
        BackendKind::CandleCuda => candle_gpu().map(drop),
    }
}

fn candle(experiment: &Experiment, config: Qwen3Config) -> anyhow::Result<CandleExecutor> {
    let sampled = sampled_tokens(experiment, &config)?;
    let model = Qwen3::load(config, &load_format(experiment)?)
        .with_context(|| format!("loading model `{}`", experiment.model.name))?;
    let options = CandleOptions {
        num_blocks: experiment.scheduler.num_blocks as usize,
        block_size: experiment.scheduler.block_size as usize,
        num_threads: num_threads(experiment),
        sampled_vocab_size: sampled,
        stop_token_ids: stop_tokens(experiment)?,
    };
    CandleExecutor::new(model, options, interrupt::flag())
}

/// The refusal of a build without our own GPU engine.
#[cfg(not(feature = "cuda"))]
fn without_cuda() -> anyhow::Error {
    let hint = "the default features have it: build without `--no-default-features`";
    Hinted::new("`backend=cuda` is not in this build", hint).into()
}

/// The GPU as candle opens it, in builds that have candle's CUDA.
fn candle_gpu() -> anyhow::Result<Device> {
    if !candle_core::utils::cuda_is_available() {
        let hint = "build it with `--no-default-features --features candle-cuda`, where CUDA's compiler `nvcc` is";
        return Err(Hinted::new("`backend=candle-cuda` is not in this build", hint).into());
    }
    Device::new_cuda(0).context("opening the GPU for `backend=candle-cuda`")
}

fn tensors(
    experiment: &Experiment,
    config: Qwen3Config,
    device: Device,
    progress: &ProgressBar,
) -> anyhow::Result<CandleTensors> {
    let options = TensorOptions {
        device,
        dtype: DType::BF16,
        num_blocks: experiment.scheduler.num_blocks as usize,
        block_size: experiment.scheduler.block_size as usize,
        sampled_vocab_size: sampled_tokens(experiment, &config)?,
        stop_token_ids: stop_tokens(experiment)?,
    };
    CandleTensors::load(config, &load_format(experiment)?, options, interrupt::flag(), progress)
        .with_context(|| format!("loading model `{}` onto the GPU with candle", experiment.model.name))
}

#[cfg(feature = "cuda")]
fn on_gpu(experiment: &Experiment, config: Qwen3Config, progress: &ProgressBar) -> anyhow::Result<CudaExecutor> {
    let cuda_settings = experiment.backend.cuda.clone().unwrap_or_default();
    let scheduler = &experiment.scheduler;
    let options = CudaOptions {
        num_blocks: Some(scheduler.num_blocks as usize).filter(|num_blocks| *num_blocks > 0),
        block_size: scheduler.block_size as usize,
        max_num_seqs: scheduler.max_num_seqs as usize,
        max_captured_seqs: cuda_settings.max_captured_seqs.map(|seqs| seqs as usize),
        max_num_batched_tokens: scheduler.max_num_batched_tokens as usize,
        max_model_len: scheduler.max_model_len as usize,
        gpu_memory_utilization: experiment.hardware.gpu_memory_utilization,
        cuda_graphs: cuda_settings.graphs,
        programmatic_launch: cuda_settings.programmatic_launch,
        sampled_vocab_size: sampled_tokens(experiment, &config)?,
        stop_token_ids: stop_tokens(experiment)?,
        kernel_cache: cuda::kernel_cache(),
    };
    let format = load_format(experiment)?;
    CudaExecutor::load(config, &format, options, interrupt::flag(), progress)
        .with_context(|| format!("loading model `{}` onto the GPU", experiment.model.name))
}

/// Ids below are sampled: the model's vocabulary may be padded beyond its tokenizer's.
fn sampled_tokens(experiment: &Experiment, config: &Qwen3Config) -> anyhow::Result<usize> {
    Ok(PromptTokenizer::load(&experiment.model.tokenizer)?.vocab_size().min(config.vocab_size))
}

fn load_format(experiment: &Experiment) -> anyhow::Result<qwen3::LoadFormat> {
    match (experiment.model.load_format, &experiment.model.path) {
        (LoadFormat::Dummy, _) => Ok(qwen3::LoadFormat::Dummy { seed: experiment.model.dummy_seed }),
        (LoadFormat::Safetensors, Some(path)) => Ok(qwen3::LoadFormat::Safetensors { directory: weights_dir(path)? }),
        (LoadFormat::Safetensors, None) => Err(Hinted::new(
            "`model.load_format` is `safetensors`, and no directory is named",
            "say where the weights are with model.path=DIR, or set model.load_format=dummy",
        )
        .into()),
    }
}

fn weights_dir(path: &Path) -> anyhow::Result<std::path::PathBuf> {
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let error = DataError::new(path.display().to_string(), "is not a directory")
        .with_hint("`model.path` is a Hugging Face directory with `config.json` and `*.safetensors`");
    Err(error.into())
}

/// Tokens that end a sequence: `eos_token_id` of the model's configuration, one id or a list; none unless the
/// backend stops there.
fn stop_tokens(experiment: &Experiment) -> anyhow::Result<Vec<u32>> {
    if !experiment.backend.stop_at_eos {
        return Ok(Vec::new());
    }
    let config: serde_json::Value = serde_json::from_str(&experiment.model.config_json()?)?;
    let ids = |value: &serde_json::Value| -> Vec<u32> {
        let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        list.iter().filter_map(serde_json::Value::as_u64).map(|id| id as u32).collect()
    };
    let named = config.get("eos_token_id").map(ids).unwrap_or_default();
    Ok(if named.is_empty() { QWEN3_STOP_TOKENS.to_vec() } else { named })
}

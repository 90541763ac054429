//! The model in candle's tensor operations, here on the processor: held to the CPU model's numbers, as the GPU's
//! engines are. What a GPU computes of the same operations needs a GPU.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device};
use fidelio::engine::qwen3::{LoadFormat, Qwen3, Qwen3Config};
use fidelio::engine::{CandleTensors, Engine, Executor, TensorOptions};
use fidelio_shared::serving::{Batch, BatchItem, SchedulerConfig};
use indicatif::ProgressBar;

use crate::truth::{STEPS, Shape, WEIGHTS, pressed_run, pressed_scheduler, worst_error};

/// Largest error of a row of logits that rounding explains: of f32, and of bfloat16.
const TOLERANCES: [(DType, f64); 2] = [(DType::F32, 1e-5), (DType::BF16, 2e-2)];

fn options(dtype: DType, num_blocks: usize, block_size: usize) -> TensorOptions {
    let device = Device::Cpu;
    TensorOptions { device, dtype, num_blocks, block_size, sampled_vocab_size: Shape::SAMPLED, stop_token_ids: vec![] }
}

fn load(config: Qwen3Config, format: &LoadFormat, options: TensorOptions) -> anyhow::Result<CandleTensors> {
    CandleTensors::load(config, format, options, Arc::new(AtomicBool::new(false)), &ProgressBar::hidden())
}

fn worst(engine: &mut CandleTensors, model: &Qwen3, tolerance: f64) -> f64 {
    worst_error(engine, |engine, _| engine.logits().unwrap(), model, &STEPS, tolerance)
}

#[test]
fn logits_are_the_cpu_models_however_a_batch_is_made_up() {
    for shape in [Shape::SMALL, Shape::GROUPED] {
        for (dtype, tolerance) in TOLERANCES {
            let mut engine = load(shape.config(), &WEIGHTS, options(dtype, 400, shape.block_size)).unwrap();
            let error = worst(&mut engine, &shape.cpu_model(), tolerance);
            println!("{shape:?}, {dtype:?}: logits within {error:.2e} of the CPU model");
        }
    }
}

/// With biases and a head of its own, from files.
#[test]
fn biases_and_an_untied_head_are_computed_as_well() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen3_tiny/untied");
    let mut config = Qwen3Config::from_file(&directory.join("config.json")).unwrap();
    // Long enough for the steps; no weight depends on it.
    config.max_position_embeddings = 512;
    assert!(config.attention_bias && !config.tie_word_embeddings);
    let format = LoadFormat::Safetensors { directory };
    let model = Qwen3::load(config.clone(), &format).unwrap();
    for (dtype, tolerance) in TOLERANCES {
        let mut engine = load(config.clone(), &format, options(dtype, 60, 7)).unwrap();
        let error = worst(&mut engine, &model, tolerance);
        println!("untied, {dtype:?}: logits within {error:.2e} of the CPU model");
    }
}

#[test]
fn greedy_tokens_of_a_pressed_run_are_the_cpu_models() {
    let scheduler = pressed_scheduler();
    let blocks = scheduler.num_blocks as usize;
    let mut engine =
        load(Shape::SMALL.config(), &WEIGHTS, options(DType::F32, blocks, scheduler.block_size as usize)).unwrap();
    let agreement = pressed_run(&mut engine);
    println!("{agreement:?}");
    assert_eq!(engine.num_free_blocks(), blocks, "blocks were lost");
    assert!(agreement.worst_gap < 1e-6, "{agreement:?}");
}

#[test]
fn steps_without_a_token_impossible_ones_and_untimed_operations() {
    let mut engine = load(Shape::SMALL.config(), &WEIGHTS, options(DType::F32, 4, 16)).unwrap();
    assert_eq!(engine.num_blocks(), 4);
    engine.register(1, &[5; 20]);
    let item =
        |start, num_tokens, emits_token| BatchItem { request_id: 1, start, num_tokens, emits_token, is_decode: false };
    let batch = |item| Batch::listed(0, vec![item], Vec::new());
    let chunk = engine.execute(&batch(item(0, 12, false))).unwrap();
    assert!(chunk.tokens.is_empty() && engine.logits().unwrap().is_empty());
    let last = engine.execute(&batch(item(12, 8, true))).unwrap();
    assert!((last.tokens[0].token_id as usize) < Shape::SAMPLED);
    assert!(last.phases.is_some_and(|phases| phases.launch + phases.wait == last.device));
    let error = engine.execute(&batch(item(60, 8, true))).unwrap_err();
    assert!(format!("{error:#}").contains("needs 3 more KV blocks"), "{error:#}");
    let error = engine.operations(&SchedulerConfig::default(), 1).unwrap_err();
    assert!(error.to_string().contains("not timed"), "{error:#}");
    let error = load(Shape::SMALL.config(), &WEIGHTS, options(DType::F32, 0, 16)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("0 blocks"), "{error:#}");
}

/// The backend can be asked for in every build; only one with the feature has it.
#[cfg(not(feature = "candle-cuda"))]
#[test]
fn a_build_without_the_feature_says_how_to_build_it() {
    use fidelio::config::{BackendKind, ConfigRequest, resolve};

    let request = ConfigRequest {
        experiment: "quickstart".to_owned(),
        overrides: vec!["backend=candle-cuda".to_owned()],
        ..ConfigRequest::default()
    };
    assert_eq!(resolve(&request).unwrap().backend.kind, BackendKind::CandleCuda);
    let scratch = crate::harness::Scratch::new("candle-cuda-refused");
    for verb in ["measure", "profile", "run"] {
        let refusal = ["`backend=candle-cuda` is not in this build", "--features candle-cuda"];
        scratch.fidelio(&[verb, "quickstart", "backend=candle-cuda"]).refused(&refusal);
    }
    assert!(!scratch.join("tmp").exists(), "no workload is drawn for an engine that is not there");
}

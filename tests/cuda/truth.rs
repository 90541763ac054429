//! Numbers of the CUDA engine against the CPU model's, with the same weights.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use fidelio::engine::qwen3::{KvCache, LogitsWanted, OpTimes, Qwen3, SequenceShare};
use fidelio::engine::{Executor, serve};
use fidelio_shared::schema::{RequestRow, StepRow, Workload, WorkloadRow};
use fidelio_shared::serving::{Batch, BatchItem, Replica, SchedulerConfig, TokenEvent};
use fidelio_shared::simulate::Recorder;
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::synthetic_prompt;

use super::device::{Shape, emulated};

/// Largest ‖GPU − CPU‖ / ‖CPU‖ of a row of logits that bfloat16 explains.
const TOLERANCE: f64 = 2e-2;

/// What the CPU model says follows each token of a sequence: one row of logits a token.
fn cpu_logits(model: &Qwen3, tokens: &[u32]) -> Vec<Vec<f32>> {
    let num_blocks = tokens.len().div_ceil(16);
    let mut cache = KvCache::new(model.config(), num_blocks, 16).unwrap();
    let blocks: Vec<u32> = (0..num_blocks as u32).collect();
    let share = SequenceShare { tokens, start: 0, block_table: &blocks, logits: LogitsWanted::All };
    let mut logits = Vec::new();
    model.forward(&[share], &mut cache, &mut logits, &mut OpTimes::off()).unwrap();
    logits.chunks(Shape::VOCAB).map(<[f32]>::to_vec).collect()
}

fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = square(&mut found.iter().zip(expected).map(|(found, expected)| f64::from(found - expected)));
    difference / square(&mut expected.iter().map(|value| f64::from(*value)))
}

fn item(request_id: u32, start: usize, num_tokens: usize, emits_token: bool) -> BatchItem {
    let is_decode = num_tokens == 1 && start > 0;
    BatchItem { request_id, start: start as u32, num_tokens: num_tokens as u32, emits_token, is_decode }
}

/// Runs batches of shares of given sequences and returns the largest error of all wanted rows.
fn worst_error(shape: Shape, options: fidelio::engine::cuda::CudaOptions, steps: &[&[(u32, usize, usize)]]) -> f64 {
    let lengths = steps.iter().copied().flatten().fold(HashMap::new(), |mut lengths, (id, start, tokens)| {
        lengths.entry(*id).and_modify(|len: &mut usize| *len = (*len).max(start + tokens)).or_insert(start + tokens);
        lengths
    });
    let mut gpu = shape.gpu(options);
    let model = shape.cpu_model();
    let (mut prompts, mut expected) = (HashMap::new(), HashMap::new());
    for (id, length) in lengths {
        let tokens = synthetic_prompt(3, id, length as u32, Shape::VOCAB as u32);
        expected.insert(id, cpu_logits(&model, &tokens));
        prompts.insert(id, tokens);
    }
    let mut worst = 0.0;
    for (index, step) in steps.iter().enumerate() {
        // Known anew at each step: what a step samples takes the place of the prompt's own next token.
        step.iter().for_each(|(id, ..)| gpu.register(*id, &prompts[id]));
        let items: Vec<BatchItem> = step.iter().map(|(id, start, tokens)| item(*id, *start, *tokens, true)).collect();
        let result = gpu.execute(&Batch::listed(index as u64, items, Vec::new())).unwrap();
        assert_eq!(result.tokens.len(), step.len());
        let logits = gpu.logits(step.len()).unwrap();
        for ((id, start, tokens), row) in step.iter().zip(logits.chunks(Shape::VOCAB)) {
            let error = relative_error(row, &expected[id][start + tokens - 1]);
            assert!(error < TOLERANCE, "step {index}, request {id}: logits differ by {error:.4}");
            worst = f64::max(worst, error);
        }
    }
    worst
}

/// Prefill, chunks, decodes in every graph bucket, mixed steps: a few sequences crossing tile and block edges.
const STEPS: [&[(u32, usize, usize)]; 9] = [
    &[(0, 0, 37)],
    &[(0, 37, 1)],
    &[(1, 0, 64), (2, 0, 3)],
    &[(0, 38, 1), (1, 64, 1), (2, 3, 1)],
    &[(3, 0, 70)],
    &[(0, 39, 1), (3, 70, 20), (1, 65, 1)],
    &[(3, 90, 65)],
    &[(3, 155, 1), (0, 40, 1), (1, 66, 1), (2, 4, 1)],
    &[(4, 0, 1), (5, 0, 1), (6, 0, 1), (7, 0, 1), (8, 0, 1), (9, 0, 1), (0, 41, 1), (1, 67, 1), (2, 5, 1)],
];

#[test]
fn logits_are_the_cpu_models_however_they_are_computed() {
    let Some(_turn) = emulated() else { return };
    for shape in [Shape::SMALL, Shape::GROUPED] {
        for cuda_graphs in [true, false] {
            let options = fidelio::engine::cuda::CudaOptions { cuda_graphs, ..shape.options() };
            let worst = worst_error(shape, options, &STEPS);
            println!("{shape:?}, graphs {cuda_graphs}: logits within {worst:.2e} of the CPU model");
        }
    }
}

#[test]
fn every_layer_is_the_cpu_models() {
    let Some(_turn) = emulated() else { return };
    for layers in 1..=Shape::SMALL.layers {
        let shape = Shape { layers, ..Shape::SMALL };
        let worst = worst_error(shape, shape.options(), &STEPS[..6]);
        println!("after {layers} layers: logits within {worst:.2e} of the CPU model");
    }
}

/// Keeps token ids as they are sampled.
#[derive(Default)]
struct Ids(HashMap<u32, Vec<u32>>);

impl Recorder for Ids {
    type Error = anyhow::Error;

    fn token(&mut self, event: TokenEvent, token_id: Option<u32>) -> anyhow::Result<()> {
        self.0.entry(event.request_id).or_default().push(token_id.unwrap());
        Ok(())
    }

    fn finished(&mut self, _: RequestRow) -> anyhow::Result<()> {
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A long run under memory pressure: batching, chunks, preemption, recomputation and padded buckets.
#[test]
fn every_greedy_token_of_a_pressed_run_is_the_cpu_models() {
    let Some(_turn) = emulated() else { return };
    let shape = Shape::SMALL;
    let scheduler = SchedulerConfig {
        num_blocks: 24,
        block_size: shape.block_size as u32,
        max_num_seqs: 9,
        max_num_batched_tokens: 48,
        max_model_len: 256,
        ..SchedulerConfig::default()
    };
    let options = fidelio::engine::cuda::CudaOptions {
        num_blocks: Some(scheduler.num_blocks as usize),
        max_num_seqs: scheduler.max_num_seqs as usize,
        max_num_batched_tokens: scheduler.max_num_batched_tokens as usize,
        max_model_len: scheduler.max_model_len as usize,
        ..shape.options()
    };
    let row = |id: u32| WorkloadRow {
        prompt_id: String::new(),
        inter_arrival: Nanos::ZERO,
        arrival: Nanos::ZERO,
        num_prefill_tokens: 5 + id * 13 % 60,
        num_decode_tokens: 8 + id * 7 % 40,
    };
    let workload = Workload { rows: (0..18).map(row).collect(), prefixes: None };
    let prompts: Vec<Vec<u32>> =
        (0..18u32).map(|id| synthetic_prompt(5, id, row(id).num_prefill_tokens, Shape::VOCAB as u32 - 4)).collect();
    let mut gpu = shape.gpu(options);
    let mut replica = Replica::new(&scheduler).unwrap();
    let mut ids = Ids::default();
    let counts = serve(&workload, &prompts, &mut replica, &mut gpu, &mut ids, &AtomicBool::new(false)).unwrap();
    assert!(counts.num_preemptions > 5, "only {} preemptions: the run is not pressed", counts.num_preemptions);
    assert_eq!(gpu.num_free_blocks(), 24, "blocks were lost");

    let model = shape.cpu_model();
    let (mut num_tokens, mut num_exact, mut worst_gap) = (0, 0, 0.0f32);
    for (id, sampled) in &ids.0 {
        assert_eq!(sampled.len(), row(*id).num_decode_tokens as usize);
        let prompt = &prompts[*id as usize];
        let sequence = [prompt.as_slice(), sampled].concat();
        let rows = cpu_logits(&model, &sequence);
        for (index, token) in sampled.iter().enumerate() {
            let logits = &rows[prompt.len() + index - 1][..Shape::VOCAB - 4];
            let best = logits.iter().copied().fold(f32::MIN, f32::max);
            let spread = logits.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let gap = (best - logits[*token as usize]) / spread;
            assert!(
                gap < 0.03,
                "request {id}, token {index}: the CPU model's best is better by {gap:.4} of the largest"
            );
            worst_gap = worst_gap.max(gap);
            num_exact += usize::from(gap == 0.0);
            num_tokens += 1;
        }
    }
    println!("{num_exact} of {num_tokens} tokens are the CPU model's best; the others lack at most {worst_gap:.4}");
    assert!(num_exact * 100 >= num_tokens * 95, "{num_exact} of {num_tokens} tokens are the CPU model's best");
}

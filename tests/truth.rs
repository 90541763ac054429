//! What every engine of ours is held to: the CPU model's numbers with the same weights, however a batch is made up.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use fidelio::engine::qwen3::{KvCache, LoadFormat, LogitsWanted, OpTimes, Qwen3, Qwen3Config, SequenceShare};
use fidelio::engine::{Executor, serve};
use fidelio_shared::schema::{RequestRow, StepRow, Workload, WorkloadRow};
use fidelio_shared::serving::{Batch, BatchItem, Replica, SchedulerConfig, TokenEvent};
use fidelio_shared::simulate::Recorder;
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::synthetic_prompt;

/// The weights all engines hold.
pub const WEIGHTS: LoadFormat = LoadFormat::Dummy { seed: 11 };

/// Shape of a small model the kernels compute.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub head_dim: usize,
    pub num_q_heads: usize,
    pub num_kv_heads: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub block_size: usize,
}

impl Shape {
    pub const SMALL: Shape = Shape {
        head_dim: 64,
        num_q_heads: 4,
        num_kv_heads: 2,
        hidden: 160,
        intermediate: 320,
        layers: 3,
        block_size: 16,
    };

    /// Wide heads, four queries a key, blocks of an odd size.
    pub const GROUPED: Shape = Shape {
        head_dim: 128,
        num_q_heads: 8,
        num_kv_heads: 2,
        hidden: 256,
        intermediate: 416,
        layers: 2,
        block_size: 5,
    };

    pub const VOCAB: usize = 504;

    /// Ids below are sampled.
    pub const SAMPLED: usize = Shape::VOCAB - 4;

    pub fn config(&self) -> Qwen3Config {
        Qwen3Config::from_json(&self.json()).unwrap()
    }

    pub fn json(&self) -> String {
        let Shape { head_dim, num_q_heads, num_kv_heads, hidden, intermediate, layers, .. } = self;
        format!(
            r#"{{"model_type": "qwen3", "vocab_size": {}, "hidden_size": {hidden}, "intermediate_size": {intermediate},
            "num_hidden_layers": {layers}, "num_attention_heads": {num_q_heads}, "num_key_value_heads": {num_kv_heads},
            "head_dim": {head_dim}, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": true,
            "max_position_embeddings": 4096}}"#,
            Shape::VOCAB
        )
    }

    pub fn cpu_model(&self) -> Qwen3 {
        Qwen3::load(self.config(), &WEIGHTS).unwrap()
    }
}

/// What the CPU model says follows each token of a sequence: one row of logits a token.
fn cpu_logits(model: &Qwen3, tokens: &[u32]) -> Vec<Vec<f32>> {
    let num_blocks = tokens.len().div_ceil(16);
    let mut cache = KvCache::new(model.config(), num_blocks, 16).unwrap();
    let blocks: Vec<u32> = (0..num_blocks as u32).collect();
    let share = SequenceShare { tokens, start: 0, block_table: &blocks, logits: LogitsWanted::All };
    let mut logits = Vec::new();
    model.forward(&[share], &mut cache, &mut logits, &mut OpTimes::off()).unwrap();
    logits.chunks(model.config().vocab_size).map(<[f32]>::to_vec).collect()
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

/// Prefill, chunks, decodes in every graph bucket, mixed steps: a few sequences crossing tile and block edges.
pub const STEPS: [&[(u32, usize, usize)]; 9] = [
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

/// Runs batches of shares (request, start, tokens) of given sequences and returns the largest error
/// ‖found − CPU‖ / ‖CPU‖ of all rows, of which none may exceed `tolerance`. `logits` reads as many rows of the last
/// step's as it is told.
pub fn worst_error<E: Executor>(
    engine: &mut E,
    logits: impl Fn(&E, usize) -> Vec<f32>,
    model: &Qwen3,
    steps: &[&[(u32, usize, usize)]],
    tolerance: f64,
) -> f64 {
    let lengths = steps.iter().copied().flatten().fold(HashMap::new(), |mut lengths, (id, start, tokens)| {
        lengths.entry(*id).and_modify(|len: &mut usize| *len = (*len).max(start + tokens)).or_insert(start + tokens);
        lengths
    });
    let vocab_size = model.config().vocab_size;
    let (mut prompts, mut expected) = (HashMap::new(), HashMap::new());
    for (id, length) in lengths {
        let tokens = synthetic_prompt(3, id, length as u32, vocab_size as u32);
        expected.insert(id, cpu_logits(model, &tokens));
        prompts.insert(id, tokens);
    }
    let mut worst = 0.0;
    for (index, step) in steps.iter().enumerate() {
        // Known anew at each step: what a step samples takes the place of the prompt's own next token.
        step.iter().for_each(|(id, ..)| engine.register(*id, &prompts[id]));
        let items: Vec<BatchItem> = step.iter().map(|(id, start, tokens)| item(*id, *start, *tokens, true)).collect();
        let result = engine.execute(&Batch::listed(index as u64, items, Vec::new())).unwrap();
        assert_eq!(result.tokens.len(), step.len());
        let logits = logits(engine, step.len());
        assert_eq!(logits.len(), step.len() * vocab_size);
        for ((id, start, tokens), row) in step.iter().zip(logits.chunks(vocab_size)) {
            let error = relative_error(row, &expected[id][start + tokens - 1]);
            assert!(error < tolerance, "step {index}, request {id}: logits differ by {error:.2e}");
            worst = f64::max(worst, error);
        }
    }
    worst
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

/// The scheduler of a [`pressed_run`]: too few blocks for what it admits.
pub fn pressed_scheduler() -> SchedulerConfig {
    SchedulerConfig {
        num_blocks: 24,
        block_size: Shape::SMALL.block_size as u32,
        max_num_seqs: 9,
        max_num_batched_tokens: 48,
        max_model_len: 256,
        ..SchedulerConfig::default()
    }
}

/// How the tokens of a run agree with the CPU model's choice after the same tokens.
#[derive(Debug)]
pub struct Agreement {
    pub num_tokens: usize,
    /// Tokens that are the CPU model's best.
    pub num_exact: usize,
    /// How much better the CPU model's best is at worst, relative to the row's largest logit.
    pub worst_gap: f32,
}

/// A long run of [`Shape::SMALL`] under memory pressure: batching, chunks, preemption, recomputation and padding.
pub fn pressed_run(engine: &mut impl Executor) -> Agreement {
    let row = |id: u32| WorkloadRow {
        prompt_id: String::new(),
        inter_arrival: Nanos::ZERO,
        arrival: Nanos::ZERO,
        num_prefill_tokens: 5 + id * 13 % 60,
        num_decode_tokens: 8 + id * 7 % 40,
    };
    let workload = Workload { rows: (0..18).map(row).collect(), prefixes: None };
    let prompts: Vec<Vec<u32>> =
        (0..18u32).map(|id| synthetic_prompt(5, id, row(id).num_prefill_tokens, Shape::SAMPLED as u32)).collect();
    let mut replica = Replica::new(&pressed_scheduler()).unwrap();
    let mut ids = Ids::default();
    let counts = serve(&workload, &prompts, &mut replica, engine, &mut ids, &AtomicBool::new(false)).unwrap();
    assert!(counts.num_preemptions > 5, "only {} preemptions: the run is not pressed", counts.num_preemptions);

    let model = Shape::SMALL.cpu_model();
    let mut agreement = Agreement { num_tokens: 0, num_exact: 0, worst_gap: 0.0 };
    for (id, sampled) in &ids.0 {
        assert_eq!(sampled.len(), row(*id).num_decode_tokens as usize);
        let prompt = &prompts[*id as usize];
        let sequence = [prompt.as_slice(), sampled].concat();
        let rows = cpu_logits(&model, &sequence);
        for (index, token) in sampled.iter().enumerate() {
            let logits = &rows[prompt.len() + index - 1][..Shape::SAMPLED];
            let best = logits.iter().copied().fold(f32::MIN, f32::max);
            let spread = logits.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let gap = (best - logits[*token as usize]) / spread;
            agreement.worst_gap = agreement.worst_gap.max(gap);
            agreement.num_exact += usize::from(gap == 0.0);
            agreement.num_tokens += 1;
        }
    }
    agreement
}

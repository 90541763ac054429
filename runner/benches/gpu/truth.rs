//! Numbers of the engine: its own, for others to compare, and against the CPU model with the same weights.

use std::path::Path;

use anyhow::Context;
use fidelio::engine::Executor;
use fidelio::engine::cuda::CudaExecutor;
use fidelio::engine::qwen3::{KvCache, LogitsWanted, OpTimes, Qwen3, Qwen3Config, SequenceShare};
use fidelio_shared::serving::Batch;
use fidelio_shared::workload::synthetic_prompt;
use serde_json::{Value, json};

use super::setup::{ModelArgs, item};

/// Tokens of the prompts compared with the CPU model: within a tile, over its edge, several tiles.
const PROMPT_LENGTHS: [u32; 4] = [5, 64, 100, 300];

/// Tokens generated after each.
const NEW_TOKENS: u32 = 48;

/// The prompt in chunks of at most `chunk` tokens, then `new_tokens` greedy tokens: the logits after the
/// prompt, and the tokens.
fn generate(
    engine: &mut CudaExecutor,
    id: u32,
    prompt: &[u32],
    new_tokens: u32,
    chunk: usize,
) -> anyhow::Result<(Vec<f32>, Vec<u32>)> {
    engine.register(id, prompt);
    let mut tokens = Vec::new();
    let mut logits = Vec::new();
    for start in (0..prompt.len()).step_by(chunk) {
        let size = chunk.min(prompt.len() - start);
        let is_last = start + size == prompt.len();
        let share = fidelio_shared::serving::BatchItem { emits_token: is_last, ..item(id, start as u32, size as u32) };
        let result = engine.execute(&Batch::listed(0, vec![share], Vec::new()))?;
        if is_last {
            logits = engine.logits(1)?;
            tokens.extend(result.tokens.iter().map(|token| token.token_id));
        }
    }
    while tokens.len() < new_tokens as usize {
        let start = (prompt.len() + tokens.len() - 1) as u32;
        let result = engine.execute(&Batch::listed(0, vec![item(id, start, 1)], Vec::new()))?;
        tokens.extend(result.tokens.iter().map(|token| token.token_id));
    }
    engine.release(id);
    Ok((logits, tokens))
}

pub fn logits(model: &ModelArgs, prompts: &Path, new_tokens: u32) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(prompts).with_context(|| format!("reading `{}`", prompts.display()))?;
    let prompts: Vec<Vec<u32>> =
        serde_json::from_str(&text).with_context(|| format!("reading `{}`", prompts.display()))?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(1) as u32 + new_tokens;
    // Longer prompts are computed in chunks.
    let chunk = 512;
    let mut engine = model.engine(8, chunk, longest)?;
    let mut rows = Vec::new();
    for (id, prompt) in prompts.iter().enumerate() {
        let (logits, tokens) = generate(&mut engine, id as u32, prompt, new_tokens, chunk as usize)?;
        rows.push(json!({ "logits": logits, "tokens": tokens }));
    }
    Ok(json!({ "prompts": rows }))
}

pub fn truth(model: &ModelArgs) -> anyhow::Result<Value> {
    let config = model.config()?;
    let prompts: Vec<Vec<u32>> =
        PROMPT_LENGTHS.iter().enumerate().map(|(id, len)| synthetic_prompt(3, id as u32, *len, 32_000)).collect();
    let mut layers = Vec::new();
    // Models cut after some layers: an error that one layer makes shows in the next.
    for num_layers in depths(config.num_hidden_layers) {
        let cut = Qwen3Config { num_hidden_layers: num_layers, ..config.clone() };
        layers.push(json!({ "layers": num_layers, "error": worst_error(model, cut, &prompts)? }));
    }
    Ok(json!({ "layers": layers, "tokens": greedy(model, config, &prompts)? }))
}

fn depths(num_layers: usize) -> Vec<usize> {
    let mut depths: Vec<usize> =
        std::iter::successors(Some(1), |depth| Some(depth * 2)).take_while(|d| *d < num_layers).collect();
    depths.push(num_layers);
    depths
}

fn worst_error(model: &ModelArgs, config: Qwen3Config, prompts: &[Vec<u32>]) -> anyhow::Result<f64> {
    let reference = Qwen3::load(config.clone(), &model.format())?;
    let mut engine = model.engine_of(config, 8, 512, 1024)?;
    let mut worst = 0.0;
    for (id, prompt) in prompts.iter().enumerate() {
        let (found, _) = generate(&mut engine, id as u32, prompt, 1, 512)?;
        let expected = cpu_logits(&reference, prompt, LogitsWanted::Last)?;
        worst = f64::max(worst, relative_error(&found, &expected));
    }
    Ok(worst)
}

/// How many greedy tokens are the CPU model's best after the same tokens, and how much the others lack of it.
fn greedy(model: &ModelArgs, config: Qwen3Config, prompts: &[Vec<u32>]) -> anyhow::Result<Value> {
    let reference = Qwen3::load(config.clone(), &model.format())?;
    let width = config.vocab_size;
    let mut engine = model.engine_of(config, 8, 512, 1024)?;
    let (mut compared, mut equal, mut worst_gap) = (0, 0, 0.0f32);
    for (id, prompt) in prompts.iter().enumerate() {
        let (_, tokens) = generate(&mut engine, id as u32, prompt, NEW_TOKENS, 64)?;
        let sequence = [prompt.as_slice(), &tokens].concat();
        let logits = cpu_logits(&reference, &sequence, LogitsWanted::All)?;
        let rows = logits.chunks(width).skip(prompt.len() - 1);
        for (row, token) in rows.zip(&tokens) {
            let best = row.iter().copied().fold(f32::MIN, f32::max);
            let largest = row.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let gap = (best - row[*token as usize]) / largest;
            worst_gap = worst_gap.max(gap);
            equal += usize::from(gap == 0.0);
            compared += 1;
        }
    }
    Ok(json!({ "compared": compared, "equal": equal, "worst_gap": worst_gap }))
}

fn cpu_logits(model: &Qwen3, tokens: &[u32], wanted: LogitsWanted) -> anyhow::Result<Vec<f32>> {
    let num_blocks = tokens.len().div_ceil(16);
    let mut cache = KvCache::new(model.config(), num_blocks, 16)?;
    let blocks: Vec<u32> = (0..num_blocks as u32).collect();
    let share = SequenceShare { tokens, start: 0, block_table: &blocks, logits: wanted };
    let mut logits = Vec::new();
    model.forward(&[share], &mut cache, &mut logits, &mut OpTimes::off())?;
    Ok(logits)
}

fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let differences = found.iter().zip(expected).map(|(found, expected)| f64::from(found - expected).powi(2));
    let squares = expected.iter().map(|value| f64::from(*value).powi(2));
    (differences.sum::<f64>() / squares.sum::<f64>()).sqrt()
}

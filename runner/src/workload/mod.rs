//! The world's side of workloads: prompt files, tables of lengths and times, tokenizers. The laws are in `shared`.

mod files;
mod hub;
mod tokenizer;

pub use files::{
    BUILTIN_DEMO, PromptFile, TraceFile, hash_file, lengths_source, read_decode_lengths, read_prompt_file,
    times_source, trace_source,
};
pub use hub::HUB_PREFIX;
pub use tokenizer::{BUILTIN_QWEN3, PromptTokenizer, encode_prompts};

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fidelio_shared::schema::{DataError, PromptRow, Workload, WorkloadRow};
use fidelio_shared::workload::{ChatTemplate, synthetic_prompt, synthetic_prompt_of_blocks};

/// Token ids of every request of a stored workload: its prompts encoded again.
///
/// # Errors
/// A request whose prompt is not there, or whose encoded length is not the workload's: the prompts,
/// the tokenizer or the chat template are then not those the workload was made with.
pub fn request_tokens(
    workload: &Workload,
    prompts: &[PromptRow],
    tokenizer: &PromptTokenizer,
    template: ChatTemplate,
) -> Result<Vec<Vec<u32>>> {
    let encoded = encode_prompts(tokenizer, prompts, template)?;
    let by_id: BTreeMap<&str, &Vec<u32>> =
        prompts.iter().map(|prompt| prompt.prompt_id.as_str()).zip(&encoded).collect();
    let of_request = |(id, row): (u64, &WorkloadRow)| {
        let name = row.prompt_name(id);
        let problem = match by_id.get(&*name) {
            Some(tokens) if tokens.len() == row.num_prefill_tokens as usize => return Ok((*tokens).clone()),
            Some(tokens) => format!(
                "request {id} has {} prompt tokens, its text has {} with tokenizer `{}`",
                row.num_prefill_tokens,
                tokens.len(),
                tokenizer.reference()
            ),
            None => format!("request {id} asks prompt `{name}`, which is not in `prompts.jsonl`"),
        };
        Err(DataError::new("trace_lengths.csv", problem).with_hint("make the workload again with this configuration"))
    };
    let tokens: std::result::Result<Vec<_>, DataError> = (0..).zip(&workload.rows).map(of_request).collect();
    tokens.context("encoding the workload's prompts")
}

/// Token ids of every request when only lengths are known: random by seed and request, equal where block
/// hashes are. Prompts above
/// `longest` get none: the engine refuses them before it reads a token.
pub fn random_tokens(workload: &Workload, seed: u64, vocab_size: u32, longest: u32) -> Vec<Vec<u32>> {
    let rows = (0u32..).zip(&workload.rows);
    let length = |row: &WorkloadRow| if row.num_prefill_tokens > longest { 0 } else { row.num_prefill_tokens };
    rows.map(|(id, row)| match &workload.prefixes {
        Some(prefixes) => {
            let blocks = (prefixes.block_tokens, prefixes.of(id));
            synthetic_prompt_of_blocks(seed, id, blocks, length(row), vocab_size)
        }
        None => synthetic_prompt(seed, id, length(row), vocab_size),
    })
    .collect()
}

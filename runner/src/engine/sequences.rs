//! What an executor remembers of its sequences: their tokens, and which KV blocks they hold.
//! The serving core counts blocks; this says which ones.

use std::collections::HashMap;

use anyhow::{anyhow, bail, ensure};
use fidelio_shared::serving::{Batch, BatchItem, RequestId};

use super::executor::SampledToken;

/// Tokens and physical KV blocks of every sequence.
pub(super) struct Sequences {
    block_size: usize,
    free: Vec<u32>,
    tables: HashMap<RequestId, Vec<u32>>,
    tokens: HashMap<RequestId, Vec<u32>>,
}

impl Sequences {
    /// No sequence yet, `num_blocks` free blocks of `block_size` tokens.
    pub(super) fn new(num_blocks: u32, block_size: usize) -> Self {
        Sequences { block_size, free: (0..num_blocks).rev().collect(), tables: HashMap::new(), tokens: HashMap::new() }
    }

    /// Blocks no sequence holds.
    pub(super) fn num_free_blocks(&self) -> usize {
        self.free.len()
    }

    /// Makes a request known by its prompt.
    pub(super) fn register(&mut self, request_id: RequestId, prompt: &[u32]) {
        self.tokens.insert(request_id, prompt.to_vec());
    }

    /// Frees the blocks of the preempted and gives every item the blocks it needs up to its last token.
    pub(super) fn place(&mut self, batch: &Batch) -> anyhow::Result<()> {
        for request_id in &batch.preempted {
            self.free_blocks(*request_id);
        }
        batch.items.iter().try_for_each(|item| self.grow(item))
    }

    /// The tokens an item computes, those unknown as token 0.
    pub(super) fn tokens_of(&self, item: &BatchItem) -> anyhow::Result<Vec<u32>> {
        ensure!(item.num_tokens > 0, "request {} has no token in the batch", item.request_id);
        let known = self.tokens.get(&item.request_id);
        let known = known.ok_or_else(|| anyhow!("request {} was never registered", item.request_id))?;
        let positions = (item.start as usize)..(item.start as usize).saturating_add(item.num_tokens as usize);
        Ok(positions.map(|position| known.get(position).copied().unwrap_or(0)).collect())
    }

    /// The blocks of a request in order; empty when it has none.
    pub(super) fn table(&self, request_id: RequestId) -> &[u32] {
        self.tables.get(&request_id).map_or(&[], Vec::as_slice)
    }

    /// Takes what was sampled for the items that emit a token, in item order: each is remembered as its sequence's
    /// next token, and ends it where it is one of `stop_token_ids`.
    pub(super) fn take(
        &mut self,
        batch: &Batch,
        sampled: impl IntoIterator<Item = Option<u32>>,
        stop_token_ids: &[u32],
    ) -> anyhow::Result<Vec<SampledToken>> {
        let emitting = batch.items.iter().filter(|item| item.emits_token);
        emitting
            .zip(sampled)
            .map(|(item, token_id)| {
                let request_id = item.request_id;
                let not_numbers = || anyhow!("the logits of request {request_id} are not numbers");
                let token_id = token_id.ok_or_else(not_numbers)?;
                self.append(item, token_id);
                Ok(SampledToken { request_id, token_id, is_stop: stop_token_ids.contains(&token_id) })
            })
            .collect()
    }

    fn append(&mut self, item: &BatchItem, token_id: u32) {
        let end = item.start as usize + item.num_tokens as usize;
        if let Some(tokens) = self.tokens.get_mut(&item.request_id) {
            if tokens.len() <= end {
                tokens.resize(end + 1, 0);
            }
            tokens[end] = token_id;
        }
    }

    /// Forgets a request and frees its blocks.
    pub(super) fn release(&mut self, request_id: RequestId) {
        self.free_blocks(request_id);
        self.tokens.remove(&request_id);
    }

    fn grow(&mut self, item: &BatchItem) -> anyhow::Result<()> {
        let tokens = (item.start as usize).saturating_add(item.num_tokens as usize);
        let table = self.tables.entry(item.request_id).or_default();
        let missing = tokens.div_ceil(self.block_size).saturating_sub(table.len());
        if missing > self.free.len() {
            let (request_id, free) = (item.request_id, self.free.len());
            bail!("request {request_id} needs {missing} more KV blocks, {free} are free");
        }
        table.extend(self.free.drain(self.free.len() - missing..).rev());
        Ok(())
    }

    fn free_blocks(&mut self, request_id: RequestId) {
        self.free.extend(self.tables.remove(&request_id).into_iter().flatten());
    }
}

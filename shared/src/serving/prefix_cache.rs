//! KV blocks that keep what they hold after they are given back, as vLLM's block pool does.
//!
//! A full block of known tokens has a key. Blocks given back wait in one queue, a sequence's last block
//! first; the pool takes new blocks from its head, and only then is a key forgotten. A sequence that
//! comes in takes back the blocks of its longest known beginning, its own after a preemption included.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::serving::RequestId;

/// What a full block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKey {
    /// Part of a hashed piece of prompt: the piece, and the block's number in it.
    Prompt(u64, u32),
    /// Tokens nobody else is known to have: the request, and the block's number in it.
    Own(RequestId, u32),
}

/// The hashed beginning of a prompt: each piece stands for its tokens and all before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptPrefix<'a> {
    /// Tokens of a piece; unless it is a multiple of the block size, nothing is shared.
    pub piece_tokens: u32,
    /// Hashes of the pieces, from the first token on.
    pub pieces: &'a [u64],
}

impl PromptPrefix<'_> {
    /// The key of a request's `index`-th block.
    pub(super) fn key(&self, request: RequestId, num_prompt: u32, index: u32, block_size: u32) -> BlockKey {
        let is_whole = self.piece_tokens.is_multiple_of(block_size);
        let per_piece = if is_whole { self.piece_tokens / block_size } else { 0 };
        let piece = index.checked_div(per_piece).and_then(|piece| self.pieces.get(piece as usize));
        match piece {
            Some(piece) if (index + 1) * block_size <= num_prompt => BlockKey::Prompt(*piece, index % per_piece),
            _ => BlockKey::Own(request, index),
        }
    }
}

/// Multiplies and rotates: keys are few, and nothing depends on their order.
#[derive(Default)]
struct KeyHasher(u64);

impl KeyHasher {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(26) ^ value).wrapping_mul(Self::FACTOR);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes its place from the low bits, which a product mixes least.
        self.0 ^ (self.0 >> 32)
    }
}

/// A block; `before` and `after` are its neighbours in the queue while nobody uses it.
#[derive(Clone, Copy, Debug)]
struct Block {
    key: Option<BlockKey>,
    num_users: u32,
    before: u32,
    after: u32,
}

/// All blocks of a replica.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    /// The last one is the queue's two ends: `after` its head, `before` its tail.
    blocks: Vec<Block>,
    num_free: u32,
    by_key: HashMap<BlockKey, u32, BuildHasherDefault<KeyHasher>>,
}

impl PrefixCache {
    pub fn new(num_blocks: u32) -> Self {
        let ends = num_blocks;
        let block = |index: u32| Block {
            key: None,
            num_users: 0,
            before: if index == 0 { ends } else { index - 1 },
            after: index + 1,
        };
        let mut blocks: Vec<Block> = (0..num_blocks).map(block).collect();
        blocks.push(Block { key: None, num_users: 0, before: num_blocks - 1, after: 0 });
        PrefixCache { blocks, num_free: num_blocks, by_key: HashMap::default() }
    }

    /// Blocks nobody uses, cached or not.
    pub fn num_free(&self) -> u32 {
        self.num_free
    }

    /// Cached blocks at the beginning of `keys`, and how many of them nobody uses.
    pub fn longest(&self, keys: impl Iterator<Item = BlockKey>) -> (u32, u32) {
        let mut hits = (0, 0);
        for block in keys.map_while(|key| self.by_key.get(&key)) {
            hits.0 += 1;
            hits.1 += u32::from(self.blocks[*block as usize].num_users == 0);
        }
        hits
    }

    /// Uses the cached block of `key`.
    pub fn touch(&mut self, key: BlockKey) -> u32 {
        let block = self.by_key[&key];
        if self.blocks[block as usize].num_users == 0 {
            self.unlink(block);
        }
        self.blocks[block as usize].num_users += 1;
        block
    }

    /// Uses the block that was given back longest ago; what it held is forgotten.
    pub fn take(&mut self) -> u32 {
        assert!(self.num_free > 0, "took a KV block of no free ones");
        let block = self.blocks[self.ends()].after;
        self.unlink(block);
        let state = &mut self.blocks[block as usize];
        state.num_users = 1;
        if let Some(key) = state.key.take()
            && self.by_key.get(&key) == Some(&block)
        {
            self.by_key.remove(&key);
        }
        block
    }

    /// `block` is full of what `key` says. A block of the same content stays the known one.
    pub fn fill(&mut self, block: u32, key: BlockKey) {
        self.blocks[block as usize].key = Some(key);
        self.by_key.entry(key).or_insert(block);
    }

    /// One user less of each block, the last block first.
    pub fn give_back(&mut self, blocks: &[u32]) {
        for block in blocks.iter().rev() {
            let state = &mut self.blocks[*block as usize];
            state.num_users -= 1;
            if state.num_users == 0 {
                self.link(*block);
            }
        }
    }

    fn ends(&self) -> usize {
        self.blocks.len() - 1
    }

    fn unlink(&mut self, block: u32) {
        let Block { before, after, .. } = self.blocks[block as usize];
        self.blocks[before as usize].after = after;
        self.blocks[after as usize].before = before;
        self.num_free -= 1;
    }

    fn link(&mut self, block: u32) {
        let ends = self.ends();
        let tail = self.blocks[ends].before;
        self.blocks[tail as usize].after = block;
        self.blocks[ends].before = block;
        self.blocks[block as usize].before = tail;
        self.blocks[block as usize].after = ends as u32;
        self.num_free += 1;
    }
}

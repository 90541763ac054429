//! The KV cache of one replica: blocks counted, or kept with what they hold.

use crate::serving::blocks::BlockCount;
use crate::serving::prefix_cache::{BlockKey, PrefixCache, PromptPrefix};
use crate::serving::{RequestId, SchedulerConfig};

/// Which blocks a sequence has, when they are told apart.
#[derive(Clone, Debug, Default)]
pub struct Held {
    blocks: Vec<u32>,
    num_filled: usize,
    request: RequestId,
    num_prompt: u32,
    piece_tokens: u32,
    pieces: Vec<u64>,
}

impl Held {
    fn key(&self, index: usize, block_size: u32) -> BlockKey {
        let prefix = PromptPrefix { piece_tokens: self.piece_tokens, pieces: &self.pieces };
        prefix.key(self.request, self.num_prompt, index as u32, block_size)
    }
}

/// Blocks of a waiting sequence that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many, from the first.
    pub num_blocks: u32,
    /// Of these, used by nobody: they are counted among the free ones.
    pub num_idle: u32,
}

/// The KV cache.
#[derive(Clone, Debug)]
pub enum KvCache {
    /// Blocks are a number.
    Counted(BlockCount),
    /// Blocks keep what they hold.
    Kept {
        block_size: u32,
        num_blocks: u32,
        cache: PrefixCache,
        /// By slot.
        held: Vec<Held>,
    },
}

impl KvCache {
    pub fn new(config: &SchedulerConfig) -> Self {
        match config.enable_prefix_caching {
            false => KvCache::Counted(BlockCount::new(config.num_blocks)),
            true => KvCache::Kept {
                block_size: config.block_size,
                num_blocks: config.num_blocks,
                cache: PrefixCache::new(config.num_blocks),
                held: Vec::new(),
            },
        }
    }

    /// Blocks nobody uses.
    pub fn free(&self) -> u32 {
        match self {
            KvCache::Counted(blocks) => blocks.free(),
            KvCache::Kept { cache, .. } => cache.num_free(),
        }
    }

    /// Blocks in use.
    pub fn used(&self) -> u32 {
        match self {
            KvCache::Counted(blocks) => blocks.used(),
            KvCache::Kept { cache, num_blocks, .. } => num_blocks - cache.num_free(),
        }
    }

    /// A sequence takes a slot.
    pub fn enter(&mut self, slot: u32, request: RequestId, num_prompt: u32, prefix: PromptPrefix<'_>) {
        let KvCache::Kept { held, .. } = self else { return };
        if held.len() <= slot as usize {
            held.resize(slot as usize + 1, Held::default());
        }
        let PromptPrefix { piece_tokens, pieces } = prefix;
        held[slot as usize] = Held { request, num_prompt, piece_tokens, pieces: pieces.to_vec(), ..Held::default() };
    }

    /// What of a sequence with `num_known` tokens is there; its last token is always computed.
    pub fn hits(&self, slot: u32, num_known: u32) -> Hits {
        let KvCache::Kept { block_size, cache, held, .. } = self else { return Hits::default() };
        let held = &held[slot as usize];
        let most = (num_known - 1) / block_size;
        let (num_blocks, num_idle) = cache.longest((0..most as usize).map(|index| held.key(index, *block_size)));
        Hits { num_blocks, num_idle }
    }

    /// Prompt tokens of a request not yet here that are there.
    pub fn cached_tokens(&self, num_prompt: u32, prefix: PromptPrefix<'_>) -> u32 {
        let KvCache::Kept { block_size, cache, .. } = self else { return 0 };
        let keys = (0..num_prompt / block_size).map(|index| prefix.key(RequestId::MAX, num_prompt, index, *block_size));
        cache.longest(keys).0 * block_size
    }

    /// A sequence takes back the first `count` blocks it knows.
    pub fn reuse(&mut self, slot: u32, count: u32) {
        let KvCache::Kept { block_size, cache, held, .. } = self else { return };
        let held = &mut held[slot as usize];
        for index in 0..count as usize {
            let key = held.key(index, *block_size);
            held.blocks.push(cache.touch(key));
        }
        held.num_filled = count as usize;
    }

    /// A sequence takes `count` new blocks; its first `num_tokens` tokens are known and will have been computed.
    pub fn take(&mut self, slot: u32, count: u32, num_tokens: u32) {
        match self {
            KvCache::Counted(blocks) => blocks.take(count),
            KvCache::Kept { block_size, cache, held, .. } => {
                let held = &mut held[slot as usize];
                held.blocks.extend((0..count).map(|_| cache.take()));
                for index in held.num_filled..(num_tokens / *block_size) as usize {
                    cache.fill(held.blocks[index], held.key(index, *block_size));
                    held.num_filled = index + 1;
                }
            }
        }
    }

    /// Takes blocks for several sequences at once, which [`SchedulerConfig::check`] allows when they are counted.
    pub fn take_counted(&mut self, count: u32) {
        match self {
            KvCache::Counted(blocks) => blocks.take(count),
            KvCache::Kept { .. } => unreachable!("told apart, blocks are taken by sequence"),
        }
    }

    /// Gives back blocks of several sequences at once.
    pub fn give_counted(&mut self, count: u32) {
        match self {
            KvCache::Counted(blocks) => blocks.give(count),
            KvCache::Kept { .. } => unreachable!("told apart, blocks are given back by sequence"),
        }
    }

    /// A sequence gives back all its blocks, `count` of them.
    pub fn give(&mut self, slot: u32, count: u32) {
        match self {
            KvCache::Counted(blocks) => blocks.give(count),
            KvCache::Kept { cache, held, .. } => {
                let held = &mut held[slot as usize];
                cache.give_back(&held.blocks);
                held.blocks.clear();
                held.num_filled = 0;
            }
        }
    }
}

//! Counting KV blocks: how many are free, never which.

/// The KV cache of one replica as a number of equal blocks.
#[derive(Clone, Debug)]
pub struct BlockCount {
    total: u32,
    free: u32,
}

impl BlockCount {
    /// `total` free blocks.
    pub fn new(total: u32) -> Self {
        BlockCount { total, free: total }
    }

    /// Blocks in use.
    pub fn used(&self) -> u32 {
        self.total - self.free
    }

    /// Blocks not in use.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Takes blocks that are free.
    pub fn take(&mut self, count: u32) {
        assert!(count <= self.free, "took {count} KV blocks of {} free ones", self.free);
        self.free -= count;
    }

    /// Gives blocks back.
    pub fn give(&mut self, count: u32) {
        self.free += count;
        assert!(self.free <= self.total, "gave back more KV blocks than there are");
    }
}

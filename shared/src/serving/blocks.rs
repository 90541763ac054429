//! Counting KV blocks: how many are free, never which.

/// The KV cache of one replica as a number of equal blocks.
#[derive(Clone, Debug)]
pub struct BlockCount {
    total: u32,
    free: u32,
    watermark: u32,
}

impl BlockCount {
    /// `total` free blocks, of which `watermark` stay free when a new request is admitted.
    pub fn new(total: u32, watermark: u32) -> Self {
        BlockCount { total, free: total, watermark }
    }

    /// Blocks in use.
    pub fn used(&self) -> u32 {
        self.total - self.free
    }

    /// `count` blocks can be taken by a running sequence.
    pub fn can_take(&self, count: u32) -> bool {
        count <= self.free
    }

    /// `count` blocks can be taken by a new sequence.
    pub fn can_admit(&self, count: u32) -> bool {
        count.checked_add(self.watermark).is_some_and(|needed| needed <= self.free)
    }

    /// Takes blocks that [`BlockCount::can_take`] allowed.
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

//! Decoding sequences advanced all at once: one token each a step, whatever their number.
//!
//! A member's length is `base + epoch`, so a step is an addition: of one to the epoch and of the number
//! of members to the tokens they read. When a member ends and when it next needs a KV block are known
//! as it joins.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::serving::batch::CohortShare;

/// The sequences that decode in every step, by slot.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// In the order they would stand in the list of running sequences.
    members: Vec<u32>,
    epoch: u64,
    /// The epoch's remainder by the block size.
    phase: usize,
    context_tokens: u64,
    /// Members that need a new block at epochs with this remainder.
    due: Vec<u32>,
    /// `(last epoch, admission, slot)`.
    ends: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// By slot: tokens computed less the epoch.
    base: Vec<i64>,
}

impl Cohort {
    pub fn new(block_size: u32) -> Self {
        Cohort {
            members: Vec::new(),
            epoch: 0,
            phase: 0,
            context_tokens: 0,
            due: vec![0; block_size as usize],
            ends: BinaryHeap::new(),
            base: Vec::new(),
        }
    }

    /// Blocks the members need for the step to come.
    pub fn blocks_due(&self) -> u32 {
        self.due[self.phase]
    }

    /// What the members add to the step to come.
    pub fn share(&self) -> CohortShare {
        CohortShare { num_seqs: self.members.len() as u32, context_tokens: self.context_tokens }
    }

    /// A sequence with `num_computed` tokens that ends after `num_steps` more, at least 1.
    pub fn join(&mut self, slot: u32, num_computed: u32, num_steps: u32, admission: u64) {
        if self.base.len() <= slot as usize {
            self.base.resize(slot as usize + 1, 0);
        }
        let base = i64::from(num_computed) - self.epoch as i64;
        self.base[slot as usize] = base;
        self.context_tokens += u64::from(num_computed) + 1;
        let phase = self.phase_of(num_computed);
        self.due[phase] += 1;
        self.ends.push(Reverse((self.epoch + u64::from(num_steps), admission, slot)));
        self.members.push(slot);
    }

    /// The step is computed.
    pub fn advance(&mut self) {
        self.epoch += 1;
        self.phase = if self.phase + 1 == self.due.len() { 0 } else { self.phase + 1 };
        self.context_tokens += self.members.len() as u64;
    }

    /// A member whose last step this was, in order of admission, with its tokens computed.
    pub fn pop_ended(&mut self) -> Option<(u32, u32)> {
        let &Reverse((last, _, slot)) = self.ends.peek()?;
        if last > self.epoch {
            return None;
        }
        self.ends.pop();
        let position = self.members.iter().position(|member| *member == slot).expect("a member until it ends");
        self.members.remove(position);
        Some((slot, self.leave(slot)))
    }

    /// Empties the cohort: slots in order, with their tokens computed.
    pub fn dissolve(&mut self) -> Vec<(u32, u32)> {
        self.ends.clear();
        let members = std::mem::take(&mut self.members);
        members.into_iter().map(|slot| (slot, self.leave(slot))).collect()
    }

    fn leave(&mut self, slot: u32) -> u32 {
        let base = self.base[slot as usize];
        let num_computed = (base + self.epoch as i64) as u32;
        self.context_tokens -= u64::from(num_computed) + 1;
        let phase = self.phase_of(num_computed);
        self.due[phase] -= 1;
        num_computed
    }

    /// The remainder of epochs at which the tokens of a member that now has `num_computed` fill whole blocks,
    /// so that the next one needs a new one.
    fn phase_of(&self, num_computed: u32) -> usize {
        let block_size = self.due.len();
        let filled = num_computed as usize % block_size;
        let ahead = if self.phase < filled { block_size } else { 0 };
        self.phase + ahead - filled
    }
}

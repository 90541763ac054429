//! FasterTransformer's scheduler: a batch of requests is served to its end before its places are given anew.

use std::collections::VecDeque;

use crate::serving::replica::{Replica, Step};
use crate::serving::{Batch, orca};

/// Batches between their first and their last iteration.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// In the order their last iterations ended.
    continuing: VecDeque<Group>,
    out: Vec<Group>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// The step it is out in.
    step: u64,
    /// Slots that go on.
    active: Vec<u32>,
    /// Members that have ended and still hold their places.
    num_ended: u32,
}

/// Fills `step` with a batch that goes on, or with a new one.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let mut group = replica.groups.continuing.pop_front().unwrap_or_default();
    for slot in std::mem::take(&mut group.active) {
        let num_tokens = replica.sequence(slot).num_pending();
        replica.place(slot, num_tokens, 0, step);
    }
    if step.len() == 0 {
        orca::reserve(replica, step);
    }
    if step.len() > 0 {
        group.step = step.id;
        replica.groups.out.push(group);
    }
}

/// The batch's iteration is over: it goes on with those that have not ended, or gives all its places back.
/// Vidur forgets the places of those that ended in earlier iterations.
pub fn end<T: Copy + PartialOrd>(replica: &mut Replica<T>, batch: &Batch) {
    let index = replica.groups.out.iter().position(|group| group.step == batch.id);
    let mut group = replica.groups.out.swap_remove(index.expect("a batch that ends has begun"));
    group.active = batch.items.iter().filter_map(|item| replica.slot_of(item.request_id)).collect();
    let num_ended = (batch.items.len() - group.active.len()) as u32;
    group.num_ended += num_ended;
    if group.active.is_empty() {
        let places = if replica.config.vidur_oddities { num_ended } else { group.num_ended };
        let num_blocks = places * replica.config.blocks_of_longest();
        replica.kv.give_counted(num_blocks);
        replica.num_holding -= places;
    } else {
        replica.groups.continuing.push_back(group);
    }
}

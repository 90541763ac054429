//! Orca's scheduler: any request joins at any iteration, with the blocks of a whole longest sequence.

use crate::serving::replica::{Replica, Step};

/// Fills `step`: running sequences first, whole prompts beside them; prefills and decodes mix.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let limit = replica.config.max_num_seqs as usize;
    while step.len() != limit
        && let Some(slot) = replica.running.pop_front()
    {
        let num_tokens = replica.sequence(slot).num_pending();
        replica.place(slot, num_tokens, 0, step);
    }
    reserve(replica, step);
}

/// Takes waiting sequences in while a longest one fits.
pub fn reserve<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let limit = replica.config.max_num_seqs as usize;
    let needed = replica.config.blocks_of_longest();
    while !replica.waiting.is_empty() && step.len() != limit && replica.kv.free() >= needed {
        let slot = replica.pop_waiting();
        let num_tokens = replica.sequence(slot).num_pending();
        replica.place(slot, num_tokens, needed, step);
    }
}

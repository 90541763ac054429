//! Sarathi-Serve's scheduler: decodes first, then unfinished prefills, then new requests, in one chunk of tokens.

use crate::serving::replica::{Replica, Step};

/// Fills `step`: no decode ever waits for a prefill, and prefills fill what the decodes leave of
/// `max_num_batched_tokens` (the chunk). A request's whole prompt has its blocks from the day it is admitted.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let limit = replica.config.micro_batch();
    if !replica.running.is_empty() {
        serve_running(replica, step, limit);
    }
    replica.before_cohort = replica.running.len();
    admit(replica, step, limit);
}

fn serve_running<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>, limit: usize) {
    let mut unfinished = std::mem::take(&mut replica.scratch);
    while step.len() != limit
        && let Some(slot) = replica.running.pop_front()
    {
        if !replica.sequence(slot).is_prefilled() {
            unfinished.push(slot);
        } else if replica.make_room(slot, step) {
            let needed = replica.blocks_needed(slot, 1);
            replica.place(slot, 1, needed, step);
        }
    }
    // Prefills that get nothing are the first of the next step.
    unfinished.retain(|slot| match replica.share(*slot, step.budget) {
        0 => true,
        num_tokens => {
            replica.place(*slot, num_tokens, 0, step);
            false
        }
    });
    let mut left = unfinished;
    if !left.is_empty() || !replica.running.is_empty() {
        left.extend(replica.running.drain(..));
        replica.sort_by_arrival(&mut left);
        replica.running.extend(left.iter().copied());
        left.clear();
    }
    replica.scratch = left;
}

fn admit<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>, limit: usize) {
    while let Some(slot) = replica.waiting.front().copied() {
        let num_tokens = replica.share(slot, step.budget);
        let needed = replica.config.blocks_for(replica.sequence(slot).num_prefill);
        let is_full = replica.num_holding == replica.config.max_num_seqs || step.len() == limit;
        if is_full || !replica.can_admit(needed) || num_tokens == 0 {
            return;
        }
        replica.pop_waiting();
        replica.place(slot, num_tokens, needed, step);
    }
}

//! vLLM's V1 scheduler: one token budget, running requests first, then waiting ones FIFO.

use crate::serving::replica::{Replica, Step};

/// Fills `step`. Running sequences are served in order of admission; when blocks run out the one
/// admitted last is preempted. No new sequence is taken in a step that preempted one.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let told = step.preempted.len();
    let mut index = 0;
    while let Some(slot) = replica.running.get(index).copied()
        && step.budget > 0
    {
        if is_due(replica, slot) && !schedule_running(replica, slot, step) {
            return;
        }
        // A sequence that gave way left `running`; the next one, if any, has its place.
        index += usize::from(replica.running.get(index) == Some(&slot));
    }
    if step.preempted.len() == told {
        while schedule_waiting(replica, step) {}
    }
}

/// Scheduled synchronously, a sequence is in one batch at a time; otherwise it goes on behind a
/// placeholder until its last token is on the way.
fn is_due<T: Copy + PartialOrd>(replica: &Replica<T>, slot: u32) -> bool {
    let sequence = replica.sequence(slot);
    if replica.config.async_scheduling { !sequence.needs_no_more() } else { sequence.num_out == 0 }
}

/// Gives a running sequence its share of the step, preempting later ones until its blocks fit. `false` when it
/// waits for blocks of a batch that is out: then nobody behind it may take the free ones.
fn schedule_running<T: Copy + PartialOrd>(replica: &mut Replica<T>, slot: u32, step: &mut Step<T>) -> bool {
    let num_tokens = replica.share(slot, step.budget);
    let needed = replica.blocks_needed(slot, num_tokens);
    while needed > replica.kv.free() {
        let Some(victim) = replica.running.back().copied() else { return true };
        // Scheduled asynchronously, what is out lands before its blocks are written again. With several stages it
        // still needs them: wait for it, rather than give way to a later sequence, which could go on for ever.
        if !replica.config.async_scheduling && replica.sequence(victim).num_out > 0 {
            return false;
        }
        replica.running.pop_back();
        replica.evict(victim, step);
        if victim == slot {
            return true;
        }
    }
    replica.place(slot, num_tokens, needed, step);
    true
}

/// Takes the first waiting sequence in, if blocks and budget allow.
fn schedule_waiting<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) -> bool {
    if step.budget == 0 || replica.num_running() >= replica.config.max_num_seqs as usize {
        return false;
    }
    let Some(slot) = replica.waiting.front().copied() else { return false };
    let num_known = replica.sequence(slot).num_known;
    let hits = replica.kv.hits(slot, num_known);
    let cached = hits.num_blocks * replica.config.block_size;
    let num_tokens = replica.share(slot, u32::MAX).min(num_known - cached).min(step.budget);
    let reserved = if replica.config.reserve_full_prompt { num_known } else { cached + num_tokens };
    let new_blocks = |tokens: u32| replica.config.blocks_for(tokens) - hits.num_blocks;
    if !replica.can_admit(new_blocks(reserved) + hits.num_idle) {
        return false;
    }
    let needed = new_blocks(cached + num_tokens);
    replica.pop_waiting();
    replica.running.push_back(slot);
    replica.kv.reuse(slot, hits.num_blocks);
    replica.num_holding += u32::from(hits.num_blocks > 0);
    let sequence = replica.sequence_mut(slot);
    sequence.num_computed = cached;
    sequence.num_blocks = hits.num_blocks;
    replica.place(slot, num_tokens, needed, step);
    true
}

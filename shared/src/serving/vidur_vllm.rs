//! vLLM's scheduler before V1, as Vidur has it: whole prompts in batches of their own, before any decode.

use crate::serving::replica::{Replica, Step};

/// Fills `step` with waiting prompts, or when none can be taken with the decodes, by arrival.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let limit = replica.config.micro_batch();
    let mut longest = 0;
    while let Some(slot) = replica.waiting.front().copied() {
        let length = replica.sequence(slot).num_prefill;
        let needed = replica.config.blocks_for(length);
        longest = longest.max(length);
        // Prompts of a batch are padded to the longest.
        let padded = (step.len() as u64 + 1) * u64::from(longest);
        // A restarted sequence may have outgrown the limit: alone it is served, though not by Vidur.
        let fits = padded <= u64::from(replica.config.max_num_batched_tokens)
            || (!replica.config.vidur_oddities && step.len() == 0);
        let is_full = replica.num_holding == replica.config.max_num_seqs || step.len() == limit;
        if !replica.can_admit(needed) || !fits || is_full {
            break;
        }
        replica.pop_waiting();
        replica.place(slot, length, needed, step);
    }
    if step.len() == 0 {
        decode(replica, step, limit);
    }
}

fn decode<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>, limit: usize) {
    let mut running: Vec<u32> = std::mem::take(&mut replica.running).into();
    replica.sort_by_arrival(&mut running);
    replica.running = running.into();
    while step.len() != limit
        && let Some(slot) = replica.running.pop_front()
    {
        if replica.make_room(slot, step) {
            let needed = replica.blocks_needed(slot, 1);
            replica.place(slot, 1, needed, step);
        }
    }
}

//! Sarathi-Serve's scheduler: decodes first, then unfinished prefills, then new requests, in one chunk of tokens.

use crate::serving::replica::{Replica, Step};

/// Fills `step`: no decode ever waits for a prefill, and prefills fill what the decodes leave of
/// `max_num_batched_tokens` (the chunk).
pub fn schedule(replica: &mut Replica, step: &mut Step) {
    for wants_decoding in [true, false] {
        let slots: Vec<u32> = replica.running.clone();
        for slot in slots {
            let sequence = replica.sequence(slot);
            let is_due = !sequence.is_out && sequence.is_decoding() == wants_decoding;
            // A slot of this list may have been preempted by one before it.
            if step.budget > 0 && is_due && replica.running.contains(&slot) {
                replica.schedule_running(slot, step);
            }
        }
    }
    if step.preempted.is_empty() {
        while replica.schedule_waiting(step) {}
    }
}

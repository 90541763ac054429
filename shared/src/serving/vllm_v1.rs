//! vLLM's V1 scheduler: one token budget, running requests first, then waiting ones FIFO.

use crate::serving::replica::{Replica, Step};

/// Fills `step`. Running sequences are served in order of admission; when blocks run out the one
/// admitted last is preempted. No new sequence is taken in a step that preempted one.
pub fn schedule(replica: &mut Replica, step: &mut Step) {
    let mut index = 0;
    while let Some(slot) = replica.running.get(index).copied()
        && step.budget > 0
    {
        if !replica.sequence(slot).is_out {
            replica.schedule_running(slot, step);
        }
        // A sequence that gave way left `running`; the next one, if any, has its place.
        index += usize::from(replica.running.get(index) == Some(&slot));
    }
    if step.preempted.is_empty() {
        while replica.schedule_waiting(step) {}
    }
}

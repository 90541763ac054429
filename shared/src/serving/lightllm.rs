//! LightLLM's scheduler: memory counted in tokens, admission by the most a batch can grow to.

use crate::serving::replica::{Replica, Step};

/// Fills `step` with new prompts when nothing runs or it is their turn, otherwise with all decodes.
pub fn schedule<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let is_idle = replica.running.is_empty();
    if is_idle || replica.waiting_iters >= replica.config.max_waiting_iters {
        admit(replica, step);
        if !is_idle || step.len() > 0 {
            replica.waiting_iters = 0;
        }
        if step.len() > 0 {
            return;
        }
    }
    decode(replica, step);
}

fn decode<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let num_running = replica.running.len();
    assert!(replica.kv.free() as usize >= num_running, "admission left too little memory for {num_running} decodes");
    replica.waiting_iters += u32::from(num_running > 0);
    for slot in std::mem::take(&mut replica.running) {
        replica.place(slot, 1, 1, step);
    }
}

fn admit<T: Copy + PartialOrd>(replica: &mut Replica<T>, step: &mut Step<T>) {
    let limit = replica.config.micro_batch();
    let mut growth: Vec<Growth> = replica.running.iter().map(|slot| Growth::of(replica, *slot)).collect();
    let mut num_tokens = 0;
    while let Some(slot) = replica.waiting.front().copied() {
        let length = replica.sequence(slot).num_prefill;
        num_tokens += length;
        let is_full = replica.num_holding == replica.config.max_num_seqs || step.len() == limit;
        if num_tokens > replica.config.max_num_batched_tokens || is_full {
            return;
        }
        growth.push(Growth::of(replica, slot));
        if peak(&mut growth) >= u64::from(replica.config.num_blocks) {
            return;
        }
        replica.pop_waiting();
        replica.place(slot, length, length, step);
    }
}

/// What a sequence holds, and how many more tokens it will.
struct Growth {
    held: u64,
    left: u64,
}

impl Growth {
    fn of<T: Copy + PartialOrd>(replica: &Replica<T>, slot: u32) -> Self {
        let sequence = replica.sequence(slot);
        let num_decode = sequence.num_total() - sequence.num_prefill;
        let (held, left) = match sequence.scheduled {
            Some(_) => {
                let num_decoded = sequence.num_processed().saturating_sub(sequence.num_prefill);
                (sequence.num_processed(), num_decode.saturating_sub(num_decoded + 1))
            }
            None => (sequence.num_prefill + 1, num_decode.saturating_sub(2)),
        };
        Growth { held: u64::from(held), left: u64::from(left) }
    }
}

/// The most tokens the sequences will hold at once: those with the most left outlive the others.
fn peak(growth: &mut [Growth]) -> u64 {
    growth.sort_by_key(|one| std::cmp::Reverse(one.left));
    let mut held = 0;
    let at = |(index, one): (usize, &Growth)| {
        held += one.held;
        one.left * (index as u64 + 1) + held
    };
    growth.iter().enumerate().map(at).max().unwrap_or(0)
}

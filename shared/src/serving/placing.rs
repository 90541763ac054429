//! What schedulers do to sequences: give them shares and blocks, and take their blocks back.

use crate::serving::replica::{Replica, Step};
use crate::serving::{BatchItem, Policy, StepOutcome};

impl<T: Copy + PartialOrd> Replica<T> {
    /// Tokens a sequence gets of `budget`.
    pub(super) fn share(&self, slot: u32, budget: u32) -> u32 {
        let pending = self.sequence(slot).num_pending();
        match self.config.long_prefill_token_threshold {
            0 => pending.min(budget),
            threshold => pending.min(threshold).min(budget),
        }
    }

    /// Blocks a sequence lacks to compute `num_tokens` more.
    pub(super) fn blocks_needed(&self, slot: u32, num_tokens: u32) -> u32 {
        let sequence = self.sequence(slot);
        self.config.blocks_for(sequence.num_computed + num_tokens).saturating_sub(sequence.num_blocks)
    }

    /// `count` blocks can go to a sequence that holds none. The watermark is for the running ones; with
    /// none of them it would wait for nothing, which Vidur does.
    pub(super) fn can_admit(&self, count: u32) -> bool {
        let keep = match self.num_running() == 0 && !self.config.vidur_oddities {
            true => 0,
            false => self.config.watermark(),
        };
        count.checked_add(keep).is_some_and(|needed| needed <= self.kv.free())
    }

    /// A running sequence can decode one token. Vidur asks for a free block even when none is needed.
    pub(super) fn can_decode(&self, slot: u32) -> bool {
        let least = u32::from(self.config.vidur_oddities);
        self.blocks_needed(slot, 1).max(least) <= self.kv.free()
    }

    /// Evicts the last of `running` until the sequence, which is not among them, can decode; with none
    /// left it is evicted itself, and `false` comes back.
    pub(super) fn make_room(&mut self, slot: u32, step: &mut Step<T>) -> bool {
        while !self.can_decode(slot) {
            let victim = self.running.pop_back().unwrap_or(slot);
            self.evict(victim, step);
            if victim == slot {
                return false;
            }
        }
        true
    }

    /// Takes a sequence's blocks back: it waits at the head of the queue and starts over.
    pub(super) fn evict(&mut self, slot: u32, step: &mut Step<T>) {
        self.release_blocks(slot);
        let forget = self.config.vidur_oddities && self.config.policy != Policy::VllmV1;
        let sequence = self.sequence_mut(slot);
        sequence.restart(forget);
        step.preempted.push(sequence.request.id);
        self.waiting.push_front(slot);
    }

    /// Gives a sequence `num_tokens` of the step, and `num_blocks` more blocks.
    pub(super) fn place(&mut self, slot: u32, num_tokens: u32, num_blocks: u32, step: &mut Step<T>) {
        let sequence = self.sequence(slot);
        let num_filled = sequence.num_known.min(sequence.num_computed + num_tokens);
        self.num_holding += u32::from(sequence.num_blocks == 0 && num_blocks > 0);
        self.kv.take(slot, num_blocks, num_filled);
        let sequence = self.sequence_mut(slot);
        sequence.num_blocks += num_blocks;
        step.budget = step.budget.saturating_sub(num_tokens);
        let item = BatchItem {
            request_id: sequence.request.id,
            start: sequence.num_computed,
            num_tokens,
            emits_token: num_tokens == sequence.num_pending(),
            is_decode: sequence.is_prefilled(),
        };
        sequence.send(num_tokens, item.emits_token, step.now);
        step.items.push(item);
    }

    /// Puts the whole cohort into the step, if its members and the unfinished prefills that run can all
    /// have their blocks; otherwise its members are listed again, each in its place.
    pub(super) fn take_cohort(&mut self, step: &mut Step<T>) {
        let Some(cohort) = &self.cohort else { return };
        let (due, share) = (cohort.blocks_due(), cohort.share());
        if share.num_seqs == 0 {
            return;
        }
        let budget = step.budget.saturating_sub(share.num_seqs);
        let needed = match self.config.policy {
            Policy::VllmV1 => due + self.blocks_of_running(budget),
            _ => due + u32::from(self.config.vidur_oddities),
        };
        if needed <= self.kv.free() {
            self.kv.take_counted(due);
            step.cohort = share;
            step.budget = budget;
        } else {
            self.list_cohort();
        }
    }

    /// Blocks the unfinished prefills in `running` need when they share `budget` in turn.
    fn blocks_of_running(&self, mut budget: u32) -> u32 {
        let mut needed = 0;
        for slot in &self.running {
            let num_tokens = self.share(*slot, budget);
            needed += self.blocks_needed(*slot, num_tokens);
            budget -= num_tokens;
        }
        needed
    }

    fn list_cohort(&mut self) {
        let members = self.cohort.as_mut().expect("asked for with a cohort").dissolve();
        for (slot, num_computed) in &members {
            let num_blocks = self.config.blocks_for(*num_computed);
            let sequence = self.sequence_mut(*slot);
            sequence.num_computed = *num_computed;
            sequence.num_known = *num_computed + 1;
            sequence.num_blocks = num_blocks;
        }
        let slots = members.into_iter().map(|(slot, _)| slot);
        match self.config.policy {
            Policy::VllmV1 => {
                self.running.extend(slots);
                let mut running: Vec<u32> = std::mem::take(&mut self.running).into();
                running.sort_by_key(|slot| self.sequence(*slot).admission);
                self.running = running.into();
            }
            _ => {
                let after = self.running.split_off(self.before_cohort);
                self.running.extend(slots);
                self.running.extend(after);
            }
        }
    }

    /// The step of the cohort is computed.
    pub(super) fn end_cohort_step(&mut self, now: T, outcome: &mut StepOutcome<T>) {
        self.cohort.as_mut().expect("a cohort was in the batch").advance();
        while let Some((slot, num_computed)) = self.cohort.as_mut().and_then(|cohort| cohort.pop_ended()) {
            let num_blocks = self.config.blocks_for(num_computed);
            let sequence = self.sequence_mut(slot);
            sequence.num_computed = num_computed;
            sequence.num_known = num_computed + 1;
            sequence.num_blocks = num_blocks;
            self.finish(slot, now, outcome);
        }
    }
}

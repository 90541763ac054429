//! One copy of an engine: waiting and running sequences, KV blocks, and the three calls that move them.

use std::collections::VecDeque;

use crate::schema::{RequestRow, RequestStatus};
use crate::serving::blocks::BlockCount;
use crate::serving::sequence::Sequence;
use crate::serving::{Batch, BatchItem, Policy, Request, RequestId, SchedulerConfig, sarathi, vllm_v1};
use crate::time::Nanos;

/// One token that a step produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEvent {
    /// Whose.
    pub request_id: RequestId,
    /// Its index in the output, from 0.
    pub index: u32,
    /// When it was there.
    pub time: Nanos,
}

/// What a finished step left; a driver keeps one and hands it in again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepOutcome {
    /// Tokens produced, in batch order.
    pub tokens: Vec<TokenEvent>,
    /// Requests that ended with this step, in batch order; their blocks are free.
    pub finished: Vec<RequestRow>,
}

/// How full a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// KV blocks in use.
    pub kv_blocks_used: u32,
    /// Sequences running.
    pub num_running: u32,
    /// Sequences waiting.
    pub num_waiting: u32,
}

/// A serving engine minus time and arithmetic.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) config: SchedulerConfig,
    sequences: Vec<Sequence>,
    free_slots: Vec<u32>,
    slot_of: Vec<u32>,
    /// Slots in order of admission to running.
    pub(super) running: Vec<u32>,
    /// Slots in order of service: arrivals at the back, preempted ones at the front.
    pub(super) waiting: VecDeque<u32>,
    blocks: BlockCount,
    num_out: u32,
    next_batch: u64,
    /// Preempted while no batch came of it: the next batch tells the executor.
    untold: Vec<RequestId>,
}

const NO_SLOT: u32 = u32::MAX;

impl Replica {
    /// An empty replica.
    ///
    /// # Errors
    /// Settings that can serve nothing, as [`SchedulerConfig::check`] names them.
    pub fn new(config: &SchedulerConfig) -> Result<Self, String> {
        config.check()?;
        let watermark = (u64::from(config.num_blocks) * u64::from(config.watermark_permille)).div_ceil(1000);
        Ok(Replica {
            blocks: BlockCount::new(config.num_blocks, watermark as u32),
            config: config.clone(),
            sequences: Vec::new(),
            free_slots: Vec::new(),
            slot_of: Vec::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            num_out: 0,
            next_batch: 0,
            untold: Vec::new(),
        })
    }

    /// A request has arrived. It waits, or it is done at once: refused when it can never fit, or
    /// complete when it asks for no token; then its row comes back.
    pub fn admit(&mut self, request: Request) -> Option<RequestRow> {
        if let Some(reason) = self.refusal(&request) {
            return Some(request.unserved_row(RequestStatus::Rejected, Some(reason)));
        }
        if request.num_decode_tokens == 0 {
            return Some(request.unserved_row(RequestStatus::Ok, None));
        }
        let id = request.id as usize;
        let sequence = Sequence::new(request);
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.sequences[slot as usize] = sequence;
                slot
            }
            None => {
                self.sequences.push(sequence);
                (self.sequences.len() - 1) as u32
            }
        };
        if self.slot_of.len() <= id {
            self.slot_of.resize(id + 1, NO_SLOT);
        }
        assert!(self.slot_of[id] == NO_SLOT, "request {id} was admitted twice");
        self.slot_of[id] = slot;
        self.waiting.push_back(slot);
        None
    }

    fn refusal(&self, request: &Request) -> Option<String> {
        if request.num_prefill_tokens == 0 {
            return Some("the prompt is empty".to_owned());
        }
        let length = u64::from(request.num_prefill_tokens) + u64::from(request.num_decode_tokens);
        if length > u64::from(self.config.max_model_len) {
            return Some(format!("{length} tokens are more than max_model_len {}", self.config.max_model_len));
        }
        // The last output token is never computed, so it needs no place in the cache.
        let blocks = self.config.blocks_for((length as u32).saturating_sub(1).max(1));
        (blocks > self.config.num_blocks)
            .then(|| format!("{blocks} KV blocks are more than the {} there are", self.config.num_blocks))
    }

    /// Chooses the next batch; `None` when there is nothing to compute or `max_in_flight` batches
    /// are out. `now` is when its sequences count as scheduled.
    pub fn begin_step(&mut self, now: Nanos) -> Option<Batch> {
        if self.num_out >= self.config.max_in_flight || (self.running.is_empty() && self.waiting.is_empty()) {
            return None;
        }
        let mut step = Step {
            now,
            budget: self.config.max_num_batched_tokens,
            items: Vec::with_capacity(self.running.len() + 1),
            preempted: Vec::new(),
        };
        let untold = std::mem::take(&mut self.untold);
        match self.config.policy {
            Policy::VllmV1 => vllm_v1::schedule(self, &mut step),
            Policy::Sarathi => sarathi::schedule(self, &mut step),
        }
        let preempted = [untold, step.preempted].concat();
        if step.items.is_empty() {
            self.untold = preempted;
            assert!(self.num_out > 0, "nothing was scheduled though work waits and nothing is out");
            return None;
        }
        let id = self.next_batch;
        self.next_batch += 1;
        self.num_out += 1;
        Some(Batch { id, items: step.items, preempted })
    }

    /// A batch is computed: sequences advance, tokens get their time, finished sequences leave.
    /// `stopped` names requests whose model ended them with this token.
    pub fn end_step(&mut self, batch: &Batch, now: Nanos, stopped: &[RequestId], outcome: &mut StepOutcome) {
        outcome.tokens.clear();
        outcome.finished.clear();
        self.num_out -= 1;
        for item in &batch.items {
            let slot = self.slot_of[item.request_id as usize];
            let sequence = &mut self.sequences[slot as usize];
            sequence.is_out = false;
            sequence.num_computed += item.num_tokens;
            if !item.emits_token {
                continue;
            }
            outcome.tokens.push(TokenEvent { request_id: item.request_id, index: sequence.num_output, time: now });
            sequence.num_output += 1;
            sequence.first_token.get_or_insert(now);
            let is_last = sequence.num_output == sequence.request.num_decode_tokens;
            if is_last || stopped.contains(&item.request_id) {
                outcome.finished.push(sequence.row(now));
                self.retire(slot);
            }
        }
        if !outcome.finished.is_empty() {
            let sequences = &self.sequences;
            let slot_of = &self.slot_of;
            self.running.retain(|slot| slot_of[sequences[*slot as usize].request.id as usize] == *slot);
        }
    }

    fn retire(&mut self, slot: u32) {
        let sequence = &self.sequences[slot as usize];
        self.blocks.give(sequence.num_blocks);
        self.slot_of[sequence.request.id as usize] = NO_SLOT;
        self.free_slots.push(slot);
    }

    /// How full the replica is now.
    pub fn load(&self) -> Load {
        Load {
            kv_blocks_used: self.blocks.used(),
            num_running: self.running.len() as u32,
            num_waiting: self.waiting.len() as u32,
        }
    }

    /// Nothing runs, waits or is out.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn sequence(&self, slot: u32) -> &Sequence {
        &self.sequences[slot as usize]
    }

    /// Gives a running sequence its share of the step, preempting later ones until its blocks fit.
    /// `false` when it had to give way itself.
    pub(super) fn schedule_running(&mut self, slot: u32, step: &mut Step) -> bool {
        let num_tokens = self.share(slot, step.budget);
        let needed = self.blocks_needed(slot, num_tokens);
        while !self.blocks.can_take(needed) {
            let victim = self.running.iter().rposition(|other| !self.sequences[*other as usize].is_out);
            let Some(victim) = victim else { return false };
            let victim = self.running.remove(victim);
            self.preempt(victim, step);
            if victim == slot {
                return false;
            }
        }
        self.place(slot, num_tokens, needed, step);
        true
    }

    /// Takes the first waiting sequence in, if blocks and budget allow.
    pub(super) fn schedule_waiting(&mut self, step: &mut Step) -> bool {
        if step.budget == 0 || self.running.len() >= self.config.max_num_seqs as usize {
            return false;
        }
        let Some(slot) = self.waiting.front().copied() else { return false };
        let num_tokens = self.share(slot, step.budget);
        let needed = self.blocks_needed(slot, num_tokens);
        // The watermark is for the running ones; with none of them it would wait for nothing.
        let fits = self.blocks.can_admit(needed) || (self.running.is_empty() && self.blocks.can_take(needed));
        if !fits {
            return false;
        }
        self.waiting.pop_front();
        self.running.push(slot);
        self.place(slot, num_tokens, needed, step);
        true
    }

    fn share(&self, slot: u32, budget: u32) -> u32 {
        let pending = self.sequences[slot as usize].num_pending();
        match self.config.long_prefill_token_threshold {
            0 => pending.min(budget),
            threshold => pending.min(threshold).min(budget),
        }
    }

    fn blocks_needed(&self, slot: u32, num_tokens: u32) -> u32 {
        let sequence = &self.sequences[slot as usize];
        self.config.blocks_for(sequence.num_computed + num_tokens).saturating_sub(sequence.num_blocks)
    }

    fn preempt(&mut self, slot: u32, step: &mut Step) {
        let sequence = &mut self.sequences[slot as usize];
        self.blocks.give(sequence.num_blocks);
        sequence.num_blocks = 0;
        sequence.num_computed = 0;
        sequence.num_preemptions += 1;
        step.preempted.push(sequence.request.id);
        self.waiting.push_front(slot);
    }

    fn place(&mut self, slot: u32, num_tokens: u32, num_blocks: u32, step: &mut Step) {
        self.blocks.take(num_blocks);
        let sequence = &mut self.sequences[slot as usize];
        let is_decode = sequence.is_decoding();
        sequence.num_blocks += num_blocks;
        sequence.is_out = true;
        sequence.scheduled.get_or_insert(step.now);
        step.budget -= num_tokens;
        step.items.push(BatchItem {
            request_id: sequence.request.id,
            start: sequence.num_computed,
            num_tokens,
            emits_token: num_tokens == sequence.num_pending(),
            is_decode,
        });
    }
}

/// A batch in the making.
pub(super) struct Step {
    pub now: Nanos,
    pub budget: u32,
    pub items: Vec<BatchItem>,
    pub preempted: Vec<RequestId>,
}

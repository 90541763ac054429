//! One copy of an engine: waiting and running sequences, KV blocks, and the three calls that move them.

use std::collections::VecDeque;

use crate::schema::RequestStatus;
use crate::serving::batch::CohortShare;
use crate::serving::cohort::Cohort;
use crate::serving::faster_transformer::Groups;
use crate::serving::kv::KvCache;
use crate::serving::prefix_cache::PromptPrefix;
use crate::serving::sequence::Sequence;
use crate::serving::{
    Batch, BatchItem, Policy, Request, RequestId, SchedulerConfig, Served, Unserved, faster_transformer, lightllm,
    orca, sarathi, vidur_vllm, vllm_v1,
};
use crate::time::Nanos;

/// One token that a step produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEvent<T = Nanos> {
    /// Whose.
    pub request_id: RequestId,
    /// Its index in the output, from 0.
    pub index: u32,
    /// When it was there.
    pub time: T,
}

/// What a finished step left; a driver keeps one and hands it in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutcome<T = Nanos> {
    /// Tokens produced, in batch order; not those of a batch's cohort.
    pub tokens: Vec<TokenEvent<T>>,
    /// Requests that ended with this step, in batch order; their blocks are free.
    pub finished: Vec<Served<T>>,
}

impl<T> Default for StepOutcome<T> {
    fn default() -> Self {
        StepOutcome { tokens: Vec::new(), finished: Vec::new() }
    }
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

/// A serving engine minus time and arithmetic. `T` is an instant of the driver's clock.
#[derive(Clone, Debug)]
pub struct Replica<T = Nanos> {
    pub(super) config: SchedulerConfig,
    sequences: Vec<Sequence<T>>,
    free_slots: Vec<u32>,
    slot_of: Vec<u32>,
    /// Slots. `vllm_v1`: all that run, in order of admission. The others: those of no batch, as they come back.
    pub(super) running: VecDeque<u32>,
    /// Slots in order of service: arrivals at the back, preempted ones at the front.
    pub(super) waiting: VecDeque<u32>,
    pub(super) kv: KvCache,
    /// Sequences that hold blocks.
    pub(super) num_holding: u32,
    num_live: u32,
    num_out: u32,
    next_batch: u64,
    next_admission: u64,
    /// Preempted while no batch came of it: the next batch tells the executor.
    untold: Vec<RequestId>,
    /// Decodes advanced all at once, when the driver asked for no list of them.
    pub(super) cohort: Option<Cohort>,
    /// How many of `running` stand before the cohort.
    pub(super) before_cohort: usize,
    /// FasterTransformer's batches.
    pub(super) groups: Groups,
    /// LightLLM's decode steps since it last looked at its waiting requests.
    pub(super) waiting_iters: u32,
    /// The list of a batch that came back, to be filled again.
    spare_items: Vec<BatchItem>,
    /// A list that a scheduler needs for the length of one call.
    pub(super) scratch: Vec<u32>,
}

const NO_SLOT: u32 = u32::MAX;

impl<T: Copy + PartialOrd> Replica<T> {
    /// An empty replica.
    ///
    /// # Errors
    /// Settings that can serve nothing, as [`SchedulerConfig::check`] names them.
    pub fn new(config: &SchedulerConfig) -> Result<Self, String> {
        config.check()?;
        Ok(Replica {
            kv: KvCache::new(config),
            config: config.clone(),
            sequences: Vec::new(),
            free_slots: Vec::new(),
            slot_of: Vec::new(),
            running: VecDeque::new(),
            waiting: VecDeque::new(),
            num_holding: 0,
            num_live: 0,
            num_out: 0,
            next_batch: 0,
            next_admission: 0,
            untold: Vec::new(),
            cohort: None,
            before_cohort: 0,
            groups: Groups::default(),
            waiting_iters: 0,
            spare_items: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// An empty replica for a driver that needs no list of who decodes and no token times: where the
    /// scheduler allows, sequences that decode in every step are advanced together, at no cost each.
    /// Everything else, every instant included, is as with [`Replica::new`].
    ///
    /// # Errors
    /// As [`Replica::new`].
    pub fn counting(config: &SchedulerConfig) -> Result<Self, String> {
        let mut replica = Replica::new(config)?;
        let all_decodes_run = matches!(config.policy, Policy::VllmV1 | Policy::Sarathi)
            && config.max_in_flight == 1
            && config.long_prefill_token_threshold == 0
            && !config.enable_prefix_caching;
        replica.cohort = all_decodes_run.then(|| Cohort::new(config.block_size));
        Ok(replica)
    }

    /// A request has arrived. It waits, or needs no serving: refused when it can never fit, or
    /// complete when it asks for no token.
    pub fn admit(&mut self, request: Request<T>) -> Option<Unserved> {
        self.admit_known(request, PromptPrefix::default())
    }

    /// As [`Replica::admit`], for a prompt whose beginning may be in the KV cache.
    pub fn admit_known(&mut self, request: Request<T>, prefix: PromptPrefix<'_>) -> Option<Unserved> {
        if let Some(reason) = self.refusal(&request) {
            return Some(Unserved { status: RequestStatus::Rejected, reason: Some(reason) });
        }
        if request.num_decode_tokens == 0 {
            return Some(Unserved { status: RequestStatus::Ok, reason: None });
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
        self.num_live += 1;
        self.kv.enter(slot, request.id, request.num_prefill_tokens, prefix);
        self.waiting.push_back(slot);
        None
    }

    fn refusal(&self, request: &Request<T>) -> Option<String> {
        if request.num_prefill_tokens == 0 {
            return Some("the prompt is empty".to_owned());
        }
        let config = &self.config;
        let length = u64::from(request.num_prefill_tokens) + u64::from(request.num_decode_tokens);
        if length > u64::from(config.max_model_len) {
            return Some(format!("{length} tokens are more than max_model_len {}", config.max_model_len));
        }
        let prompt = request.num_prefill_tokens;
        let takes_whole_prompts = matches!(config.policy, Policy::VidurVllm | Policy::Lightllm);
        if takes_whole_prompts && prompt > config.max_num_batched_tokens {
            let limit = config.max_num_batched_tokens;
            return Some(format!("{prompt} prompt tokens are more than max_num_batched_tokens {limit}"));
        }
        // The last output token is never computed, so it needs no place in the cache.
        let computed = (length as u32).saturating_sub(1).max(1);
        let blocks = match config.policy {
            Policy::Orca | Policy::FasterTransformer => config.blocks_of_longest(),
            // It stays below the limit, and counts a place for the first output token.
            Policy::Lightllm => computed.max(prompt + 1) + 1,
            _ => config.blocks_for(computed),
        };
        let limit = config.num_blocks;
        (blocks > limit).then(|| format!("{blocks} KV blocks are more than the {limit} there are"))
    }

    /// Chooses the next batch; `None` when there is nothing to compute or `max_in_flight` batches
    /// are out. `now` is when its sequences count as scheduled.
    pub fn begin_step(&mut self, now: T) -> Option<Batch> {
        if self.num_out >= self.config.max_in_flight || self.num_live == 0 {
            return None;
        }
        let mut step = Step {
            now,
            id: self.next_batch,
            budget: self.config.max_num_batched_tokens,
            items: std::mem::take(&mut self.spare_items),
            cohort: CohortShare::default(),
            preempted: std::mem::take(&mut self.untold),
        };
        if self.cohort.is_some() {
            self.take_cohort(&mut step);
        }
        match self.config.policy {
            Policy::VllmV1 => vllm_v1::schedule(self, &mut step),
            Policy::Sarathi => sarathi::schedule(self, &mut step),
            Policy::VidurVllm => vidur_vllm::schedule(self, &mut step),
            Policy::Orca => orca::schedule(self, &mut step),
            Policy::FasterTransformer => faster_transformer::schedule(self, &mut step),
            Policy::Lightllm => lightllm::schedule(self, &mut step),
        }
        if step.len() == 0 {
            self.untold = step.preempted;
            self.spare_items = step.items;
            return None;
        }
        self.next_batch += 1;
        self.num_out += 1;
        Some(Batch { id: step.id, items: step.items, cohort: step.cohort, preempted: step.preempted })
    }

    /// A batch is computed: sequences advance, tokens get their time, finished sequences leave.
    /// `stopped` names requests whose model ended them with this token.
    pub fn end_step(&mut self, batch: &Batch, now: T, stopped: &[RequestId], outcome: &mut StepOutcome<T>) {
        outcome.tokens.clear();
        outcome.finished.clear();
        self.num_out -= 1;
        if batch.cohort.num_seqs > 0 {
            self.end_cohort_step(now, outcome);
        }
        for item in &batch.items {
            // One that a stop token ended may have had a share of this batch too.
            let Some(slot) = self.slot_of(item.request_id) else { continue };
            let sequence = &mut self.sequences[slot as usize];
            let token = sequence.receive(item.emits_token, now);
            if let Some(index) = token {
                outcome.tokens.push(TokenEvent { request_id: item.request_id, index, time: now });
            }
            if sequence.is_complete() || (token.is_some() && stopped.contains(&item.request_id)) {
                self.finish(slot, now, outcome);
            } else {
                self.keep(slot);
            }
        }
        match self.config.policy {
            Policy::VllmV1 => self.sweep_running(),
            Policy::FasterTransformer => faster_transformer::end(self, batch),
            _ => {}
        }
    }

    /// Takes back a batch that has ended: the next one is written into its list.
    pub fn recycle(&mut self, batch: Batch) {
        self.spare_items = batch.items;
        self.spare_items.clear();
    }

    /// A sequence of the batch goes on.
    fn keep(&mut self, slot: u32) {
        let sequence = &self.sequences[slot as usize];
        if let Some(cohort) = &mut self.cohort
            && sequence.is_prefilled()
        {
            let num_steps = sequence.num_total() - sequence.num_known;
            cohort.join(slot, sequence.num_computed, num_steps, sequence.admission);
        } else if !matches!(self.config.policy, Policy::VllmV1 | Policy::FasterTransformer) {
            self.running.push_back(slot);
        }
    }

    /// `vllm_v1` keeps its sequences in place while they are out: what ended or joined the cohort leaves.
    fn sweep_running(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let (sequences, slot_of) = (&self.sequences, &self.slot_of);
        let has_cohort = self.cohort.is_some();
        self.running.retain(|slot| {
            let sequence = &sequences[*slot as usize];
            slot_of[sequence.request.id as usize] == *slot && !(has_cohort && sequence.is_prefilled())
        });
    }

    /// A sequence has all its tokens: it leaves, and so do its blocks unless its batch holds them.
    pub(super) fn finish(&mut self, slot: u32, now: T, outcome: &mut StepOutcome<T>) {
        outcome.finished.push(self.sequences[slot as usize].served(now));
        if self.config.policy != Policy::FasterTransformer {
            self.release_blocks(slot);
        }
        if self.sequences[slot as usize].is_waiting {
            // Preempted while its last token was on its way.
            self.waiting.retain(|other| *other != slot);
        }
        self.slot_of[self.sequences[slot as usize].request.id as usize] = NO_SLOT;
        self.free_slots.push(slot);
        self.num_live -= 1;
    }

    /// Gives back what a sequence holds.
    pub(super) fn release_blocks(&mut self, slot: u32) {
        let sequence = &mut self.sequences[slot as usize];
        self.num_holding -= u32::from(sequence.num_blocks > 0);
        let count = std::mem::take(&mut sequence.num_blocks);
        self.kv.give(slot, count);
    }

    /// How full the replica is now.
    pub fn load(&self) -> Load {
        let num_waiting = self.waiting.len() as u32;
        Load { kv_blocks_used: self.kv.used(), num_running: self.num_live - num_waiting, num_waiting }
    }

    /// Nothing runs, waits or is out.
    pub fn is_idle(&self) -> bool {
        self.num_live == 0
    }

    /// Requests a router counts: all that are unfinished; to Vidur those that wait.
    pub fn num_outstanding(&self) -> u32 {
        if self.config.vidur_oddities { self.waiting.len() as u32 } else { self.num_live }
    }

    /// Prompt tokens of `request` whose blocks are in the KV cache.
    pub fn cached_tokens(&self, request: &Request<T>, prefix: PromptPrefix<'_>) -> u32 {
        self.kv.cached_tokens(request.num_prefill_tokens, prefix)
    }

    /// Tokens the present attempt of a request computes before it decodes, while it is being served.
    pub fn num_prefill_tokens(&self, id: RequestId) -> Option<u32> {
        self.slot_of(id).map(|slot| self.sequence(slot).num_prefill)
    }

    pub(super) fn num_running(&self) -> usize {
        self.num_live as usize - self.waiting.len()
    }

    pub(super) fn sequence(&self, slot: u32) -> &Sequence<T> {
        &self.sequences[slot as usize]
    }

    pub(super) fn sequence_mut(&mut self, slot: u32) -> &mut Sequence<T> {
        &mut self.sequences[slot as usize]
    }

    pub(super) fn slot_of(&self, id: RequestId) -> Option<u32> {
        self.slot_of.get(id as usize).copied().filter(|slot| *slot != NO_SLOT)
    }

    /// Takes the first waiting sequence out of the queue; it runs from now on.
    pub(super) fn pop_waiting(&mut self) -> u32 {
        let slot = self.waiting.pop_front().expect("asked for after a look at the queue");
        let sequence = &mut self.sequences[slot as usize];
        sequence.is_waiting = false;
        sequence.admission = self.next_admission;
        self.next_admission += 1;
        slot
    }

    /// Orders slots by arrival, those of one instant as they stand.
    pub(super) fn sort_by_arrival(&self, slots: &mut [u32]) {
        let arrival = |slot: &u32| self.sequences[*slot as usize].request.arrival;
        slots.sort_by(|a, b| arrival(a).partial_cmp(&arrival(b)).expect("instants are numbers"));
    }
}

/// A batch in the making.
pub(super) struct Step<T> {
    pub now: T,
    pub id: u64,
    pub budget: u32,
    pub items: Vec<BatchItem>,
    pub cohort: CohortShare,
    pub preempted: Vec<RequestId>,
}

impl<T> Step<T> {
    /// Sequences in it.
    pub fn len(&self) -> usize {
        self.items.len() + self.cohort.num_seqs as usize
    }
}

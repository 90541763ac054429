//! Laws of the serving core under random settings: conservation, causality, budget, work conservation.

use std::collections::{BTreeMap, BTreeSet};

use fidelio_shared::schema::RequestStatus;
use fidelio_shared::serving::{Batch, Policy, Replica, Request, RequestId, SchedulerConfig, StepOutcome};
use fidelio_shared::simulate::simulate;
use fidelio_shared::time::Nanos;
use rand::RngExt;

use crate::harness::{grid_workload, random};
use crate::parity::{GridTimes, Log, settings};

fn random_settings(seed: u64) -> SchedulerConfig {
    let mut random = random(seed);
    let policy = Policy::ALL[random.random_range(0..Policy::ALL.len())];
    let is_lightllm = policy == Policy::Lightllm;
    let max_num_seqs = random.random_range(1..=12);
    let max_in_flight = if is_lightllm { 1 } else { random.random_range(1..=3.min(max_num_seqs)) };
    let block_size = if is_lightllm { 1 } else { random.random_range(1..=8) };
    SchedulerConfig {
        policy,
        max_num_seqs,
        max_num_batched_tokens: random.random_range(max_num_seqs..=max_num_seqs + 40),
        long_prefill_token_threshold: if random.random_range(0..3) == 0 { 5 } else { 0 },
        block_size,
        num_blocks: random.random_range(10..=120),
        watermark_permille: random.random_range(0..=200),
        max_model_len: random.random_range(40..=120),
        async_scheduling: policy == Policy::VllmV1 && max_in_flight == 2,
        enable_prefix_caching: policy == Policy::VllmV1 && random.random_range(0..2) == 0,
        reserve_full_prompt: random.random_range(0..2) == 0,
        max_in_flight,
        ..SchedulerConfig::default()
    }
}

/// What the policy can ever serve.
fn can_fit(config: &SchedulerConfig, num_prefill: u32, num_decode: u32) -> bool {
    let length = num_prefill + num_decode;
    let blocks = match config.policy {
        Policy::Orca | Policy::FasterTransformer => config.blocks_for(config.max_model_len),
        // LightLLM stays below the limit.
        Policy::Lightllm => length.saturating_sub(1).max(num_prefill + 1) + 1,
        _ => config.blocks_for(length.saturating_sub(1).max(1)),
    };
    let takes_whole_prompts = matches!(config.policy, Policy::VidurVllm | Policy::Lightllm);
    length <= config.max_model_len
        && blocks <= config.num_blocks
        && !(takes_whole_prompts && num_prefill > config.max_num_batched_tokens)
}

#[test]
fn every_request_ends_once_with_its_tokens_in_order() {
    for seed in 0..1_200 {
        let config = random_settings(seed);
        let workload = grid_workload(seed, 40, 1_000, 20);
        let mut log = Log::default();
        simulate(&workload, &config, &GridTimes, &mut log).expect("possible settings");
        assert_eq!(log.rows.len(), workload.rows.len(), "every request ends");
        let mut times: BTreeMap<RequestId, Vec<Nanos>> = BTreeMap::new();
        for event in &log.tokens {
            let list = times.entry(event.request_id).or_default();
            assert_eq!(event.index as usize, list.len(), "tokens come in order, none twice");
            list.push(event.time);
        }
        for (row, asked) in log.rows.values().zip(&workload.rows) {
            let list = times.get(&row.request_id).cloned().unwrap_or_default();
            let can_fit = can_fit(&config, asked.num_prefill_tokens, asked.num_decode_tokens);
            assert_eq!(row.status == RequestStatus::Ok, can_fit, "{row:?} under {config:?}");
            if !can_fit {
                assert!(list.is_empty() && row.first_token.is_none());
                continue;
            }
            assert_eq!(list.len(), asked.num_decode_tokens as usize);
            assert_eq!(row.first_token, list.first().copied());
            assert_eq!(row.completion, list.last().copied());
            assert!(row.scheduled.is_none_or(|scheduled| scheduled >= row.arrival));
            assert!(list.is_sorted() && list.first().is_none_or(|first| *first > row.arrival), "causality");
        }
    }
}

/// Follows every batch by hand and counts what the replica claims to count.
struct Shadow {
    config: SchedulerConfig,
    computed: BTreeMap<RequestId, u32>,
    known: BTreeMap<RequestId, u32>,
}

impl Shadow {
    fn begin(&mut self, batch: &Batch, replica: &Replica) {
        for id in &batch.preempted {
            self.computed.insert(*id, 0);
        }
        let tokens: u32 = batch.items.iter().map(|item| item.num_tokens).sum();
        assert!(tokens > 0, "a batch computes something");
        if self.config.policy.has_token_budget() {
            assert!(tokens <= self.config.max_num_batched_tokens, "token budget");
        }
        assert!(replica.load().num_running <= self.config.max_num_seqs, "sequence limit");
        for item in &batch.items {
            let is_reused = self.config.enable_prefix_caching && self.computed[&item.request_id] == 0;
            assert!(is_reused || item.start == self.computed[&item.request_id], "a share starts where the last ended");
            let end = item.start + item.num_tokens;
            assert!(end <= self.known[&item.request_id], "nothing is computed before it is known");
            assert_eq!(item.emits_token, end == self.known[&item.request_id]);
            self.computed.insert(item.request_id, end);
        }
        let used = replica.load().kv_blocks_used;
        let least: u32 = self.computed.values().map(|tokens| self.config.blocks_for(*tokens)).sum();
        assert!((least..=self.config.num_blocks).contains(&used), "every computed token has its place");
        if self.config.policy == Policy::VllmV1 {
            assert_eq!(used, least, "KV blocks are taken as they are needed");
        }
    }

    fn end(&mut self, outcome: &StepOutcome) {
        for event in &outcome.tokens {
            *self.known.get_mut(&event.request_id).expect("known") += 1;
        }
        for served in &outcome.finished {
            self.computed.remove(&served.request.id);
            self.known.remove(&served.request.id);
        }
    }
}

#[test]
fn blocks_budget_and_shares_hold_at_every_step() {
    let mut preemptions = 0;
    for seed in 0..1_200 {
        let config = SchedulerConfig { max_in_flight: 1, async_scheduling: false, ..random_settings(seed) };
        let mut replica = Replica::new(&config).expect("possible settings");
        let mut shadow = Shadow { config, computed: BTreeMap::new(), known: BTreeMap::new() };
        for (id, row) in grid_workload(seed, 40, 0, 0).rows.iter().enumerate() {
            let request = Request::from_row(id as RequestId, row);
            if replica.admit(request).is_none() {
                shadow.computed.insert(request.id, 0);
                shadow.known.insert(request.id, request.num_prefill_tokens);
            }
        }
        let mut outcome = StepOutcome::default();
        let mut now = Nanos::ZERO;
        while let Some(batch) = replica.begin_step(now) {
            shadow.begin(&batch, &replica);
            now += Nanos(1);
            replica.end_step(&batch, now, &[], &mut outcome);
            shadow.end(&outcome);
            preemptions += batch.preempted.len();
        }
        assert!(replica.is_idle(), "work is conserved: nothing is left when no batch comes");
        assert!(shadow.known.is_empty());
        assert_eq!(replica.load().kv_blocks_used, 0);
    }
    println!("{preemptions} preemptions");
    assert!(preemptions > 1_000, "too few preemptions to show anything: {preemptions}");
}

#[test]
fn sarathi_never_lets_a_decode_wait_for_a_prefill() {
    let config = SchedulerConfig { max_num_seqs: 6, max_num_batched_tokens: 9, ..settings(Policy::Sarathi, 4_000) };
    let mut replica = Replica::new(&config).expect("possible settings");
    let mut decoding: BTreeSet<RequestId> = BTreeSet::new();
    for (id, row) in grid_workload(9, 60, 0, 0).rows.iter().enumerate() {
        replica.admit(Request::from_row(id as RequestId, row));
    }
    let mut outcome = StepOutcome::default();
    while let Some(batch) = replica.begin_step(Nanos::ZERO) {
        let decodes = batch.items.iter().filter(|item| item.is_decode).count();
        assert_eq!(decodes, decoding.len(), "every decoding sequence is in every batch");
        replica.end_step(&batch, Nanos::ZERO, &[], &mut outcome);
        decoding.extend(outcome.tokens.iter().map(|event| event.request_id));
        decoding.retain(|id| outcome.finished.iter().all(|served| served.request.id != *id));
    }
}

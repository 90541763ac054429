//! A machine of the fitted kind must be found in the steps of its run, and then predict other runs of it.

use super::*;
use crate::compare::trial::{MS, Times, random_workload, run, scheduler, workload};
use crate::explore::answers::WhatIfAnswer;
use crate::explore::questions::WhatIf;
use crate::latency::{BatchShape, StepModel, StepProfile, StepProfileRow};
use crate::schema::{RequestStatus, RunMeta};
use crate::serving::{Policy, SchedulerConfig};
use crate::time::Nanos;

/// 1 ms a step and 40 µs a token; 10 ns a pair, 20 ns a token read, 3 µs a sampled row; the host 0.2 ms and 5 µs a sequence.
fn machine() -> StepModel {
    let row = |tokens: u64, start: u64, decodes: u64, context: u64| {
        let has_prefill = u64::from(tokens > 0);
        let shape = BatchShape {
            num_prefill_tokens: tokens,
            num_prefill_seqs: has_prefill,
            prefill_pairs: tokens * start + tokens * (tokens + 1) / 2,
            num_decode_seqs: decodes,
            context_tokens: decodes * context,
            num_sampled: decodes + has_prefill,
            ..BatchShape::default()
        };
        let device = 1_000_000 + 40_000 * shape.num_tokens() + 10 * shape.prefill_pairs + 20 * shape.context_tokens;
        let device = Nanos(device + 3_000 * shape.num_sampled);
        let host = Nanos(200_000 + 5_000 * shape.num_seqs());
        StepProfileRow::once(shape, host, device)
    };
    let rows = [1, 2, 4, 8, 16, 32].into_iter().flat_map(|tokens| {
        [
            row(tokens, 0, 0, 0),
            row(tokens, 200, 0, 0),
            row(0, 0, tokens, 8),
            row(0, 0, tokens, 200),
            row(tokens, 30, 5, 60),
        ]
    });
    StepModel::fit(&StepProfile { rows: rows.collect() }, true)
}

/// Says its settings as our runs do.
fn said(run: Run, scheduler: &SchedulerConfig) -> Run {
    let params = serde_json::json!({ "scheduler": scheduler });
    let serde_json::Value::Object(params) = params else { panic!("an object") };
    let writer = Some(crate::schema::Writer::this());
    Run { meta: RunMeta { writer, params, ..RunMeta::default() }, ..run }
}

fn explorer_of(real: Run, sim: Run) -> Explorer {
    Explorer::new(vec![real], sim, None, &CompareOptions::default()).expect("runs")
}

/// A run of the machine, and a simulation that is no good.
fn explorer(num_blocks: u32) -> Explorer {
    let asked = random_workload(5, 400, 25.0);
    let config = scheduler(num_blocks);
    let poor = run(&asked, &config, 1, &Times { device: 3 * MS, ..Times::default() });
    explorer_of(said(run(&asked, &config, 1, &machine()), &config), said(poor, &config))
}

/// The largest relative error of the percentiles and means of `answer` against a run of the machine.
fn farthest(answer: &WhatIfAnswer, truth: &Run) -> f64 {
    let mut farthest: f64 = 0.0;
    for metric in &answer.metrics {
        let sample = Sorted::new(crate::metrics::values(truth, metric.metric)).expect("values");
        for (percentile, time) in &metric.percentiles {
            let there = sample.quantile(*percentile);
            let error = (*time - there).as_f64().abs() / there.as_f64().max(100_000.0);
            println!("{:?} {percentile}: {time} for {there}", metric.metric);
            farthest = farthest.max(error);
        }
    }
    farthest
}

#[test]
fn unchanged_settings_give_the_run_again_and_others_what_the_machine_would_do() {
    let mut explorer = explorer(60);
    let basis = explorer.what_if_basis().expect("steps and settings");
    assert_eq!((basis.source.as_str(), basis.assumed.len()), ("real", 0), "{:?}", basis.assumed);
    assert!(basis.step_error < 0.005, "{}", basis.step_error);
    assert_eq!(basis.settings, WhatIf { scheduler: scheduler(60), rate: 1.0, num_replicas: 1 });
    let asked = random_workload(5, 400, 25.0);
    let unchanged = farthest(&basis.unchanged, &run(&asked, &scheduler(60), 1, &machine()));
    assert!(unchanged < 0.02, "unchanged: {unchanged}");
    assert_eq!(explorer.what_if(&basis.settings).as_ref(), Ok(&basis.unchanged));
    assert!(basis.unchanged.num_preemptions > 0 && basis.unchanged.num_steps.0 > 400);

    let rows = asked.rows.iter().map(|row| (row.arrival.0 / 2, row.num_prefill_tokens, row.num_decode_tokens));
    let twice = workload(&rows.collect::<Vec<_>>());
    let other = SchedulerConfig { max_num_seqs: 12, max_num_batched_tokens: 24, ..scheduler(200) };
    let question = WhatIf { scheduler: other.clone(), rate: 2.0, num_replicas: 2 };
    let answer = explorer.what_if(&question).expect("possible settings");
    let changed = farthest(&answer, &run(&twice, &other, 2, &machine()));
    assert!(changed < 0.05, "changed: {changed}");
    assert_ne!(answer, basis.unchanged);
}

#[test]
fn a_higher_rate_waits_longer_and_more_replicas_shorter() {
    let mut explorer = explorer(400);
    let settings = explorer.what_if_basis().expect("a basis").settings;
    let mut delay = |rate: f64, num_replicas: u32| {
        let answer = explorer.what_if(&WhatIf { rate, num_replicas, ..settings.clone() }).expect("possible");
        let metric = answer.metrics.iter().find(|metric| metric.metric == Metric::SchedulingDelay).expect("values");
        metric.percentiles[2].1
    };
    let (slow, usual, fast) = (delay(0.5, 1), delay(1.0, 1), delay(20.0, 1));
    assert!(slow <= usual && usual < fast, "{slow} {usual} {fast}");
    assert!(delay(20.0, 4) < fast);
}

#[test]
fn steps_of_the_simulation_serve_where_the_real_run_has_none() {
    let config = scheduler(400);
    let asked = random_workload(5, 100, 25.0);
    let real = Run { steps: None, ..run(&asked, &config, 1, &machine()) };
    let sim = said(run(&asked, &config, 1, &machine()), &config);
    let basis = explorer_of(real, sim).what_if_basis().expect("the simulation's steps and settings");
    assert_eq!(basis.source, "sim");
}

#[test]
fn steps_that_other_settings_chose_are_fitted_by_what_their_rows_say() {
    let asked = random_workload(5, 200, 25.0);
    let real = run(&asked, &scheduler(400), 1, &machine());
    let wrong = SchedulerConfig { max_num_seqs: 7, max_num_batched_tokens: 31, ..scheduler(400) };
    let basis = explorer_of(said(real.clone(), &wrong), real).what_if_basis().expect("a basis all the same");
    assert!(basis.assumed.iter().any(|text| text.contains("one whole prompt")), "{:?}", basis.assumed);
    assert!(basis.step_error < 0.05, "{}", basis.step_error);
}

#[test]
fn what_cannot_be_asked_is_said_in_a_sentence() {
    let config = scheduler(400);
    let asked = random_workload(5, 60, 25.0);
    let whole = run(&asked, &config, 1, &machine());
    let bare = Run { steps: None, ..whole.clone() };
    let problem = |real: &Run, sim: &Run| explorer_of(real.clone(), sim.clone()).what_if_basis().expect_err("no basis");
    assert!(problem(&said(bare.clone(), &config), &bare).contains("no engine steps"));
    assert!(problem(&whole, &bare).contains("neither run says its `max_num_batched_tokens`"));
    let foreign = serde_json::json!({ "policy": "mystery", "batch_size_cap": 8, "chunk_size": 32 });
    let serde_json::Value::Object(params) = foreign else { panic!("an object") };
    let foreign = Run { meta: RunMeta { params, ..RunMeta::default() }, ..whole.clone() };
    assert!(problem(&foreign, &bare).contains("mystery"));

    let mut explorer = explorer(400);
    let settings = explorer.what_if_basis().expect("a basis").settings;
    let mut problem = |change: &dyn Fn(&mut WhatIf)| {
        let mut question = settings.clone();
        change(&mut question);
        explorer.what_if(&question).expect_err("impossible")
    };
    assert!(problem(&|one| one.rate = 0.0).contains("0.01 to 100"));
    assert!(problem(&|one| one.rate = f64::NAN).contains("0.01 to 100"));
    assert!(problem(&|one| one.num_replicas = 65).contains("64 replicas"));
    assert!(problem(&|one| one.scheduler.max_num_seqs = 0).contains("`max_num_seqs`"));
    assert!(problem(&|one| one.scheduler.max_num_batched_tokens = 3).contains("`max_num_batched_tokens` 3"));
    assert!(problem(&|one| one.scheduler.max_in_flight = 2).contains("pipelines"));
}

#[test]
fn other_policies_and_tight_memory_are_answers_too() {
    let mut explorer = explorer(400);
    let settings = explorer.what_if_basis().expect("a basis").settings;
    for policy in Policy::ALL {
        let block_size = if policy == Policy::Lightllm { 1 } else { 4 };
        let config = SchedulerConfig { policy, block_size, num_blocks: 2_000, ..settings.scheduler.clone() };
        let answer = explorer.what_if(&WhatIf { scheduler: config, ..settings.clone() });
        let answer = answer.unwrap_or_else(|problem| panic!("{policy:?}: {problem}"));
        assert!(answer.throughput_rps.is_some_and(|rate| rate > 0.0), "{policy:?}");
    }
    let tiny = SchedulerConfig { num_blocks: 10, ..settings.scheduler.clone() };
    let answer = explorer.what_if(&WhatIf { scheduler: tiny, ..settings }).expect("possible");
    assert!(answer.num_rejected > 0, "what never fits is refused");
}

#[test]
fn a_request_that_failed_is_asked_again() {
    let config = scheduler(400);
    let asked = random_workload(5, 60, 25.0);
    let mut real = run(&asked, &config, 1, &machine());
    let row = &mut real.requests[7];
    (row.status, row.num_decode_tokens_actual) = (RequestStatus::Error, 0);
    real.tokens = None;
    let basis = explorer_of(said(real.clone(), &config), real).what_if_basis().expect("a basis");
    let served = basis.unchanged.metrics.iter().find(|metric| metric.metric == Metric::Ttft);
    assert!(served.is_some() && basis.unchanged.num_rejected == 0);
}

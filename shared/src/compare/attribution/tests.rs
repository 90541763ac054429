//! Attribution's laws: parts sum exactly on any run, and what is planted in one part is found there and nowhere else.

use super::*;
use crate::compare::trial::{MS, Times, lines, random_workload, run, scheduler, workload};
use crate::metrics::Metric;
use crate::serving::{Policy, SchedulerConfig};
use crate::time::Nanos;

const TIMES: Times = Times { host: 3 * MS, device: 9 * MS, prefill: 0, prompt_token: MS / 10, decode: 0 };

fn attributed(real: &Run, sim: &Run) -> Attribution {
    attribute(real, sim, &lines(real, sim)).expect("requests to split")
}

/// (part, difference over all requests in ns).
fn differences(breakdown: &Breakdown) -> Vec<(Part, i64)> {
    breakdown.parts.iter().map(|row| (row.part, row.diff_ns)).collect()
}

fn assert_sums(whole: &Breakdown, real: u64, sim: u64) {
    let sum = |side: fn(&PartRow) -> u64| whole.parts.iter().map(side).sum::<u64>();
    assert_eq!((sum(|row| row.real_ns), sum(|row| row.sim_ns)), (whole.real_ns, whole.sim_ns));
    assert_eq!((whole.real_ns, whole.sim_ns), (real, sim));
    assert_eq!(whole.parts.iter().map(|row| row.diff_ns).sum::<i64>(), whole.diff_ns);
}

/// One request at a time.
fn spaced() -> crate::schema::Workload {
    let requests: Vec<(u64, u32, u32)> =
        (0..20).map(|id| (id * 4_000 * MS, 7 + id as u32, 5 + id as u32 % 9)).collect();
    workload(&requests)
}

#[test]
fn parts_sum_to_ttft_and_e2e_on_any_run() {
    let mut num_preemptions = 0;
    for (seed, policy, in_flight, is_async, num_replicas, num_blocks) in [
        (1, Policy::VllmV1, 1, false, 1, 200),
        (2, Policy::VllmV1, 1, false, 1, 27),
        (3, Policy::Sarathi, 1, false, 1, 27),
        (4, Policy::VllmV1, 2, true, 1, 27),
        (5, Policy::VllmV1, 3, false, 1, 40),
        (6, Policy::VllmV1, 1, false, 3, 30),
        (7, Policy::VidurVllm, 1, false, 2, 40),
    ] {
        let config =
            SchedulerConfig { policy, max_in_flight: in_flight, async_scheduling: is_async, ..scheduler(num_blocks) };
        let config = match policy {
            Policy::VidurVllm => SchedulerConfig { max_num_batched_tokens: 128, ..config },
            _ => config,
        };
        let asked = random_workload(seed, 80, 60.0);
        let real = run(&asked, &config, num_replicas, &TIMES);
        let sim = run(&asked, &config, num_replicas, &Times { host: MS, device: 13 * MS, ..TIMES });
        num_preemptions += real.requests.iter().filter_map(|row| row.num_preemptions).sum::<u32>();
        let attribution = attributed(&real, &sim);
        assert_eq!(
            (attribution.split, attribution.limits.len()),
            (Split::Steps, 0),
            "{policy:?}: {:?}",
            attribution.limits
        );
        let sum = |run: &Run, metric| crate::metrics::values(run, metric).iter().sum::<u64>();
        assert_sums(&attribution.e2e, sum(&real, Metric::E2e), sum(&sim, Metric::E2e));
        assert_sums(&attribution.ttft, sum(&real, Metric::Ttft), sum(&sim, Metric::Ttft));
        for bins in [&attribution.by_prompt_tokens, &attribution.by_num_in_system] {
            assert!(bins.len() > 2);
            assert_eq!(bins.iter().map(|bin| bin.e2e.diff_ns).sum::<i64>(), attribution.e2e.diff_ns);
            assert_eq!(bins.iter().map(|bin| bin.e2e.num_requests).sum::<u64>(), attribution.e2e.num_requests);
        }
    }
    assert!(num_preemptions > 50, "{num_preemptions} preemptions show little");
}

#[test]
fn a_planted_bias_lands_in_its_part_and_nowhere_else() {
    let real = run(&spaced(), &scheduler(200), 1, &TIMES);
    let (num_requests, num_decodes) = (20, crate::metrics::values(&real, Metric::Itl).len() as i64);
    let slow_prefill = Times { prefill: 20 * MS, ..TIMES };
    let slow_decode = Times { decode: 2 * MS, ..TIMES };
    let slow_host = Times { host: 4 * MS, ..TIMES };
    let ms = MS as i64;
    for (times, part, planted, in_ttft) in [
        (slow_prefill, Part::Prefill, num_requests * 20 * ms, num_requests * 20 * ms),
        (slow_decode, Part::Decode, num_decodes * 2 * ms, 0),
        (slow_host, Part::Host, (num_requests + num_decodes) * ms, num_requests * ms),
    ] {
        let attribution = attributed(&real, &run(&spaced(), &scheduler(200), 1, &times));
        let expected = |parts: &[Part], planted: i64| -> Vec<(Part, i64)> {
            parts.iter().map(|other| (*other, if *other == part { planted } else { 0 })).collect()
        };
        assert_eq!(differences(&attribution.e2e), expected(Split::Steps.parts(), planted));
        assert_eq!(differences(&attribution.ttft), expected(Split::Steps.first_token_parts(), in_ttft));
        assert!(attribution.sentence.contains(&part.label().to_ascii_lowercase()), "{}", attribution.sentence);
    }
}

#[test]
fn a_bias_planted_in_the_stamps_of_a_queue_of_one_lands_in_prefill() {
    let real = run(&spaced(), &scheduler(200), 1, &TIMES);
    let mut sim = Run { steps: None, tokens: None, ..real.clone() };
    for row in &mut sim.requests {
        row.first_token = row.first_token.map(|time| time + Nanos(20 * MS));
        row.completion = row.completion.map(|time| time + Nanos(20 * MS));
    }
    let attribution = attributed(&real, &sim);
    assert_eq!(attribution.split, Split::Stamps);
    assert_eq!(attribution.limits, ["the simulated run lacks engine steps"]);
    let expected = [(Part::Queueing, 0), (Part::Prefill, 400 * MS as i64), (Part::Decode, 0)];
    assert_eq!(differences(&attribution.e2e), expected);
    let by_length = &attribution.by_prompt_tokens;
    assert!(by_length.iter().all(|bin| bin.e2e.diff_ns == (bin.e2e.num_requests * 20 * MS) as i64), "{by_length:?}");
}

#[test]
fn a_preempted_request_stalls_for_as_long_as_no_step_gave_it_a_token() {
    // Two requests of 8 blocks in 13: the second loses its blocks, waits, and computes its tokens again.
    let asked = workload(&[(0, 8, 24), (0, 8, 24)]);
    let step = Times { host: MS, device: 9 * MS, ..Times::default() };
    let ample = run(&asked, &scheduler(200), 1, &step);
    let tight = run(&asked, &scheduler(13), 1, &step);
    assert_eq!(tight.requests[1].num_preemptions, Some(1));
    let attribution = attributed(&ample, &tight);
    let tokens = tight.tokens.as_ref().expect("token times").of(1);
    let long = tokens.windows(2).map(|pair| (pair[1] - pair[0]).0).filter(|gap| *gap > 10 * MS).sum::<u64>();
    assert!(long > 20 * MS, "it waited for the first request to end: {long}");
    // Of the long gap, all but the host's millisecond of the step that ended it.
    let preempted = attribution.e2e.part(Part::Preemption).expect("split by steps");
    assert_eq!((preempted.real_ns, preempted.sim_ns), (0, long - MS));
    let decode = attribution.e2e.part(Part::Decode).expect("split by steps");
    assert_eq!(decode.sim_ns, decode.real_ns - 9 * MS, "one decode fewer: its token came of the recomputation");
    assert!(attribution.sentence.contains("preemption, stalls"), "{}", attribution.sentence);
}

#[test]
fn errors_that_cancel_are_named_with_both_signs() {
    let real = run(&spaced(), &scheduler(200), 1, &Times { prefill: 100 * MS, ..TIMES });
    let sim = run(&spaced(), &scheduler(200), 1, &Times { decode: 12 * MS, ..TIMES });
    let sentence = attributed(&real, &sim).sentence;
    for words in ["errors cancel", "decode +", "prefill -100.0 ms"] {
        assert!(sentence.contains(words), "`{words}` is not in {sentence}");
    }
    assert!(attributed(&real, &real).sentence.contains("agree to the nanosecond"));
}

#[test]
fn parts_that_cancel_beside_a_larger_one_are_named_too() {
    let stamps = |queueing: u64, prefill: u64, decode: u64| {
        let mut run = run(&workload(&[(0, 8, 4)]), &scheduler(200), 1, &TIMES);
        (run.steps, run.tokens) = (None, None);
        let row = &mut run.requests[0];
        row.scheduled = Some(Nanos(queueing * MS));
        row.first_token = Some(Nanos((queueing + prefill) * MS));
        row.completion = Some(Nanos((queueing + prefill + decode) * MS));
        run
    };
    // The published static run: queueing decides, and hides that prefill and decode err by -92 % and +82 %.
    let sentence = attributed(&stamps(74_000, 3_060, 3_910), &stamps(4_870, 260, 7_100)).sentence;
    for words in ["most of it in queueing -69.13 s", "; decode +3.190 s (+81.6 % of its own) and prefill -2.800 s"] {
        assert!(sentence.contains(words), "`{words}` is not in {sentence}");
    }
}

#[test]
fn what_one_side_cannot_tell_is_not_compared() {
    let real = run(&spaced(), &scheduler(200), 1, &TIMES);
    let mut silent = Run { steps: None, ..real.clone() };
    silent.requests.iter_mut().for_each(|row| row.scheduled = None);
    let attribution = attributed(&real, &silent);
    assert_eq!(attribution.split, Split::FirstToken);
    assert_eq!(differences(&attribution.e2e), [(Part::FirstToken, 0), (Part::Decode, 0)]);
    assert_eq!(attribution.limits.len(), 2, "{:?}", attribution.limits);
    // Steps that ended a nanosecond after their tokens cannot be the ones that gave them.
    let mut shifted = real.clone();
    shifted.steps.iter_mut().flatten().for_each(|step| step.end += Nanos(1));
    let attribution = attributed(&real, &shifted);
    assert_eq!(attribution.split, Split::Stamps);
    assert_eq!(attribution.limits, ["the simulated run lacks steps that end when tokens came (request 0)"]);
}

#[test]
fn load_counts_those_that_arrived_before_and_are_not_complete() {
    let row = |request_id, arrival, completion| RequestRow {
        request_id,
        arrival: Nanos(arrival),
        first_token: Some(Nanos(completion)),
        completion: Some(Nanos(completion)),
        num_decode_tokens: 1,
        num_decode_tokens_actual: 1,
        ..RequestRow::default()
    };
    let rows = [row(0, 0, 10), row(1, 0, 30), row(2, 5, 40), row(3, 10, 50), row(4, 35, 60)];
    assert_eq!(num_in_system_at_arrival(&rows), [0, 1, 2, 2, 2]);
}

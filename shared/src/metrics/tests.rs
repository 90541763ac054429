//! One run worked out by hand, every tool's number of it; and goodput.

use super::*;
use crate::schema::{RunMeta, TokenTimes};
use crate::stats::{Percentile, Sorted};

/// Request 0 arrives at 100, is sent at 110, scheduled at 120; three chunks: token 0 at 150, tokens 1 and 2
/// at 180, token 3 at 240. Request 1 has one token: 200, sent 205, scheduled 210, token at 260.
fn run() -> Run {
    let row = |id: u32, times: [u64; 5], prompt: u32, tokens: u32| {
        let [arrival, sent, scheduled, first, last] = times.map(Nanos);
        RequestRow {
            request_id: id,
            arrival,
            sent: Some(sent),
            scheduled: Some(scheduled),
            first_token: Some(first),
            completion: Some(last),
            num_prefill_tokens: prompt,
            num_decode_tokens: tokens,
            num_decode_tokens_actual: tokens,
            ..RequestRow::default()
        }
    };
    let rows = vec![row(0, [100, 110, 120, 150, 240], 10, 4), row(1, [200, 205, 210, 260, 260], 5, 1)];
    let tokens = TokenTimes::from_lists(&[[150, 180, 180, 240].map(Nanos).to_vec(), vec![Nanos(260)]]);
    Run::assemble("run", RunMeta::default(), rows, Some(tokens), None).expect("a run")
}

#[test]
fn every_tool_reads_its_own_number_off_the_same_stamps() {
    let run = run();
    use Definition::*;
    let expected: [(Metric, &[Definition], &[u64]); 17] = [
        (Metric::Ttft, &[Fidelio, LoadGen, Vidur], &[50, 60]),
        (Metric::Ttft, &[VllmBench, Sglang, GuideLlm, AiPerf], &[40, 55]),
        (Metric::Ttft, &[InferencePerf], &[40]),
        (Metric::Itl, &[Fidelio, InferencePerf], &[30, 0, 60]),
        (Metric::Itl, &[VllmBench], &[30, 60]),
        (Metric::Itl, &[Sglang], &[15, 15, 60]),
        // 90 over three gaps.
        (Metric::Itl, &[GuideLlm], &[30, 30, 30]),
        (Metric::Itl, &[AiPerf], &[30]),
        (Metric::Itl, &[Vidur], &[0, 30, 0, 60, 0]),
        (Metric::Tpot, &[Fidelio, VllmBench, Sglang, InferencePerf, LoadGen], &[30]),
        // 130 / 4 is 32.5, halves up; request 1 is 55 over its one token.
        (Metric::Tpot, &[GuideLlm], &[33, 33, 33, 33, 55]),
        (Metric::E2e, &[Fidelio, LoadGen, Vidur], &[140, 60]),
        (Metric::E2e, &[VllmBench, Sglang, GuideLlm, AiPerf, InferencePerf], &[130, 55]),
        (Metric::NormalisedE2e, &[Fidelio, Vidur], &[35, 60]),
        (Metric::NormalisedE2e, &[InferencePerf], &[33, 55]),
        (Metric::Execution, &[Fidelio, Vidur], &[120, 50]),
        (Metric::NormalisedDecode, &[Fidelio, Vidur], &[23, 0]),
    ];
    for (metric, tools, values) in expected {
        for tool in tools {
            assert_eq!(tool.values_of_run(&run, metric), values, "{} of {}", metric.key(), tool.key());
        }
    }
    assert_eq!(Vidur.values_of_run(&run, Metric::NormalisedExecution), [30, 50]);
    assert_eq!(Vidur.values_of_run(&run, Metric::NormalisedPrefill), [3, 10]);
    for (tool, metric) in [(AiPerf, Metric::Tpot), (LoadGen, Metric::Itl), (VllmBench, Metric::SchedulingDelay)] {
        assert_eq!(tool.values_of_run(&run, metric), [0u64; 0], "{} has none", tool.key());
    }
}

#[test]
fn without_stamps_of_sending_a_request_was_sent_when_planned() {
    let mut run = run();
    run.requests.iter_mut().for_each(|row| row.sent = None);
    for tool in Definition::ALL {
        let expected: &[u64] = if tool == Definition::InferencePerf { &[50] } else { &[50, 60] };
        assert_eq!(tool.values_of_run(&run, Metric::Ttft), expected, "{}", tool.key());
    }
}

#[test]
fn without_token_times_nobody_has_gaps_and_only_means_remain() {
    let run = Run { tokens: None, ..run() };
    for tool in [Definition::Fidelio, Definition::VllmBench, Definition::Sglang, Definition::Vidur] {
        assert_eq!(tool.values_of_run(&run, Metric::Itl), [0u64; 0], "{}", tool.key());
    }
    assert_eq!(Definition::AiPerf.values_of_run(&run, Metric::Itl), [30]);
}

#[test]
fn a_first_chunk_of_several_tokens_has_no_gap_to_share() {
    let mut run = run();
    run.tokens = Some(TokenTimes::from_lists(&[[150, 150, 150, 240].map(Nanos).to_vec(), vec![Nanos(260)]]));
    assert_eq!(Definition::Sglang.values_of_run(&run, Metric::Itl), [90]);
    assert_eq!(Definition::VllmBench.values_of_run(&run, Metric::Itl), [90]);
}

#[test]
fn percentiles_are_picked_by_each_tools_rule() {
    let sample = Sorted::new((1..=10).map(|value| value * 100).collect()).expect("ten values");
    let at = |tool: Definition, percentile| tool.quantile(&sample, percentile).to_string();
    // (n - 1) p = 8.1 between 900 and 1000; sorted[10 * 0.9]; the smallest value with 90 % at or below it.
    assert_eq!(at(Definition::VllmBench, Percentile::P90), "910");
    assert_eq!(at(Definition::LoadGen, Percentile::P90), "1000");
    assert_eq!(at(Definition::GuideLlm, Percentile::P90), "900");
    assert_eq!(at(Definition::GuideLlm, Percentile(9_001)), "1000");
    for tool in Definition::ALL {
        assert_eq!(at(tool, Percentile(10_000)), "1000", "{}", tool.key());
        assert_eq!(at(tool, Percentile(0)), "100", "{}", tool.key());
    }
}

#[test]
fn definitions_are_called_by_one_word_everywhere() {
    for tool in Definition::ALL {
        assert_eq!(serde_json::to_value(tool).expect("a word"), tool.key());
        assert_eq!(Definition::parse(tool.key()), Some(tool));
    }
    assert_eq!(Definition::parse("vllm"), None);
}

#[test]
fn tokens_that_no_row_proves_are_not_weighed_without_end() {
    let mut run = Run { tokens: None, ..run() };
    run.requests[0].num_decode_tokens_actual = u32::MAX;
    let error = Definition::GuideLlm.check(&run).expect_err("too many");
    assert_eq!(error.column.as_deref(), Some("num_decode_tokens_actual"));
    assert!(Definition::Fidelio.check(&run).is_ok());
    assert!(readings(&run, &Definition::ALL).iter().all(|reading| reading.definition != Definition::GuideLlm));
}

#[test]
fn goodput_counts_requests_that_keep_every_limit_failed_ones_included_in_what_was_asked() {
    let mut run = run();
    let slo = |text: &str| Slo::parse(text).expect("an objective");
    let good = |run: &Run, text: &str, tool| goodput(run, &slo(text), tool).expect("judged");
    // 160 ns from first arrival to last completion.
    let both = good(&run, "ttft=60ns", Definition::Fidelio);
    assert_eq!((both.num_good, both.attained, both.requests_per_s), (2, 1.0, Some(2.0 / 160e-9)));
    let one = good(&run, "ttft=50ns,tpot=30ns,e2e=1s", Definition::Fidelio);
    assert_eq!(
        (one.num_good, one.parts.as_slice()),
        (1, &[(Metric::Ttft, 1), (Metric::Tpot, 2), (Metric::E2e, 2)][..])
    );
    assert_eq!(good(&run, "ttft=55ns", Definition::VllmBench).num_good, 2, "a late client is not counted against it");
    assert_eq!(good(&run, "itl=59ns", Definition::Fidelio).num_good, 1, "every gap is held to it");
    run.requests.push(RequestRow { request_id: 2, ..RequestRow::default() });
    let lost = good(&run, "ttft=60ns", Definition::Fidelio);
    assert_eq!((lost.num_good, lost.num_requests), (2, 3));
    run.tokens = None;
    assert_eq!(goodput(&run, &slo("itl=1s"), Definition::Fidelio), None, "gaps cannot be judged");
    let rates = throughput(&run);
    // Five output tokens, 15 of the prompts, two requests completed, 260 ns from 0: request 2 arrived then.
    assert_eq!((rates.span_ns, rates.requests_per_s), (260, Some(2.0 / 260e-9)));
    assert_eq!(rates.total_tokens_per_s, Some(20.0 / 260e-9));
}

#[test]
fn objectives_are_read_in_any_unit_and_refused_in_words() {
    let slo = Slo::parse(" ttft=0.2s, tpot=50ms,itl=800us ").expect("an objective");
    assert_eq!(
        slo,
        Slo { ttft: Some(Nanos(200_000_000)), tpot: Some(Nanos(50_000_000)), itl: Some(Nanos(800_000)), e2e: None }
    );
    let json = serde_json::to_value(slo).expect("JSON");
    assert_eq!(json, "ttft=200ms,itl=800us,tpot=50ms");
    assert_eq!(serde_json::from_value::<Slo>(json).expect("read back"), slo);
    let broken = [
        ("", "says no limit"),
        ("ttft", "is not `metric=time`"),
        ("tbt=5ms", "none of ttft, itl, tpot, e2e"),
        ("ttft=5", "has no unit"),
        ("ttft=-5ms", "not a time above zero"),
        ("ttft=0ms", "not a time above zero"),
        ("ttft=1ms,ttft=2ms", "said twice"),
    ];
    for (text, words) in broken {
        assert!(Slo::parse(text).expect_err(text).contains(words), "{text}");
    }
}

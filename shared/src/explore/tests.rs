//! Laws of looking into a comparison: the whole is the comparison, a part is the comparison of that part.

use super::*;
use crate::compare::compare;
use crate::compare::trial::{MS, Times, random_workload, run, scheduler};
use crate::explore::questions::{Column, TableQuestion};
use crate::schema::comparison::Comparison;
use crate::schema::{RequestRow, RequestStatus, RunMeta, TokenTimes, read_requests, read_tokens};
use crate::time::Nanos;

const REAL: Times = Times { host: MS, device: 9 * MS, prefill: 2 * MS, prompt_token: MS / 10, decode: 0 };
const SIM: Times = Times { host: MS / 2, device: 8 * MS, prefill: 3 * MS, prompt_token: MS / 8, decode: MS / 7 };

const ALL: Selection = Selection { arrivals: None, prompt_tokens: None };

/// The published pair, from its files.
pub fn published() -> (Run, Run) {
    let run = |requests: &[u8], tokens: &[u8]| {
        let requests = read_requests("request_metrics.csv", requests).expect("rows");
        let tokens = read_tokens("token_metrics.csv", tokens, requests.len()).expect("rows");
        Run::assemble("run", RunMeta::default(), requests, Some(tokens), None).expect("a run")
    };
    (
        run(
            include_bytes!("../../../tests/fixtures/qwen3_a100_spaced/real_run/request_metrics.csv"),
            include_bytes!("../../../tests/fixtures/qwen3_a100_spaced/real_run/token_metrics.csv"),
        ),
        run(
            include_bytes!("../../../tests/fixtures/qwen3_a100_spaced/vidur_run/request_metrics.csv"),
            include_bytes!("../../../tests/fixtures/qwen3_a100_spaced/vidur_run/token_metrics.csv"),
        ),
    )
}

/// Two runs of one random workload, with preemptions.
pub fn trial(count: usize) -> (Run, Run) {
    let asked = random_workload(11, count, 60.0);
    (run(&asked, &scheduler(40), 1, &REAL), run(&asked, &scheduler(40), 1, &SIM))
}

/// The first of [`trial`] of 200, as it went another time.
pub fn repeat() -> Run {
    run(&random_workload(11, 200, 60.0), &scheduler(44), 1, &REAL)
}

pub fn options() -> CompareOptions {
    CompareOptions { allow_mismatch: true, ..CompareOptions::default() }
}

fn explorer(real: &Run, sim: &Run) -> Explorer {
    Explorer::new(vec![real.clone()], sim.clone(), None, &options()).expect("runs")
}

fn compared(real: &Run, sim: &Run) -> Comparison {
    compare(std::slice::from_ref(real), sim, None, &options()).expect("pairs")
}

/// What can be told at once is what the comparison says, to the bit.
fn assert_is(reduced: &Reduced, compared: &MetricComparison) {
    let metric = compared.metric;
    assert_eq!(reduced.metric, metric);
    assert_eq!((reduced.num_requests, reduced.num_values), (compared.num_requests, compared.num_values), "{metric:?}");
    assert_eq!((reduced.real, reduced.sim), (compared.real, compared.sim), "{metric:?}");
    assert_eq!((reduced.ks, reduced.wasserstein_ns), (compared.ks, compared.wasserstein_ns), "{metric:?}");
    assert_eq!(reduced.curve, compared.curve, "{metric:?}");
    assert_eq!(reduced.percentiles.len(), compared.percentiles.len());
    for (here, there) in reduced.percentiles.iter().zip(&compared.percentiles) {
        assert_eq!(here.percentile, there.percentile);
        assert_eq!((here.real_ns, here.sim_ns), (there.real_ns, there.sim_ns), "{metric:?} {}", there.label);
        assert_eq!((here.rel_error, here.sample_floor), (there.rel_error, there.sample_floor));
    }
}

#[test]
fn the_whole_reduced_is_the_comparison() {
    let mut cut = trial(60);
    // One that failed, one that stopped early, one without any token.
    cut.0.requests[3] = failed(&cut.0.requests[3]);
    let mut lists: Vec<Vec<Nanos>> = (0..60).map(|id| cut.0.tokens.as_ref().expect("tokens").of(id).to_vec()).collect();
    lists[3].clear();
    let row = &mut cut.0.requests[8];
    row.num_decode_tokens_actual = row.num_decode_tokens_actual.div_ceil(2);
    lists[8].truncate(row.num_decode_tokens_actual as usize);
    row.completion = lists[8].last().copied();
    cut.0.tokens = Some(TokenTimes::from_lists(&lists));
    for (real, sim) in [published(), trial(80), cut] {
        let comparison = compared(&real, &sim);
        let mut explorer = explorer(&real, &sim);
        let shown = options().definition.metrics();
        for metric in shown {
            let reduced = explorer.reduce(*metric, &ALL, &options().percentiles);
            match (reduced, comparison.metric(*metric)) {
                (Some(reduced), Some(compared)) => assert_is(&reduced, compared),
                (None, None) => {}
                other => panic!("{metric:?}: {other:?}"),
            }
            assert_eq!(explorer.with_intervals(*metric, &ALL).as_ref(), comparison.metric(*metric));
        }
        assert_eq!(explorer.attribution(&ALL), comparison.attribution);
        assert!(comparison.metrics.len() >= 5);
    }
}

fn failed(row: &RequestRow) -> RequestRow {
    RequestRow {
        status: RequestStatus::Error,
        num_decode_tokens_actual: 0,
        first_token: None,
        completion: None,
        scheduled: None,
        error_msg: Some("out of memory".to_owned()),
        ..row.clone()
    }
}

/// The same requests as a run of their own; ids are given anew, so the order of arrival must be that of ids.
fn part(run: &Run, ids: &[usize]) -> Run {
    let tokens = run.tokens.as_ref().expect("tokens");
    let lists: Vec<Vec<Nanos>> = ids.iter().map(|id| tokens.of(*id as u32).to_vec()).collect();
    let rows =
        ids.iter().enumerate().map(|(new, old)| RequestRow { request_id: new as u32, ..run.requests[*old].clone() });
    let meta = run.meta.clone();
    Run {
        name: run.name.clone(),
        meta,
        requests: rows.collect(),
        tokens: Some(TokenTimes::from_lists(&lists)),
        steps: None,
    }
}

#[test]
fn a_part_reduced_is_the_comparison_of_that_part() {
    let (real, sim) = trial(200);
    let repeat = repeat();
    let whole = vec![real.clone(), repeat.clone()];
    let mut explorer = Explorer::new(whole, sim.clone(), None, &options()).expect("runs");
    let middle = (real.requests[40].arrival.0, real.requests[150].arrival.0);
    let selections = [
        Selection { arrivals: Some(middle), ..ALL },
        Selection { prompt_tokens: Some((10, 30)), ..ALL },
        Selection { arrivals: Some(middle), prompt_tokens: Some((5, 40)) },
    ];
    for selection in selections {
        let ((from, before), (least, most)) =
            (selection.arrivals.unwrap_or((0, u64::MAX)), selection.prompt_tokens.unwrap_or((0, u32::MAX)));
        let is_chosen = |row: &RequestRow| {
            row.arrival.0 >= from
                && row.arrival.0 < before
                && row.num_prefill_tokens >= least
                && row.num_prefill_tokens <= most
        };
        let ids: Vec<usize> = (0..200).filter(|id| is_chosen(&real.requests[*id])).collect();
        assert!((20..190).contains(&ids.len()), "{}", ids.len());
        let [a, b, c] = [&real, &repeat, &sim].map(|run| part(run, &ids));
        let comparison = compare(&[a, b], &c, None, &options()).expect("pairs");
        for metric in &comparison.metrics {
            let reduced = explorer.reduce(metric.metric, &selection, &options().percentiles).expect("values");
            assert_is(&reduced, metric);
            assert_eq!(explorer.with_intervals(metric.metric, &selection).as_ref(), Some(metric), "noise included");
        }
    }
    let nothing = Selection { arrivals: Some((1, 1)), ..ALL };
    assert_eq!(explorer.reduce(Metric::Itl, &nothing, &[]), None);
    assert_eq!(explorer.with_intervals(Metric::Itl, &nothing), None);
    assert_eq!(explorer.attribution(&nothing), None);
}

#[test]
fn the_overview_says_what_there_is() {
    let (real, sim) = trial(80);
    let overview = explorer(&real, &sim).overview();
    assert_eq!((overview.num_requests, overview.has_tokens, overview.has_steps), (80, true, (true, true)));
    assert_eq!(overview.arrivals.counts.iter().sum::<u32>(), 80);
    assert_eq!(overview.prompts.counts.iter().sum::<u32>(), 80);
    assert_eq!(overview.request_metrics.first(), Some(&Metric::Ttft));
    assert!(!overview.request_metrics.contains(&Metric::Itl) && overview.request_metrics.len() == 5);
    let tokens = real.tokens.as_ref().map_or(0, TokenTimes::num_tokens) as u64;
    assert_eq!(overview.num_tokens, (tokens, tokens));
    let (real, sim) = published();
    let overview = explorer(&real, &sim).overview();
    assert_eq!((overview.num_requests, overview.has_steps), (8, (false, false)));
    assert_eq!(overview.request_metrics, [Metric::Ttft, Metric::Tpot, Metric::E2e, Metric::NormalisedE2e]);
}

#[test]
fn the_table_pages_sorts_and_filters_without_losing_a_request() {
    let (mut real, sim) = trial(300);
    real.requests[17] = failed(&real.requests[17]);
    real.tokens = None;
    let mut explorer = explorer(&real, &sim);
    let metrics = vec![Metric::Ttft, Metric::E2e];
    let columns = [
        Column::Request,
        Column::Arrival,
        Column::Prompt,
        Column::Output,
        Column::Preemptions,
        Column::Worst,
        Column::Real(Metric::Ttft),
        Column::Sim(Metric::E2e),
        Column::Error(Metric::Tpot),
        Column::Real(Metric::Itl),
    ];
    for column in columns {
        for descending in [false, true] {
            let asked = TableQuestion { column, descending, metrics: metrics.clone(), ..TableQuestion::default() };
            let pages = (0..300).step_by(70).flat_map(|from| {
                let page = explorer.requests(&TableQuestion { from, count: 70, ..asked.clone() });
                assert_eq!((page.num_rows, page.num_requests, page.from), (300, 300, from));
                page.rows
            });
            let paged: Vec<u32> = pages.map(|row| row.request_id).collect();
            let whole = explorer.requests(&TableQuestion { count: 300, ..asked.clone() });
            let sought = whole.rows[1].request_id;
            let found = explorer.requests(&TableQuestion { find: Some(sought), ..asked }).found.expect("it is there");
            let beside = [0, 2].map(|place: usize| Some(whole.rows[place].request_id));
            assert_eq!((found.place, [found.previous, found.next]), (1, beside));
            assert_eq!(paged, whole.rows.iter().map(|row| row.request_id).collect::<Vec<_>>(), "{column:?}");
            let mut ids = paged;
            ids.sort_unstable();
            assert!(ids.into_iter().eq(0..300), "each request once: {column:?}");
        }
    }
    let by = |column, descending| TableQuestion {
        column,
        descending,
        count: 300,
        metrics: metrics.clone(),
        ..TableQuestion::default()
    };
    let rows = explorer.requests(&by(Column::Real(Metric::Ttft), true)).rows;
    let ttft: Vec<Option<u64>> = rows.iter().map(|row| row.values[0].0).collect();
    assert!(ttft.windows(2).all(|pair| pair[1].is_none() || pair[0] >= pair[1]), "largest first, none last");
    assert_eq!(rows.last().and_then(|row| row.trouble.clone()).as_deref(), Some("real: error (out of memory)"));
    let ties = explorer.requests(&by(Column::Prompt, true)).rows;
    let ordered = |pair: &[crate::explore::answers::TableRow]| {
        (std::cmp::Reverse(pair[0].num_prefill_tokens), pair[0].request_id)
            < (std::cmp::Reverse(pair[1].num_prefill_tokens), pair[1].request_id)
    };
    assert!(ties.windows(2).all(ordered), "equal ones by number");
}

#[test]
fn filters_choose_what_they_say() {
    let (mut real, sim) = trial(120);
    real.requests[5] = failed(&real.requests[5]);
    real.tokens = None;
    let mut explorer = explorer(&real, &sim);
    let mut chosen = |filter: &str| {
        let question = TableQuestion { filter: filter.to_owned(), count: 1_000, ..TableQuestion::default() };
        let page = explorer.requests(&question);
        assert_eq!(page.num_rows, page.rows.len());
        let mut ids: Vec<u32> = page.rows.iter().map(|row| row.request_id).collect();
        ids.sort_unstable();
        (ids, page.filter_problem)
    };
    let expected = |holds: &dyn Fn(&RequestRow) -> bool| -> Vec<u32> {
        real.requests.iter().filter(|row| holds(row)).map(|row| row.request_id).collect()
    };
    let ttft = |row: &RequestRow| row.first_token.map(|first| (first - row.arrival).0);
    assert_eq!(chosen("prompt>30").0, expected(&|row| row.num_prefill_tokens > 30));
    assert_eq!(
        chosen("output<=8 prompt>=10").0,
        expected(&|row| {
            let output = if row.request_id == 5 {
                sim.requests[5].num_decode_tokens_actual
            } else {
                row.num_decode_tokens_actual
            };
            output <= 8 && row.num_prefill_tokens >= 10
        })
    );
    assert_eq!(chosen("arrival>=1.5s").0, expected(&|row| row.arrival.0 >= 1_500_000_000));
    assert_eq!(chosen("ttft>80ms").0, expected(&|row| ttft(row).is_some_and(|ttft| ttft > 80 * MS)));
    assert_eq!(chosen("status=error").0, [5]);
    assert_eq!(chosen("status=ok").0.len(), 119);
    assert_eq!(chosen("11").0, [11, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119]);
    let (far, near) = (chosen("error>10%").0.len(), chosen("error<=10%").0.len());
    assert!(far > 0 && near > 0 && far + near == 119, "{far} and {near}: the failed one has no error");
    let (ids, problem) = chosen("prompt>some");
    assert!(ids.len() == 120 && problem.is_some_and(|text| text.contains("whole number")), "all are shown");
}

#[test]
fn bins_of_steps_keep_every_step_and_token() {
    let (real, sim) = trial(150);
    let explorer = explorer(&real, &sim);
    let steps = real.steps.as_ref().expect("steps");
    let sum = |of: fn(&crate::schema::StepRow) -> u64| steps.iter().map(of).sum::<u64>() as f64;
    for num_bins in [1, 7, 64, 400, 8_000] {
        let lane = explorer.steps(None, num_bins).real.expect("a real lane");
        assert_eq!((lane.num_steps, lane.is_exact), (steps.len(), num_bins >= steps.len()));
        assert!(lane.starts_ns.len() <= num_bins);
        let total = |means: &[f64]| means.iter().zip(&lane.weights).map(|(mean, weight)| mean * weight).sum::<f64>();
        let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b, "{num_bins} bins: {a} and {b}");
        close(lane.weights.iter().sum(), steps.len() as f64);
        close(total(&lane.prefill_tokens), sum(|step| step.num_prefill_tokens));
        close(total(&lane.decode_seqs), sum(|step| step.num_decode_seqs));
        close(total(&lane.duration_ns), sum(|step| (step.end - step.start).0));
        close(total(&lane.waiting), sum(|step| step.num_waiting));
        let most = lane.kv_blocks.iter().copied().fold(0.0, f64::max);
        assert_eq!(most, steps.iter().map(|step| step.kv_blocks_used).max().unwrap_or_default() as f64);
    }
    // A window holds what overlaps it, and shares of what crosses its edges.
    let (from, to) = (steps[30].start.0 + 1, steps[40].start.0 + 1);
    let view = explorer.steps(Some((from, to)), 100);
    assert_eq!((view.from_ns, view.to_ns), (from, to));
    assert_eq!(view.real.map(|lane| (lane.num_steps, lane.is_exact)), Some((11, true)));
    let binned = explorer.steps(Some((from, to)), 3).real.expect("a lane");
    let weight: f64 = binned.weights.iter().sum();
    assert!(!binned.is_exact && (9.5..10.5).contains(&weight), "{weight}");
    let (real, sim) = published();
    assert_eq!(Explorer::new(vec![real], sim, None, &options()).expect("runs").steps(None, 10).real, None);
}

#[test]
fn a_timeline_has_every_token_or_says_that_it_has_not() {
    let (mut real, sim) = trial(20);
    real.tokens = None;
    let explorer = explorer(&real, &sim);
    let timeline = explorer.timeline(4).expect("a request");
    let (stamps, tokens) = (timeline.real.expect("output"), timeline.sim.expect("output"));
    let times: Vec<u64> = sim.tokens.as_ref().expect("tokens").of(4).iter().map(|time| time.0).collect();
    assert_eq!((tokens.tokens_ns, tokens.has_tokens), (times, true));
    let row = &real.requests[4];
    assert_eq!(stamps.tokens_ns, [row.first_token, row.completion].map(|time| time.expect("served").0));
    assert!(!stamps.has_tokens && stamps.scheduled_ns.is_some());
    assert_eq!(explorer.timeline(20), None);
}

#[test]
fn a_scatter_is_of_the_compared_requests() {
    let (real, sim) = trial(120);
    let mut explorer = explorer(&real, &sim);
    let all = explorer.scatter(Metric::E2e, &ALL, 1_000);
    assert_eq!((all.num_requests, all.ids.len()), (120, 120));
    let mut values = all.real_ns.clone();
    values.sort_unstable();
    let reduced = explorer.reduce(Metric::E2e, &ALL, &[]).expect("values");
    assert_eq!(reduced.real.max.0, values[119] as i64 * 100);
    let thin = explorer.scatter(Metric::E2e, &ALL, 40);
    assert!((20..=40).contains(&thin.ids.len()) && thin.num_requests == 120);
    assert_eq!(thin, explorer.scatter(Metric::E2e, &ALL, 40), "the same again");
    assert_eq!(explorer.scatter(Metric::Itl, &ALL, 40).num_requests, 0);
}

#[test]
fn the_strip_shows_each_real_run_and_the_simulation() {
    let (real, sim) = trial(60);
    let repeat = Run { name: "again".to_owned(), ..run(&random_workload(11, 60, 60.0), &scheduler(44), 1, &REAL) };
    let explorer = Explorer::new(vec![real.clone(), repeat], sim.clone(), None, &options()).expect("runs");
    let strip = explorer.strip(Metric::Ttft, &[Percentile::P50, Percentile::P99]).expect("values");
    assert_eq!(strip.labels, ["p50", "p99"]);
    assert_eq!((strip.real.len(), strip.real[1].0.as_str(), strip.sim.len()), (2, "again", 2));
    let comparison = compared(&real, &sim);
    let row = &comparison.metric(Metric::Ttft).expect("values").percentiles[0];
    assert_eq!((strip.real[0].1[0], strip.sim[0]), (row.real_ns, row.sim_ns));
}

//! Parity mode against a golden: value by value, doubles by their bits.

use std::fmt;

use fidelio_shared::serving::{Batch, RequestId};
use fidelio_shared::simulate::vidur::{Event, EventKind, FinishedBatch, Observer, StageRun, VidurRun, VidurSimulation};
use fidelio_shared::simulate::{VIDUR_COLUMNS, vidur_metrics};

use super::folder::{Golden, Table};

/// Everything a run in parity mode tells.
#[derive(Default)]
struct Log {
    events: Vec<Event>,
    batches: Vec<FinishedBatch>,
    stages: Vec<StageRun>,
    restarts: Vec<(RequestId, f64, u32)>,
}

impl Observer for Log {
    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }

    fn batch(&mut self, batch: &FinishedBatch) {
        self.batches.push(batch.clone());
    }

    fn stage(&mut self, stage: &StageRun) {
        self.stages.push(*stage);
    }

    fn restart(&mut self, request: RequestId, time: f64, num_processed: u32) {
        self.restarts.push((request, time, num_processed));
    }
}

/// What was compared.
#[derive(Default)]
pub struct Report {
    counts: [usize; 5],
    values: usize,
    differ: usize,
    pub first_difference: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [requests, batches, stages, restarts, events] = self.counts;
        let (values, differ) = (self.values, self.differ);
        write!(out, "{requests:>8} {batches:>8} {stages:>8} {restarts:>9} {events:>8} {values:>8} {differ:>8}")
    }
}

impl Report {
    fn differs(&mut self, what: impl FnOnce() -> String) {
        self.differ += 1;
        if self.first_difference.is_none() {
            self.first_difference = Some(what());
        }
    }

    fn text(&mut self, table: &Table, place: (&str, usize, &str), ours: &str) {
        let (name, row, column) = place;
        self.values += 1;
        let theirs = table.text(row, column);
        if theirs != ours {
            self.differs(|| format!("{name} row {row} {column}: {theirs} recorded, {ours} here"));
        }
    }

    fn number(&mut self, table: &Table, place: (&str, usize, &str), ours: Option<f64>) {
        let (name, row, column) = place;
        self.values += 1;
        let theirs = table.number(row, column);
        // -0.0 and 0.0 are one number to Vidur's printer only when equal; compare bits otherwise.
        if theirs.map(f64::to_bits) != ours.map(f64::to_bits) {
            self.differs(|| format!("{name} row {row} {column}: {theirs:?} recorded, {ours:?} here"));
        }
    }

    fn length(&mut self, name: &str, recorded: usize, ours: usize) {
        if recorded != ours {
            self.differs(|| format!("{name}: {recorded} rows recorded, {ours} here"));
        }
    }
}

fn simulate(golden: &Golden, log: &mut Log) -> VidurRun {
    let simulation = VidurSimulation {
        scheduler: &golden.scheduler,
        cluster: &golden.cluster,
        seed: 0,
        assigned: golden.assigned.as_deref(),
        model: &golden.model,
        time_limit: golden.time_limit,
    };
    simulation.run(&golden.requests, log).expect("possible settings")
}

pub fn check(golden: &Golden) -> Report {
    let mut log = Log::default();
    let run = simulate(golden, &mut log);
    let mut report = Report::default();
    if run.num_uncovered > 0 || run.num_stalled > 0 {
        report.differs(|| format!("{} look-ups missed, {} requests stalled", run.num_uncovered, run.num_stalled));
    }
    batches(golden, &mut log, &mut report);
    stages(golden, &log, &mut report);
    restarts(golden, &log, &mut report);
    requests(golden, &run, &mut report);
    events(golden, &log, &mut report);
    report
}

/// Whether a request arrives at the very instant another does or a stage ends: there the order of events is a
/// choice, Vidur's another than ours.
pub fn has_ties(golden: &Golden) -> bool {
    let mut log = Log::default();
    simulate(golden, &mut log);
    let is_arrival = |event: &Event| matches!(event.kind, EventKind::RequestArrival(_));
    let is_end = |event: &Event| matches!(event.kind, EventKind::BatchStageEnd(..));
    let mut ends = log.events.iter().filter(|event| is_end(event)).map(|event| event.time).collect::<Vec<_>>();
    ends.sort_by(f64::total_cmp);
    let arrivals: Vec<f64> = log.events.iter().filter(|event| is_arrival(event)).map(|event| event.time).collect();
    let meets_end = |time: &f64| ends.binary_search_by(|end| end.total_cmp(time)).is_ok();
    let meet = |times: &[f64]| times.windows(2).any(|pair| pair[0] == pair[1]);
    meet(&arrivals) || arrivals.iter().any(meets_end) || meet(&ends)
}

/// Items as the golden writes them: `request:tokens`, in batch order.
fn items(batch: &Batch) -> String {
    let all: Vec<String> = batch.items.iter().map(|item| format!("{}:{}", item.request_id, item.num_tokens)).collect();
    all.join(" ")
}

fn batches(golden: &Golden, log: &mut Log, report: &mut Report) {
    let table = golden.table("batches").expect("batches");
    log.batches.sort_by_key(|batch| batch.id);
    report.counts[1] = table.rows.len();
    report.length("batches", table.rows.len(), log.batches.len());
    for (row, ours) in log.batches.iter().enumerate().take(table.rows.len()) {
        let prefill: u32 = ours.batch.items.iter().filter(|item| !item.is_decode).map(|item| item.num_tokens).sum();
        let tokens: u32 = ours.batch.items.iter().map(|item| item.num_tokens).sum();
        report.text(&table, ("batches", row, "reqs"), &items(&ours.batch));
        report.number(&table, ("batches", row, "batch_id"), Some(ours.id as f64));
        report.number(&table, ("batches", row, "replica"), Some(f64::from(ours.replica)));
        report.number(&table, ("batches", row, "scheduled_at"), Some(ours.scheduled));
        report.number(&table, ("batches", row, "completed_at"), ours.completed);
        report.number(&table, ("batches", row, "n"), Some(ours.batch.items.len() as f64));
        report.number(&table, ("batches", row, "tokens"), Some(f64::from(tokens)));
        report.number(&table, ("batches", row, "prefill"), Some(f64::from(prefill)));
        report.number(&table, ("batches", row, "alloc_blocks"), Some(f64::from(ours.num_blocks)));
        report.number(&table, ("batches", row, "waiting"), Some(f64::from(ours.num_waiting)));
    }
}

fn stages(golden: &Golden, log: &Log, report: &mut Report) {
    let table = golden.table("stages").expect("stages");
    report.counts[2] = table.rows.len();
    report.length("stages", table.rows.len(), log.stages.len());
    for (row, ours) in log.stages.iter().enumerate().take(table.rows.len()) {
        let (shape, time) = (&ours.shape, &ours.time);
        let rounded = shape.num_tokens().next_multiple_of(8);
        let numbers = [
            ("batch_id", ours.batch as f64),
            ("replica", f64::from(ours.replica)),
            ("stage", f64::from(ours.stage)),
            ("tok_rounded", rounded as f64),
            ("dec_bs", shape.num_decode_seqs as f64),
            ("n_pre", shape.num_prefill_seqs as f64),
            ("attn_decode_ms", time.attn_decode_ms),
            ("attn_prefill_ms", time.attn_prefill_ms),
            ("tp_comm_ms", time.tensor_parallel_ms),
            ("pp_comm_ms", time.pipeline_ms),
            ("cpu_ms", time.host_ms),
            ("model_s", time.model_s),
            ("total_s", time.total_s),
            ("start", ours.start),
            ("end", ours.end),
        ];
        for (column, value) in numbers {
            report.number(&table, ("stages", row, column), Some(value));
        }
    }
}

fn restarts(golden: &Golden, log: &Log, report: &mut Report) {
    let table = golden.table("restarts").expect("restarts");
    report.counts[3] = table.rows.len();
    report.length("restarts", table.rows.len(), log.restarts.len());
    for (row, (request, time, processed)) in log.restarts.iter().enumerate().take(table.rows.len()) {
        report.number(&table, ("restarts", row, "request_id"), Some(f64::from(*request)));
        report.number(&table, ("restarts", row, "time"), Some(*time));
        report.number(&table, ("restarts", row, "num_processed_tokens"), Some(f64::from(*processed)));
    }
}

fn requests(golden: &Golden, run: &VidurRun, report: &mut Report) {
    let out = golden.table("requests_out").expect("requests_out");
    let metrics = golden.table("request_metrics").expect("request_metrics");
    report.counts[0] = out.rows.len();
    report.length("requests_out", out.rows.len(), run.requests.len());
    // A request that had not arrived when a time limit ended the run has no metrics.
    let num_arrived = run.requests.iter().filter(|request| request.has_arrived).count();
    report.length("request_metrics", metrics.rows.len(), num_arrived);
    let mut previous = None;
    for (row, ours) in run.requests.iter().enumerate() {
        // Vidur's zero is its "never".
        let never = |time: Option<f64>| Some(time.unwrap_or(0.0));
        let numbers = [
            ("completed", Some(f64::from(u8::from(ours.completed.is_some())))),
            ("scheduled_at", never(ours.scheduled)),
            ("prefill_completed_at", never(ours.prefill_completed)),
            ("completed_at", never(ours.completed)),
            ("execution_time", Some(ours.execution)),
            ("model_execution_time", Some(ours.model_execution)),
            ("preempted_time", Some(ours.preempted)),
            ("num_restarts", Some(f64::from(ours.num_restarts))),
            ("final_num_prefill_tokens", Some(f64::from(ours.num_prefill_tokens))),
            ("final_num_decode_tokens", Some(f64::from(ours.num_decode_tokens))),
        ];
        for (column, value) in numbers {
            report.number(&out, ("requests_out", row, column), value);
        }
        if !ours.has_arrived {
            continue;
        }
        let request = &golden.requests[row];
        let values = vidur_metrics(request, previous, ours);
        for (column, value) in VIDUR_COLUMNS.into_iter().zip(values) {
            report.number(&metrics, ("request_metrics", row, column), value);
        }
        previous = Some(request.arrival);
    }
}

fn events(golden: &Golden, log: &Log, report: &mut Report) {
    let Some(table) = golden.table("events") else { return };
    report.counts[4] = table.rows.len();
    report.length("events", table.rows.len(), log.events.len());
    for (row, event) in log.events.iter().enumerate().take(table.rows.len()) {
        let (name, replica, stage, batch, request) = match event.kind {
            EventKind::RequestArrival(id) => ("RequestArrivalEvent", None, None, None, Some(id)),
            EventKind::GlobalSchedule => ("GlobalScheduleEvent", None, None, None, None),
            EventKind::ReplicaSchedule(replica) => ("ReplicaScheduleEvent", Some(replica), None, None, None),
            EventKind::BatchStageArrival(replica, stage, batch) => {
                ("BatchStageArrivalEvent", Some(replica), Some(stage), Some(batch), None)
            }
            EventKind::StageSchedule(replica, stage) => {
                ("ReplicaStageScheduleEvent", Some(replica), Some(stage), None, None)
            }
            EventKind::BatchStageEnd(replica, stage, batch) => {
                ("BatchStageEndEvent", Some(replica), Some(stage), Some(batch), None)
            }
            EventKind::BatchEnd(replica, batch) => ("BatchEndEvent", Some(replica), None, Some(batch), None),
        };
        report.text(&table, ("events", row, "type"), name);
        report.number(&table, ("events", row, "time"), Some(event.time));
        report.number(&table, ("events", row, "event_id"), Some(event.number as f64));
        report.number(&table, ("events", row, "replica"), replica.map(f64::from));
        report.number(&table, ("events", row, "stage"), stage.map(f64::from));
        report.number(&table, ("events", row, "batch"), batch.map(|id| id as f64));
        report.number(&table, ("events", row, "request"), request.map(f64::from));
    }
}

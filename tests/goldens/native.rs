//! Native time against a golden: whole picoseconds and our own event order, the same schedulers and tables.

use std::convert::Infallible;

use fidelio_shared::schema::{RequestRow, StepRow, Workload, WorkloadRow};
use fidelio_shared::serving::TokenEvent;
use fidelio_shared::simulate::{Recorder, Simulation};
use fidelio_shared::time::Nanos;

use super::folder::Golden;

struct Rows(Vec<Option<RequestRow>>);

impl Recorder for Rows {
    type Error = Infallible;

    fn wants_tokens(&self) -> bool {
        false
    }

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        let id = row.request_id as usize;
        self.0[id] = Some(row);
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The largest difference of a request's scheduled, first token and completion times from Vidur's, in
/// nanoseconds, over the requests Vidur completed, and how many requests differ by more than a microsecond.
pub fn worst_difference(golden: &Golden) -> (u64, usize) {
    let nanos = |seconds: f64| Nanos::from_secs_f64(seconds).expect("a time");
    let mut rows: Vec<WorkloadRow> = Vec::new();
    for request in &golden.requests {
        let (num_prefill_tokens, num_decode_tokens) = (request.num_prefill_tokens, request.num_decode_tokens);
        rows.push(WorkloadRow {
            arrival: nanos(request.arrival),
            num_prefill_tokens,
            num_decode_tokens,
            ..WorkloadRow::default()
        });
    }
    let simulation =
        Simulation { scheduler: &golden.scheduler, cluster: &golden.cluster, seed: 0, model: &golden.model };
    let mut ours = Rows(vec![None; rows.len()]);
    simulation.run(&Workload { rows, prefixes: None }, &mut ours).expect("possible settings");
    let recorded = golden.table("requests_out").expect("requests_out");
    let (mut worst, mut num_apart) = (0, 0);
    for (id, row) in ours.0.iter().enumerate().filter(|(id, _)| recorded.text(*id, "completed") == "1") {
        let row = row.as_ref().expect("every request ends");
        let times = [
            ("scheduled_at", row.scheduled),
            ("prefill_completed_at", row.first_token),
            ("completed_at", row.completion),
        ];
        let apart = |(column, time): (&str, Option<Nanos>)| {
            let theirs = nanos(recorded.number(id, column).expect("a time"));
            theirs.0.abs_diff(time.expect("a served request").0)
        };
        let apart = times.into_iter().map(apart).max().unwrap_or(0);
        worst = worst.max(apart);
        num_apart += usize::from(apart > 1_000);
    }
    (worst, num_apart)
}

//! Native time against a golden: whole picoseconds and our own event order, the same schedulers and tables.

use fidelio_shared::schema::{Workload, WorkloadRow};
use fidelio_shared::simulate::Simulation;
use fidelio_shared::time::Nanos;

use super::folder::Golden;
use crate::parity::Untold;

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
    let mut ours = Untold::default();
    simulation.run(&Workload { rows, prefixes: None }, &mut ours).expect("possible settings");
    let recorded = golden.table("requests_out").expect("requests_out");
    let (mut worst, mut num_apart) = (0, 0);
    for (id, row) in ours.0.rows.iter().map(|(id, row)| (*id as usize, row)) {
        if recorded.text(id, "completed") != "1" {
            continue;
        }
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

//! What the step rows of a run tell: how busy its replicas were, how full, and how fast they computed.

use std::fmt::Write;

use serde::Serialize;

use crate::charts::format_duration;
use crate::report::{magnitude, thousands};
use crate::schema::{StepPhases, StepRow};
use crate::time::Nanos;

/// The steps of a run. Its span is from the first start to the last end, over all replicas.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepResults {
    /// Steps of all replicas.
    pub num_steps: u64,
    /// The span, ns.
    pub span_ns: u64,
    /// Prefill tokens computed; those computed again after a preemption count again.
    pub num_prefill_tokens: u64,
    /// Tokens decoded: one a sequence and step. First tokens come of prefill and are not among them.
    pub num_decode_tokens: u64,
    /// Prefill tokens computed per second of the span.
    pub prefill_tokens_per_s: Option<f64>,
    /// Tokens decoded per second of the span.
    pub decode_tokens_per_s: Option<f64>,
    /// Time of steps in which no device computed, as a share of their time: the host gap.
    pub host_share: Option<f64>,
    /// The host's phases, mean of the steps that tell them, ns.
    pub mean_phases_ns: Option<MeanPhases>,
    /// Each replica, by id.
    pub replicas: Vec<ReplicaResults>,
}

/// The host's phases, ns. Those of a GPU overlap its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MeanPhases {
    /// Choosing the batch.
    pub schedule: f64,
    /// Laying it out.
    pub prepare: f64,
    /// Handing work to the device.
    pub launch: f64,
    /// Waiting for it.
    pub wait: f64,
    /// From its result to tokens.
    pub sample: f64,
}

/// The steps of one replica.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaResults {
    /// Which copy of the engine.
    pub replica_id: u32,
    /// Its steps.
    pub num_steps: u64,
    /// Time in at least one step, ns.
    pub busy_ns: u64,
    /// The same as a share of the run's span.
    pub busy_share: Option<f64>,
    /// Sequences running.
    pub running: Level,
    /// Sequences waiting.
    pub waiting: Level,
    /// KV blocks in use.
    pub kv_blocks_used: Level,
}

/// How high something stood. A step's count, taken when its batch was chosen, holds until the next step of
/// the replica starts or, when none does before it has no step left, until it is idle; then it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Over the run's span, weighted by time.
    pub mean: Option<f64>,
    /// The highest count of any step.
    pub peak: u64,
}

/// Computes what steps tell; `None` of no steps. The order of the rows does not matter.
pub fn step_results(rows: &[StepRow]) -> Option<StepResults> {
    let sorted = StepRow::by_start(rows);
    let first = sorted.first()?.start;
    let last = sorted.iter().map(|row| row.end).max()?;
    let span = last.saturating_sub(first);
    let sum = |count: fn(&StepRow) -> u64| rows.iter().map(count).sum::<u64>();
    let rate = |count: u64| (span > Nanos::ZERO).then(|| count as f64 / span.as_secs_f64());
    let (num_prefill_tokens, num_decode_tokens) = (sum(|row| row.num_prefill_tokens), sum(|row| row.num_decode_seqs));
    let (host, device) = rows
        .iter()
        .fold((0u128, 0u128), |(host, device), row| (host + u128::from(row.host.0), device + u128::from(row.device.0)));
    let mut of_replicas = std::collections::BTreeMap::<u32, Vec<&StepRow>>::new();
    for row in sorted {
        of_replicas.entry(row.replica_id).or_default().push(row);
    }
    Some(StepResults {
        num_steps: rows.len() as u64,
        span_ns: span.0,
        num_prefill_tokens,
        num_decode_tokens,
        prefill_tokens_per_s: rate(num_prefill_tokens),
        decode_tokens_per_s: rate(num_decode_tokens),
        host_share: (device > 0).then(|| host as f64 / (host + device) as f64),
        mean_phases_ns: mean_phases(rows),
        replicas: of_replicas.into_iter().map(|(id, rows)| replica_results(id, &rows, span)).collect(),
    })
}

fn mean_phases(rows: &[StepRow]) -> Option<MeanPhases> {
    let told: Vec<StepPhases> = rows.iter().filter_map(|row| row.phases).collect();
    let mean = |phase: fn(&StepPhases) -> Nanos| {
        told.iter().map(|phases| u128::from(phase(phases).0)).sum::<u128>() as f64 / told.len() as f64
    };
    (!told.is_empty()).then(|| MeanPhases {
        schedule: mean(|phases| phases.schedule),
        prepare: mean(|phases| phases.prepare),
        launch: mean(|phases| phases.launch),
        wait: mean(|phases| phases.wait),
        sample: mean(|phases| phases.sample),
    })
}

/// `rows` by start.
fn replica_results(replica_id: u32, rows: &[&StepRow], span: Nanos) -> ReplicaResults {
    let counts = |row: &StepRow| [row.num_running, row.num_waiting, row.kv_blocks_used];
    let (mut areas, mut peaks) = ([0u128; 3], [0u64; 3]);
    let (mut busy, mut busy_until) = (Nanos::ZERO, Nanos::ZERO);
    for (row, held_until) in rows.iter().zip(StepRow::held_until(rows)) {
        busy += row.end.saturating_sub(row.start.max(busy_until));
        busy_until = busy_until.max(row.end);
        let held = held_until.saturating_sub(row.start);
        for (slot, count) in counts(row).into_iter().enumerate() {
            areas[slot] += u128::from(count) * u128::from(held.0);
            peaks[slot] = peaks[slot].max(count);
        }
    }
    let share = |area: u128| (span > Nanos::ZERO).then(|| area as f64 / span.0 as f64);
    let level = |slot: usize| Level { mean: share(areas[slot]), peak: peaks[slot] };
    ReplicaResults {
        replica_id,
        num_steps: rows.len() as u64,
        busy_ns: busy.0,
        busy_share: share(u128::from(busy.0)),
        running: level(0),
        waiting: level(1),
        kv_blocks_used: level(2),
    }
}

/// The section of `summary.md`.
pub(super) fn steps_section(out: &mut String, results: &StepResults) -> std::fmt::Result {
    let rate = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!(", {rate:.1} tokens/s"));
    let span = format_duration(results.span_ns as f64);
    writeln!(out, "\n## Steps\n\n| | |\n|---|---|")?;
    writeln!(out, "| steps | {}, over {span} |", thousands(results.num_steps))?;
    for (what, count, per_s) in [
        ("prefill computed", results.num_prefill_tokens, results.prefill_tokens_per_s),
        ("decode computed", results.num_decode_tokens, results.decode_tokens_per_s),
    ] {
        writeln!(out, "| {what} | {} tokens{} |", thousands(count), rate(per_s))?;
    }
    if let Some(share) = results.host_share {
        writeln!(out, "| host gap | {} of the steps' time, in which no device computed |", magnitude(share))?;
    }
    if let Some(MeanPhases { schedule, prepare, launch, wait, sample }) = results.mean_phases_ns {
        let [schedule, prepare, launch, wait, sample] = [schedule, prepare, launch, wait, sample].map(format_duration);
        writeln!(
            out,
            "| host, mean a step | schedule {schedule}, prepare {prepare}, launch {launch}, wait {wait}, sample {sample} |"
        )?;
    }
    writeln!(out, "\nMeans are over that time, idle or not; counts are taken when a step's batch was chosen.\n")?;
    writeln!(out, "| replica | steps | busy | running, mean | peak | waiting, mean | peak | KV blocks, mean | peak |")?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for replica in &results.replicas {
        let busy = replica.busy_share.map_or_else(|| "–".to_owned(), magnitude);
        write!(out, "| {} | {} | {busy} |", replica.replica_id, thousands(replica.num_steps))?;
        for level in [replica.running, replica.waiting, replica.kv_blocks_used] {
            let mean = level.mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.2}"));
            write!(out, " {mean} | {} |", thousands(level.peak))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of `replica` over `start..end` with `running` sequences, ten waiting less, a hundred blocks more.
    fn step(replica_id: u32, start: u64, end: u64, running: u64) -> StepRow {
        StepRow {
            replica_id,
            start: Nanos(start),
            end: Nanos(end),
            num_prefill_tokens: 7,
            num_decode_seqs: running,
            kv_blocks_used: 100 * running,
            num_running: running,
            num_waiting: 10 - running,
            ..StepRow::default()
        }
    }

    #[test]
    fn means_are_weighted_by_time_and_idle_time_counts_as_nothing() {
        // 100 ns of one, 300 ns of three, 400 ns idle, 200 ns of two: 1,400 sequence-nanoseconds in 1,000.
        let rows = [step(0, 1_000, 1_100, 1), step(0, 1_100, 1_400, 3), step(0, 1_800, 2_000, 2)];
        let results = step_results(&rows).expect("steps");
        let replica = &results.replicas[0];
        assert_eq!((results.num_steps, results.span_ns, replica.busy_ns), (3, 1_000, 600));
        assert_eq!(replica.busy_share, Some(0.6));
        assert_eq!(replica.running, Level { mean: Some(1.4), peak: 3 });
        assert_eq!(replica.waiting, Level { mean: Some(4.6), peak: 9 });
        assert_eq!(replica.kv_blocks_used, Level { mean: Some(140.0), peak: 300 });
        assert_eq!((results.num_prefill_tokens, results.num_decode_tokens), (21, 6));
        assert_eq!((results.prefill_tokens_per_s, results.decode_tokens_per_s), (Some(21e6), Some(6e6)));
    }

    #[test]
    fn steps_that_overlap_are_busy_once_and_rows_may_come_in_any_order() {
        // A pipeline of two stages: a batch begins when the one before leaves the first stage.
        let rows = [step(0, 0, 200, 2), step(0, 100, 300, 4), step(0, 200, 400, 4)];
        let results = step_results(&rows).expect("steps");
        assert_eq!(results.replicas[0].busy_ns, 400);
        assert_eq!(results.replicas[0].running, Level { mean: Some(3.5), peak: 4 });
        let backwards: Vec<StepRow> = rows.iter().rev().copied().collect();
        assert_eq!(step_results(&backwards), Some(results));
    }

    #[test]
    fn replicas_share_the_span_of_the_run() {
        let rows = [step(1, 0, 100, 1), step(0, 0, 400, 1)];
        let results = step_results(&rows).expect("steps");
        let shares: Vec<_> = results.replicas.iter().map(|one| (one.replica_id, one.busy_share)).collect();
        assert_eq!(shares, [(0, Some(1.0)), (1, Some(0.25))]);
        assert_eq!(results.replicas[1].running.mean, Some(0.25));
    }

    #[test]
    fn no_steps_tell_nothing_and_steps_without_length_no_rates() {
        assert_eq!(step_results(&[]), None);
        let results = step_results(&[step(0, 5, 5, 1)]).expect("steps");
        assert_eq!((results.prefill_tokens_per_s, results.replicas[0].busy_share), (None, None));
        assert_eq!(results.replicas[0].running, Level { mean: None, peak: 1 });
        let mut text = String::new();
        steps_section(&mut text, &results).expect("a String takes it");
        assert!(text.contains("| 0 | 1 | – | – | 1 | – | 9 | – | 100 |"), "{text}");
    }

    #[test]
    fn the_host_gap_is_what_no_device_computed_and_phases_are_means_of_those_told() {
        let phases = |schedule: u64| {
            Some(StepPhases { schedule: Nanos(schedule), wait: Nanos(90_000), ..StepPhases::default() })
        };
        let timed = |start: u64, host: u64, device: u64, phases: Option<StepPhases>| StepRow {
            host: Nanos(host),
            device: Nanos(device),
            phases,
            ..step(0, start, start + host + device, 1)
        };
        let rows = [timed(0, 10_000, 90_000, phases(4_000)), timed(100_000, 20_000, 80_000, phases(8_000))];
        let results = step_results(&rows).expect("steps");
        assert_eq!(results.host_share, Some(0.15));
        let mean = results.mean_phases_ns.expect("phases");
        assert_eq!((mean.schedule, mean.wait, mean.sample), (6_000.0, 90_000.0, 0.0));
        let silent = step_results(&[rows[0], timed(100_000, 0, 1, None)]).expect("steps");
        assert_eq!(silent.mean_phases_ns.map(|mean| mean.schedule), Some(4_000.0));
        let mut text = String::new();
        steps_section(&mut text, &results).expect("a String takes it");
        assert!(text.contains("| host gap | 15.0 % of"), "{text}");
        assert!(text.contains("schedule 6.000 µs, prepare 0"), "{text}");
    }

    #[test]
    fn the_section_reads_as_it_should() {
        let rows = [step(0, 0, 1_000_000_000, 2), step(0, 1_000_000_000, 4_000_000_000, 1)];
        let mut text = String::new();
        steps_section(&mut text, &step_results(&rows).expect("steps")).expect("a String takes it");
        for line in [
            "| steps | 2, over 4.000 s |",
            "| prefill computed | 14 tokens, 3.5 tokens/s |",
            "| decode computed | 3 tokens, 0.8 tokens/s |",
            "| 0 | 2 | 100.0 % | 1.25 | 2 | 8.75 | 9 | 125.00 | 200 |",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
        }
    }
}

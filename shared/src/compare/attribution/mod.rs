//! Where the difference between two runs comes from: every request split into parts that sum to it exactly.
//!
//! Errors in parts can cancel in the whole: a total alone says nothing about what will happen under another load.
//! Which replica served a request, and in which steps, is not in the files; it follows from token times. What a
//! chunk of a prompt waited for inside the prefill phase does not: it counts as prefill.

mod parts;
mod sentence;
mod steps;
#[cfg(test)]
mod tests;

use parts::{Parts, split_run};

use crate::compare::pairs::Line;
use crate::schema::attribution::{Attribution, Bin, Breakdown, Part, PartRow, Split};
use crate::schema::{RequestRow, Run};
use crate::stats::quartile_bins;

/// Splits the difference between the compared requests of two runs; `None` without requests, or when their times
/// sum to more than 292 years.
pub fn attribute(real: &Run, sim: &Run, lines: &[Line<'_>]) -> Option<Attribution> {
    let mut limits = Vec::new();
    let (split, sides) = [Split::Steps, Split::Stamps, Split::FirstToken].into_iter().find_map(|split| {
        let real = split_run(real, lines.iter().map(|(row, a, _)| (*row, *a)), split);
        let sim = split_run(sim, lines.iter().map(|(row, _, b)| (*row, *b)), split);
        match (real, sim) {
            (Ok(real), Ok(sim)) => Some((split, Sides { real, sim })),
            (real, sim) => {
                let limit = limit(real.err(), sim.err());
                if !limits.contains(&limit) {
                    limits.push(limit);
                }
                None
            }
        }
    })?;
    let all: Vec<usize> = (0..lines.len()).collect();
    let e2e = sides.breakdown(&all, split.parts(), Parts::of_e2e)?;
    let ttft = sides.breakdown(&all, split.first_token_parts(), Parts::of_ttft)?;
    let by = |values: &[u64]| -> Option<Vec<Bin>> {
        let bins = quartile_bins(values).into_iter().map(|bin| {
            let inside = bin.iter().map(|index| values[*index]);
            let (from, to) = (inside.clone().min()?, inside.max()?);
            Some(Bin { from, to, e2e: sides.breakdown(&bin, split.parts(), Parts::of_e2e)? })
        });
        bins.collect()
    };
    let prompts: Vec<u64> = lines.iter().map(|(row, ..)| u64::from(row.num_prefill_tokens)).collect();
    let in_system = num_in_system_at_arrival(&real.requests);
    let loads: Vec<u64> = lines.iter().map(|(row, ..)| in_system[row.request_id as usize]).collect();
    Some(Attribution {
        sentence: sentence::attribution(split, &e2e),
        split,
        limits,
        by_prompt_tokens: by(&prompts)?,
        by_num_in_system: by(&loads)?,
        e2e,
        ttft,
    })
}

/// What the sides say against a finer split, in one line.
fn limit(real: Option<String>, sim: Option<String>) -> String {
    match (real, sim) {
        (Some(real), Some(sim)) if real == sim => format!("neither run has {real}"),
        (Some(real), Some(sim)) => format!("the real run lacks {real}, the simulated one {sim}"),
        (Some(real), None) => format!("the real run lacks {real}"),
        (None, sim) => format!("the simulated run lacks {}", sim.unwrap_or_default()),
    }
}

/// For each request, how many that arrived before it (of one instant: with a smaller id) were not complete yet.
/// Requests without output never count.
pub(super) fn num_in_system_at_arrival(rows: &[RequestRow]) -> Vec<u64> {
    let mut order: Vec<&RequestRow> = rows.iter().collect();
    crate::order::sort_by_key(&mut order, |row| (row.arrival, row.request_id));
    let mut completions: Vec<_> = rows.iter().filter(|row| row.has_output()).filter_map(|row| row.completion).collect();
    completions.sort_unstable();
    let (mut num_arrived, mut counts) = (0u64, vec![0; rows.len()]);
    for row in order {
        let num_complete = completions.partition_point(|completion| *completion <= row.arrival) as u64;
        if let Some(count) = counts.get_mut(row.request_id as usize) {
            *count = num_arrived.saturating_sub(num_complete);
        }
        num_arrived += u64::from(row.has_output() && row.completion.is_some());
    }
    counts
}

/// Both sides, request by request.
struct Sides {
    real: Vec<Parts>,
    sim: Vec<Parts>,
}

impl Sides {
    /// Sums the requests at `indices`.
    fn breakdown(&self, indices: &[usize], parts: &[Part], value: fn(&Parts, Part) -> u64) -> Option<Breakdown> {
        // Half the range of 64 bits, so that every difference fits too.
        let sum = |side: &[Parts], part: Part| {
            let total = indices.iter().map(|index| u128::from(value(&side[*index], part))).sum::<u128>();
            i64::try_from(total).ok()
        };
        let sums = parts.iter().map(|part| Some((*part, sum(&self.real, *part)?, sum(&self.sim, *part)?)));
        let sums: Vec<(Part, i64, i64)> = sums.collect::<Option<_>>()?;
        let whole = |side: fn(&(Part, i64, i64)) -> i64| sums.iter().map(side).try_fold(0i64, i64::checked_add);
        let (real, sim) = (whole(|sums| sums.1)?, whole(|sums| sums.2)?);
        let over = |diff: i64, base: i64| (base > 0).then(|| diff as f64 / base as f64);
        let row = |(part, a, b): (Part, i64, i64)| PartRow {
            part,
            real_ns: a.unsigned_abs(),
            sim_ns: b.unsigned_abs(),
            diff_ns: b - a,
            rel_error: over(b - a, a),
            contribution: over(b - a, real),
        };
        (!indices.is_empty()).then(|| Breakdown {
            num_requests: indices.len() as u64,
            real_ns: real.unsigned_abs(),
            sim_ns: sim.unsigned_abs(),
            diff_ns: sim - real,
            rel_error: over(sim - real, real),
            parts: sums.iter().copied().map(row).collect(),
        })
    }
}

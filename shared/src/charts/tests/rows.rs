//! Rows to draw: requests token by token, steps, curves, repeats.

use rand::RngExt as _;

use super::fixtures::{random, tailed};
use crate::explore::answers::{Histogram, RequestTimeline, RunStrip, Scatter, StepLane, StepView, TimelineSide};
use crate::schema::attribution::{Breakdown, Part, PartRow, Split};
use crate::schema::comparison::{BlandAltman, PairErrors};
use crate::schema::curves::{CurveSource, Curves, SideCurves};
use crate::stats::CentiNanos;

pub(super) fn scatter(count: usize) -> Scatter {
    let real_ns = tailed(21, count, 40e6);
    let mut random = random(22);
    let sim_ns = real_ns.iter().map(|real| (*real as f64 * (0.8 + 0.35 * random.random::<f64>())) as u64).collect();
    Scatter { num_requests: count, ids: (0..count as u32).collect(), real_ns, sim_ns }
}

pub(super) fn pairs(scale: f64) -> PairErrors {
    let mut errors: Vec<f64> =
        tailed(31, 400, 1e6).iter().map(|value| scale * (*value as f64 / 1e6 - 1.2) / 8.0).collect();
    errors.sort_by(f64::total_cmp);
    let bland_altman = BlandAltman { bias_ns: 0.0, deviation_ns: 0.0, low_ns: 0.0, high_ns: 0.0, slope: None };
    let fractions = (0..=100).map(|percent| f64::from(percent) / 100.0).collect();
    let rel_errors = (0..=100).map(|percent| errors[percent * 399 / 100]).collect();
    PairErrors { num_pairs: 400, share_within: 0.734, fractions, rel_errors, bland_altman }
}

fn timeline_side(seed: u64, tokens: usize, pace: f64) -> TimelineSide {
    let mut random = random(seed);
    let scheduled = 1_000_000_000 + (18e6 * pace) as u64;
    let mut now = scheduled + (35e6 * pace) as u64;
    let mut tokens_ns = vec![now];
    for index in 1..tokens {
        now += (pace * 4e6 * (0.9 + 0.2 * random.random::<f64>())) as u64;
        if index % 41 == 17 {
            now += (pace * 38e6) as u64;
        }
        tokens_ns.push(now);
    }
    TimelineSide {
        scheduled_ns: Some(scheduled),
        completion_ns: now,
        tokens_ns,
        num_preemptions: Some(1),
        has_tokens: true,
    }
}

pub(super) fn request(tokens: usize) -> RequestTimeline {
    RequestTimeline {
        request_id: 17,
        num_prefill_tokens: 1_234,
        arrival_ns: 1_000_000_000,
        real: Some(timeline_side(41, tokens, 1.0)),
        sim: Some(timeline_side(42, tokens, 0.9)),
    }
}

fn lane(seed: u64, count: usize, pace: f64) -> StepLane {
    let mut random = random(seed);
    let mut lane = StepLane { num_steps: count, is_exact: true, ..StepLane::default() };
    let mut now = 2_000_000_000u64;
    let (mut running, mut kv) = (4.0, 300.0);
    for step in 0..count {
        let prefill = if random.random::<f64>() < 0.2 { 64.0 + 400.0 * random.random::<f64>() } else { 0.0 };
        running = (running + if prefill > 0.0 { 6.0 } else { -1.3 } * random.random::<f64>()).clamp(1.0, 64.0);
        kv = (kv + 40.0 * (random.random::<f64>() - 0.45)).max(20.0);
        let duration = pace * (6e6 + 2e4 * prefill + 5e4 * running);
        lane.starts_ns.push(now);
        now += duration as u64;
        lane.ends_ns.push(now);
        if step % 53 == 50 {
            now += 60_000_000;
        }
        lane.prefill_tokens.push(libm::round(prefill));
        lane.decode_seqs.push(libm::round(running * 3.0));
        lane.duration_ns.push(duration);
        lane.host_ns.push(duration * 0.12);
        lane.kv_blocks.push(libm::round(kv));
        lane.running.push(libm::round(running));
        lane.waiting.push(libm::round((running - 12.0).max(0.0)));
    }
    lane
}

pub(super) fn steps(count: usize) -> StepView {
    let (real, sim) = (lane(51, count, 1.0), lane(51, count, 0.94));
    let to_ns = real.ends_ns.last().copied().unwrap_or(0).max(sim.ends_ns.last().copied().unwrap_or(0));
    StepView { from_ns: 2_000_000_000, to_ns, real: Some(real), sim: Some(sim) }
}

pub(super) fn curves(count: usize, has_stamps: bool) -> Curves {
    let side = |seed: u64| {
        let mut random = random(seed);
        let mut level = 3.0;
        let running: Vec<f64> = (0..count)
            .map(|_| {
                level = (level + 3.0 * (random.random::<f64>() - 0.48_f64)).clamp(0.0, 40.0);
                level
            })
            .collect();
        SideCurves {
            source: CurveSource::Stamps,
            num_in_system: running.iter().map(|level| 1.3 * level).collect(),
            num_waiting: if has_stamps { running.iter().map(|level| 0.3 * level).collect() } else { Vec::new() },
            num_running: if has_stamps { running } else { Vec::new() },
            ..SideCurves::default()
        }
    };
    Curves { from_ns: 0, bin_ns: 250_000_000, real: side(61), sim: side(62) }
}

pub(super) fn arrivals(bins: usize) -> Histogram {
    let mut random = random(71);
    Histogram {
        edges: (0..=bins).map(|edge| edge as f64 * 2e9).collect(),
        counts: (0..bins)
            .map(|bin| (20.0 + 15.0 * libm::sin(bin as f64 / 7.0) + 8.0 * random.random::<f64>()) as u32)
            .collect(),
    }
}

pub(super) fn prompts() -> Histogram {
    let edges = [3.0, 12.0, 20.0, 31.0, 44.0, 60.0, 90.0, 130.0, 200.0, 310.0, 520.0, 900.0, 2_000.0, 8_000.0];
    let counts = vec![20, 44, 80, 140, 200, 260, 250, 240, 180, 120, 60, 31, 12];
    Histogram { edges: edges.to_vec(), counts }
}

pub(super) fn runs(repeats: usize) -> RunStrip {
    let mut random = random(81);
    let bases = [40e6, 92e6, 128e6, 214e6];
    let mut times = |spread: f64, shift: f64| -> Vec<CentiNanos> {
        let time =
            |base: &f64| CentiNanos((100.0 * base * (1.0 + shift + spread * (random.random::<f64>() - 0.5))) as i64);
        bases.iter().map(time).collect()
    };
    RunStrip {
        labels: ["p50", "p90", "p95", "p99"].map(str::to_owned).to_vec(),
        real: (0..repeats).map(|run| (format!("real_run_{}", run + 1), times(0.05, 0.0))).collect(),
        sim: times(0.02, -0.06),
    }
}

/// Queueing, prefill, … (real, simulated) of one request, ns.
pub(super) fn breakdown(parts: &[(u64, u64)]) -> Breakdown {
    let whole = |side: fn(&(u64, u64)) -> u64| parts.iter().map(side).fold(0, u64::saturating_add);
    let (real_ns, sim_ns) = (whole(|part| part.0), whole(|part| part.1));
    let row = |(part, (real_ns, sim_ns)): (&Part, &(u64, u64))| PartRow {
        part: *part,
        real_ns: *real_ns,
        sim_ns: *sim_ns,
        diff_ns: *sim_ns as i64 - *real_ns as i64,
        rel_error: None,
        contribution: None,
    };
    let rows = Split::Steps.parts().iter().zip(parts).map(row).collect();
    let diff_ns = (sim_ns as i64).saturating_sub(real_ns as i64);
    Breakdown { num_requests: 1, real_ns, sim_ns, diff_ns, rel_error: None, parts: rows }
}

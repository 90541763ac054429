//! Runs to draw: made of a seeded generator, so that every test sees the same ones.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::explore::answers::{Reduced, WhatIfMetric};
use crate::metrics::Metric;
use crate::schema::comparison::{Curve, MetricComparison, PercentileRow, ShiftCurve, Summary};
use crate::stats::{Blocks, CentiNanos, Percentile, Sorted, Verdict};

pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// `count` times about `median` ns with a long tail.
pub(super) fn tailed(seed: u64, count: usize, median: f64) -> Vec<u64> {
    let mut random = random(seed);
    let mut value = || {
        let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        (median * libm::exp(0.7 * normal)) as u64
    };
    (0..count).map(|_| value()).collect()
}

/// A metric of these values, with everything a figure may show.
pub(super) fn metric(metric: Metric, real: Vec<u64>, sim: Vec<u64>) -> MetricComparison {
    let num_values = real.len();
    let (real, sim) = (Sorted::new(real).expect("values"), Sorted::new(sim).expect("values"));
    let shift_ns: Vec<CentiNanos> =
        (1..100).map(|percent| sim.quantile_at(percent, 100) - real.quantile_at(percent, 100)).collect();
    let spread = |time: &CentiNanos, factor: f64| {
        CentiNanos((time.0 as f64 + factor * (real.quantile(Percentile::P90).0 as f64) / 30.0) as i64)
    };
    let row = |percentile: Percentile| PercentileRow {
        label: percentile.to_string(),
        percentile,
        real_ns: real.quantile(percentile),
        sim_ns: sim.quantile(percentile),
        diff_ns: sim.quantile(percentile) - real.quantile(percentile),
        rel_error: None,
        noise_rel: None,
        noise_multiple: None,
        sample_floor: 11,
        is_below_floor: false,
        num_more_needed: Some(0),
        doubt: None,
        interval: None,
        noise_rms: None,
        verdict: Verdict::Outside,
    };
    MetricComparison {
        metric,
        num_requests: num_values,
        num_values,
        real: summary(&real),
        sim: summary(&sim),
        percentiles: Percentile::USUAL.into_iter().map(row).collect(),
        ks: 0.1,
        wasserstein_ns: 1e6,
        wasserstein_rel: Some(0.1),
        wasserstein_slower_ns: 0.0,
        wasserstein_faster_ns: 0.0,
        mean: None,
        bootstrap: Some(Blocks { block_length: 8, num_blocks: 12.0, num_resamples: 1000, confidence: 0.95 }),
        curve: curve(&real, &sim),
        shift: Some(ShiftCurve {
            fractions: (1..100).map(|percent| f64::from(percent) / 100.0).collect(),
            low_ns: shift_ns.iter().map(|time| spread(time, -1.0)).collect(),
            high_ns: shift_ns.iter().map(|time| spread(time, 1.0)).collect(),
            shift_ns,
        }),
        pairs: None,
    }
}

fn summary(side: &Sorted) -> Summary {
    Summary {
        mean: side.mean(),
        median: side.quantile(Percentile::P50),
        min: CentiNanos::from_nanos(side.min()),
        max: CentiNanos::from_nanos(side.max()),
    }
}

fn curve(real: &Sorted, sim: &Sorted) -> Curve {
    let count = real.values().len() as u64;
    let tail = [300, 400, 700, 1000, 2000, 5000, 10_000].into_iter().filter(|all| *all < count);
    let grid: Vec<(u64, u64)> =
        (0..200).map(|index| (index, 200)).chain(tail.map(|all| (all - 1, all))).chain([(1, 1)]).collect();
    Curve {
        fractions: grid.iter().map(|(index, all)| *index as f64 / *all as f64).collect(),
        real_ns: grid.iter().map(|(index, all)| real.quantile_at(*index, *all)).collect(),
        sim_ns: grid.iter().map(|(index, all)| sim.quantile_at(*index, *all)).collect(),
    }
}

/// A usual TTFT: the simulation is a little fast, and faster in the tail.
pub(super) fn ttft(seed: u64, count: usize) -> MetricComparison {
    let real = tailed(seed, count, 40e6);
    let sim = real.iter().map(|time| (*time as f64 * 0.93) as u64 + 1_000_000).collect();
    metric(Metric::Ttft, real, sim)
}

pub(super) fn reduced(of: &MetricComparison) -> Reduced {
    Reduced {
        metric: of.metric,
        num_requests: of.num_requests,
        num_values: of.num_values,
        real: of.real,
        sim: of.sim,
        percentiles: Vec::new(),
        ks: of.ks,
        wasserstein_ns: of.wasserstein_ns,
        curve: of.curve.clone(),
    }
}

pub(super) fn what_if(of: &MetricComparison, factor: f64) -> WhatIfMetric {
    let times = of.curve.sim_ns.iter();
    WhatIfMetric {
        metric: of.metric,
        fractions: of.curve.fractions.clone(),
        times_ns: times.map(|time| CentiNanos((time.0 as f64 * factor) as i64)).collect(),
        percentiles: Vec::new(),
    }
}

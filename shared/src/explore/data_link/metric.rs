//! One metric in a link: its percentiles as shown, its curves on few points.

use crate::explore::data_link::pack::{Pack, Unpack};
use crate::explore::data_link::{MOST_LISTED, VERDICTS, take_percentile};
use crate::metrics::Metric;
use crate::schema::comparison::{Curve, ErrorInterval, MeanRow, MetricComparison, PercentileRow, Summary};
use crate::stats::{CentiNanos, Doubt, Percentile, Verdict, sample_floor};

/// Where curves are kept, in hundredths of a percent: evenly, and closer where tails are read.
const GRID: [u32; 34] = [
    0, 100, 200, 400, 600, 800, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7500,
    8000, 8500, 9000, 9200, 9400, 9500, 9600, 9700, 9800, 9900, 9950, 9990, 9999, 10_000,
];
/// Steps of a curve's times to a doubling: half a percent each, so no time is moved by the width of a line.
const STEPS: f64 = 128.0;
/// No time is so late.
const LAST_STEP: u64 = 64 * STEPS as u64;

/// In the order of their numbers: only ever added to.
const DOUBTS: [Doubt; 4] = [Doubt::FewRequests, Doubt::WideInterval, Doubt::NoisyEngine, Doubt::NoInterval];

const HAS_INTERVAL: u64 = 1;
const HAS_NOISE: u64 = 2;
const HAS_MORE: u64 = 4;
const HAS_ERROR: u64 = 8;

pub(super) fn put_metric(pack: &mut Pack, metric: &MetricComparison) {
    pack.count(Metric::ALL.iter().position(|one| *one == metric.metric).unwrap_or(0));
    pack.count(metric.num_requests);
    pack.count(metric.num_values.saturating_sub(metric.num_requests));
    for Summary { mean, min, max, .. } in [metric.real, metric.sim] {
        [mean, min, max].into_iter().for_each(|time| pack.time(time));
    }
    pack.number(libm::round(metric.ks.clamp(0.0, 1.0) * 1e4) as u64);
    pack.time(centi(metric.wasserstein_slower_ns));
    pack.time(centi(metric.wasserstein_faster_ns));
    let rows: Vec<&PercentileRow> = metric.percentiles.iter().take(MOST_LISTED).collect();
    pack.count(rows.len());
    let has_median = rows.iter().any(|row| row.percentile == Percentile::P50);
    rows.into_iter().for_each(|row| put_row(pack, row));
    if !has_median {
        [metric.real.median, metric.sim.median].into_iter().for_each(|time| pack.time(time));
    }
    for side in [&metric.curve.real_ns, &metric.curve.sim_ns] {
        let mut before = 0;
        for fraction in GRID {
            let step = step_of(at(&metric.curve.fractions, side, f64::from(fraction) / 1e4)).max(before);
            pack.number(step - before);
            before = step;
        }
    }
}

fn put_row(pack: &mut Pack, row: &PercentileRow) {
    pack.number(u64::from(row.percentile.0));
    let ends = row.interval.and_then(|interval| interval.rel_low.zip(interval.rel_high));
    let multiple = row.noise_multiple.filter(|multiple| multiple.is_finite());
    let verdict = VERDICTS.iter().position(|verdict| *verdict == row.verdict).unwrap_or(1) as u64;
    let doubt =
        row.doubt.and_then(|doubt| DOUBTS.iter().position(|one| *one == doubt)).map_or(0, |place| place as u64 + 1);
    let flag = |holds: bool, flag: u64| if holds { flag } else { 0 };
    let flags = flag(ends.is_some(), HAS_INTERVAL)
        | flag(row.noise_rel.is_some(), HAS_NOISE)
        | flag(row.num_more_needed.is_some(), HAS_MORE)
        | flag(row.rel_error.is_some(), HAS_ERROR);
    pack.number((verdict * 5 + doubt) << 4 | flags);
    [row.real_ns, row.sim_ns, row.diff_ns].into_iter().for_each(|time| pack.time(time));
    row.rel_error.into_iter().for_each(|error| pack.error(error));
    ends.into_iter().flat_map(|(low, high)| [low, high]).for_each(|end| pack.error(end));
    if let Some(largest) = row.noise_rel {
        pack.error(largest);
        pack.number(multiple.map_or(0, |multiple| shown_tenths(multiple) + 1));
    }
    row.num_more_needed.into_iter().for_each(|more| pack.number(u64::from(more)));
}

pub(super) fn take_metric(unpack: &mut Unpack<'_>) -> Option<MetricComparison> {
    let metric = *Metric::ALL.get(unpack.count()?)?;
    let num_requests = unpack.count()?;
    let num_values = num_requests.checked_add(unpack.count()?)?;
    let mut summary = || {
        let (mean, min, max) = (unpack.time()?, unpack.time()?, unpack.time()?);
        Some(Summary { mean, median: mean, min, max })
    };
    let (mut real, mut sim) = (summary()?, summary()?);
    let ks = unpack.number().filter(|ks| *ks <= 10_000)? as f64 / 1e4;
    let (slower, faster) = (unpack.time()?.as_f64(), unpack.time()?.as_f64());
    let num_rows = unpack.count().filter(|count| *count <= MOST_LISTED)?;
    let percentiles = (0..num_rows).map(|_| take_row(unpack, num_requests)).collect::<Option<Vec<_>>>()?;
    (real.median, sim.median) = match percentiles.iter().find(|row| row.percentile == Percentile::P50) {
        Some(row) => (row.real_ns, row.sim_ns),
        None => (unpack.time()?, unpack.time()?),
    };
    let curve = Curve {
        fractions: GRID.iter().map(|fraction| f64::from(*fraction) / 1e4).collect(),
        real_ns: take_curve(unpack, &real)?,
        sim_ns: take_curve(unpack, &sim)?,
    };
    let over_mean = |nanos: f64| (real.mean.0 > 0).then(|| nanos / real.mean.as_f64());
    let diff_ns = sim.mean - real.mean;
    Some(MetricComparison {
        metric,
        num_requests,
        num_values,
        real,
        sim,
        percentiles,
        ks,
        wasserstein_ns: slower + faster,
        wasserstein_rel: over_mean(slower + faster),
        wasserstein_slower_ns: slower,
        wasserstein_faster_ns: faster,
        mean: Some(MeanRow { diff_ns, rel_error: over_mean(diff_ns.as_f64()), interval: None }),
        bootstrap: None,
        curve,
        shift: None,
        pairs: None,
    })
}

fn take_row(unpack: &mut Unpack<'_>, num_requests: usize) -> Option<PercentileRow> {
    let percentile: Percentile = take_percentile(unpack)?;
    let code = unpack.number()?;
    let (flags, state) = (code & 15, usize::try_from(code >> 4).ok()?);
    let has = |flag: u64| flags & flag != 0;
    let verdict: Verdict = *VERDICTS.get(state / 5)?;
    let doubt = (state % 5).checked_sub(1).map(|place| DOUBTS[place]);
    let (real_ns, sim_ns, diff_ns) = (unpack.time()?, unpack.time()?, unpack.time()?);
    let rel_error = if has(HAS_ERROR) { Some(unpack.error()?) } else { None };
    let interval = match has(HAS_INTERVAL) {
        true => Some(interval(unpack.error()?, unpack.error()?, real_ns)),
        false => None,
    };
    let (noise_rel, tenths) = match has(HAS_NOISE) {
        true => (Some(unpack.error()?), unpack.number()?.checked_sub(1)),
        false => (None, None),
    };
    let noise_multiple = tenths.map(|tenths| tenths as f64 / 10.0);
    let rms = |(error, multiple): (f64, f64)| (multiple > 0.0).then(|| libm::fabs(error) / multiple);
    let num_more_needed = if has(HAS_MORE) { Some(u32::try_from(unpack.number()?).ok()?) } else { None };
    let sample_floor = sample_floor(percentile);
    Some(PercentileRow {
        label: percentile.to_string(),
        percentile,
        real_ns,
        sim_ns,
        diff_ns,
        rel_error,
        interval,
        noise_rel,
        noise_rms: rel_error.zip(noise_multiple).and_then(rms),
        noise_multiple,
        sample_floor,
        is_below_floor: num_requests < sample_floor as usize,
        num_more_needed,
        verdict,
        doubt,
    })
}

/// Tenths, as many as are shown.
fn shown_tenths(multiple: f64) -> u64 {
    format!("{multiple:.1}").replace('.', "").parse().unwrap_or(0)
}

/// Of the difference only what follows from the relative ends is known.
fn interval(low: f64, high: f64, real: CentiNanos) -> ErrorInterval {
    ErrorInterval {
        diff_low_ns: centi(low * real.as_f64()),
        diff_high_ns: centi(high * real.as_f64()),
        rel_low: Some(low),
        rel_high: Some(high),
    }
}

/// A curve's times; its ends are known better.
fn take_curve(unpack: &mut Unpack<'_>, summary: &Summary) -> Option<Vec<CentiNanos>> {
    let mut step = 0u64;
    let mut times = Vec::with_capacity(GRID.len());
    for _ in GRID {
        step = step.checked_add(unpack.number()?).filter(|step| *step <= LAST_STEP)?;
        let time = libm::exp2(step as f64 / STEPS) - 1.0;
        let (min, max) = (summary.min, summary.max.max(summary.min));
        times.push(centi(time).clamp(min, max));
    }
    if let [first, .., last] = &mut times[..] {
        (*first, *last) = (summary.min, summary.max.max(summary.min));
    }
    Some(times)
}

/// The place of a time on an axis that is even in logarithms.
fn step_of(nanos: f64) -> u64 {
    (libm::round(libm::log2(1.0 + nanos.max(0.0)) * STEPS) as u64).min(LAST_STEP)
}

/// A curve's time at a fraction, between its points.
fn at(fractions: &[f64], times: &[CentiNanos], fraction: f64) -> f64 {
    let time = |place: usize| times.get(place).map_or(0.0, |time| time.as_f64());
    let above = fractions.partition_point(|here| *here < fraction);
    let (Some(high), Some(low)) = (fractions.get(above), above.checked_sub(1).and_then(|below| fractions.get(below)))
    else {
        return time(above.min(times.len().saturating_sub(1)));
    };
    let share = if high > low { (fraction - low) / (high - low) } else { 1.0 };
    time(above - 1) + (time(above) - time(above - 1)) * share
}

fn centi(nanos: f64) -> CentiNanos {
    CentiNanos(libm::round(nanos * 100.0) as i64)
}

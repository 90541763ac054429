//! One metric on both sides: samples, percentiles with intervals, verdicts, distances, curves.

use crate::compare::noise::Repeats;
use crate::compare::pairs::{Line, pair_errors};
use crate::metrics::{Definition, Metric};
use crate::schema::comparison::{
    CompareOptions, Curve, ErrorInterval, MeanRow, MetricComparison, PercentileRow, ShiftCurve, Summary,
};
use crate::stats::{
    self, CentiNanos, Clusters, Evidence, Interval, Percentile, Resamples, Sorted, Verdict, judge, percentile_interval,
    sample_floor, simultaneous_band,
};

/// Even points of a stored quantile curve, at most; every value has its own below that.
const MAX_CURVE_POINTS: usize = 1025;
/// The shift curve has a point each percent between the first and the last.
const SHIFT_POINTS: u32 = 99;

/// Compares one metric over `lines`, which are in order of arrival; `None` where a side has no value of it.
pub fn compare_metric(
    metric: Metric,
    lines: &[Line<'_>],
    noise: &Repeats,
    options: &CompareOptions,
) -> Option<MetricComparison> {
    let samples = Samples::of(metric, lines, options.definition)?;
    let (real, sim) = (&samples.real_sorted, &samples.sim_sorted);
    let resamples = samples.resample(metric, options);
    let row = |percentile: &Percentile| {
        let drawn = resamples.as_ref().map(|resamples| (resamples, place(options, percentile.fraction())));
        samples.row(*percentile, drawn, noise, options)
    };
    let distance = stats::wasserstein(real, sim);
    let real_mean = real.mean();
    let has_one_value_a_request = samples.real.num_requests() == real.values().len() && metric != Metric::Itl;
    let paired = || samples.real.values().iter().copied().zip(samples.sim.values().iter().copied()).collect::<Vec<_>>();
    Some(MetricComparison {
        metric,
        num_requests: samples.real.num_requests(),
        num_values: real.values().len(),
        percentiles: options.percentiles.iter().map(row).collect(),
        ks: stats::kolmogorov_smirnov(real, sim),
        wasserstein_ns: distance.distance(),
        wasserstein_rel: (real_mean.0 > 0).then(|| distance.distance() / real_mean.as_f64()),
        wasserstein_slower_ns: distance.above,
        wasserstein_faster_ns: distance.below,
        mean: Some(MeanRow {
            diff_ns: sim.mean() - real_mean,
            rel_error: relative(real_mean, sim.mean()),
            interval: resamples
                .as_ref()
                .and_then(|drawn| error_interval(&drawn.real_means, &drawn.sim_means, drawn, real_mean)),
        }),
        bootstrap: resamples.as_ref().map(|drawn| drawn.blocks),
        curve: curve(real, sim),
        shift: resamples.as_ref().and_then(|drawn| shift(real, sim, drawn, options)),
        pairs: if has_one_value_a_request { pair_errors(&paired(), options.tolerance) } else { None },
        real: summary(real),
        sim: summary(sim),
    })
}

/// Both sides of one metric.
struct Samples {
    real: Clusters,
    sim: Clusters,
    real_sorted: Sorted,
    sim_sorted: Sorted,
    /// Relative error of each request's own sum.
    pair_errors: Vec<f64>,
}

impl Samples {
    fn of(metric: Metric, lines: &[Line<'_>], definition: Definition) -> Option<Self> {
        let (mut real, mut sim) = (Clusters::default(), Clusters::default());
        let mut pair_errors = Vec::new();
        for (_, a, b) in lines {
            let (a, b) = (definition.values(a, metric), definition.values(b, metric));
            if a.is_empty() || b.is_empty() {
                continue;
            }
            let (sum_a, sum_b) = (a.iter().sum::<u64>() as f64, b.iter().sum::<u64>() as f64);
            pair_errors.push(if sum_a > 0.0 { (sum_b - sum_a) / sum_a } else { 0.0 });
            real.push(a);
            sim.push(b);
        }
        let (real_sorted, sim_sorted) = (real.sorted()?, sim.sorted()?);
        Some(Samples { real, sim, real_sorted, sim_sorted, pair_errors })
    }

    fn resample(&self, metric: Metric, options: &CompareOptions) -> Option<Resamples> {
        let judged: Vec<f64> = options.percentiles.iter().map(|percentile| percentile.fraction()).collect();
        stats::resample(
            (&self.real, &self.real_sorted),
            (&self.sim, &self.sim_sorted),
            &drawn_fractions(options),
            &judged,
            &options.bootstrap,
            metric.key(),
        )
    }

    fn row(
        &self,
        percentile: Percentile,
        drawn: Option<(&Resamples, usize)>,
        noise: &Repeats,
        options: &CompareOptions,
    ) -> PercentileRow {
        let quantile = |side: &Sorted| options.definition.quantile(side, percentile);
        let (real, sim) = (quantile(&self.real_sorted), quantile(&self.sim_sorted));
        let rel_error = relative(real, sim);
        let interval = drawn.and_then(|(drawn, at)| {
            // Resamples are taken by type 7; another rule's percentile lies beside it, and spreads the same.
            let [usual_real, usual_sim] = [&self.real_sorted, &self.sim_sorted].map(|side| side.quantile(percentile));
            let moved = |resampled: &[f64], by: CentiNanos| -> Vec<f64> {
                resampled.iter().map(|value| value + by.as_f64()).collect()
            };
            let (a, b) = (moved(&drawn.real[at], real - usual_real), moved(&drawn.sim[at], sim - usual_sim));
            error_interval(&a, &b, drawn, real)
        });
        let noise_rel = noise.largest(percentile);
        let noise_rms = noise.rms(percentile);
        let judgement = rel_error.map(|relative_error| {
            let ends = |interval: ErrorInterval| {
                interval.rel_low.zip(interval.rel_high).map(|(low, high)| Interval { low, high })
            };
            let evidence = Evidence {
                percentile,
                relative_error,
                interval: interval.and_then(ends),
                pair_errors: &self.pair_errors,
                noise: noise_rel,
            };
            judge(evidence, options.tolerance)
        });
        PercentileRow {
            label: percentile.to_string(),
            percentile,
            real_ns: real,
            sim_ns: sim,
            diff_ns: sim - real,
            rel_error,
            interval,
            noise_rel,
            noise_rms,
            noise_multiple: noise_rms
                .zip(rel_error)
                .and_then(|(noise, error)| (noise > 0.0).then(|| libm::fabs(error) / noise)),
            sample_floor: sample_floor(percentile),
            is_below_floor: self.pair_errors.len() < sample_floor(percentile) as usize,
            num_more_needed: judgement.and_then(|judgement| judgement.num_more_needed),
            verdict: judgement.map_or(Verdict::CannotTell, |judgement| judgement.verdict),
            doubt: judgement.and_then(|judgement| judgement.doubt),
        }
    }
}

/// (simulated - real) / real; `None` when real is zero.
pub fn relative(real: CentiNanos, sim: CentiNanos) -> Option<f64> {
    (real.0 > 0).then(|| (sim - real).0 as f64 / real.0 as f64)
}

/// Intervals of the difference and of the relative error, from one statistic of both sides in every resample.
fn error_interval(real: &[f64], sim: &[f64], drawn: &Resamples, measured: CentiNanos) -> Option<ErrorInterval> {
    let differences: Vec<f64> = sim.iter().zip(real).map(|(sim, real)| sim - real).collect();
    let difference = percentile_interval(&differences, &drawn.blocks)?;
    let is_positive = measured.0 > 0 && real.iter().all(|value| *value > 0.0);
    let relative: Option<Interval> = is_positive
        .then(|| {
            let relative: Vec<f64> = differences.iter().zip(real).map(|(difference, real)| difference / real).collect();
            percentile_interval(&relative, &drawn.blocks)
        })
        .flatten();
    Some(ErrorInterval {
        diff_low_ns: centi(difference.low),
        diff_high_ns: centi(difference.high),
        rel_low: relative.map(|interval| interval.low),
        rel_high: relative.map(|interval| interval.high),
    })
}

fn centi(nanos: f64) -> CentiNanos {
    CentiNanos(libm::round(nanos * 100.0) as i64)
}

/// Fractions whose quantiles are taken of every resample, ascending: of the shift curve, and asked for.
fn drawn_fractions(options: &CompareOptions) -> Vec<f64> {
    let asked = options.percentiles.iter().map(|percentile| percentile.fraction());
    let mut fractions: Vec<f64> = shift_fractions().chain(asked).collect();
    fractions.sort_unstable_by(f64::total_cmp);
    fractions.dedup();
    fractions
}

/// Where the resamples of one of them are.
fn place(options: &CompareOptions, fraction: f64) -> usize {
    drawn_fractions(options).iter().position(|drawn| *drawn == fraction).expect("every fraction asked for is drawn")
}

fn shift_fractions() -> impl Iterator<Item = f64> {
    (1..=SHIFT_POINTS).map(|percent| f64::from(percent) / f64::from(SHIFT_POINTS + 1))
}

fn shift(real: &Sorted, sim: &Sorted, drawn: &Resamples, options: &CompareOptions) -> Option<ShiftCurve> {
    let points = (1..=u64::from(SHIFT_POINTS)).map(|percent| {
        let all = u64::from(SHIFT_POINTS) + 1;
        sim.quantile_at(percent, all) - real.quantile_at(percent, all)
    });
    let shift_ns: Vec<CentiNanos> = points.collect();
    let shifts: Vec<f64> = shift_ns.iter().map(|shift| shift.as_f64()).collect();
    let differences = |at: usize| drawn.sim[at].iter().zip(&drawn.real[at]).map(|(sim, real)| sim - real).collect();
    let resampled: Vec<Vec<f64>> = shift_fractions().map(|fraction| differences(place(options, fraction))).collect();
    let band = simultaneous_band(&shifts, &resampled, &drawn.blocks)?;
    Some(ShiftCurve {
        fractions: shift_fractions().collect(),
        shift_ns,
        low_ns: band.iter().map(|interval| centi(interval.low)).collect(),
        high_ns: band.iter().map(|interval| centi(interval.high)).collect(),
    })
}

/// Mean, median and range of a sample.
pub fn summary(sample: &Sorted) -> Summary {
    Summary {
        mean: sample.mean(),
        median: sample.quantile(Percentile::P50),
        min: CentiNanos::from_nanos(sample.min()),
        max: CentiNanos::from_nanos(sample.max()),
    }
}

/// Quantiles of both sides on one grid.
pub fn curve(real: &Sorted, sim: &Sorted) -> Curve {
    let grid = curve_grid(real.values().len().max(sim.values().len()));
    Curve {
        fractions: grid.iter().map(|(index, all)| *index as f64 / *all as f64).collect(),
        real_ns: grid.iter().map(|(index, all)| real.quantile_at(*index, *all)).collect(),
        sim_ns: grid.iter().map(|(index, all)| sim.quantile_at(*index, *all)).collect(),
    }
}

/// Even fractions, and beyond the last of them four points to a halving of what is left: a tail is looked at on an axis
/// of 1 / (1 - p). As (numerator, denominator).
pub fn curve_grid(num_values: usize) -> Vec<(u64, u64)> {
    let last = num_values.clamp(2, MAX_CURVE_POINTS) as u64 - 1;
    let tail = (1..)
        .map(|step: u32| libm::round(last as f64 * libm::exp2(f64::from(step) / 4.0)) as u64)
        .take_while(|inverse| *inverse < num_values as u64)
        .map(|inverse| (inverse - 1, inverse));
    let tail = tail.filter(|(below, all)| below * last > (last - 1) * all);
    (0..last).map(|index| (index, last)).chain(tail).chain([(1, 1)]).collect()
}

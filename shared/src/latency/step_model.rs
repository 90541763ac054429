//! The step model: step time as a physical sum, fitted to measured steps, interpolating in tokens.
//!
//! A step streams the weights once and multiplies every token with them, so its dense part is a
//! function of tokens alone: kept as a piecewise linear one that never falls, with a knot at every
//! measured token count. Attention adds a term per query-key pair (prefill) and per token read
//! (decode), the sequences and the sampled rows of the output head one each. All terms are
//! non-negative, so the fit cannot trade one absurdity for another.

use serde::Serialize;

use crate::latency::nonnegative;
use crate::latency::{BatchShape, LatencyModel, StepProfile, StepProfileRow, StepTime};
use crate::time::{Nanos, Ticks};

/// Terms beside the dense curve: prefill pairs, context tokens, sequences, sampled rows.
const NUM_EXTRA: usize = 4;

/// A fitted step model.
#[derive(Clone, Debug, PartialEq)]
pub struct StepModel {
    /// Token counts measured, ascending.
    knots: Vec<u64>,
    /// Device coefficients: time at the first knot, slope of each segment, then the extra terms; ns.
    device: Vec<f64>,
    /// Host coefficients: constant, per sequence, per token; ns.
    host: Vec<f64>,
    limits: BatchShape,
}

/// How well a model reproduces the steps it was fitted to, and those held out, as fractions of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FitReport {
    /// Shapes fitted.
    pub num_fitted: usize,
    /// Mean absolute relative error of fitted shapes.
    pub fitted_mean_error: f64,
    /// Largest of them.
    pub fitted_max_error: f64,
    /// Shapes held out.
    pub num_held_out: usize,
    /// Mean absolute relative error of shapes held out; `None` without any.
    pub held_out_mean_error: Option<f64>,
    /// Largest of them.
    pub held_out_max_error: Option<f64>,
}

impl StepModel {
    /// Fits the model to the rows that are not held out, minimising squared *relative* errors;
    /// `include_host = false` predicts the device alone, as simulators without host overhead do.
    pub fn fit(profile: &StepProfile, include_host: bool) -> Self {
        StepModel::fit_to_knots(profile, include_host, usize::MAX)
    }

    /// The same with at most `most_knots` knots (at least two), evenly among the token counts measured: for rows that
    /// were not chosen, as a run's own steps.
    pub fn fit_to_knots(profile: &StepProfile, include_host: bool, most_knots: usize) -> Self {
        let rows: Vec<&StepProfileRow> = profile.rows.iter().filter(|row| !row.is_held_out).collect();
        let mut knots: Vec<u64> = rows.iter().map(|row| row.shape.num_tokens()).collect();
        knots.sort_unstable();
        knots.dedup();
        if knots.len() > most_knots.max(2) {
            let last = most_knots.max(2) - 1;
            knots = (0..=last).map(|index| knots[index * (knots.len() - 1) / last]).collect();
        }
        let design: Vec<Vec<f64>> = rows.iter().map(|row| device_terms(&row.shape, &knots)).collect();
        let device = relative_fit(&design, &rows.iter().map(|row| row.device).collect::<Vec<_>>());
        let design: Vec<Vec<f64>> = rows.iter().map(|row| host_terms(&row.shape).to_vec()).collect();
        let host = match include_host {
            true => relative_fit(&design, &rows.iter().map(|row| row.host).collect::<Vec<_>>()),
            false => vec![0.0; 3],
        };
        let limits = profile.rows.iter().fold(BatchShape::default(), |limits, row| BatchShape {
            num_prefill_tokens: limits.num_prefill_tokens.max(row.shape.num_tokens()),
            num_prefill_seqs: limits.num_prefill_seqs.max(row.shape.num_prefill_seqs),
            prefill_pairs: limits.prefill_pairs.max(row.shape.prefill_pairs),
            num_decode_seqs: limits.num_decode_seqs.max(row.shape.num_decode_seqs),
            context_tokens: limits.context_tokens.max(row.shape.context_tokens),
            num_sampled: limits.num_sampled.max(row.shape.num_sampled),
            ..limits
        });
        StepModel { knots, device, host, limits }
    }

    /// Size of the error of a measured device time, as a fraction of it.
    pub fn device_error(&self, row: &StepProfileRow) -> f64 {
        let predicted = dot(&device_terms(&row.shape, &self.knots), &self.device);
        libm::fabs(predicted - row.device.0 as f64) / row.device.0 as f64
    }

    /// Compares the model with the profile's own device times.
    pub fn report(&self, profile: &StepProfile) -> FitReport {
        let error = |row: &StepProfileRow| self.device_error(row);
        let of = |is_held_out: bool| -> Vec<f64> {
            profile.rows.iter().filter(|row| row.is_held_out == is_held_out).map(error).collect()
        };
        let (fitted, held_out) = (of(false), of(true));
        let mean = |errors: &[f64]| (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64);
        let max = |errors: &[f64]| errors.iter().copied().reduce(f64::max);
        FitReport {
            num_fitted: fitted.len(),
            fitted_mean_error: mean(&fitted).unwrap_or(0.0),
            fitted_max_error: max(&fitted).unwrap_or(0.0),
            num_held_out: held_out.len(),
            held_out_mean_error: mean(&held_out),
            held_out_max_error: max(&held_out),
        }
    }
}

impl LatencyModel for StepModel {
    fn stage_time(&self, shape: &BatchShape, _stage: u32) -> StepTime {
        let num_knots = self.knots.len();
        let extra = extra_terms(shape);
        let dense = self.dense(shape.num_tokens());
        StepTime {
            host: Ticks::from_nanos_f64(dot(&host_terms(shape), &self.host)),
            device: Ticks::from_nanos_f64(dense + dot(&extra, &self.device[num_knots..])),
            is_covered: self.covers(shape),
        }
    }
}

impl StepModel {
    fn covers(&self, shape: &BatchShape) -> bool {
        let limits = &self.limits;
        shape.num_tokens() <= limits.num_prefill_tokens
            && shape.prefill_pairs <= limits.prefill_pairs
            && shape.num_decode_seqs <= limits.num_decode_seqs
            && shape.context_tokens <= limits.context_tokens
            && shape.num_sampled <= limits.num_sampled
    }

    /// The dense curve at `tokens`; beyond the last knot its last slope goes on.
    fn dense(&self, tokens: u64) -> f64 {
        let mut time = self.device[0];
        for (segment, pair) in self.knots.windows(2).enumerate() {
            let is_last = segment + 2 == self.knots.len();
            let end = if is_last { tokens } else { tokens.min(pair[1]) };
            if end <= pair[0] {
                break;
            }
            time += self.device[segment + 1] * (end - pair[0]) as f64;
        }
        time
    }
}

/// The dense curve's value as a linear form in (time at first knot, slopes), then the extra terms.
fn device_terms(shape: &BatchShape, knots: &[u64]) -> Vec<f64> {
    let tokens = shape.num_tokens();
    let mut terms = vec![1.0];
    for (segment, pair) in knots.windows(2).enumerate() {
        let end = if segment + 2 == knots.len() { tokens } else { tokens.min(pair[1]) };
        terms.push(end.saturating_sub(pair[0]) as f64);
    }
    terms.extend(extra_terms(shape));
    terms
}

fn extra_terms(shape: &BatchShape) -> [f64; NUM_EXTRA] {
    let sequences = shape.num_prefill_seqs + shape.num_decode_seqs;
    [shape.prefill_pairs as f64, shape.context_tokens as f64, sequences as f64, shape.num_sampled as f64]
}

fn host_terms(shape: &BatchShape) -> [f64; 3] {
    [1.0, (shape.num_prefill_seqs + shape.num_decode_seqs) as f64, shape.num_tokens() as f64]
}

/// Columns are scaled to unit size first: their magnitudes span seven decades.
fn relative_fit(design: &[Vec<f64>], times: &[Nanos]) -> Vec<f64> {
    let width = design.first().map_or(0, Vec::len);
    let weight = |time: &Nanos| 1.0 / (time.0.max(1) as f64);
    let mut rows: Vec<Vec<f64>> =
        design.iter().zip(times).map(|(row, time)| row.iter().map(|term| term * weight(time)).collect()).collect();
    let scale: Vec<f64> = (0..width)
        .map(|column| libm::sqrt(rows.iter().map(|row| row[column] * row[column]).sum::<f64>()))
        .map(|size| if size > 0.0 { size } else { 1.0 })
        .collect();
    for row in &mut rows {
        row.iter_mut().zip(&scale).for_each(|(term, size)| *term /= size);
    }
    let targets: Vec<f64> = times.iter().map(|time| time.0 as f64 * weight(time)).collect();
    let solution = nonnegative::solve(&rows, &targets);
    solution.iter().zip(&scale).map(|(value, size)| value / size).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tokens: u64, start: u64, decodes: u64, context: u64) -> StepProfileRow {
        let shape = BatchShape {
            num_prefill_tokens: tokens,
            num_prefill_seqs: u64::from(tokens > 0),
            prefill_pairs: tokens * start + tokens * (tokens + 1) / 2,
            num_decode_seqs: decodes,
            context_tokens: decodes * context,
            num_sampled: decodes + u64::from(tokens > 0),
            ..BatchShape::default()
        };
        // A made-up machine: dense 1 ms up to 8 tokens then 50 us each, 10 ns a pair, 20 ns a token read.
        let dense = 1_000_000 + 50_000 * shape.num_tokens().saturating_sub(8);
        let device = dense + 10 * shape.prefill_pairs + 20 * shape.context_tokens + 3_000 * shape.num_sampled;
        let device = Nanos(device);
        let host = Nanos(20_000 + 1_000 * (decodes + shape.num_prefill_seqs));
        StepProfileRow {
            shape,
            num_repeats: 3,
            host,
            device,
            device_min: device,
            device_max: device,
            is_held_out: false,
        }
    }

    fn profile() -> StepProfile {
        let mut rows = Vec::new();
        for tokens in [1, 2, 4, 8, 16, 32, 64] {
            rows.extend([row(tokens, 0, 0, 0), row(tokens, 512, 0, 0)]);
        }
        for decodes in [1, 2, 4, 8, 16] {
            rows.extend([row(0, 0, decodes, 16), row(0, 0, decodes, 1024)]);
        }
        StepProfile { rows }
    }

    #[test]
    fn a_machine_of_the_models_own_form_is_recovered_at_shapes_never_measured() {
        let model = StepModel::fit(&profile(), true);
        for unseen in [row(24, 100, 0, 0), row(0, 0, 12, 333), row(20, 40, 6, 200)] {
            let predicted = model.stage_time(&unseen.shape, 0);
            let error = (predicted.device.to_nanos().0 as f64 - unseen.device.0 as f64) / unseen.device.0 as f64;
            assert!(error.abs() < 0.01, "{:?}: {predicted:?} for {:?}", unseen.shape, unseen.device);
            let host_error = (predicted.host.to_nanos().0 as f64 - unseen.host.0 as f64) / unseen.host.0 as f64;
            assert!(host_error.abs() < 0.01, "{predicted:?} for {:?}", unseen.host);
        }
        assert!(model.report(&profile()).fitted_max_error < 0.01);
    }

    #[test]
    fn shapes_beyond_the_profile_are_not_covered() {
        let model = StepModel::fit(&profile(), true);
        assert!(model.covers(&row(24, 100, 0, 0).shape));
        assert!(!model.covers(&row(0, 0, 17, 16).shape));
        assert!(!model.covers(&row(65, 0, 0, 0).shape));
        assert!(!model.covers(&row(64, 513, 0, 0).shape));
    }
}

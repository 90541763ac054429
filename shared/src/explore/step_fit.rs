//! Step times fitted to the steps a run recorded, for asking "what if" of nothing but a bundle.
//!
//! A step's row says how many tokens it computed and read, not over what its prompts' chunks attended: where the
//! schedule can be served again at the recorded instants, exactly that is found; else each step's prefill is taken for
//! one whole prompt.

use crate::calibrate::{NoBase, RecordedStep, recorded, served};
use crate::latency::{BatchShape, LatencyModel, StepModel, StepProfile, StepProfileRow, StepTime};
use crate::schema::{Run, StepRow};
use crate::serving::SchedulerConfig;
use crate::time::{Nanos, Ticks};

/// Steps that are fitted to, at most: every so many of them, in order of what they computed.
const MOST_STEPS: usize = 8_192;
/// Knots of the dense curve, at most.
const MOST_KNOTS: usize = 16;
/// No step takes longer: what is beyond was extrapolated into nonsense.
const LONGEST_STEP: Ticks = Ticks(3_600_000_000_000_000);

/// Fitted step times.
pub(super) struct StepTimes {
    model: StepModel,
    /// Mean size of the relative error over the steps that were fitted to.
    pub error: f64,
    /// What is not known of the steps and was taken instead.
    pub assumed: Option<String>,
}

impl StepTimes {
    /// Fits to the steps of `run`, which was served with `scheduler`.
    ///
    /// # Errors
    /// No step that computed something and took time.
    pub fn fit(run: &Run, scheduler: &SchedulerConfig) -> Result<Self, String> {
        let steps = run.steps.as_deref().unwrap_or_default();
        let (rows, assumed) = match again(run, steps, scheduler) {
            Ok(rows) => (rows, None),
            Err(reason) => {
                let assumed = format!("each step's prefill is taken for one whole prompt, because {reason}");
                (steps.iter().map(by_its_row).collect(), Some(assumed))
            }
        };
        let mut rows: Vec<Row> =
            rows.into_iter().filter(|row| row.shape.num_tokens() > 0 && row.time().0 > 0).collect();
        if rows.is_empty() {
            return Err("no engine step in the bundle computed a token".to_owned());
        }
        // An engine that cannot tell its device's time apart from the host's says zero.
        if rows.iter().any(|row| row.device == Nanos::ZERO) {
            rows.iter_mut().for_each(|row| (row.host, row.device) = (Nanos::ZERO, row.time()));
        }
        let rows = thinned(rows);
        let profile = StepProfile { rows: rows.iter().map(Row::measured).collect() };
        let model = StepModel::fit_to_knots(&profile, true, MOST_KNOTS);
        let error = |row: &Row| {
            let StepTime { host, device, .. } = model.stage_time(&row.shape, 0);
            let measured = row.time().0 as f64;
            libm::fabs((host + device).to_nanos_f64() - measured) / measured
        };
        let error = rows.iter().map(error).sum::<f64>() / rows.len() as f64;
        Ok(StepTimes { model, error, assumed })
    }
}

impl LatencyModel for StepTimes {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        let time = self.model.stage_time(shape, stage);
        StepTime { host: time.host.min(LONGEST_STEP), device: time.device.min(LONGEST_STEP), ..time }
    }
}

/// One step.
struct Row {
    shape: BatchShape,
    host: Nanos,
    device: Nanos,
}

impl Row {
    fn time(&self) -> Nanos {
        Nanos(self.host.0.saturating_add(self.device.0))
    }

    fn measured(&self) -> StepProfileRow {
        StepProfileRow::once(self.shape, self.host, self.device)
    }
}

/// The steps with their exact shapes.
fn again(run: &Run, steps: &[StepRow], scheduler: &SchedulerConfig) -> Result<Vec<Row>, String> {
    if scheduler.async_scheduling {
        return Err("asynchronous steps overlap".to_owned());
    }
    let steps = recorded(&served(run), steps, scheduler, &NoBase)?;
    let row = |step: RecordedStep| {
        let host = step.host.min(step.time);
        Row { shape: step.features.shape, host, device: step.time - host }
    };
    Ok(steps.into_iter().map(row).collect())
}

fn by_its_row(step: &StepRow) -> Row {
    // Files may say anything; so small, sums and squares of them fit.
    let [tokens, num_decode_seqs, context_tokens] =
        [step.num_prefill_tokens, step.num_decode_seqs, step.context_tokens].map(|count| count.min(1 << 31));
    let has_prefill = u64::from(tokens > 0);
    let shape = BatchShape {
        num_prefill_tokens: tokens,
        num_prefill_seqs: has_prefill,
        prefill_pairs: tokens * (tokens + 1) / 2,
        num_decode_seqs,
        context_tokens,
        num_sampled: num_decode_seqs + has_prefill,
        ..BatchShape::default()
    };
    let time = step.end - step.start;
    let host = step.host.min(time);
    Row { shape, host, device: time - host }
}

/// Every so many of them, ordered by what they computed: few of one kind, some of every kind.
fn thinned(mut rows: Vec<Row>) -> Vec<Row> {
    let every = rows.len().div_ceil(MOST_STEPS).max(1);
    crate::order::sort_by_key(&mut rows, |row| {
        let shape = &row.shape;
        (shape.num_tokens(), shape.num_prefill_tokens, shape.prefill_pairs, shape.context_tokens, row.time())
    });
    let last = rows.len() - 1;
    rows.into_iter().enumerate().filter(|(index, _)| index % every == 0 || *index == last).map(|(_, row)| row).collect()
}

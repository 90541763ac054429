//! One run as calibration looks at it: its workload as it was served, and what its spans are made of.

use std::ops::Range;

use crate::calibrate::calibration::{Evidence, FittedRun, stamps_sha256};
use crate::calibrate::fit::Observation;
use crate::calibrate::model::{CalibratedModel, grow};
use crate::calibrate::replay::Replay;
use crate::calibrate::{CalibrationError, Source, steps};
use crate::latency::{BatchShape, LatencyModel};
use crate::schema::{Run, Workload, WorkloadRow};
use crate::serving::SchedulerConfig;
use crate::time::Nanos;

/// What of a run is looked at.
pub struct Track<'a> {
    run: &'a Run,
    requests: Range<u32>,
    workload: Workload,
    /// Its own steps, where it has them.
    recorded: Option<Vec<steps::RecordedStep>>,
}

impl<'a> Track<'a> {
    /// Prepares a run; its steps are served again if it recorded them.
    ///
    /// # Errors
    /// Steps that `scheduler` would not have chosen.
    pub fn of<B: LatencyModel>(
        source: &Source<'a>,
        scheduler: &SchedulerConfig,
        base: &B,
    ) -> Result<Self, CalibrationError> {
        let Source { run, requests } = source.clone();
        let requests = requests.start..requests.end.min(run.requests.len() as u32);
        let workload = served(run);
        let recorded = match run.steps.as_deref().filter(|steps| !steps.is_empty() && !scheduler.async_scheduling) {
            None => None,
            Some(rows) => {
                let mut steps =
                    steps::recorded(&workload, rows, scheduler, base).map_err(CalibrationError::Settings)?;
                let arrival = |id: u32| workload.rows.get(id as usize).map(|row| row.arrival);
                let (from, to) = (arrival(requests.start), arrival(requests.end));
                steps.retain(|step| from.is_none_or(|from| step.start >= from) && to.is_none_or(|to| step.start < to));
                Some(steps)
            }
        };
        Ok(Track { run, requests, workload, recorded })
    }

    /// What a calibration says of it.
    pub fn fitted(&self, source: &Source<'_>) -> FittedRun {
        FittedRun {
            run_id: source.run.meta.run_id.clone(),
            stamps_sha256: stamps_sha256(source.run),
            num_requests: source.run.requests.len() as u32,
            first_request: self.requests.start,
            last_request: self.requests.end.saturating_sub(1),
            evidence: if self.recorded.is_some() { Evidence::Steps } else { Evidence::Stamps },
        }
    }

    /// Its observations on the schedule that `model` gives, numbered from `position`, and the largest sums of its steps.
    ///
    /// # Errors
    /// Settings that cannot serve it.
    pub fn observe<B: LatencyModel>(
        &self,
        scheduler: &SchedulerConfig,
        model: &CalibratedModel<B>,
        position: u32,
    ) -> Result<(Vec<Observation>, BatchShape), CalibrationError> {
        if let Some(recorded) = &self.recorded {
            let mut limits = BatchShape::default();
            recorded.iter().for_each(|step| grow(&mut limits, &step.features.shape));
            return Ok((steps::observations(recorded, &model.base, position), limits));
        }
        let replay = Replay::of(&self.workload, scheduler, model)
            .map_err(|error| CalibrationError::Settings(format!("simulating it ends with {error:?}")))?;
        Ok((replay.observations(&self.run.requests, self.requests.clone(), position), replay.limits))
    }
}

/// The workload as it was served: outputs as long as they became.
pub(crate) fn served(run: &Run) -> Workload {
    let mut before = Nanos::ZERO;
    let rows = run.requests.iter().map(|row| WorkloadRow {
        num_prefill_tokens: row.num_prefill_tokens,
        num_decode_tokens: row.num_decode_tokens_actual,
        inter_arrival: row.arrival.saturating_sub(std::mem::replace(&mut before, row.arrival)),
        arrival: row.arrival,
        ..WorkloadRow::default()
    });
    Workload { rows: rows.collect(), prefixes: None }
}

//! A run in Vidur's time, recorded in ours: its batches become steps and tokens, its requests rows.

use crate::schema::{RequestRow, RequestStatus, StepRow, Workload};
use crate::serving::{Load, Request, TokenEvent};
use crate::simulate::vidur::{FinishedBatch, Observer, VidurRun};
use crate::simulate::{Recorder, SimulationCounts, step_row};
use crate::time::Nanos;

/// Observes a run and hands it on to a recorder.
pub struct VidurRecorder<'a, R: Recorder> {
    workload: &'a Workload,
    recorder: &'a mut R,
    /// When each request's first output token was there: later than Vidur's end of the prompt, where a restart forgot
    /// a part of the prompt and "decoded" it.
    first_tokens: Vec<Option<Nanos>>,
    counts: SimulationCounts,
    failure: Option<R::Error>,
}

impl<'a, R: Recorder> VidurRecorder<'a, R> {
    /// An observer of a run of `workload`.
    pub fn new(workload: &'a Workload, recorder: &'a mut R) -> Self {
        let first_tokens = vec![None; workload.rows.len()];
        VidurRecorder { workload, recorder, first_tokens, counts: SimulationCounts::default(), failure: None }
    }

    /// The workload's requests on Vidur's clock.
    pub fn requests(&self) -> Vec<Request<f64>> {
        let of = |(id, row)| {
            let request = Request::from_row(id, row);
            request.with_arrival(request.arrival.as_secs_f64())
        };
        (0u32..).zip(&self.workload.rows).map(of).collect()
    }

    /// Records the requests. One that a time limit cut off is an error row.
    ///
    /// # Errors
    /// The first failure of the recorder.
    pub fn finish(mut self, run: &VidurRun) -> Result<SimulationCounts, R::Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.counts.steps_out_of_profile = run.num_uncovered;
        for (id, (row, result)) in (0u32..).zip(self.workload.rows.iter().zip(&run.requests)) {
            self.counts.num_preemptions += u64::from(result.num_restarts);
            let asked = RequestRow {
                request_id: id,
                arrival: row.arrival,
                num_prefill_tokens: row.num_prefill_tokens,
                num_decode_tokens: row.num_decode_tokens,
                ..RequestRow::default()
            };
            self.recorder.finished(match (&result.unserved, result.completed) {
                (Some(unserved), _) => {
                    RequestRow { status: unserved.status, error_msg: unserved.reason.clone(), ..asked }
                }
                (None, Some(completed)) => RequestRow {
                    scheduled: result.scheduled.map(nanos),
                    first_token: self.first_tokens[id as usize],
                    completion: Some(nanos(completed)),
                    num_decode_tokens_actual: row.num_decode_tokens,
                    num_preemptions: Some(result.num_restarts),
                    status: RequestStatus::Ok,
                    ..asked
                },
                (None, None) => RequestRow {
                    status: RequestStatus::Error,
                    error_msg: Some("not complete when the simulation ended".to_owned()),
                    ..asked
                },
            })?;
        }
        Ok(self.counts)
    }

    fn record(&mut self, finished: &FinishedBatch, completed: f64) -> Result<(), R::Error> {
        let time = nanos(completed);
        for token in &finished.tokens {
            self.first_tokens[token.request_id as usize].get_or_insert(time);
            self.recorder.token(TokenEvent { request_id: token.request_id, index: token.index, time }, None)?;
        }
        let load = Load { kv_blocks_used: finished.num_blocks, num_running: 0, num_waiting: finished.num_waiting };
        let (start, shape) = (nanos(finished.scheduled), finished.batch.shape());
        let row = step_row(finished.id, &shape, load, start, time, time - start);
        self.recorder.step(StepRow { replica_id: finished.replica, num_running: shape.num_seqs(), ..row })
    }
}

fn nanos(seconds: f64) -> Nanos {
    Nanos::from_secs_f64(seconds).expect("a run in parity mode has finite times")
}

impl<R: Recorder> Observer for VidurRecorder<'_, R> {
    fn batch(&mut self, batch: &FinishedBatch) {
        self.counts.num_steps += 1;
        if let (Some(completed), None) = (batch.completed, &self.failure) {
            self.failure = self.record(batch, completed).err();
        }
    }
}

//! Recorders that keep a run in memory without its tokens: for searches, scores and fits.

use std::convert::Infallible;

use crate::schema::{RequestRow, Run, StepRow};
use crate::serving::TokenEvent;
use crate::simulate::Recorder;

/// Requests as they finished.
#[derive(Clone, Debug, Default)]
pub struct RequestRows(Vec<RequestRow>);

impl RequestRows {
    /// The run, its requests by id; without tokens, steps and metadata.
    pub fn into_run(self, name: &str) -> Run {
        let mut requests = self.0;
        requests.sort_by_key(|row| row.request_id);
        Run { name: name.to_owned(), requests, ..Run::default() }
    }
}

impl Recorder for RequestRows {
    type Error = Infallible;

    fn wants_tokens(&self) -> bool {
        false
    }

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        self.0.push(row);
        Ok(())
    }

    fn step(&mut self, _: StepRow) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Requests and steps as they finished.
#[derive(Clone, Debug, Default)]
pub struct StepRows {
    requests: RequestRows,
    steps: Vec<StepRow>,
}

impl StepRows {
    /// The run, its requests by id, its steps as they ended; without tokens and metadata.
    pub fn into_run(self, name: &str) -> Run {
        Run { steps: Some(self.steps), ..self.requests.into_run(name) }
    }
}

impl Recorder for StepRows {
    type Error = Infallible;

    fn wants_tokens(&self) -> bool {
        false
    }

    fn token(&mut self, _: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        self.requests.finished(row)
    }

    fn step(&mut self, row: StepRow) -> Result<(), Infallible> {
        self.steps.push(row);
        Ok(())
    }
}

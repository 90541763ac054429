//! Recorders that keep a run in memory, or the part of it that is looked at: for searches, scores and fits.

use std::convert::Infallible;

use crate::schema::{RequestRow, Run, StepRow, TokenTimes};
use crate::serving::TokenEvent;
use crate::simulate::Recorder;
use crate::time::Nanos;

/// Requests as they finished.
#[derive(Clone, Debug, Default)]
pub struct RequestRows(Vec<RequestRow>);

impl RequestRows {
    /// The run, its requests by id; without tokens, steps and metadata.
    pub fn into_run(self, name: &str) -> Run {
        let mut requests = self.0;
        crate::order::sort_by_key(&mut requests, |row| row.request_id);
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

/// Requests, tokens and steps: a whole run.
#[derive(Clone, Debug, Default)]
pub struct RunRows {
    rows: StepRows,
    tokens: Vec<Vec<Nanos>>,
}

impl RunRows {
    /// The run, its requests by id, its steps as they ended; without metadata.
    pub fn into_run(mut self, name: &str) -> Run {
        let run = self.rows.into_run(name);
        self.tokens.resize_with(run.requests.len(), Vec::new);
        Run { tokens: Some(TokenTimes::from_lists(&self.tokens)), ..run }
    }
}

impl Recorder for RunRows {
    type Error = Infallible;

    fn token(&mut self, event: TokenEvent, _: Option<u32>) -> Result<(), Infallible> {
        let id = event.request_id as usize;
        if self.tokens.len() <= id {
            self.tokens.resize_with(id + 1, Vec::new);
        }
        self.tokens[id].push(event.time);
        Ok(())
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), Infallible> {
        self.rows.finished(row)
    }

    fn step(&mut self, row: StepRow) -> Result<(), Infallible> {
        self.rows.step(row)
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

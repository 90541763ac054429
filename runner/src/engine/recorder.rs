//! Writes request, token and step metrics as they happen, into an artifact in the making.

use std::fs::File;
use std::io::BufWriter;

use fidelio_shared::schema::{DataError, Origin, RequestRow, RequestWriter, StepRow, StepWriter, TokenWriter};
use fidelio_shared::serving::TokenEvent;
use fidelio_shared::simulate::Recorder;
use indicatif::ProgressBar;

use crate::store::Staging;

const REQUESTS: &str = "request_metrics.csv";

/// Three CSV files and a progress bar. A real run's rows reach the disk as its requests end, so that a
/// killed run still has them; request rows are written once more at the end, in id order.
pub struct FileRecorder {
    requests: RequestWriter<BufWriter<File>>,
    tokens: Option<TokenWriter<BufWriter<File>>>,
    steps: StepWriter<BufWriter<File>>,
    rows: Vec<RequestRow>,
    backend: String,
    origin: Origin,
    bar: ProgressBar,
}

impl FileRecorder {
    /// Creates the files. `backend` is what request rows say ran them; without `wants_tokens` there is no token table.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn new(
        staging: &Staging,
        num_requests: usize,
        backend: &str,
        origin: Origin,
        wants_tokens: bool,
        bar: ProgressBar,
    ) -> anyhow::Result<Self> {
        let has_token_ids = origin == Origin::Real;
        let tokens = match wants_tokens {
            true => Some(TokenWriter::new(staging.file("token_metrics.csv")?, num_requests, has_token_ids)?),
            false => None,
        };
        Ok(FileRecorder {
            requests: RequestWriter::new(staging.file(REQUESTS)?, backend)?,
            tokens,
            steps: StepWriter::new(staging.file("step_metrics.csv")?),
            rows: Vec::with_capacity(num_requests),
            backend: backend.to_owned(),
            origin,
            bar,
        })
    }

    /// Writes the request rows in id order and flushes everything; after an interruption, what there is.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self, staging: &Staging) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        self.flush()?;
        self.rows.sort_by_key(|row| row.request_id);
        let mut sorted = RequestWriter::new(staging.file(REQUESTS)?, &self.backend)?;
        for row in &self.rows {
            sorted.write(row)?;
        }
        sorted.flush()?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.tokens.as_mut().map_or(Ok(()), TokenWriter::flush)?;
        self.steps.flush()?;
        self.requests.flush()
    }
}

impl Recorder for FileRecorder {
    type Error = DataError;

    fn wants_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    fn token(&mut self, event: TokenEvent, token_id: Option<u32>) -> Result<(), DataError> {
        match &mut self.tokens {
            Some(tokens) => tokens.write(event.request_id, event.index, event.time, token_id),
            None => Ok(()),
        }
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), DataError> {
        self.bar.inc(1);
        if self.origin == Origin::Real {
            self.requests.write(&row)?;
            self.flush()?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn step(&mut self, row: StepRow) -> Result<(), DataError> {
        self.steps.write(&row)
    }
}

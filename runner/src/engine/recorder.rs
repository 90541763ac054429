//! Writes request, token and step metrics as they happen, into an artifact in the making.

use std::fs::File;
use std::io::BufWriter;

use fidelio_shared::schema::{DataError, RequestRow, RequestWriter, StepRow, StepWriter, TokenWriter};
use fidelio_shared::serving::TokenEvent;
use fidelio_shared::simulate::Recorder;
use indicatif::ProgressBar;

use crate::store::Staging;

/// Three CSV files and a progress bar. Request rows are kept until the end, because the file is in
/// id order and requests do not end in it.
pub struct FileRecorder {
    requests: RequestWriter<BufWriter<File>>,
    tokens: TokenWriter<BufWriter<File>>,
    steps: StepWriter<BufWriter<File>>,
    rows: Vec<RequestRow>,
    bar: ProgressBar,
}

impl FileRecorder {
    /// Creates the files. `backend` is what request rows say ran them; `with_token_ids` adds the
    /// optional column for engines that sample.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn new(
        staging: &Staging,
        num_requests: usize,
        backend: &str,
        with_token_ids: bool,
        bar: ProgressBar,
    ) -> anyhow::Result<Self> {
        Ok(FileRecorder {
            requests: RequestWriter::new(staging.file("request_metrics.csv")?, backend)?,
            tokens: TokenWriter::new(staging.file("token_metrics.csv")?, num_requests, with_token_ids)?,
            steps: StepWriter::new(staging.file("step_metrics.csv")?)?,
            rows: Vec::with_capacity(num_requests),
            bar,
        })
    }

    /// Writes the request rows and flushes everything; after an interruption, those there are.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        self.rows.sort_by_key(|row| row.request_id);
        for row in &self.rows {
            self.requests.write(row)?;
        }
        self.requests.flush()?;
        self.tokens.flush()?;
        self.steps.flush()?;
        Ok(())
    }
}

impl Recorder for FileRecorder {
    type Error = DataError;

    fn token(&mut self, event: TokenEvent, token_id: Option<u32>) -> Result<(), DataError> {
        self.tokens.write(event.request_id, event.index, event.time, token_id)
    }

    fn finished(&mut self, row: RequestRow) -> Result<(), DataError> {
        self.rows.push(row);
        self.bar.inc(1);
        Ok(())
    }

    fn step(&mut self, row: StepRow) -> Result<(), DataError> {
        self.steps.write(&row)
    }
}

//! `steps.csv`: whole engine steps measured by batch shape, host and device apart.

use std::io::{Read, Write};

use crate::latency::BatchShape;
use crate::schema::DataError;
use crate::schema::table::TableReader;
use crate::time::Nanos;

/// One measured shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepProfileRow {
    /// What was computed.
    pub shape: BatchShape,
    /// Times it was measured.
    pub num_repeats: u32,
    /// Median host time of a step.
    pub host: Nanos,
    /// Median device time of a step.
    pub device: Nanos,
    /// Fastest device time.
    pub device_min: Nanos,
    /// Slowest device time.
    pub device_max: Nanos,
    /// Kept out of the fit, to measure how well it predicts.
    pub is_held_out: bool,
}

impl StepProfileRow {
    /// A shape that was seen once, to be fitted.
    pub(crate) fn once(shape: BatchShape, host: Nanos, device: Nanos) -> Self {
        StepProfileRow {
            shape,
            num_repeats: 1,
            host,
            device,
            device_min: device,
            device_max: device,
            is_held_out: false,
        }
    }
}

/// All measured shapes of one executor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepProfile {
    /// In the order they were measured.
    pub rows: Vec<StepProfileRow>,
}

/// A step that takes longer is a broken measurement, and thousands of them would overflow a run's time.
const LONGEST_STEP: Nanos = Nanos(3_600_000_000_000);

const HEADER: [&str; 12] = [
    "num_prefill_tokens",
    "num_prefill_seqs",
    "prefill_pairs",
    "num_decode_seqs",
    "context_tokens",
    "num_sampled",
    "num_repeats",
    "host_ns",
    "device_ns",
    "device_min_ns",
    "device_max_ns",
    "is_held_out",
];

impl StepProfile {
    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// The first broken cell, a shape that computes nothing, a zero time, a median outside its own range,
    /// or a file without rows.
    pub fn read(file: &str, input: impl Read) -> Result<Self, DataError> {
        let mut table = TableReader::new(file, input)?;
        let columns = table.all_required(&HEADER)?;
        let mut rows = Vec::new();
        while table.next_row()? {
            // Any two counts can be added.
            let count = |index: usize| match table.integer(columns[index])? {
                count if count > i64::MAX as u64 => Err(table.error(columns[index], format!("{count} is no count"))),
                count => Ok(count),
            };
            let time = |index: usize| table.time(columns[index]);
            let row = StepProfileRow {
                shape: BatchShape {
                    num_prefill_tokens: count(0)?,
                    num_prefill_seqs: count(1)?,
                    prefill_pairs: count(2)?,
                    num_decode_seqs: count(3)?,
                    context_tokens: count(4)?,
                    num_sampled: count(5)?,
                    ..BatchShape::default()
                },
                num_repeats: table.small_integer(columns[6])?,
                host: time(7)?,
                device: time(8)?,
                device_min: time(9)?,
                device_max: time(10)?,
                is_held_out: count(11)? != 0,
            };
            if row.shape.num_tokens() == 0 {
                return Err(table.error(columns[0], "the shape computes no token"));
            }
            for (index, time) in [(7, row.host), (8, row.device), (9, row.device_min), (10, row.device_max)] {
                if time > LONGEST_STEP {
                    return Err(table.error(columns[index], format!("{time} ns: no step takes more than an hour")));
                }
            }
            if row.device == Nanos::ZERO {
                return Err(table.error(columns[8], "a step cannot take no time: the measurement failed"));
            }
            if !(row.device_min..=row.device_max).contains(&row.device) {
                return Err(table.error(columns[8], "is not between device_min_ns and device_max_ns"));
            }
            rows.push(row);
        }
        if rows.iter().all(|row| row.is_held_out) {
            return Err(DataError::new(file, "holds no measured shape to fit"));
        }
        Ok(StepProfile { rows })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&self, output: impl Write) -> Result<(), DataError> {
        let mut csv = csv::Writer::from_writer(output);
        let fail = |error: csv::Error| DataError::new("steps.csv", format!("cannot write: {error}"));
        csv.write_record(HEADER).map_err(fail)?;
        for row in &self.rows {
            let shape = row.shape;
            let cells = [
                shape.num_prefill_tokens,
                shape.num_prefill_seqs,
                shape.prefill_pairs,
                shape.num_decode_seqs,
                shape.context_tokens,
                shape.num_sampled,
                u64::from(row.num_repeats),
                row.host.0,
                row.device.0,
                row.device_min.0,
                row.device_max.0,
                u64::from(row.is_held_out),
            ];
            csv.write_record(cells.map(|cell| cell.to_string())).map_err(fail)?;
        }
        csv.flush().map_err(|error| DataError::new("steps.csv", format!("cannot write: {error}")))
    }
}

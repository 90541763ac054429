//! Latency models: what turns a batch shape into host and device time.

mod nonnegative;
pub mod operations;
mod shape;
mod step_model;
mod step_profile;

pub use shape::BatchShape;
pub use step_model::{FitReport, StepModel};
pub use step_profile::{StepProfile, StepProfileRow};

use crate::time::Nanos;

/// Predicted time of one step on one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// Host time: scheduling, preparing, sampling, bookkeeping.
    pub host: Nanos,
    /// Device time: the forward pass.
    pub device: Nanos,
}

/// Something that predicts step times.
pub trait LatencyModel {
    /// Time of `shape` on pipeline stage `stage` (0 unless pipeline parallel).
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime;

    /// The shape lies inside what was profiled; outside it, [`LatencyModel::stage_time`] extrapolates.
    fn covers(&self, shape: &BatchShape) -> bool;
}

//! Latency models: what turns a batch shape into host and device time.

pub mod layered;
pub(crate) mod model_shape;
mod nonnegative;
pub mod operations;
mod roofline;
mod shape;
mod step_model;
mod step_profile;
mod vidur;
mod vidur_tables;

pub use model_shape::ModelShape;
pub use roofline::{Hardware, Roofline};
pub use shape::BatchShape;
pub use step_model::{FitReport, StepModel};
pub use step_profile::{StepProfile, StepProfileRow};
pub use vidur::{VidurModel, VidurShape, VidurTime};
pub use vidur_tables::{KV_GRANULARITY, TableLimits, VidurTables};

use crate::time::Ticks;

/// Predicted time of one step on one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// Host time: scheduling, preparing, sampling, bookkeeping.
    pub host: Ticks,
    /// Device time: the forward pass.
    pub device: Ticks,
    /// The shape lies inside what was profiled; outside it the time is extrapolated.
    pub is_covered: bool,
}

/// Something that predicts step times.
pub trait LatencyModel {
    /// Time of `shape` on pipeline stage `stage` (0 unless pipeline parallel).
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime;

    /// Host time that `num_arrived` requests take from the engine's loop, all together, before the next batch is
    /// chosen: reading, tokenising, queueing.
    fn admission_time(&self, _num_arrived: u32) -> Ticks {
        Ticks::default()
    }

    /// What the first step of an engine takes beyond its like, because the engine is cold.
    fn first_step_time(&self) -> Ticks {
        Ticks::default()
    }
}

impl<M: LatencyModel + ?Sized> LatencyModel for &M {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        (**self).stage_time(shape, stage)
    }

    fn admission_time(&self, num_arrived: u32) -> Ticks {
        (**self).admission_time(num_arrived)
    }

    fn first_step_time(&self) -> Ticks {
        (**self).first_step_time()
    }
}

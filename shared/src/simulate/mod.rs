//! The event-driven drivers: the serving core on virtual time, step times from a latency model.
//!
//! [`simulate`] keeps time in whole picoseconds and orders events as the engine's loop sees them;
//! [`vidur`] keeps it as Vidur does, to give its very numbers.

mod native;
mod record;
mod rows;
pub mod vidur;
mod vidur_metrics;
mod vidur_record;

pub use native::{Simulation, simulate};
pub use record::{Recorder, SimulationCounts, SimulationError, step_row};
pub use rows::{RequestRows, RunRows, StepRows};
pub use vidur_metrics::{VIDUR_COLUMNS, vidur_metrics};
pub use vidur_record::VidurRecorder;

//! Profiling an executor: whole engine steps over a grid of batch shapes, and single operations.

mod grid;
mod operations;
mod steps;

pub use grid::{PlannedStep, plan};
pub use operations::{AttentionRow, OperationRow, operations, write_attention, write_mlp};
pub use steps::{Pilot, measure_steps, pilot};

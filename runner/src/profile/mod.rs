//! Profiling an executor: whole engine steps over a grid of batch shapes, and single operations.

mod grid;
mod steps;
mod tables;

pub use grid::{PlannedStep, plan};
pub use steps::{Pilot, measure_steps, pilot};
pub use tables::{write_attention, write_mlp};

//! Profiling an executor: whole engine steps over a grid of batch shapes, and single operations.

mod closure;
mod grid;
mod refine;
mod steps;
mod tables;

pub use closure::{Closure, closure};
pub use grid::{PlannedStep, plan};
pub use refine::{Doubts, Midpoint};
pub use steps::{Pilot, Refinement, measure_steps, pilot, refine};
pub use tables::{write_attention, write_mlp};

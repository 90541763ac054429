//! The serving core: an engine minus time and arithmetic. Knows no tensors, tokenizers or clocks.
//!
//! A driver calls [`Replica::admit`] when a request arrives, [`Replica::begin_step`] to get the next
//! batch and [`Replica::end_step`] when it is computed. The core counts KV blocks; an executor that
//! really has them places them, and can never need more than were counted.

mod batch;
mod blocks;
mod config;
pub mod memory;
mod replica;
mod sarathi;
mod sequence;
mod vllm_v1;

pub use batch::{Batch, BatchItem, RequestId};
pub use config::{Policy, SchedulerConfig};
pub use replica::{Load, Replica, StepOutcome, TokenEvent};
pub use sequence::Request;

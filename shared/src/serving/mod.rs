//! The serving core: an engine minus time and arithmetic. Knows no tensors, tokenizers or clocks.
//!
//! A driver calls [`Replica::admit`] when a request arrives, [`Replica::begin_step`] to get the next
//! batch and [`Replica::end_step`] when it is computed. The core counts KV blocks; an executor that
//! really has them places them, and can never need more than were counted. Instants are whatever the
//! driver's clock gives: the core only keeps and orders them.

mod batch;
mod blocks;
mod cohort;
mod config;
mod faster_transformer;
mod kv;
mod lightllm;
pub mod memory;
mod orca;
mod placing;
mod prefix_cache;
mod replica;
mod router;
mod sarathi;
mod sequence;
mod vidur_vllm;
mod vllm_v1;

pub use batch::{Batch, BatchItem, CohortShare, RequestId};
pub use config::{Policy, SchedulerConfig};
pub use prefix_cache::PromptPrefix;
pub use replica::{Load, Replica, StepOutcome, TokenEvent};
pub use router::{ClusterConfig, Router, RouterPolicy};
pub use sequence::{Request, Served, Unserved};

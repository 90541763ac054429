//! What is asked, and when: workloads drawn from a specification and a seed. Knows no files, clocks or tokenizers.
//!
//! Every purpose has its own random stream, derived from the one seed and the stream's name, so that
//! another arrival process leaves the lengths as they were and a longer workload begins like a shorter one.

mod arrivals;
mod calendar;
mod check;
mod generate;
mod lengths;
mod source;
mod spec;
mod stream;
mod totals;
mod traces;

pub use check::{GenerateError, SpecError};
pub use generate::{GeneratedRow, Inputs, Requests, generate, synthetic_prompt};
pub use source::{Open, Opened, SourceRequest, in_memory};
pub use spec::{
    ArrivalProcess, ChatTemplate, Clip, DecodeLengths, FirstArrival, LengthDistribution, Order, RequestSource,
    WorkloadSpec,
};
pub use traces::{MOONCAKE_BLOCK_TOKENS, TraceReader};

//! What is asked, and when: workloads drawn from a specification and a seed. Knows no files, clocks or tokenizers.
//!
//! Every purpose has its own random stream, derived from the one seed and the stream's name, so that
//! another arrival process leaves the lengths as they were and a longer workload begins like a shorter one.
//!
//! Vidur's generators are here as laws, not as draws: the streams are not Python's, so the same seed gives
//! other requests of the same distribution. Where Vidur has an oddity the field that repeats it is off
//! unless asked for: `max_gap_factor`, `first_arrival`, `whole_seconds`, and the `vidur_…` request kinds.

mod arrivals;
mod asked;
mod calendar;
mod check;
mod generate;
mod lengths;
mod source;
mod spec;
mod tokens;
mod totals;
mod traces;

pub use check::{GenerateError, SpecError};
pub use generate::{GeneratedRow, Inputs, Requests, generate};
pub use source::{Open, Opened, SourceRequest, in_memory};
pub use spec::{
    ArrivalProcess, ChatTemplate, Clip, DecodeLengths, FirstArrival, LengthDistribution, Order, RequestSource,
    WorkloadSpec,
};
pub use tokens::{synthetic_prompt, synthetic_prompt_of_blocks};
pub use traces::{MOONCAKE_BLOCK_TOKENS, TraceReader};

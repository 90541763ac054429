//! What is asked, and when: workloads drawn from a specification and a seed. Knows no files, clocks or tokenizers.
//!
//! Every purpose has its own random stream, derived from the one seed and the stream's name, so that
//! another arrival process leaves the lengths as they were and a longer workload begins like a shorter one.

mod arrivals;
mod generate;
mod lengths;
mod spec;
mod stream;

pub use generate::{Generated, Inputs, SourceRequest, generate, synthetic_prompt};
pub(crate) use stream::Stream;

pub use spec::{
    ArrivalProcess, ChatTemplate, DecodeLengths, LengthDistribution, Order, RequestSource, SpecError, WorkloadSpec,
};

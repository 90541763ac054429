//! The integration tests of fidelio, one file a law or surface. They run the real binary on real files.

mod bad_input;
mod browser;
mod bundles;
mod calibrate;
mod candle_tensors;
mod capacity;
mod cli;
mod comparison;
mod config;
#[cfg(feature = "cuda")]
mod cuda;
mod determinism;
mod evidence;
mod fidelity;
mod goldens;
#[cfg(feature = "cuda")]
mod gpu;
mod harness;
mod hub;
mod importers;
mod invariants;
mod licences;
mod memory;
mod parity;
mod parsers;
mod pipeline;
mod predictor;
mod profile;
mod published;
mod qwen3_reference;
mod reference;
mod share;
mod simulate;
mod trace;
mod traces;
mod truth;
mod vllm_rtx4090;
mod workload;

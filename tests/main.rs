//! The integration tests of fidelio, one file a law or surface. They run the real binary on real files.

mod bad_input;
mod browser;
mod bundles;
mod cli;
mod comparison;
mod config;
mod determinism;
mod harness;
mod hub;
mod invariants;
mod licences;
mod parity;
mod parsers;
mod pipeline;
mod qwen3_reference;
mod reference;
mod traces;
mod workload;

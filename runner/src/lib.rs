//! The native half of fidelio: command line, configuration, files, engines. Arithmetic lives in `fidelio-shared`.

pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod error;
pub mod interrupt;
pub mod latency;
pub mod machine;
pub mod profile;
pub mod s3;
pub mod site;
pub mod standalone;
pub mod store;
pub mod talk;
pub mod workload;

//! The pure core of fidelio: file formats, metrics, statistics, the serving core and the simulator.
//!
//! Data flows one way: bytes are parsed by [`schema`], both origins of a run meet in [`compare`], which
//! asks [`metrics`] for samples and [`stats`] for what they mean; [`charts`] draws the result and
//! [`bundle`] packs it; [`trace`] shows one run step by step. Upstream, [`workload`] says what is asked and when, [`serving`] decides what
//! each engine step computes, [`latency`] says how long that takes, and [`simulate`] drives them.
//!
//! Nothing here opens a file, reads a clock, starts a thread or rolls dice of its own, so the same
//! code runs in the command line tool, in the simulation and in the browser.
//!
//! Words: *TTFT* is first token minus arrival; *ITL* the gap between consecutive tokens, index 1 and
//! up; *TPOT* the mean gap of one request; *E2E* completion minus arrival; a *step* is one forward
//! pass; a *real* run was timed by a clock, a *simulated* one predicted.

pub mod bundle;
pub mod calibrate;
pub mod capacity;
pub mod charts;
pub mod compare;
pub mod decimal;
pub mod evidence;
pub mod explore;
pub mod latency;
pub mod metrics;
pub mod order;
mod random;
pub mod report;
pub mod schema;
pub mod serving;
pub mod simulate;
pub mod stats;
pub mod time;
pub mod trace;
pub mod workload;

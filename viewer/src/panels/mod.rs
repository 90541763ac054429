//! The parts of the report, each from the comparison alone; only `requests` reads raw rows.

pub mod chart;
pub mod facts;
pub mod metrics;
pub mod percentiles;
pub mod provenance;
pub mod requests;
pub mod verdict;

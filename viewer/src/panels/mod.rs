//! The parts of the report, each from a comparison, or from answers of its worker.

pub mod attribution;
pub mod bar;
pub mod brush;
pub mod cursor;
pub mod distribution;
pub mod facts;
pub mod figure;
pub mod fold;
pub mod load;
pub mod metrics;
pub mod parameters;
pub mod percentiles;
pub mod plot;
pub mod provenance;
pub mod requests;
pub mod runs;
pub mod steps;
pub mod strip;
pub mod theme;
pub mod verdict;
pub mod versus;
pub mod waiting;
pub mod what_if;
pub mod window;

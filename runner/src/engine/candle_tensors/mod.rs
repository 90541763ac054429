//! Qwen3 dense in candle's own tensor operations, on any device candle knows: the second opinion on our GPU engine.
//! Written to be read, not to be quick: every operation is one of candle's, launched by itself.

mod batch;
mod cache;
mod executor;
mod layer;
mod model;
mod weights;

pub use executor::{CandleTensors, TensorOptions};

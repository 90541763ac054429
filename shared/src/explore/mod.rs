//! Looking into an open comparison: any part of it reduced again, request by request, step by step, and "what if".
//!
//! Knows runs and what is asked of them; not where the bytes came from or how answers are shown.

pub mod answers;
pub mod questions;

//! Ways to a bundle: files and addresses, and what to say when one does not lead there.

pub mod address;
pub mod pick;
mod problem;

pub use problem::Problem;

/// Largest file taken: what is in it must fit the browser's memory unpacked, a column at a time.
pub const MAX_BYTES: u64 = 2 << 30;

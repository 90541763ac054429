//! Ways to a bundle: files, addresses, messages of other pages, what was open before; and what to say when one does not lead there.

pub mod address;
pub mod messages;
pub mod pick;
mod problem;
pub mod recent;

pub use problem::Problem;

/// Largest file taken: what is in it must fit the browser's memory unpacked, a column at a time.
pub const MAX_BYTES: u64 = 2 << 30;

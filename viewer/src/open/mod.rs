//! Bytes to an open bundle. Pure apart from `fetch` and `pick`, so it can move to a worker as it is.

pub mod fetch;
pub mod pick;
mod problem;

use std::io::Cursor;
use std::sync::Arc;

use fidelio_shared::bundle::BundleReader;
use fidelio_shared::schema::comparison::Comparison;
use fidelio_shared::schema::{DataError, Manifest};

pub use problem::Problem;

/// Largest file taken: a wasm memory holds four times this, and the rows need room.
pub const MAX_BYTES: u64 = 1 << 30;

/// An open bundle.
#[derive(Debug)]
pub struct Opened {
    /// File name, as picked or as in the address.
    pub name: String,
    /// What is shown first.
    pub comparison: Comparison,
    /// `None` for a zip made by hand.
    pub manifest: Option<Manifest>,
    bytes: Arc<[u8]>,
}

impl Opened {
    /// Opens the file called `name`.
    ///
    /// # Errors
    /// With what a person should know and do.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Opened, Problem> {
        Problem::of_bytes(name, &bytes).map_or(Ok(()), Err)?;
        let bytes: Arc<[u8]> = bytes.into();
        let broken = |error| Problem::broken(name, &error);
        let mut reader = BundleReader::open(Cursor::new(Arc::clone(&bytes))).map_err(broken)?;
        let comparison = reader.comparison().map_err(broken)?;
        let manifest = reader.manifest().cloned();
        Ok(Opened { name: name.to_owned(), comparison, manifest, bytes })
    }

    /// A fresh reader of the same bytes, for the raw rows.
    ///
    /// # Errors
    /// As when it was opened first.
    pub fn reader(&self) -> Result<BundleReader<Cursor<Arc<[u8]>>>, DataError> {
        BundleReader::open(Cursor::new(Arc::clone(&self.bytes)))
    }

    /// Size of the file.
    pub fn num_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

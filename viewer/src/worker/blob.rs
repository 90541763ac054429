//! A file of the browser as `Read + Seek`: pieces come when they are asked for, so a bundle is never whole in memory.
//! Works in workers only: nothing else may wait for a file.

use std::io::{self, Read, Seek, SeekFrom};

use js_sys::Uint8Array;
use web_sys::{Blob, FileReaderSync};

/// Bytes fetched at once.
const PIECE: u64 = 1 << 20;

/// A file, where reading stands, and who is told.
pub struct BlobReader {
    blob: Blob,
    reader: FileReaderSync,
    size: u64,
    position: u64,
    piece: Vec<u8>,
    piece_start: u64,
}

impl BlobReader {
    /// The whole of `blob`.
    ///
    /// # Errors
    /// Outside a worker.
    pub fn new(blob: Blob) -> io::Result<Self> {
        let reader = FileReaderSync::new().map_err(|_| io::Error::other("files can be read in a worker only"))?;
        let size = blob.size() as u64;
        Ok(BlobReader { blob, reader, size, position: 0, piece: Vec::new(), piece_start: 0 })
    }

    fn fetch(&mut self) -> io::Result<()> {
        let end = (self.position + PIECE).min(self.size);
        let unreadable = |_| io::Error::other("the file cannot be read any more: it was changed or moved");
        let part = self.blob.slice_with_f64_and_f64(self.position as f64, end as f64).map_err(unreadable)?;
        let buffer = self.reader.read_as_array_buffer(&part).map_err(unreadable)?;
        self.piece = Uint8Array::new(&buffer).to_vec();
        self.piece_start = self.position;
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || out.is_empty() {
            return Ok(0);
        }
        if !(self.piece_start..self.piece_start + self.piece.len() as u64).contains(&self.position) {
            self.fetch()?;
        }
        let rest = self.piece.get((self.position - self.piece_start) as usize..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the file's start"))?;
        Ok(self.position)
    }
}

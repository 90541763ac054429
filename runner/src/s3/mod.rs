//! Storage that speaks Amazon's S3: whole objects put, found and removed, with retries. Knows nothing of what they are.
//!
//! Requests are signed in their addresses, so an address is a secret while it is valid: none is ever shown.

mod credentials;
mod failure;
mod place;
mod request;

pub use failure::Failure;
pub use place::{Place, PlaceOptions};

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusty_s3::S3Action;
use rusty_s3::actions::{CreateMultipartUpload, UploadPart};

use crate::s3::request::{Ask, Client};

/// Objects beyond this many bytes are put in parts of it, or larger ones where there would be too many.
pub const PART_BYTES: u64 = 8 << 20;
/// Parts of an object, at most.
const MAX_PARTS: u64 = 10_000;
/// How long a signed address can be used; it is made anew for every attempt.
const VALID: Duration = Duration::from_secs(3600);

/// What an object is put with.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// `Content-Type`.
    pub mime: &'static str,
    /// `Cache-Control`.
    pub cache: &'static str,
}

/// A bucket that can be written to.
pub struct Storage<'a> {
    place: &'a Place,
    client: Client,
    /// Is told of every byte that was sent, and of those that are sent again.
    progress: &'a dyn Fn(i64),
}

impl<'a> Storage<'a> {
    /// Nothing is asked of it yet. `is_over` ends what is being sent; `progress` hears of bytes.
    pub fn new(place: &'a Place, is_over: Arc<AtomicBool>, progress: &'a dyn Fn(i64)) -> Self {
        Storage { place, client: Client::new(is_over), progress }
    }

    /// An object of this key and length is there; `false` also where the credentials may not ask.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub fn has(&self, key: &str, length: u64) -> Result<bool, Failure> {
        let sign = || self.place.bucket.head_object(Some(&self.place.credentials), key).sign(VALID);
        match self.client.ask(&Ask { sign: &|| sign().into(), ..Ask::new("HEAD") }) {
            Ok(answer) => Ok(answer.length == Some(length)),
            Err(Failure::Refused { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Puts the whole object at once.
    ///
    /// # Errors
    /// When it is refused, or the storage cannot be reached.
    pub fn put(&self, key: &str, kept: Kept, bytes: &[u8]) -> Result<(), Failure> {
        let sign = || {
            let mut action = self.place.bucket.put_object(Some(&self.place.credentials), key);
            action.headers_mut().insert("content-type", kept.mime);
            action.headers_mut().insert("cache-control", kept.cache);
            action.sign(VALID).into()
        };
        let headers = [("content-type", kept.mime), ("cache-control", kept.cache)];
        let ask = Ask { sign: &sign, headers: &headers, body: bytes, progress: self.progress, ..Ask::new("PUT") };
        self.client.ask(&ask).map(drop)
    }

    /// Puts an object of `length` bytes in parts; `input` gives them, and `is_whole` says at the end whether they were
    /// the right ones. The unfinished upload is removed when anything fails.
    ///
    /// # Errors
    /// As [`Storage::put`]; also when `input` cannot be read or is not whole.
    pub fn put_in_parts(
        &self,
        key: &str,
        kept: Kept,
        length: u64,
        input: impl FnMut(&mut [u8]) -> anyhow::Result<usize>,
        is_whole: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let upload = self.begin(key, kept)?;
        let put = self.parts(key, &upload, length, input).and_then(|etags| {
            is_whole()?;
            Ok(self.complete(key, &upload, length, &etags)?)
        });
        put.inspect_err(|_| {
            let sign =
                || self.place.bucket.abort_multipart_upload(Some(&self.place.credentials), key, &upload).sign(VALID);
            // The error that led here is the one to report; a bucket's own rules remove what stays.
            let _ = self.client.ask(&Ask { sign: &|| sign().into(), is_cleaning: true, ..Ask::new("DELETE") });
        })
    }

    fn begin(&self, key: &str, kept: Kept) -> Result<String, Failure> {
        let sign = || {
            let mut action = self.place.bucket.create_multipart_upload(Some(&self.place.credentials), key);
            action.headers_mut().insert("content-type", kept.mime);
            action.headers_mut().insert("cache-control", kept.cache);
            action.sign(VALID).into()
        };
        let headers = [("content-type", kept.mime), ("cache-control", kept.cache)];
        let answer = self.client.ask(&Ask { sign: &sign, headers: &headers, ..Ask::new("POST") })?;
        match CreateMultipartUpload::parse_response(&answer.body) {
            Ok(begun) => Ok(begun.upload_id().to_owned()),
            Err(_) => Err(Failure::not_s3("the answer to a new upload names none")),
        }
    }

    fn parts(
        &self,
        key: &str,
        upload: &str,
        length: u64,
        mut input: impl FnMut(&mut [u8]) -> anyhow::Result<usize>,
    ) -> anyhow::Result<Vec<String>> {
        let mut part = vec![0; PART_BYTES.max(length.div_ceil(MAX_PARTS)) as usize];
        let mut etags: Vec<String> = Vec::new();
        loop {
            let count = input(&mut part)?;
            if count == 0 {
                return Ok(etags);
            }
            let number = u16::try_from(etags.len() + 1).unwrap_or(u16::MAX);
            let sign = || {
                let credentials = Some(&self.place.credentials);
                UploadPart::new(&self.place.bucket, credentials, key, number, upload).sign(VALID).into()
            };
            let ask = Ask { sign: &sign, body: &part[..count], progress: self.progress, ..Ask::new("PUT") };
            let answer = self.client.ask(&ask)?;
            etags.push(answer.etag.ok_or_else(|| Failure::not_s3("the answer to a part has no ETag"))?);
        }
    }

    fn complete(&self, key: &str, upload: &str, length: u64, etags: &[String]) -> Result<(), Failure> {
        let action = || {
            let etags = etags.iter().map(String::as_str);
            self.place.bucket.complete_multipart_upload(Some(&self.place.credentials), key, upload, etags)
        };
        let body = action().body();
        let ask = Ask { sign: &|| action().sign(VALID).into(), body: body.as_bytes(), ..Ask::new("POST") };
        match self.client.ask(&ask) {
            Ok(_) => Ok(()),
            // The answer to an attempt that had worked was lost: there is nothing left to complete.
            Err(Failure::Refused { status: 400..500, .. }) if self.has(key, length)? => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Removes an object, where it is there. Not stopped by an interruption: it cleans up after one.
    ///
    /// # Errors
    /// When it is refused, or the storage cannot be reached.
    pub fn remove(&self, key: &str) -> Result<(), Failure> {
        let sign = || self.place.bucket.delete_object(Some(&self.place.credentials), key).sign(VALID);
        self.client.ask(&Ask { sign: &|| sign().into(), is_cleaning: true, ..Ask::new("DELETE") }).map(drop)
    }
}

/// Fills `buffer` as far as `input` goes.
///
/// # Errors
/// When it cannot be read.
pub fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

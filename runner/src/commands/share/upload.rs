//! A share in S3-compatible storage: all of it, or nothing. The page comes last, so a link that answers is whole.

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::commands::share::contents::{Contents, INDEX, SharedFile};
use crate::commands::{Context, Outcome};
use crate::error::Hinted;
use crate::interrupt;
use crate::s3::{Failure, Kept, PART_BYTES, Place, PlaceOptions, Storage, fill};
use crate::talk::Talk;

/// Uploads the site and `bundles` below the prefix, in a folder named by their content, and gives the link.
///
/// # Errors
/// As [`super::to_folder`]; also when the storage refuses or cannot be reached, or at Ctrl-C. What was uploaded is then
/// removed again, as far as the storage lets us.
pub fn to_storage(context: &Context, bundles: &[PathBuf], options: &PlaceOptions) -> anyhow::Result<Outcome> {
    let place = Place::resolve(options)?;
    let contents = Contents::of(bundles, context.talk)?;
    let folder = place.key(&contents.id());
    let bar = context.talk.progress_bytes(contents.length(), "uploading");
    let progress = |bytes: i64| {
        if bytes < 0 {
            bar.set_position(bar.position().saturating_sub(bytes.unsigned_abs()));
        } else {
            bar.inc(bytes.unsigned_abs());
        }
    };
    let is_over = interrupt::flag();
    let storage = Storage::new(&place, is_over, &progress);
    let mut upload = Upload { place: &place, storage, folder, talk: context.talk, touched: Vec::new(), sent: 0 };
    let result = upload.all(&contents.files);
    bar.finish_and_clear();
    let result = result.inspect_err(|_| upload.undo());
    interrupt::release();
    result?;

    let key = upload.key(INDEX);
    let link = place.link(&key);
    context.talk.detail(format!(
        "{} of {} bytes uploaded to {}",
        upload.sent,
        contents.length(),
        place.shown(&upload.folder)
    ));
    let object =
        |file: &SharedFile| json!({ "key": upload.key(&file.path), "bytes": file.length, "sha256": file.sha256 });
    let objects: Vec<Value> = contents.files.iter().map(object).collect();
    Ok(Outcome::new(
        link.clone(),
        json!({ "link": link, "objects": objects, "num_bytes": contents.length(), "num_bytes_uploaded": upload.sent }),
    ))
}

/// One upload, and what it would have to undo.
struct Upload<'a> {
    place: &'a Place,
    storage: Storage<'a>,
    folder: String,
    talk: Talk,
    /// Keys of objects that are there because of it, or may be.
    touched: Vec<String>,
    sent: u64,
}

impl Upload<'_> {
    fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.folder)
    }

    /// Puts what is not there. Only a page that is there says that the same share was uploaded before: without it, what
    /// lies there may be another upload's that will fail, and is put again.
    fn all(&mut self, files: &[SharedFile]) -> anyhow::Result<()> {
        let page = files.iter().filter(|file| file.path == INDEX);
        let mut was_shared = false;
        for file in page {
            was_shared = self.has(file)?;
        }
        for file in files {
            if !(was_shared && self.has(file)?) {
                self.put(file)?;
            }
        }
        Ok(())
    }

    fn has(&self, file: &SharedFile) -> anyhow::Result<bool> {
        let key = self.key(&file.path);
        let found = self.storage.has(&key, file.length);
        found.map_err(|failure| explained(failure).context(format!("looking for {}", self.place.shown(&key))))
    }

    fn put(&mut self, file: &SharedFile) -> anyhow::Result<()> {
        let key = self.key(&file.path);
        self.talk.detail(format!("uploading {}", file.path));
        // A folder's name is its content, so nothing in it changes; two files are asked for again all the same, because
        // they decide what else is asked for.
        let is_fresh = [INDEX, crate::site::SERVICE_WORKER].contains(&file.path.as_str());
        let cache = if is_fresh { "no-cache" } else { "public, max-age=31536000, immutable" };
        let put = self.put_object(&key, file, Kept { mime: file.mime(), cache });
        // A clear no leaves nothing behind; everything else may.
        let is_there = put.as_ref().err().is_none_or(|error| error.downcast_ref().is_none_or(Failure::is_unclear));
        if is_there {
            self.touched.push(key.clone());
        }
        put.map_err(|error| match error.downcast::<Failure>() {
            Ok(failure) => explained(failure),
            Err(other) => other,
        })
        .with_context(|| format!("uploading {} to {}", file.path, self.place.shown(&key)))?;
        self.sent += file.length;
        Ok(())
    }

    fn put_object(&self, key: &str, file: &SharedFile, kept: Kept) -> anyhow::Result<()> {
        if file.length <= PART_BYTES {
            let mut bytes = Vec::new();
            file.copy(&mut bytes)?;
            return Ok(self.storage.put(key, kept, &bytes)?);
        }
        let mut input = file.open()?;
        let hash = RefCell::new(Sha256::new());
        let next = |part: &mut [u8]| {
            let count = fill(&mut input, part).with_context(|| format!("reading {}", file.path))?;
            hash.borrow_mut().update(&part[..count]);
            Ok(count)
        };
        self.storage.put_in_parts(key, kept, file.length, next, || file.check_unchanged(hash.take()))
    }

    /// Removes what this upload put; says what it could not.
    fn undo(&self) {
        for (index, key) in self.touched.iter().enumerate().rev() {
            if let Err(failure) = self.storage.remove(key) {
                let (count, place) = (index + 1, self.place.shown(&self.folder));
                self.talk.note(format!("warning: {count} objects that were uploaded remain below {place}: {failure}"));
                return;
            }
        }
        if !self.touched.is_empty() {
            self.talk.note("what was uploaded is removed again");
        }
    }
}

fn explained(failure: Failure) -> anyhow::Error {
    let hint = failure.hint();
    Hinted::new(failure.to_string(), hint).into()
}

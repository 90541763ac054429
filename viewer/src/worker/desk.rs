//! What a worker has on its desk: one open bundle and, once they are read, its rows. Answers come from `shared::explore`.

use std::io::{Read, Seek, SeekFrom};

use fidelio_shared::bundle::{BundleReader, Contents};
use fidelio_shared::explore::Explorer;
use fidelio_shared::explore::answers::Overview;
use fidelio_shared::schema::comparison::CompareOptions;
use fidelio_shared::schema::hex;
use sha2::{Digest, Sha256};
use web_sys::Blob;

use crate::open::{MAX_BYTES, Problem};
use crate::words::plain;
use crate::worker::blob::BlobReader;
use crate::worker::protocol::{Answer, Ask, Opened, Progress, Tell, Work};
use crate::worker::{limits, post};

/// Bytes in which the end of a zip lies.
const END: u64 = 65_557;
/// Progress is told again after so many bytes.
const STEP: u64 = 4 << 20;

/// Letters of what a run says of a request, at most.
const LONGEST_TROUBLE: usize = 300;

/// Empty until a bundle is opened.
#[derive(Default)]
pub struct Desk {
    name: String,
    file: Option<Blob>,
    bundle: Option<BundleReader<BlobReader>>,
    options: CompareOptions,
    explorer: Option<Explorer>,
}

impl Desk {
    /// Opens `file`: its directory, manifest and comparison. Rows of a zip made by hand are read and compared here, because
    /// nothing can be shown without.
    ///
    /// # Errors
    /// With what a person should know and do.
    pub fn open(&mut self, name: &str, file: Blob) -> Result<Opened, Problem> {
        let num_bytes = file.size() as u64;
        if num_bytes > MAX_BYTES {
            return Err(Problem::too_large(name, num_bytes));
        }
        let unreadable = |_| Problem::unreadable(name);
        let mut reader = BlobReader::new(file.clone()).map_err(unreadable)?;
        let (start, end) = ends(&mut reader).map_err(unreadable)?;
        Problem::of_bytes(name, &start, &end, num_bytes).map_or(Ok(()), Err)?;
        let broken = |error| Problem::broken(name, &error);
        let mut bundle = BundleReader::open(reader).map_err(broken)?;
        tell_progress(&mut bundle, Work::Compare);
        let comparison = limits::admitted(name, &bundle.comparison().map_err(broken)?)?;
        let manifest = bundle.manifest().map(|manifest| limits::admitted_manifest(name, manifest)).transpose()?;
        self.name = name.to_owned();
        self.options = comparison.options.clone();
        self.file = Some(file);
        self.bundle = Some(bundle);
        Ok(Opened { name: name.to_owned(), comparison, manifest, num_bytes: Some(num_bytes) })
    }

    /// Reads the raw rows into columns; the zip is put away afterwards.
    ///
    /// # Errors
    /// The first broken file, row or hash.
    pub fn read_rows(&mut self) -> Result<Overview, Problem> {
        let broken = |error| Problem::broken(&self.name, &error);
        let Some(mut bundle) = self.bundle.take() else { return Err(Problem::unreadable(&self.name)) };
        tell_progress(&mut bundle, Work::Read);
        let Contents { real, sim, workload } = bundle.load().map_err(broken)?;
        let explorer = Explorer::new(real, sim, workload, &self.options).map_err(broken)?;
        let overview = explorer.overview();
        self.explorer = Some(explorer);
        Ok(overview)
    }

    /// Hash of the whole file; `None` when it can no longer be read.
    pub fn sha256(&mut self) -> Option<String> {
        let mut reader = BlobReader::new(self.file.clone()?).ok()?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match reader.read(&mut piece).ok()? {
                0 => return Some(hex(&hash.finalize())),
                count => hash.update(&piece[..count]),
            }
        }
    }

    /// The answer to a question about rows; `None` before they are read.
    pub fn answer(&mut self, question: Ask) -> Option<Answer> {
        let explorer = self.explorer.as_mut()?;
        Some(match question {
            Ask::Reduce(metric, selection) => {
                Answer::Reduce(explorer.reduce(metric, &selection, &self.options.percentiles))
            }
            Ask::Intervals(metric, selection) => Answer::Intervals(explorer.with_intervals(metric, &selection)),
            Ask::Scatter(metric, selection, most) => Answer::Scatter(explorer.scatter(metric, &selection, most)),
            Ask::Requests(question) => {
                let mut page = explorer.requests(&question);
                let troubles = page.rows.iter_mut().filter_map(|row| row.trouble.as_mut());
                troubles.for_each(|trouble| *trouble = plain(trouble, LONGEST_TROUBLE));
                Answer::Requests(page)
            }
            Ask::Timeline(request) => Answer::Timeline(explorer.timeline(request)),
            Ask::Steps(window, bins) => Answer::Steps(explorer.steps(window, bins)),
            Ask::Runs(metric) => Answer::Runs(explorer.strip(metric, &self.options.percentiles)),
            Ask::Attribution(selection) => Answer::Attribution(explorer.attribution(&selection)),
            Ask::WhatIfBasis => {
                Answer::WhatIfBasis(explorer.what_if_basis().map_err(|reason| plain(&reason, LONGEST_TROUBLE)))
            }
            Ask::WhatIf(settings) => Answer::WhatIf(explorer.what_if(&settings)),
            Ask::Open { .. } | Ask::Rows => return None,
        })
    }
}

/// Tells the page how many of the tables' bytes are unpacked.
fn tell_progress(bundle: &mut BundleReader<BlobReader>, work: Work) {
    let total = bundle.num_row_bytes();
    let mut told = 0;
    bundle.on_progress(move |done| {
        if done >= told + STEP || done == total {
            told = done;
            post(0, &Tell::Progress(Progress { work, done: done.min(total), total: Some(total) }));
        }
    });
}

/// The first bytes of a file, and the last in which a zip's end would be.
fn ends(reader: &mut BlobReader) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut start = Vec::new();
    reader.take(64).read_to_end(&mut start)?;
    let size = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(size.saturating_sub(END)))?;
    let mut end = Vec::new();
    reader.read_to_end(&mut end)?;
    Ok((start, end))
}

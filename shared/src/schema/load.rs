//! Reading whole artifacts from any folder of named files: a directory, or a part of a zip.

use std::io::Read;

use crate::schema::foreign::{sarathi, vllm};
use crate::schema::requests::read_table;
use crate::schema::table::TableReader;
use crate::schema::{
    DataError, RequestRow, Run, RunMeta, Workload, WorkloadMeta, read_prefixes, read_steps, read_tokens,
};

/// Largest metadata document taken.
pub const MAX_META_BYTES: u64 = 16 << 20;

/// A folder of named files.
pub trait Folder {
    /// What errors call it.
    fn name(&self) -> String;

    /// Opens `file`, decompressed; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn open<'a>(&'a mut self, file: &str) -> Result<Option<Box<dyn Read + 'a>>, DataError>;

    /// What errors call `file` in it.
    fn path_of(&self, file: &str) -> String {
        format!("{}/{file}", self.name())
    }
}

/// Reads a small document whole; `None` when it is not there.
///
/// # Errors
/// When it cannot be read or is larger than [`MAX_META_BYTES`].
pub fn read_document(folder: &mut dyn Folder, file: &str) -> Result<Option<Vec<u8>>, DataError> {
    let path = folder.path_of(file);
    let Some(input) = folder.open(file)? else { return Ok(None) };
    let mut bytes = Vec::new();
    input
        .take(MAX_META_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| DataError::new(&path, format!("cannot read: {error}")))?;
    if bytes.len() as u64 > MAX_META_BYTES {
        return Err(DataError::new(path, format!("is larger than {MAX_META_BYTES} bytes")));
    }
    Ok(Some(bytes))
}

/// Reads and checks a run directory, ours or of another tool ([`crate::schema::foreign`]).
///
/// # Errors
/// No requests, or the first broken cell or invariant of any file.
pub fn load_run(folder: &mut dyn Folder) -> Result<Run, DataError> {
    let meta = load_meta(folder)?;
    load_rows(folder, meta)
}

/// The same of a folder inside a bundle, where requests are always a table: other tools' records are converted on
/// their way into one.
///
/// # Errors
/// As [`load_run`].
pub fn load_table_run(folder: &mut dyn Folder) -> Result<Run, DataError> {
    let meta = load_meta(folder)?;
    load(folder, meta, |folder, meta| {
        let file = folder.path_of("request_metrics.csv");
        load_table(folder, meta)?.ok_or_else(|| no_requests(file))
    })
}

fn load_meta(folder: &mut dyn Folder) -> Result<RunMeta, DataError> {
    match read_document(folder, "run_meta.json")? {
        Some(bytes) => RunMeta::read(&folder.path_of("run_meta.json"), &bytes),
        None => Ok(RunMeta::default()),
    }
}

/// Reads the tables of a run whose metadata is known, as a run that is just being finished.
///
/// # Errors
/// As [`load_run`].
pub fn load_rows(folder: &mut dyn Folder, meta: RunMeta) -> Result<Run, DataError> {
    load(folder, meta, load_requests)
}

/// Reads requests, and what a foreign format tells beyond them into the metadata.
type LoadRequests = fn(&mut dyn Folder, &mut RunMeta) -> Result<Vec<RequestRow>, DataError>;

fn load(folder: &mut dyn Folder, mut meta: RunMeta, load_requests: LoadRequests) -> Result<Run, DataError> {
    let name = folder.name();
    let requests = load_requests(folder, &mut meta)?;
    let num_requests = requests.len();
    let tokens = match folder.open("token_metrics.csv")? {
        Some(input) => Some(read_tokens(&format!("{name}/token_metrics.csv"), input, num_requests)?),
        None => None,
    };
    let steps = match folder.open("step_metrics.csv")? {
        Some(input) => Some(read_steps(&format!("{name}/step_metrics.csv"), input)?),
        None => None,
    };
    Run::assemble(&name, meta, requests, tokens, steps)
}

/// The requests, in the format at hand; what a foreign one tells beyond them goes into `meta`.
fn load_requests(folder: &mut dyn Folder, meta: &mut RunMeta) -> Result<Vec<RequestRow>, DataError> {
    if let Some(rows) = load_table(folder, meta)? {
        return Ok(rows);
    }
    let [file, records] = ["request_metrics.csv", "requests.jsonl"].map(|file| folder.path_of(file));
    let requests = match folder.open("requests.jsonl")? {
        Some(input) => vllm::read(&records, input, meta)?,
        None => return Err(no_requests(file)),
    };
    if let Some(bytes) = read_document(folder, "meta.json")? {
        vllm::describe(&folder.path_of("meta.json"), &bytes, meta)?;
    }
    Ok(requests)
}

/// `request_metrics.csv`, ours or in seconds; `None` when there is none.
fn load_table(folder: &mut dyn Folder, meta: &mut RunMeta) -> Result<Option<Vec<RequestRow>>, DataError> {
    let file = folder.path_of("request_metrics.csv");
    let Some(input) = folder.open("request_metrics.csv")? else { return Ok(None) };
    let table = TableReader::new(&file, input)?;
    let rows = if sarathi::is_in_seconds(&table) { sarathi::read(table, meta) } else { read_table(table) };
    rows.map(Some)
}

fn no_requests(file: String) -> DataError {
    DataError::new(file, "is missing: this is not a run directory").with_hint(
        "a run directory holds request_metrics.csv and, for ITL, token_metrics.csv; \
         of other tools a requests.jsonl of vLLM stamps is read too",
    )
}

/// Reads and checks a workload directory.
///
/// # Errors
/// A missing table, the first broken cell or invariant, or rows that are not those the metadata hashed.
pub fn load_workload(folder: &mut dyn Folder) -> Result<(WorkloadMeta, Workload), DataError> {
    let name = folder.name();
    let meta = match read_document(folder, "workload_meta.json")? {
        Some(bytes) => WorkloadMeta::read(&format!("{name}/workload_meta.json"), &bytes)?,
        None => WorkloadMeta::default(),
    };
    let missing = |file: &str| {
        DataError::new(format!("{name}/{file}"), "is missing: this is not a workload directory")
            .with_hint("a workload directory holds trace_lengths.csv and trace_intervals.csv")
    };
    let lengths_file = format!("{name}/trace_lengths.csv");
    let mut rows = match folder.open("trace_lengths.csv")? {
        Some(input) => crate::schema::read_lengths(&lengths_file, input)?,
        None => return Err(missing("trace_lengths.csv")),
    };
    let intervals_file = format!("{name}/trace_intervals.csv");
    let input = folder.open("trace_intervals.csv")?.ok_or_else(|| missing("trace_intervals.csv"))?;
    let num_times = crate::schema::read_intervals(&intervals_file, input, |id, gap, arrival| {
        if let Some(row) = rows.get_mut(id as usize) {
            (row.inter_arrival, row.arrival) = (gap, arrival);
        }
    })?;
    if num_times != rows.len() as u64 {
        let problem = format!("has {num_times} rows, `{lengths_file}` has {}", rows.len());
        return Err(DataError::new(intervals_file, problem));
    }
    let prefixes = match folder.open("trace_prefixes.csv")? {
        Some(input) => Some(read_prefixes(&format!("{name}/trace_prefixes.csv"), input, &rows)?),
        None => None,
    };
    let workload = Workload { rows, prefixes };
    if let Some(recorded) = &meta.sha256
        && *recorded != workload.sha256()
    {
        let problem = "the tables are not the ones this workload was made with: their hash differs";
        return Err(DataError::new(format!("{name}/workload_meta.json"), problem).in_column("sha256"));
    }
    Ok((meta, workload))
}

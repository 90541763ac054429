//! Rows a workload's requests are taken from, in the order of the file or shuffled; opened anew for each round.

use crate::random::Stream;
use crate::schema::DataError;
use crate::time::Nanos;
use crate::workload::check::{GenerateError, SpecError};
use crate::workload::spec::Order;

/// One row of the source: a prompt that was tokenised, or a row of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRequest {
    /// Its prompt; empty when it has no name but its number.
    pub prompt_id: String,
    /// Prompt length in tokens, chat template included.
    pub num_prefill_tokens: u32,
    /// Output length the source gives, when it does.
    pub num_decode_tokens: Option<u32>,
    /// When it arrives, when the source says so.
    pub arrival: Option<Nanos>,
    /// Hashes of its prompt's blocks, when the source has them.
    pub hash_ids: Vec<u64>,
}

/// Rows on their way from a file.
pub type Opened<T> = Box<dyn Iterator<Item = Result<T, DataError>>>;

/// Opens a file's rows from the first on; more than once, and the same each time.
pub type Open<T> = Box<dyn Fn() -> Result<Opened<T>, DataError>>;

/// Rows that are in memory already.
pub fn in_memory<T: Clone + 'static>(rows: Vec<T>) -> Open<T> {
    Box::new(move || Ok(Box::new(rows.clone().into_iter().map(Ok))))
}

/// The whole source, over and over, in file order or a new random order each round.
pub(super) enum Picks<'a> {
    /// One row after the other; nothing is kept.
    File { open: &'a Open<SourceRequest>, rows: Opened<SourceRequest>, next: u32 },
    /// All rows in columns, and which of them are still to come in this round.
    Shuffled { rows: Columns, stream: Box<Stream>, left: Vec<u32> },
}

impl<'a> Picks<'a> {
    pub(super) fn new(open: &'a Open<SourceRequest>, order: Order, seed: u64) -> Result<Self, GenerateError> {
        let rows = open()?;
        match order {
            Order::File => Ok(Picks::File { open, rows, next: 0 }),
            Order::Shuffled => {
                let rows = Columns::read(rows)?;
                let mut picks =
                    Picks::Shuffled { rows, stream: Box::new(Stream::new(seed, "prompt_order")), left: Vec::new() };
                picks.next_round()?;
                Ok(picks)
            }
        }
    }

    /// The next row of this round, with its number in the file.
    pub(super) fn next_of_round(&mut self) -> Result<Option<(u32, SourceRequest)>, GenerateError> {
        match self {
            Picks::File { rows, next, .. } => {
                let Some(row) = rows.next().transpose()? else { return Ok(None) };
                let number = *next;
                *next = number.checked_add(1).ok_or_else(too_many)?;
                Ok(Some((number, row)))
            }
            Picks::Shuffled { rows, left, .. } => Ok(left.pop().map(|number| (number, rows.get(number)))),
        }
    }

    /// Begins with every row again.
    pub(super) fn next_round(&mut self) -> Result<(), GenerateError> {
        match self {
            Picks::File { open, rows, next } => {
                *rows = open()?;
                *next = 0;
            }
            Picks::Shuffled { rows, stream, left } => {
                left.extend(0..rows.lengths.len() as u32);
                stream.shuffle(left);
                // They are taken from the end.
                left.reverse();
            }
        }
        Ok(())
    }
}

/// Rows of a source without what they do not have: ten million traced lengths are 120 MB.
#[derive(Default)]
pub(super) struct Columns {
    lengths: Vec<(u32, Option<u32>)>,
    /// As long as the last row that has a name.
    prompt_ids: Vec<Box<str>>,
    /// As long as the last row that has hashes.
    hash_ids: Vec<Box<[u64]>>,
}

impl Columns {
    fn read(rows: Opened<SourceRequest>) -> Result<Self, GenerateError> {
        let mut columns = Columns::default();
        for row in rows {
            let SourceRequest { prompt_id, num_prefill_tokens, num_decode_tokens, hash_ids, .. } = row?;
            let number = columns.lengths.len();
            if number == u32::MAX as usize {
                return Err(too_many());
            }
            columns.lengths.push((num_prefill_tokens, num_decode_tokens));
            if !prompt_id.is_empty() {
                columns.prompt_ids.resize_with(number, Box::default);
                columns.prompt_ids.push(prompt_id.into());
            }
            if !hash_ids.is_empty() {
                columns.hash_ids.resize_with(number, Box::default);
                columns.hash_ids.push(hash_ids.into());
            }
        }
        Ok(columns)
    }

    fn get(&self, number: u32) -> SourceRequest {
        let (num_prefill_tokens, num_decode_tokens) = self.lengths[number as usize];
        let prompt_id = self.prompt_ids.get(number as usize).map(|id| id.clone().into_string());
        let hash_ids = self.hash_ids.get(number as usize).map(|hashes| hashes.to_vec());
        SourceRequest {
            prompt_id: prompt_id.unwrap_or_default(),
            num_prefill_tokens,
            num_decode_tokens,
            arrival: None,
            hash_ids: hash_ids.unwrap_or_default(),
        }
    }
}

fn too_many() -> GenerateError {
    SpecError::new("requests", "the source holds more than 4294967295 requests").into()
}

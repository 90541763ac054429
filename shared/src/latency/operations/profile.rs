//! Reads the files of a Vidur profiling root into samples of each operation, of one model on one device.
//!
//! Rows are chosen and features derived as Vidur does: exact duplicates count once, collectives' bytes become
//! tokens of two bytes an embedding element, and a row of attention is decoding when its chunk is empty.

use std::collections::{BTreeMap, BTreeSet};

use super::{Operation, OperationContext, OperationShape, Predictor, ProfileFile, Sample, SetAside, set_failed_aside};
use crate::schema::DataError;
use crate::schema::table::{Column, TableReader};

/// Cells an error about many of them names.
const NUM_SHOWN: usize = 4;

/// Which rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileFilter {
    /// The model.
    pub shape: OperationShape,
    /// Devices that share one layer.
    pub tensor_parallel: u32,
    /// Pipeline stages.
    pub pipeline_parallel: u32,
    /// Devices of one machine.
    pub devices_per_node: u32,
    /// Tokens of one block of the paged cache.
    pub block_size: u32,
    /// The model has a norm between attention and MLP.
    pub has_post_attention_norm: bool,
}

/// Which rows of `cpu_overheads.csv` are meant: it names the model instead of its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOverheadFilter<'a> {
    /// As the column `model_name` has it.
    pub model_name: &'a str,
    /// Devices that share one layer.
    pub tensor_parallel: u32,
}

/// Samples of every operation that was read.
#[derive(Clone, Debug, Default)]
pub struct OperationProfile {
    /// By operation; one whose column the file lacks is absent, and costs nothing in Vidur.
    pub samples: BTreeMap<Operation, Vec<Sample>>,
    /// Failed measurements that were left out.
    pub set_aside: Vec<SetAside>,
}

impl ProfileFilter {
    /// The context predictors of these rows are fitted in.
    pub fn context(&self, num_multiprocessors: Option<u32>) -> OperationContext {
        OperationContext { shape: self.shape, tensor_parallel: self.tensor_parallel, num_multiprocessors }
    }
}

impl OperationProfile {
    /// Reads `mlp.csv`.
    ///
    /// # Errors
    /// A missing column, a cell that is no number, no row of the model, or times that are blank, NaN, zero
    /// or negative, all counted and the first named.
    pub fn read_mlp(&mut self, file: &str, text: &[u8], filter: &ProfileFilter) -> Result<(), DataError> {
        let shape = &filter.shape;
        let wanted = [
            ("n_head", shape.num_q_heads),
            ("n_kv_head", shape.num_kv_heads),
            ("n_embd", shape.embedding_dim),
            ("n_expanded_embd", shape.mlp_hidden_dim),
            ("vocab_size", shape.vocab_size),
            ("num_tensor_parallel_workers", filter.tensor_parallel),
        ];
        let gate: &[&str] = if shape.use_gated_mlp { &["True", "true", "1"] } else { &["False", "false", "0"] };
        let gate = Some(("use_gated_mlp", gate));
        let mut reader = Rows::new(file, text, &wanted, gate)?;
        let tokens = reader.table.required("num_tokens")?;
        let operations = reader.operations(ProfileFile::Mlp, |operation| {
            operation != Operation::PostAttentionLayernorm || filter.has_post_attention_norm
        })?;
        while reader.next()? {
            let x = [f64::from(reader.table.small_integer(tokens)?), 0.0];
            operations.iter().for_each(|operation| reader.take(operation, x));
        }
        self.accept(reader)
    }

    /// Reads `attention.csv`.
    ///
    /// # Errors
    /// As [`OperationProfile::read_mlp`]; a prompt's time is asked for only in rows of prompts, decoding's only
    /// in rows of decoding.
    pub fn read_attention(&mut self, file: &str, text: &[u8], filter: &ProfileFilter) -> Result<(), DataError> {
        let wanted = [
            ("n_embd", filter.shape.embedding_dim),
            ("n_q_head", filter.shape.num_q_heads),
            ("n_kv_head", filter.shape.num_kv_heads),
            ("block_size", filter.block_size),
            ("num_tensor_parallel_workers", filter.tensor_parallel),
        ];
        let mut reader = Rows::new(file, text, &wanted, None)?;
        let sizes = reader.table.all_required(&["batch_size", "prefill_chunk_size", "kv_cache_size"])?;
        let operations = reader.operations(ProfileFile::Attention, |_| true)?;
        while reader.next()? {
            let size = |index: usize| reader.table.small_integer(sizes[index]).map(f64::from);
            let (batch, chunk, cache) = (size(0)?, size(1)?, size(2)?);
            for operation in &operations {
                match operation.operation {
                    Operation::AttnPrefill if chunk > 0.0 => reader.take(operation, [cache, chunk]),
                    Operation::AttnDecode if chunk == 0.0 => reader.take(operation, [batch, cache]),
                    Operation::AttnKvCacheSave => reader.take(operation, [chunk.max(batch), 0.0]),
                    _ => {}
                }
            }
        }
        self.accept(reader)
    }

    /// Reads `all_reduce.csv`: groups of as many workers as share a layer, all on one machine.
    ///
    /// # Errors
    /// As [`OperationProfile::read_mlp`].
    pub fn read_all_reduce(&mut self, file: &str, text: &[u8], filter: &ProfileFilter) -> Result<(), DataError> {
        let workers = filter.tensor_parallel;
        let wanted = [("num_workers", workers), ("devices_per_node", workers)];
        self.read_collective(file, text, filter, &wanted, Operation::AllReduce)
    }

    /// Reads `send_recv.csv`: within a machine, or across when the whole replica exceeds one.
    ///
    /// # Errors
    /// As [`OperationProfile::read_mlp`].
    pub fn read_send_recv(&mut self, file: &str, text: &[u8], filter: &ProfileFilter) -> Result<(), DataError> {
        let spans_nodes = filter.tensor_parallel * filter.pipeline_parallel > filter.devices_per_node;
        let wanted = [("devices_per_node", if spans_nodes { 1 } else { 2 })];
        self.read_collective(file, text, filter, &wanted, Operation::SendRecv)
    }

    /// Reads `cpu_overheads.csv`.
    ///
    /// # Errors
    /// As [`OperationProfile::read_mlp`].
    pub fn read_cpu_overheads(&mut self, file: &str, text: &[u8], filter: &CpuOverheadFilter) -> Result<(), DataError> {
        let wanted = [("tensor_parallel_degree", filter.tensor_parallel)];
        let names = [filter.model_name];
        let mut reader = Rows::new(file, text, &wanted, Some(("model_name", &names)))?;
        let batch = reader.table.required("batch_size")?;
        let operations = reader.operations(ProfileFile::CpuOverheads, |_| true)?;
        while reader.next()? {
            let x = [f64::from(reader.table.small_integer(batch)?), 0.0];
            operations.iter().for_each(|operation| reader.take(operation, x));
        }
        self.accept(reader)
    }

    /// Fits a predictor to every operation that was read.
    pub fn fit(&self, context: &OperationContext) -> BTreeMap<Operation, Predictor> {
        let fit = |operation: Operation, samples| (operation, Predictor::fit(operation, samples, context));
        self.samples.iter().map(|(operation, samples)| fit(*operation, samples)).collect()
    }

    fn read_collective(
        &mut self,
        file: &str,
        text: &[u8],
        filter: &ProfileFilter,
        wanted: &[(&'static str, u32)],
        operation: Operation,
    ) -> Result<(), DataError> {
        let names = [operation.name()];
        let mut reader = Rows::new(file, text, wanted, Some(("collective", &names)))?;
        let size = reader.table.required("size")?;
        let operations = reader.operations(operation.file(), |_| true)?;
        while reader.next()? {
            let bytes = reader.table.integer(size)? as f64;
            let x = [bytes / f64::from(filter.shape.embedding_dim) / 2.0, 0.0];
            operations.iter().for_each(|operation| reader.take(operation, x));
        }
        self.accept(reader)
    }

    fn accept(&mut self, reader: Rows) -> Result<(), DataError> {
        for (operation, mut samples) in reader.finish()? {
            self.set_aside.extend(set_failed_aside(operation, &mut samples));
            self.samples.insert(operation, samples);
        }
        Ok(())
    }
}

/// The columns of one operation.
struct OperationColumns {
    operation: Operation,
    time: Column,
    std: Option<Column>,
}

/// A cell whose time cannot be one.
struct BadCell {
    line: u64,
    column: &'static str,
    shown: String,
}

/// The rows of one file that pass the filter, and the samples taken from them.
struct Rows<'a> {
    table: TableReader<&'a [u8]>,
    lines: Vec<&'a [u8]>,
    seen: BTreeSet<&'a [u8]>,
    wanted: Vec<(Column, &'static str, u32)>,
    wanted_text: Option<(Column, &'static str, Vec<String>)>,
    num_rows: usize,
    samples: BTreeMap<Operation, Vec<Sample>>,
    bad: Vec<BadCell>,
}

impl<'a> Rows<'a> {
    fn new(
        file: &str,
        text: &'a [u8],
        wanted: &[(&'static str, u32)],
        wanted_text: Option<(&'static str, &[&str])>,
    ) -> Result<Self, DataError> {
        let table = TableReader::new(file, text)?;
        let mut columns = Vec::new();
        for (name, value) in wanted {
            columns.push((table.required(name)?, *name, *value));
        }
        let wanted_text = match wanted_text {
            Some((name, values)) => {
                Some((table.required(name)?, name, values.iter().map(|value| (*value).to_owned()).collect()))
            }
            None => None,
        };
        let lines = text.split(|byte| *byte == b'\n').collect();
        let (seen, samples, bad) = Default::default();
        Ok(Rows { table, lines, seen, wanted: columns, wanted_text, num_rows: 0, samples, bad })
    }

    /// Columns of the operations `file` measures and the model uses. Norms, the residual addition and the
    /// cache write may be missing, as in profiles of fused kernels; others may not.
    fn operations(
        &self,
        file: ProfileFile,
        is_used: impl Fn(Operation) -> bool,
    ) -> Result<Vec<OperationColumns>, DataError> {
        let mut found = Vec::new();
        for operation in Operation::ALL.into_iter().filter(|operation| operation.file() == file && is_used(*operation))
        {
            let may_lack = matches!(
                operation,
                Operation::PostAttentionLayernorm
                    | Operation::InputLayernorm
                    | Operation::Add
                    | Operation::AttnKvCacheSave
            );
            let time = match self.table.required(operation.time_column()) {
                Ok(time) => time,
                Err(_) if may_lack => continue,
                Err(error) => return Err(error),
            };
            found.push(OperationColumns { operation, time, std: self.table.optional(operation.std_column()) });
        }
        Ok(found)
    }

    /// Goes to the next row that passes and is no exact duplicate.
    fn next(&mut self) -> Result<bool, DataError> {
        'rows: while self.table.next_row()? {
            for (column, _, value) in &self.wanted {
                if self.table.integer(*column)? != u64::from(*value) {
                    continue 'rows;
                }
            }
            if let Some((column, _, values)) = &self.wanted_text {
                let text = self.table.text(*column)?.unwrap_or_default();
                if !values.iter().any(|value| value == text) {
                    continue;
                }
            }
            let line = usize::try_from(self.table.line()).ok().and_then(|line| self.lines.get(line.checked_sub(1)?));
            if line.is_none_or(|line| self.seen.insert(line.trim_ascii())) {
                self.num_rows += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the sample of one operation from the current row, or notes its cell.
    fn take(&mut self, columns: &OperationColumns, x: [f64; 2]) {
        let number = |column: Column| self.table.number(column).ok();
        match number(columns.time).filter(|time| *time > 0.0) {
            Some(time) => {
                let std = columns.std.and_then(number).filter(|std| *std >= 0.0);
                let sample = Sample { x, time, std, line: self.table.line() };
                self.samples.entry(columns.operation).or_default().push(sample);
            }
            None => {
                let cell = self.table.cell(columns.time);
                let shown = String::from_utf8_lossy(&cell[..cell.len().min(40)]).into_owned();
                let column = columns.operation.time_column();
                self.bad.push(BadCell { line: self.table.line(), column, shown });
            }
        }
    }

    fn finish(self) -> Result<BTreeMap<Operation, Vec<Sample>>, DataError> {
        let file = self.table.file();
        if let Some(first) = self.bad.first() {
            let shown =
                if first.shown.is_empty() { "is blank".into() } else { format!("`{}` is no time", first.shown) };
            let others: Vec<String> = self.bad[1..]
                .iter()
                .take(NUM_SHOWN)
                .map(|cell| format!("line {} `{}`", cell.line, cell.column))
                .collect();
            let problem = match self.bad.len() - 1 {
                0 => format!("{shown}: the measurement failed, and the model uses it"),
                more => {
                    let rest = if more > NUM_SHOWN { " and more" } else { "" };
                    format!(
                        "{shown}: the measurement failed, and the model uses it; so did {more} others: {}{rest}",
                        others.join(", ")
                    )
                }
            };
            return Err(DataError::new(file, problem)
                .at_line(first.line)
                .in_column(first.column)
                .with_hint("measure these again, or delete the rows to predict them from the others"));
        }
        if self.num_rows == 0 {
            let mut wanted: Vec<String> =
                self.wanted.iter().map(|(_, name, value)| format!("{name} {value}")).collect();
            wanted.extend(self.wanted_text.iter().map(|(_, name, values)| format!("{name} {}", values[0])));
            return Err(DataError::new(file, format!("holds no row with {}", wanted.join(", "))));
        }
        Ok(self.samples)
    }
}

//! Look-up tables of operation times, as Vidur's predictors export them. Times in milliseconds.

use std::collections::BTreeMap;
use std::io::Read;

use crate::latency::VidurShape;
use crate::latency::operations::{Operation, Predictor};
use crate::schema::DataError;
use crate::schema::table::TableReader;

/// Contexts are rounded up to multiples of this many tokens before they are looked up.
pub const KV_GRANULARITY: usize = 64;

/// Operations looked up by the number of tokens of a batch.
const BY_TOKENS: [&str; 12] = [
    "attn_pre_proj",
    "attn_post_proj",
    "attn_rope",
    "attn_kv_cache_save",
    "mlp_up_proj",
    "mlp_down_proj",
    "mlp_act",
    "input_layernorm",
    "post_attention_layernorm",
    "add",
    "all_reduce",
    "send_recv",
];

/// Operations of the host, looked up by the number of sequences of a batch, in Vidur's order of addition.
const BY_SEQUENCES: [&str; 5] =
    ["schedule", "sampler_e2e", "prepare_inputs_e2e", "process_model_outputs", "ray_comm_time"];

/// Longest table taken, in entries of one curve: no batch has more tokens.
const MAX_KEY: u64 = 1 << 18;

/// A curve over whole numbers; what was not tabulated is NaN.
#[derive(Clone, Debug, Default)]
struct Curve {
    values: Vec<f64>,
    /// Entries that stand for themselves. A predictor's beyond these are extrapolated.
    covered: Vec<bool>,
}

impl Curve {
    fn set(&mut self, key: usize, value: f64, is_covered: bool) {
        if self.values.len() <= key {
            self.values.resize(key + 1, f64::NAN);
            self.covered.resize(key + 1, false);
        }
        self.values[key] = value;
        self.covered[key] = is_covered;
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The entry at `key`, or the nearest one, upwards first; and whether it is that entry, and covered.
    fn at(&self, key: usize) -> (f64, bool) {
        match self.values.get(key) {
            Some(value) if !value.is_nan() => (*value, self.covered[key]),
            _ => (self.nearest(key), false),
        }
    }

    /// Fills what was not tabulated, once, so that no look-up has to search.
    fn fill(&mut self) {
        let mut above = f64::NAN;
        for value in self.values.iter_mut().rev() {
            if value.is_nan() {
                *value = above;
            }
            above = *value;
        }
    }

    /// It has an entry of its own, not only filled ones.
    fn is_known(&self) -> bool {
        self.covered.iter().any(|covered| *covered)
    }

    fn nearest(&self, key: usize) -> f64 {
        let (below, above) = self.values.split_at(key.min(self.values.len()));
        let found = above.iter().chain(below.iter().rev()).find(|value| !value.is_nan());
        found.copied().unwrap_or(f64::NAN)
    }

    /// The sum, left to right as Vidur adds; NaN where any is missing.
    fn sum(curves: &[&Curve]) -> Curve {
        let len = curves.iter().map(|curve| curve.values.len()).min().unwrap_or(0);
        let at = |key: usize| curves.iter().map(|curve| curve.values[key]).reduce(|a, b| a + b).unwrap_or(f64::NAN);
        Curve {
            values: (0..len).map(at).collect(),
            covered: (0..len).map(|key| curves.iter().all(|curve| curve.covered[key])).collect(),
        }
    }
}

/// A curve for each multiple of [`KV_GRANULARITY`] or for each batch size.
type Grid = Vec<Curve>;

/// How far predictors are tabulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Tokens of a batch.
    pub max_tokens: usize,
    /// Sequences of a batch.
    pub max_seqs: usize,
    /// Tokens of a prefill, several merged.
    pub max_chunk: usize,
    /// Tokens of context, of all prefills of a batch together.
    pub max_context: usize,
}

/// The tables of one model on one device.
#[derive(Clone, Debug, Default)]
pub struct VidurTables {
    by_tokens: [Curve; BY_TOKENS.len()],
    by_sequences: [Curve; BY_SEQUENCES.len()],
    /// `[context / 64][chunk]`.
    attn_prefill: Grid,
    /// `[batch size][context / 64]`.
    attn_decode: Grid,
    before_attention: Curve,
    mlp: Curve,
    host: Curve,
}

impl VidurTables {
    /// Names of the tables that can be read, without their extension.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BY_TOKENS.into_iter().chain(BY_SEQUENCES).chain(["attn_prefill", "attn_decode", "attn_prefill_full_rle"])
    }

    /// Reads the table called `name`; `file` is what errors say.
    ///
    /// # Errors
    /// A name that is none, a column that is missing, a key or a time that cannot be.
    pub fn read(&mut self, name: &str, file: &str, input: impl Read) -> Result<(), DataError> {
        let mut table = TableReader::new(file, input)?;
        match name {
            "attn_prefill" => {
                let [kv, chunk] = table.all_required(&["kv_cache_size", "prefill_chunk_size"])?;
                self.read_rows(&mut table, [kv, chunk], |tables, [kv, chunk], time| {
                    grid_set(&mut tables.attn_prefill, kv / KV_GRANULARITY, chunk, time, true);
                })
            }
            "attn_decode" => {
                let [batch, kv] = table.all_required(&["batch_size", "kv_cache_size"])?;
                self.read_rows(&mut table, [batch, kv], |tables, [batch, kv], time| {
                    grid_set(&mut tables.attn_decode, batch, kv / KV_GRANULARITY, time, true);
                })
            }
            "attn_prefill_full_rle" => {
                let columns = table.all_required(&["kv_cache_size", "chunk_from", "chunk_to"])?;
                self.read_rows(&mut table, columns, |tables, [kv, from, to], time| {
                    let row = kv / KV_GRANULARITY;
                    (from..=to).for_each(|chunk| grid_set(&mut tables.attn_prefill, row, chunk, time, true));
                })
            }
            _ => self.read_curve(name, file, &mut table),
        }?;
        self.add_up();
        Ok(())
    }

    fn add_up(&mut self) {
        self.before_attention = Curve::sum(&[&self.by_tokens[0], &self.by_tokens[1], &self.by_tokens[2]]);
        self.mlp = Curve::sum(&[&self.by_tokens[4], &self.by_tokens[5], &self.by_tokens[6]]);
        self.host = Curve::sum(&self.by_sequences.each_ref());
        let grids = self.attn_prefill.iter_mut().chain(&mut self.attn_decode);
        grids.chain([&mut self.before_attention, &mut self.mlp, &mut self.host]).for_each(Curve::fill);
        self.by_tokens.iter_mut().for_each(Curve::fill);
    }

    /// Tabulates predictors over every batch within `limits`.
    pub fn from_predictors(predictors: &BTreeMap<Operation, Predictor>, limits: &TableLimits) -> Self {
        let mut tables = VidurTables::default();
        let of = |name: &str| Operation::from_name(name).and_then(|operation| predictors.get(&operation));
        let entry = |predictor: &Predictor, x: [usize; 2]| {
            let x = x.map(|size| size as u32);
            (predictor.predict(x), predictor.covers(x))
        };
        for (curve, name) in tables.by_tokens.iter_mut().zip(BY_TOKENS) {
            for (predictor, tokens) in of(name).iter().flat_map(|one| (1..=limits.max_tokens).map(move |n| (one, n))) {
                let (time, is_covered) = entry(predictor, [tokens, 0]);
                curve.set(tokens, time, is_covered);
            }
        }
        for (curve, name) in tables.by_sequences.iter_mut().zip(BY_SEQUENCES) {
            for (predictor, count) in of(name).iter().flat_map(|one| (1..=limits.max_seqs).map(move |n| (one, n))) {
                let (time, is_covered) = entry(predictor, [count, 0]);
                curve.set(count, time, is_covered);
            }
        }
        let contexts = 0..=limits.max_context.div_ceil(KV_GRANULARITY);
        if let Some(predictor) = of("attn_decode") {
            for (batch, row) in (1..=limits.max_seqs).flat_map(|batch| contexts.clone().map(move |row| (batch, row))) {
                let (time, is_covered) = entry(predictor, [batch, row * KV_GRANULARITY]);
                grid_set(&mut tables.attn_decode, batch, row, time, is_covered);
            }
        }
        if let Some(predictor) = of("attn_prefill") {
            for (row, chunk) in contexts.flat_map(|row| (1..=limits.max_chunk).map(move |chunk| (row, chunk))) {
                let (time, is_covered) = entry(predictor, [row * KV_GRANULARITY, chunk]);
                grid_set(&mut tables.attn_prefill, row, chunk, time, is_covered);
            }
        }
        tables.add_up();
        tables
    }

    fn read_curve<R: Read>(&mut self, name: &str, file: &str, table: &mut TableReader<R>) -> Result<(), DataError> {
        if let Some(index) = BY_TOKENS.iter().position(|known| *known == name) {
            let [tokens] = table.all_required(&["num_tokens"])?;
            self.read_rows(table, [tokens], |tables, [tokens], time| tables.by_tokens[index].set(tokens, time, true))
        } else if let Some(index) = BY_SEQUENCES.iter().position(|known| *known == name) {
            let [sequences] = table.all_required(&["batch_size"])?;
            self.read_rows(table, [sequences], |tables, [count], time| {
                tables.by_sequences[index].set(count, time, true)
            })
        } else {
            Err(DataError::new(file, format!("`{name}` is no operation of Vidur's model")))
        }
    }

    fn read_rows<R: Read, const N: usize>(
        &mut self,
        table: &mut TableReader<R>,
        keys: [crate::schema::table::Column; N],
        put: impl Fn(&mut Self, [usize; N], f64),
    ) -> Result<(), DataError> {
        let time = table.required("time_ms")?;
        while table.next_row()? {
            let mut key = [0; N];
            for (key, column) in key.iter_mut().zip(keys) {
                *key = match table.integer(column)? {
                    value if value > MAX_KEY => return Err(table.error(column, format!("{value} is above {MAX_KEY}"))),
                    value => value as usize,
                };
            }
            let value = table.number(time)?;
            // A regression's table may hold times below zero; Vidur uses them, so they are read.
            if !(-1e9..1e9).contains(&value) {
                return Err(table.error(time, format!("{value} is no time in milliseconds")));
            }
            put(self, key, value);
        }
        Ok(())
    }

    /// Every table that `shape` needs is there.
    ///
    /// # Errors
    /// The missing ones, named.
    pub fn check(&self, shape: &VidurShape) -> Result<(), String> {
        let needed = |name: &str| match name {
            "post_attention_layernorm" => shape.has_post_attention_norm,
            "all_reduce" => shape.tensor_parallel > 1,
            "send_recv" => shape.num_stages > 1,
            _ => true,
        };
        let missing = |names: &[&'static str], curves: &[Curve]| -> Vec<&'static str> {
            names.iter().zip(curves).filter(|(_, curve)| curve.is_empty()).map(|(name, _)| *name).collect()
        };
        let mut names = missing(&BY_TOKENS, &self.by_tokens);
        names.retain(|name| needed(name));
        if shape.has_host_overhead {
            names.extend(missing(&BY_SEQUENCES, &self.by_sequences));
        }
        names.extend(self.attn_prefill.is_empty().then_some("attn_prefill"));
        names.extend(self.attn_decode.is_empty().then_some("attn_decode"));
        if names.is_empty() && !(self.before_attention.is_known() && self.mlp.is_known()) {
            return Err("two tables that are added have no number of tokens in common".to_owned());
        }
        match names.is_empty() {
            true => Ok(()),
            false => Err(format!("no table of `{}`", names.join("`, `"))),
        }
    }

    /// Above the largest number of tokens in any table.
    pub fn most_tokens(&self) -> usize {
        self.by_tokens.iter().map(|curve| curve.values.len()).max().unwrap_or(0)
    }

    /// Starts looking up for one batch.
    pub fn look(&self) -> Look<'_> {
        Look { tables: self, missed: false }
    }
}

fn grid_set(grid: &mut Grid, row: usize, key: usize, value: f64, is_covered: bool) {
    if grid.len() <= row {
        grid.resize(row + 1, Curve::default());
    }
    grid[row].set(key, value, is_covered);
}

/// The look-ups of one batch; remembers whether any missed its table.
pub struct Look<'a> {
    tables: &'a VidurTables,
    missed: bool,
}

impl Look<'_> {
    /// No look-up missed.
    pub fn hit_all(&self) -> bool {
        !self.missed
    }

    fn at(&mut self, curve: &Curve, key: usize) -> f64 {
        let (time, is_covered) = curve.at(key);
        self.missed |= !is_covered;
        time
    }

    fn on(&mut self, grid: &Grid, row: usize, key: usize) -> f64 {
        match grid.get(row).filter(|curve| !curve.is_empty()) {
            Some(curve) => self.at(curve, key),
            None => {
                self.missed = true;
                let (below, above) = grid.split_at(row.min(grid.len()));
                let found = above.iter().chain(below.iter().rev()).find(|curve| !curve.is_empty());
                found.map_or(f64::NAN, |curve| curve.nearest(key))
            }
        }
    }

    /// Projections before and after attention, and RoPE.
    pub fn before_attention(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.before_attention, tokens)
    }

    /// The MLP's two projections and its activation.
    pub fn mlp(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.mlp, tokens)
    }

    /// Writing keys and values.
    pub fn attn_kv_cache_save(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[3], tokens)
    }

    /// The norm before attention.
    pub fn input_layernorm(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[7], tokens)
    }

    /// The norm after attention.
    pub fn post_attention_layernorm(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[8], tokens)
    }

    /// A residual addition.
    pub fn add(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[9], tokens)
    }

    /// One all-reduce.
    pub fn all_reduce(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[10], tokens)
    }

    /// Sending to the next stage.
    pub fn send_recv(&mut self, tokens: usize) -> f64 {
        self.at(&self.tables.by_tokens[11], tokens)
    }

    /// Attention of `batch` sequences that decode, with `mean` tokens each.
    pub fn attn_decode(&mut self, batch: usize, mean: usize) -> f64 {
        self.on(&self.tables.attn_decode, batch, mean.div_ceil(KV_GRANULARITY))
    }

    /// Attention of a prefill of `chunk` tokens on `context` computed ones, a multiple of the granularity.
    pub fn attn_prefill(&mut self, context: usize, chunk: usize) -> f64 {
        self.on(&self.tables.attn_prefill, context / KV_GRANULARITY, chunk)
    }

    /// All host operations of a batch.
    pub fn host(&mut self, sequences: usize) -> f64 {
        self.at(&self.tables.host, sequences)
    }
}

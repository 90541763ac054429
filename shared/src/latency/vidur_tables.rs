//! Look-up tables of operation times, as Vidur's predictors export them. Times in milliseconds.

use std::io::Read;

use crate::latency::VidurShape;
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
const MAX_KEY: u64 = 1 << 22;

/// A curve over whole numbers; what was not tabulated is NaN.
#[derive(Clone, Debug, Default)]
struct Curve(Vec<f64>);

impl Curve {
    fn set(&mut self, key: usize, value: f64) {
        if self.0.len() <= key {
            self.0.resize(key + 1, f64::NAN);
        }
        self.0[key] = value;
    }

    fn get(&self, key: usize) -> Option<f64> {
        self.0.get(key).copied().filter(|value| !value.is_nan())
    }

    /// The entry at `key`, or the nearest one, upwards first.
    fn nearest(&self, key: usize) -> f64 {
        let (below, above) = self.0.split_at(key.min(self.0.len()));
        let found = above.iter().chain(below.iter().rev()).find(|value| !value.is_nan());
        found.copied().unwrap_or(f64::NAN)
    }

    fn sum(curves: &[&Curve]) -> Curve {
        let len = curves.iter().map(|curve| curve.0.len()).max().unwrap_or(0);
        // NaN where any is missing; left to right, as Vidur adds.
        let at = |key: usize| curves.iter().map(|curve| curve.get(key).unwrap_or(f64::NAN)).reduce(|a, b| a + b);
        Curve((0..len).map(|key| at(key).unwrap_or(f64::NAN)).collect())
    }
}

/// A curve for each multiple of [`KV_GRANULARITY`] or for each batch size.
type Grid = Vec<Curve>;

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
                    grid_set(&mut tables.attn_prefill, kv / KV_GRANULARITY, chunk, time);
                })
            }
            "attn_decode" => {
                let [batch, kv] = table.all_required(&["batch_size", "kv_cache_size"])?;
                self.read_rows(&mut table, [batch, kv], |tables, [batch, kv], time| {
                    grid_set(&mut tables.attn_decode, batch, kv / KV_GRANULARITY, time);
                })
            }
            "attn_prefill_full_rle" => {
                let columns = table.all_required(&["kv_cache_size", "chunk_from", "chunk_to"])?;
                self.read_rows(&mut table, columns, |tables, [kv, from, to], time| {
                    (from..=to).for_each(|chunk| grid_set(&mut tables.attn_prefill, kv / KV_GRANULARITY, chunk, time));
                })
            }
            _ => self.read_curve(name, file, &mut table),
        }?;
        self.before_attention = Curve::sum(&[&self.by_tokens[0], &self.by_tokens[1], &self.by_tokens[2]]);
        self.mlp = Curve::sum(&[&self.by_tokens[4], &self.by_tokens[5], &self.by_tokens[6]]);
        self.host = Curve::sum(&self.by_sequences.each_ref());
        Ok(())
    }

    fn read_curve<R: Read>(&mut self, name: &str, file: &str, table: &mut TableReader<R>) -> Result<(), DataError> {
        if let Some(index) = BY_TOKENS.iter().position(|known| *known == name) {
            let [tokens] = table.all_required(&["num_tokens"])?;
            self.read_rows(table, [tokens], |tables, [tokens], time| tables.by_tokens[index].set(tokens, time))
        } else if let Some(index) = BY_SEQUENCES.iter().position(|known| *known == name) {
            let [sequences] = table.all_required(&["batch_size"])?;
            self.read_rows(table, [sequences], |tables, [count], time| tables.by_sequences[index].set(count, time))
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
            names.iter().zip(curves).filter(|(_, curve)| curve.0.is_empty()).map(|(name, _)| *name).collect()
        };
        let mut names = missing(&BY_TOKENS, &self.by_tokens);
        names.retain(|name| needed(name));
        if shape.has_host_overhead {
            names.extend(missing(&BY_SEQUENCES, &self.by_sequences));
        }
        names.extend(self.attn_prefill.is_empty().then_some("attn_prefill"));
        names.extend(self.attn_decode.is_empty().then_some("attn_decode"));
        match names.is_empty() {
            true => Ok(()),
            false => Err(format!("no table of `{}`", names.join("`, `"))),
        }
    }

    /// Above the largest number of tokens in any table.
    pub fn most_tokens(&self) -> usize {
        self.by_tokens.iter().map(|curve| curve.0.len()).max().unwrap_or(0)
    }

    /// Starts looking up for one batch.
    pub fn look(&self) -> Look<'_> {
        Look { tables: self, missed: false }
    }
}

fn grid_set(grid: &mut Grid, row: usize, key: usize, value: f64) {
    if grid.len() <= row {
        grid.resize(row + 1, Curve::default());
    }
    grid[row].set(key, value);
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
        curve.get(key).unwrap_or_else(|| {
            self.missed = true;
            curve.nearest(key)
        })
    }

    fn on(&mut self, grid: &Grid, row: usize, key: usize) -> f64 {
        match grid.get(row).filter(|curve| !curve.0.is_empty()) {
            Some(curve) => self.at(curve, key),
            None => {
                self.missed = true;
                let (below, above) = grid.split_at(row.min(grid.len()));
                let found = above.iter().chain(below.iter().rev()).find(|curve| !curve.0.is_empty());
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

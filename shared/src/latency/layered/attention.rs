//! Attention of a whole batch by (prompt chunk, its context, decodes, their context), from a grid of measurements.

use std::io::Read;

use crate::latency::BatchShape;
use crate::latency::layered::curve::bracket;
use crate::latency::layered::profile::positive;
use crate::schema::DataError;
use crate::schema::table::TableReader;

/// Times of one layer's attention, in µs. Engines compute prompts and decodes in one kernel, so the
/// grid holds both together and not their sum: decodes beside a prompt cost more than alone.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionGrid {
    chunks: Vec<f64>,
    prefill_contexts: Vec<f64>,
    decodes: Vec<f64>,
    decode_contexts: Vec<f64>,
    /// `[decodes][decode context]`
    decode_only: Vec<f64>,
    /// `[chunk][prefill context]`
    prefill_only: Vec<f64>,
    /// `[chunk][prefill context][decodes][decode context]`
    mixed: Vec<f64>,
}

const HEADER: [&str; 5] = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"];

/// A measured point: chunk, its context, decodes, their context, time.
type Point = ([u32; 4], f64);

impl AttentionGrid {
    /// Reads a table with the columns prefill_chunk, kv_prefill, n_decode, kv_decode (tokens or
    /// sequences; 0 and 0 where there is no prompt, or no decode) and time_us.
    ///
    /// A mixed point that was not measured, as where memory did not suffice, is taken to be the
    /// next smaller batch's plus what the decodes between cost alone; [`AttentionGrid::covers`] says
    /// nothing of it.
    ///
    /// # Errors
    /// The first broken cell, a point measured twice, a missing point of prompts or decodes alone, or
    /// an axis of a single value.
    pub fn read(file: &str, input: impl Read) -> Result<Self, DataError> {
        let mut table = TableReader::new(file, input)?;
        let columns = table.all_required(&HEADER)?;
        let mut points: Vec<Point> = Vec::new();
        while table.next_row()? {
            let mut key = [0; 4];
            for (cell, column) in key.iter_mut().zip(&columns) {
                *cell = table.small_integer(*column)?;
            }
            points.push((key, positive(&table, columns[4])?));
        }
        points.sort_by_key(|(key, _)| *key);
        let fail = |problem: String| DataError::new(file, problem);
        if let Some(pair) = points.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(fail(format!("the point {} was measured twice", words(pair[0].0))));
        }
        Self::new(&points).map_err(fail)
    }

    fn new(points: &[Point]) -> Result<Self, String> {
        let axis = |index: usize, of: fn(&[u32; 4]) -> bool| -> Result<Vec<f64>, String> {
            let mut values: Vec<u32> = points.iter().filter(|(key, _)| of(key)).map(|(key, _)| key[index]).collect();
            values.sort_unstable();
            values.dedup();
            match values.len() {
                0 | 1 => Err(format!("`{}` has fewer than 2 values", HEADER[index])),
                _ => Ok(values.into_iter().map(f64::from).collect()),
            }
        };
        let (has_prompt, has_decodes) = (|key: &[u32; 4]| key[0] > 0, |key: &[u32; 4]| key[2] > 0);
        let (chunks, prefill_contexts) = (axis(0, has_prompt)?, axis(1, has_prompt)?);
        let (decodes, decode_contexts) = (axis(2, has_decodes)?, axis(3, has_decodes)?);
        let find = |key: [f64; 4]| {
            let key = key.map(|value| value as u32);
            points.binary_search_by_key(&key, |(key, _)| *key).map(|index| points[index].1).map_err(|_| key)
        };
        let missing = |key: [u32; 4]| format!("the point {} is missing", words(key));
        let mut decode_only = Vec::new();
        for decode in &decodes {
            for context in &decode_contexts {
                decode_only.push(find([0.0, 0.0, *decode, *context]).map_err(missing)?);
            }
        }
        let (mut prefill_only, mut mixed) = (Vec::new(), Vec::new());
        let width = decode_contexts.len();
        for chunk in &chunks {
            for prefill in &prefill_contexts {
                prefill_only.push(find([*chunk, *prefill, 0.0, 0.0]).map_err(missing)?);
                for (row, decode) in decodes.iter().enumerate() {
                    for (column, context) in decode_contexts.iter().enumerate() {
                        let time = match (find([*chunk, *prefill, *decode, *context]), row) {
                            (Ok(time), _) => time,
                            (Err(key), 0) => return Err(missing(key)),
                            (Err(_), _) => {
                                let here = row * width + column;
                                mixed[mixed.len() - width] + decode_only[here] - decode_only[here - width]
                            }
                        };
                        mixed.push(time);
                    }
                }
            }
        }
        Ok(AttentionGrid { chunks, prefill_contexts, decodes, decode_contexts, decode_only, prefill_only, mixed })
    }

    /// Attention of one layer for a whole batch, in µs: linear between points, along the chunk in
    /// query-key pairs, since a chunk's own pairs grow with its square. Several prompts are one chunk of
    /// all their tokens; when they have fewer pairs than that would, the prompts' time above that of a
    /// smallest chunk falls in proportion.
    pub fn time(&self, shape: &BatchShape) -> f64 {
        let decode = self.decode_corner(shape);
        if shape.num_prefill_tokens == 0 {
            return decode.map_or(0.0, |corner| corner.of(&self.decode_only));
        }
        let (context, share) = prefill_context(shape);
        let tokens = (shape.num_prefill_tokens as f64).max(self.chunks[0]);
        let (chunk, _) = bracket(&self.chunks, tokens);
        let pairs = |tokens: f64| tokens * context + tokens * (tokens + 1.0) / 2.0;
        let (low, high) = (pairs(self.chunks[chunk]), pairs(self.chunks[chunk + 1]));
        let along = (pairs(tokens) - low) / (high - low);
        let (column, across) = bracket(&self.prefill_contexts, context);
        let width = self.prefill_contexts.len();
        let (mut prefill, mut decodes) = (0.0, 0.0);
        for (row, weight) in [(chunk, 1.0 - along), (chunk + 1, along)] {
            for (column, weight) in [(column, weight * (1.0 - across)), (column + 1, weight * across)] {
                if weight == 0.0 {
                    continue;
                }
                let cell = row * width + column;
                prefill += weight * self.prefill_only[cell];
                if let Some(corner) = &decode {
                    let size = self.decode_only.len();
                    let mixed = corner.of(&self.mixed[cell * size..(cell + 1) * size]);
                    decodes += weight * (mixed - self.prefill_only[cell]);
                }
            }
        }
        let least = self.prefill_only[0].min(prefill);
        least + (prefill - least) * share + decodes
    }

    /// The batch lies inside the measured ranges.
    pub fn covers(&self, shape: &BatchShape) -> bool {
        let end = |axis: &[f64]| axis[axis.len() - 1];
        let decode = shape.num_decode_seqs as f64;
        shape.num_prefill_tokens as f64 <= end(&self.chunks)
            && (shape.num_prefill_tokens == 0 || prefill_context(shape).0 <= end(&self.prefill_contexts))
            && decode <= end(&self.decodes)
            && shape.context_tokens as f64 <= decode * end(&self.decode_contexts)
    }

    fn decode_corner(&self, shape: &BatchShape) -> Option<Corner> {
        let decodes = shape.num_decode_seqs as f64;
        (decodes > 0.0).then(|| Corner {
            row: bracket(&self.decodes, decodes),
            column: bracket(&self.decode_contexts, shape.context_tokens as f64 / decodes),
            width: self.decode_contexts.len(),
        })
    }
}

/// Tokens before the prompts taken as one chunk, and the share of that chunk's own pairs they have.
fn prefill_context(shape: &BatchShape) -> (f64, f64) {
    let (tokens, pairs) = (shape.num_prefill_tokens as f64, shape.prefill_pairs as f64);
    let own = tokens * (tokens + 1.0) / 2.0;
    if pairs >= own { ((pairs - own) / tokens, 1.0) } else { (0.0, pairs / own) }
}

/// Where a batch's decodes lie in a table `[decodes][decode context]`.
struct Corner {
    row: (usize, f64),
    column: (usize, f64),
    width: usize,
}

impl Corner {
    fn of(&self, table: &[f64]) -> f64 {
        let ((row, down), (column, right)) = (self.row, self.column);
        let at = |row: usize| {
            let cells = &table[row * self.width + column..];
            cells[0] + (cells[1] - cells[0]) * right
        };
        let top = at(row);
        top + (at(row + 1) - top) * down
    }
}

fn words(key: [u32; 4]) -> String {
    let cells: Vec<String> = HEADER.iter().zip(key).map(|(name, value)| format!("{name} {value}")).collect();
    cells.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(text: &str) -> Result<AttentionGrid, DataError> {
        AttentionGrid::read("attention.csv", format!("{}\n{text}", HEADER.join(",")).as_bytes())
    }

    const ALONE: &str = "0,0,1,16,1\n0,0,1,32,2\n0,0,2,16,3\n0,0,2,32,5\n\
                         16,0,0,0,10\n16,8,0,0,11\n32,0,0,0,20\n32,8,0,0,22\n";

    fn mixed(decodes: u32) -> String {
        let mut rows = String::new();
        for (chunk, context) in [(16, 0), (16, 8), (32, 0), (32, 8)] {
            rows.push_str(&format!("{chunk},{context},{decodes},16,30\n{chunk},{context},{decodes},32,32\n"));
        }
        rows
    }

    #[test]
    fn an_unmeasured_mixed_point_grows_like_the_decodes_alone() {
        let grid = grid(&format!("{ALONE}{}", mixed(1))).expect("the larger mixed batch is missing");
        let shape = BatchShape {
            num_prefill_tokens: 16,
            prefill_pairs: 16 * 17 / 2,
            num_decode_seqs: 2,
            context_tokens: 64,
            ..BatchShape::default()
        };
        assert_eq!(grid.time(&shape), 32.0 + (5.0 - 2.0));
    }

    #[test]
    fn a_broken_grid_is_refused_and_the_point_named() {
        let error = grid(ALONE).expect_err("no mixed point").to_string();
        assert!(error.contains("prefill_chunk 16, kv_prefill 0, n_decode 1, kv_decode 16 is missing"), "{error}");
        let error = grid(&format!("{ALONE}0,0,2,32,6\n")).expect_err("twice").to_string();
        assert!(error.contains("n_decode 2, kv_decode 32 was measured twice"), "{error}");
        let error = grid("0,0,1,16,1\n").expect_err("one point").to_string();
        assert!(error.contains("`prefill_chunk` has fewer than 2 values"), "{error}");
        let error = grid("0,0,1,16,nan\n").expect_err("no number").to_string();
        assert!(error.contains("`nan` is not a finite number"), "{error}");
    }
}

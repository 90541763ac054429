//! Reads a profile of single operations: three tables of times in µs, of one layer on one device.

use std::io::Read;

use crate::latency::layered::{AttentionGrid, Curve};
use crate::schema::DataError;
use crate::schema::table::TableReader;

/// Operations of a layer that depend on tokens alone; the norm is done twice.
pub(super) const LAYER_OPERATIONS: [&str; 7] =
    ["layernorm", "qkv_proj", "rotary_emb", "o_proj", "gate_up_proj", "act_fn", "down_proj"];
/// Operations before and after the layers.
pub(super) const OUTER_OPERATIONS: [&str; 2] = ["embedding", "final_layernorm"];
/// Operations done for one row a sequence.
pub(super) const SEQUENCE_OPERATIONS: [&str; 2] = ["lm_head", "sampler"];

/// All three tables.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerProfile {
    layer: Vec<Curve>,
    outer: Vec<Curve>,
    sequence: Vec<Curve>,
    pub(super) attention: AttentionGrid,
}

impl LayerProfile {
    /// Reads `dense.csv` (layer, tokens, time_us), `attention.csv` (see [`AttentionGrid::read`]) and
    /// `per_sequence.csv` (layer, sequences, time_us).
    ///
    /// # Errors
    /// The first broken cell, an operation this model does not know (its time would be left out), one
    /// that is missing, or one with too few points.
    pub fn read(dense: impl Read, attention: impl Read, per_sequence: impl Read) -> Result<Self, DataError> {
        let known: Vec<&str> = LAYER_OPERATIONS.iter().chain(&OUTER_OPERATIONS).copied().collect();
        let mut layer = curves("dense.csv", dense, "tokens", &known)?;
        let outer = layer.split_off(LAYER_OPERATIONS.len());
        let sequence = curves("per_sequence.csv", per_sequence, "sequences", &SEQUENCE_OPERATIONS)?;
        Ok(LayerProfile { layer, outer, sequence, attention: AttentionGrid::read("attention.csv", attention)? })
    }

    /// Largest token count every operation was measured at.
    pub fn max_tokens(&self) -> u32 {
        end(self.layer.iter().chain(&self.outer))
    }

    /// Most sequences every operation was measured at.
    pub fn max_sequences(&self) -> u32 {
        end(self.sequence.iter())
    }

    /// One layer without attention at `tokens`, in µs.
    pub(super) fn layer_time(&self, tokens: f64) -> f64 {
        let second_norm = self.layer[0].at(tokens);
        second_norm + self.layer.iter().map(|curve| curve.at(tokens)).sum::<f64>()
    }

    /// What comes before and after the layers at `tokens`, in µs.
    pub(super) fn outer_time(&self, tokens: f64) -> f64 {
        self.outer.iter().map(|curve| curve.at(tokens)).sum()
    }

    /// What is done once a sequence, in µs.
    pub(super) fn sequence_time(&self, sequences: f64) -> f64 {
        self.sequence.iter().map(|curve| curve.at(sequences)).sum()
    }
}

fn end<'a>(curves: impl Iterator<Item = &'a Curve>) -> u32 {
    curves.map(Curve::end).fold(f64::INFINITY, f64::min) as u32
}

/// One curve for each of `known`, in that order.
fn curves(file: &str, input: impl Read, size: &'static str, known: &[&str]) -> Result<Vec<Curve>, DataError> {
    let mut table = TableReader::new(file, input)?;
    let columns = table.all_required(&["layer", size, "time_us"])?;
    let mut points = vec![Vec::new(); known.len()];
    while table.next_row()? {
        let name = table.text(columns[0])?.unwrap_or_default();
        let Some(index) = known.iter().position(|known| *known == name) else {
            return Err(table
                .error(columns[0], format!("`{name}` is not an operation this model knows"))
                .with_hint(format!("it knows: {}", known.join(", "))));
        };
        let size = f64::from(table.small_integer(columns[1])?);
        points[index].push((size, positive(&table, columns[2])?));
    }
    let named = known.iter().zip(points);
    named
        .map(|(name, points)| Curve::new(points).map_err(|why| DataError::new(file, format!("`{name}` {why}"))))
        .collect()
}

/// A time that was measured.
pub(super) fn positive<R: Read>(
    table: &TableReader<R>,
    column: crate::schema::table::Column,
) -> Result<f64, DataError> {
    match table.number(column)? {
        time if time > 0.0 => Ok(time),
        time => Err(table.error(column, format!("`{time}` is no time an operation can take"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTENTION: &str = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n";

    fn refused(dense: &str, sequences: &str) -> String {
        let profile = LayerProfile::read(dense.as_bytes(), ATTENTION.as_bytes(), sequences.as_bytes());
        profile.expect_err("a broken profile").to_string()
    }

    #[test]
    fn a_broken_profile_is_refused_with_file_line_and_reason() {
        let header = "layer,tokens,time_us\n";
        let error = refused(&format!("{header}moe_gate,1,2\n"), "");
        assert!(error.contains("dense.csv") && error.contains("moe_gate"), "{error}");
        let error = refused(&format!("{header}embedding,1,2\nembedding,2,-3\n"), "");
        assert!(error.contains("`-3` is no time"), "{error}");
        let error = refused(&format!("{header}layernorm,1,2\n"), "");
        assert!(error.contains("`layernorm` has 1 measured points"), "{error}");
        let error = refused("layer,time_us\n", "");
        assert!(error.contains("tokens"), "{error}");
    }
}

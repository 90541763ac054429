//! Step times from a profile of single operations: one layer's operations measured apart, times layers.
//!
//! A step is the embedding, the layers (two norms, projections, rotary, attention, gate and product),
//! the final norm, and one output row a sequence. Every operation but attention depends on tokens
//! alone and is summed once into a table by token count; attention is looked up by
//! [`AttentionGrid`]. Nothing is fitted: between measured points the time is linear, beyond them it
//! goes on as between the last two. Batches that an engine captured as graphs are padded to the
//! captured size, attention excepted.

mod attention;
mod curve;
mod profile;

pub use attention::AttentionGrid;
pub use curve::Curve;
pub use profile::LayerProfile;

use crate::latency::{BatchShape, LatencyModel, StepTime};
use crate::time::{Nanos, Ticks};

/// A latency model made of profiled operations, of one device without parallelism.
#[derive(Clone, Debug)]
pub struct LayeredModel {
    /// Time of everything that depends on tokens alone, by token count; µs.
    by_tokens: Vec<f64>,
    /// Time of what is done once a sequence, by sequences; µs.
    by_sequences: Vec<f64>,
    attention: AttentionGrid,
    num_layers: f64,
    host: Nanos,
}

impl LayeredModel {
    /// A model of `num_layers` profiled layers. `capture_sizes` are the token counts, ascending, the
    /// engine pads smaller batches to; empty when it runs without graphs. `host` is added to every step
    /// as host time; zero where the engine hides it behind the device.
    pub fn new(profile: &LayerProfile, num_layers: u32, capture_sizes: &[u32], host: Nanos) -> Self {
        let num_layers = f64::from(num_layers);
        let padded = |tokens: u32| match capture_sizes.partition_point(|size| *size < tokens) {
            index if index < capture_sizes.len() => capture_sizes[index],
            _ => tokens,
        };
        let by_tokens = (0..=profile.max_tokens()).map(|tokens| {
            let tokens = f64::from(padded(tokens));
            num_layers * profile.layer_time(tokens) + profile.outer_time(tokens)
        });
        let by_sequences = (0..=profile.max_sequences()).map(|sequences| match sequences {
            0 => 0.0,
            _ => profile.sequence_time(f64::from(sequences)),
        });
        LayeredModel {
            by_tokens: by_tokens.collect(),
            by_sequences: by_sequences.collect(),
            attention: profile.attention.clone(),
            num_layers,
            host,
        }
    }

    /// Time of a step on the device, in µs.
    pub fn device_micros(&self, shape: &BatchShape) -> f64 {
        // Engines compute a row of logits for every sequence, unfinished prompts included.
        let sequences = shape.num_prefill_seqs + shape.num_decode_seqs;
        at(&self.by_tokens, shape.num_tokens())
            + at(&self.by_sequences, sequences)
            + self.num_layers * self.attention.time(shape)
    }
}

impl LatencyModel for LayeredModel {
    fn stage_time(&self, shape: &BatchShape, _stage: u32) -> StepTime {
        StepTime {
            host: self.host.into(),
            device: Ticks::from_nanos_f64(self.device_micros(shape) * 1e3),
            is_covered: self.covers(shape),
        }
    }
}

impl LayeredModel {
    fn covers(&self, shape: &BatchShape) -> bool {
        shape.num_tokens() < self.by_tokens.len() as u64
            && shape.num_seqs() < self.by_sequences.len() as u64
            && self.attention.covers(shape)
    }
}

/// The table's value; beyond its end it goes on as between the last two.
fn at(table: &[f64], index: u64) -> f64 {
    match table.get(index as usize) {
        Some(time) => *time,
        None => {
            let last = table.len() - 1;
            let slope = table[last] - table[last - 1];
            table[last] + slope * (index - last as u64) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One µs a token and operation, ten a sequence; attention 1 µs and a hundredth a pair or token read.
    fn profile() -> LayerProfile {
        let mut dense = "layer,tokens,time_us\n".to_owned();
        for name in profile::LAYER_OPERATIONS.iter().chain(&profile::OUTER_OPERATIONS) {
            for tokens in [1, 8, 64] {
                dense.push_str(&format!("{name},{tokens},{tokens}\n"));
            }
        }
        let mut sequences = "layer,sequences,time_us\n".to_owned();
        for name in profile::SEQUENCE_OPERATIONS {
            sequences.push_str(&format!("{name},1,10\n{name},16,160\n"));
        }
        let mut attention = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n".to_owned();
        for chunk in [0u64, 16, 64] {
            for prefill_kv in [0u64, 64] {
                for decodes in [0u64, 1, 8] {
                    for decode_kv in [0u64, 16, 64] {
                        let has_gap = (chunk == 0 && prefill_kv > 0) || (decodes == 0) != (decode_kv == 0);
                        if has_gap || chunk + decodes == 0 {
                            continue;
                        }
                        let work = chunk * prefill_kv + chunk * (chunk + 1) / 2 + decodes * decode_kv;
                        let time = 1.0 + work as f64 / 100.0;
                        attention.push_str(&format!("{chunk},{prefill_kv},{decodes},{decode_kv},{time}\n"));
                    }
                }
            }
        }
        LayerProfile::read(dense.as_bytes(), attention.as_bytes(), sequences.as_bytes()).expect("a whole profile")
    }

    fn shape(chunk: u64, start: u64, decodes: u64, context: u64) -> BatchShape {
        BatchShape {
            num_prefill_tokens: chunk,
            num_prefill_seqs: u64::from(chunk > 0),
            prefill_pairs: chunk * start + chunk * (chunk + 1) / 2,
            num_decode_seqs: decodes,
            context_tokens: decodes * context,
            ..BatchShape::default()
        }
    }

    #[test]
    fn operations_add_up_over_layers_and_attention_between_its_points() {
        let model = LayeredModel::new(&profile(), 4, &[], Nanos(5));
        for (chunk, start, decodes, context) in [(20, 10, 0, 0), (0, 0, 5, 33), (20, 10, 5, 33), (56, 64, 8, 64)] {
            let shape = shape(chunk, start, decodes, context);
            let tokens = (chunk + decodes) as f64;
            let sequences = (u64::from(chunk > 0) + decodes) as f64;
            let work = (shape.prefill_pairs + shape.context_tokens) as f64;
            // Eight operations of a layer, with its second norm, and two outside.
            let expected = tokens * (4.0 * 8.0 + 2.0) + 20.0 * sequences + 4.0 * (1.0 + work / 100.0);
            let time = model.device_micros(&shape);
            assert!((time / expected - 1.0).abs() < 1e-12, "{shape:?}: {time} µs, {expected} µs by hand");
            let device = Nanos(libm::round(expected * 1e3) as u64);
            let step = model.stage_time(&shape, 0);
            assert_eq!((step.host.to_nanos(), step.device.to_nanos(), step.is_covered), (Nanos(5), device, true));
        }
    }

    #[test]
    fn batches_up_to_the_largest_graph_are_padded_to_the_next() {
        let eager = LayeredModel::new(&profile(), 1, &[], Nanos::ZERO);
        let graphs = LayeredModel::new(&profile(), 1, &[1, 2, 4, 8], Nanos::ZERO);
        let (five, eight) = (shape(0, 0, 5, 16), shape(0, 0, 8, 10));
        let padding = 3.0 * (8.0 + 2.0);
        assert_eq!(graphs.device_micros(&five), eager.device_micros(&five) + padding);
        assert_eq!(graphs.device_micros(&eight), eager.device_micros(&eight));
        let beyond = shape(9, 0, 0, 0);
        assert_eq!(graphs.device_micros(&beyond), eager.device_micros(&beyond));
    }

    #[test]
    fn several_prompts_cost_their_own_pairs_and_not_those_of_one_long_prompt() {
        let model = LayeredModel::new(&profile(), 1, &[], Nanos::ZERO);
        let one = shape(32, 0, 0, 0);
        let mut two = shape(32, 0, 0, 0);
        two.prefill_pairs = 2 * (16 * 17 / 2);
        let saved = model.device_micros(&one) - model.device_micros(&two);
        let floor = 1.0 + 136.0 / 100.0;
        let expected = (1.0 + 528.0 / 100.0 - floor) * (1.0 - 272.0 / 528.0);
        assert!((saved - expected).abs() < 1e-9, "{saved} µs, {expected} µs by hand");
    }

    #[test]
    fn steps_outside_the_profile_are_not_covered_and_go_on_as_before_its_end() {
        let model = LayeredModel::new(&profile(), 1, &[], Nanos::ZERO);
        assert!(!model.covers(&shape(65, 0, 0, 0)), "65 prompt tokens");
        assert!(!model.covers(&shape(16, 65, 0, 0)), "65 tokens before the prompt's chunk");
        assert!(!model.covers(&shape(0, 0, 9, 16)), "9 decodes");
        assert!(!model.covers(&shape(0, 0, 8, 65)), "65 tokens of context");
        assert!(!model.covers(&shape(0, 0, 17, 16)), "17 sequences");
        let (near, far) = (shape(0, 0, 1, 64), shape(0, 0, 1, 164));
        let slope = model.device_micros(&far) - model.device_micros(&near);
        assert!((slope - 1.0).abs() < 1e-9, "100 more tokens of context: {slope} µs");
    }
}

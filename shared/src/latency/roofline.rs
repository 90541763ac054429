//! A roofline: step times from a device's peak figures alone, for hardware nobody has profiled.
//!
//! It is a floor, not a measurement: no kernel reaches the peaks, none waits for another here, and no
//! shape is *covered*. A run simulated with it says so.

use serde::{Deserialize, Serialize};

use crate::latency::{BatchShape, LatencyModel, ModelShape, StepTime};
use crate::time::{Nanos, Ticks};

/// Peak figures of one device, as its maker states them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// What people call it.
    pub name: String,
    /// Dense multiply-adds in the weights' type, in operations a second (one multiply-add is two).
    pub flops: f64,
    /// Memory bandwidth, in bytes a second.
    pub memory_bandwidth: f64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Bandwidth to one other device, one way, in bytes a second; needed when a model is cut over several.
    #[serde(default)]
    pub link_bandwidth: Option<f64>,
}

/// Predicts a step as the sum over its operations of the longer of computing and moving bytes.
#[derive(Clone, Debug)]
pub struct Roofline {
    shape: ModelShape,
    hardware: Hardware,
    host: Nanos,
}

impl Roofline {
    /// A roofline of `shape` on `hardware`; `host` is added to every step as host time, and is the
    /// caller's statement: peak figures say nothing of it.
    ///
    /// # Errors
    /// An impossible shape, a peak that is not positive, or several devices without a link.
    pub fn new(shape: &ModelShape, hardware: &Hardware, host: Nanos) -> Result<Self, String> {
        shape.check()?;
        let link = hardware.link_bandwidth;
        for (name, value) in [
            ("flops", hardware.flops),
            ("memory_bandwidth", hardware.memory_bandwidth),
            ("link_bandwidth", link.unwrap_or(1.0)),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("`{name}` {value} of {} must be a positive number", hardware.name));
            }
        }
        if shape.tensor_parallel > 1 && link.is_none() {
            return Err(format!("{} has no `link_bandwidth`, but the model is cut over devices", hardware.name));
        }
        Ok(Roofline { shape: shape.clone(), hardware: hardware.clone(), host })
    }

    /// The longer of the two, in seconds.
    fn bound(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.hardware.flops).max(bytes / self.hardware.memory_bandwidth)
    }

    /// Matrices: every token with every weight, the weights read once.
    fn matrices(&self, params: f64, rows: f64) -> f64 {
        self.bound(2.0 * params * rows, params * f64::from(self.shape.dtype_bytes))
    }

    fn layers(&self, batch: &BatchShape, num_layers: f64) -> f64 {
        let shape = &self.shape;
        let tokens = batch.num_tokens() as f64;
        let params = (shape.matrix_params_per_layer() + shape.norm_params_per_layer()) as f64;
        let kv = shape.kv_bytes_per_token_layer() as f64;
        // Two multiply-adds an element, one for the scores and one for the values.
        let flops_per_pair = (4 * shape.q_heads_per_device() * u64::from(shape.head_dim)) as f64;
        let decode = self.bound(flops_per_pair * batch.context_tokens as f64, kv * batch.context_tokens as f64);
        // A prompt's keys are read once: its mean context is its pairs a token.
        let prefill = match batch.num_prefill_tokens {
            0 => 0.0,
            prompt => {
                let context = (batch.num_prefill_seqs * batch.prefill_pairs) as f64 / prompt as f64;
                self.bound(flops_per_pair * batch.prefill_pairs as f64, kv * context)
            }
        };
        num_layers * (self.matrices(params, tokens) + decode + prefill + self.all_reduces(tokens))
    }

    /// Two ring all-reduces of the hidden states in every layer.
    fn all_reduces(&self, tokens: f64) -> f64 {
        let devices = f64::from(self.shape.tensor_parallel);
        let bytes = tokens * f64::from(self.shape.hidden_size * self.shape.dtype_bytes);
        match self.hardware.link_bandwidth {
            Some(link) => 2.0 * 2.0 * (devices - 1.0) / devices * bytes / link,
            None => 0.0,
        }
    }
}

impl LatencyModel for Roofline {
    fn stage_time(&self, batch: &BatchShape, stage: u32) -> StepTime {
        let mut seconds = self.layers(batch, f64::from(self.shape.stage_layers(stage)));
        if stage + 1 == self.shape.pipeline_parallel && batch.num_sampled > 0 {
            seconds += self.matrices(self.shape.embedding_params() as f64, batch.num_sampled as f64);
        }
        // Nothing was profiled, so nothing is covered.
        StepTime { host: self.host.into(), device: Ticks::from_nanos_f64(seconds * 1e9), is_covered: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::model_shape::tests::{llama31_8b, qwen3_0_6b};

    fn a100() -> Hardware {
        Hardware {
            name: "A100-SXM4-80GB".to_owned(),
            flops: 312e12,
            memory_bandwidth: 2.04e12,
            memory_bytes: 80 << 30,
            link_bandwidth: Some(300e9),
        }
    }

    fn decode(batch: u64, context: u64) -> BatchShape {
        BatchShape {
            num_decode_seqs: batch,
            context_tokens: batch * context,
            num_sampled: batch,
            ..BatchShape::default()
        }
    }

    fn millis(model: &Roofline, shape: &BatchShape) -> f64 {
        model.stage_time(shape, 0).device.to_nanos().0 as f64 / 1e6
    }

    #[test]
    fn decode_floors_are_weights_and_context_over_bandwidth() {
        let model = Roofline::new(&qwen3_0_6b(), &a100(), Nanos(70)).expect("possible");
        for (batch, context, floor) in [(1, 128, 0.59), (1, 2_048, 0.70), (8, 128, 0.64), (8, 2_048, 1.51)] {
            let time = millis(&model, &decode(batch, context));
            assert!((time - floor).abs() < 0.01, "batch {batch}, context {context}: {time} ms, floor {floor} ms");
        }
        assert_eq!(model.stage_time(&decode(1, 128), 0).host, Nanos(70).into());
        assert!(!model.stage_time(&decode(1, 128), 0).is_covered, "nothing was profiled");
    }

    #[test]
    fn a_long_prompt_is_bound_by_arithmetic() {
        let prompt = BatchShape {
            num_prefill_tokens: 2_048,
            num_prefill_seqs: 1,
            prefill_pairs: 2_048 * 2_049 / 2,
            num_sampled: 1,
            ..BatchShape::default()
        };
        let model = Roofline::new(&llama31_8b(), &a100(), Nanos::ZERO).expect("possible");
        // 6.98e9 parameters in the layers, 2 operations each a token, and 1.1e12 operations of attention.
        let expected = (2.0 * 6.98e9 * 2_048.0 + 32.0 * 4.0 * 4_096.0 * 2.1e6) / 312e12 * 1e3;
        let time = millis(&model, &prompt);
        assert!((time / expected - 1.0).abs() < 0.02, "{time} ms, {expected} ms by hand");
    }

    #[test]
    fn two_devices_halve_the_weights_and_pay_for_the_link() {
        let whole = Roofline::new(&llama31_8b(), &a100(), Nanos::ZERO).expect("possible");
        let two = ModelShape { tensor_parallel: 2, ..llama31_8b() };
        let cut = Roofline::new(&two, &a100(), Nanos::ZERO).expect("possible");
        let ratio = millis(&cut, &decode(1, 128)) / millis(&whole, &decode(1, 128));
        assert!(ratio > 0.5 && ratio < 0.51, "{ratio}");
        let lonely = Hardware { link_bandwidth: None, ..a100() };
        let error = Roofline::new(&two, &lonely, Nanos::ZERO).expect_err("no link");
        assert!(error.contains("link_bandwidth"), "{error}");
        let broken = Hardware { flops: 0.0, ..a100() };
        assert!(Roofline::new(&two, &broken, Nanos::ZERO).expect_err("no arithmetic").contains("flops"));
    }
}

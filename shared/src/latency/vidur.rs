//! Vidur's latency model: the sum of an engine's operations, each looked up in a table.
//!
//! The order of every addition is Vidur's, so that times are its doubles bit for bit. What it leaves
//! out (output head, sampling, the second residual add) is left out here too.

use crate::latency::vidur_tables::Look;
use crate::latency::{BatchShape, LatencyModel, StepTime, VidurTables};
use crate::time::Ticks;

/// Numbers of tokens whose times are kept ready; larger batches are looked up operation by operation.
const MOST_KEPT: usize = 1 << 15;

/// What of an LLM and its deployment Vidur's formula needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VidurShape {
    /// Transformer layers, all stages together.
    pub num_layers: u32,
    /// Pipeline stages.
    pub num_stages: u32,
    /// Tensor-parallel devices of a stage.
    pub tensor_parallel: u32,
    /// Fewer key-value heads than query heads.
    pub is_grouped_query: bool,
    /// The model has a norm after attention.
    pub has_post_attention_norm: bool,
    /// Added to decode attention of more than one sequence, as a fraction (grouped-query models only).
    pub decode_batching_overhead: f64,
    /// Added to prefill attention of more than one sequence, as a fraction (grouped-query models only).
    pub prefill_batching_overhead: f64,
    /// Launch of an all-reduce, ms.
    pub nccl_launch_ms: f64,
    /// Skew of an all-reduce, ms times `tensor_parallel^1.25`.
    pub nccl_skew_ms: f64,
    /// Host operations are charged, on every stage.
    pub has_host_overhead: bool,
}

/// The times of one batch on one stage, and what they were looked up by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VidurTime {
    /// Decode attention, ms.
    pub attn_decode_ms: f64,
    /// Prefill attention, ms.
    pub attn_prefill_ms: f64,
    /// One all-reduce, ms.
    pub tensor_parallel_ms: f64,
    /// Sending to the next stage, ms.
    pub pipeline_ms: f64,
    /// Host operations, ms.
    pub host_ms: f64,
    /// All but the host operations, s.
    pub model_s: f64,
    /// Everything, s.
    pub total_s: f64,
    /// Every look-up hit its table; otherwise the nearest entry stood in.
    pub is_covered: bool,
}

/// What the formula takes from the number of tokens alone, ms.
#[derive(Clone, Copy, Debug)]
struct TokenTimes {
    /// Before attention and writing keys and values, already added.
    before_attention: f64,
    input_norm: f64,
    mlp: f64,
    post_norm: f64,
    add: f64,
    all_reduce: f64,
    send_recv: f64,
}

/// Vidur's formula over its tables.
#[derive(Clone, Debug)]
pub struct VidurModel {
    shape: VidurShape,
    tables: VidurTables,
    /// By the number of tokens; `None` where a look-up misses its table.
    by_tokens: Vec<Option<TokenTimes>>,
    /// Skew of one all-reduce, ms.
    skew_ms: f64,
}

impl VidurModel {
    /// The model of one deployment.
    ///
    /// # Errors
    /// A table the deployment needs is missing, named.
    pub fn new(shape: VidurShape, tables: VidurTables) -> Result<Self, String> {
        tables.check(&shape)?;
        let skew_ms = shape.nccl_skew_ms * libm::pow(f64::from(shape.tensor_parallel), 1.25);
        let mut model = VidurModel { shape, tables, by_tokens: Vec::new(), skew_ms };
        model.by_tokens = (0..model.tables.most_tokens().min(MOST_KEPT)).map(|tokens| model.covered(tokens)).collect();
        Ok(model)
    }

    fn covered(&self, tokens: usize) -> Option<TokenTimes> {
        let mut look = self.tables.look();
        let times = self.look_up(tokens, self.shape.num_stages > 1, &mut look);
        look.hit_all().then_some(times)
    }

    fn look_up(&self, tokens: usize, sends: bool, look: &mut Look<'_>) -> TokenTimes {
        let shape = &self.shape;
        let rounded = tokens.next_multiple_of(8);
        TokenTimes {
            before_attention: look.before_attention(rounded) + look.attn_kv_cache_save(tokens),
            input_norm: look.input_layernorm(rounded),
            mlp: look.mlp(rounded),
            post_norm: if shape.has_post_attention_norm { look.post_attention_layernorm(rounded) } else { 0.0 },
            add: look.add(rounded),
            all_reduce: if shape.tensor_parallel > 1 { look.all_reduce(rounded) } else { 0.0 },
            send_recv: if sends { look.send_recv(rounded) } else { 0.0 },
        }
    }

    /// The deployment.
    pub fn shape(&self) -> &VidurShape {
        &self.shape
    }

    /// Time of a batch on `stage`.
    pub fn time(&self, batch: &BatchShape, stage: u32) -> VidurTime {
        let (shape, mut look) = (&self.shape, self.tables.look());
        let tokens = batch.num_tokens() as usize;
        let is_last = stage + 1 == shape.num_stages;
        let by_tokens = match self.by_tokens.get(tokens) {
            Some(Some(times)) => *times,
            _ => self.look_up(tokens, !is_last, &mut look),
        };
        let attn_decode_ms = match batch.num_decode_seqs {
            0 => 0.0,
            count => {
                let mean = (batch.context_tokens / count) as usize;
                let overhead = shape.overhead(shape.decode_batching_overhead, count);
                look.attn_decode(count as usize, mean) * (1.0 + overhead)
            }
        };
        let attn_prefill_ms = match batch.num_prefill_seqs {
            0 => 0.0,
            count => {
                let chunk = match count {
                    1 => batch.num_prefill_tokens as usize,
                    _ => libm::rint(libm::sqrt(batch.prefill_squares as f64)) as usize,
                };
                let overhead = shape.overhead(shape.prefill_batching_overhead, count);
                look.attn_prefill(batch.prefill_context_rounded as usize, chunk) * (1.0 + overhead)
            }
        };
        let tensor_parallel_ms = match shape.tensor_parallel {
            1 => 0.0,
            _ => by_tokens.all_reduce + shape.nccl_launch_ms + self.skew_ms,
        };
        let pipeline_ms = if is_last { 0.0 } else { by_tokens.send_recv };
        let host_ms = if shape.has_host_overhead { look.host(batch.num_seqs() as usize) } else { 0.0 };
        let attention =
            by_tokens.before_attention + attn_decode_ms + attn_prefill_ms + tensor_parallel_ms + by_tokens.input_norm;
        let mlp = by_tokens.mlp + tensor_parallel_ms + by_tokens.post_norm;
        let block = attention + mlp + by_tokens.add;
        let stage_ms = block * f64::from(shape.stage_layers(stage));
        let model_s = (stage_ms + pipeline_ms) * 0.001;
        VidurTime {
            attn_decode_ms,
            attn_prefill_ms,
            tensor_parallel_ms,
            pipeline_ms,
            host_ms,
            model_s,
            total_s: model_s + host_ms * 0.001,
            is_covered: look.hit_all(),
        }
    }
}

impl VidurShape {
    /// Layers of a stage: the first stages take what does not divide. Vidur asks that it divides.
    fn stage_layers(&self, stage: u32) -> u32 {
        self.num_layers / self.num_stages + u32::from(stage < self.num_layers % self.num_stages)
    }

    fn overhead(&self, fraction: f64, num_seqs: u64) -> f64 {
        if self.is_grouped_query && num_seqs > 1 { fraction } else { 0.0 }
    }
}

impl LatencyModel for VidurModel {
    fn stage_time(&self, batch: &BatchShape, stage: u32) -> StepTime {
        let time = self.time(batch, stage);
        StepTime {
            host: Ticks::from_nanos_f64(time.host_ms * 1e6),
            device: Ticks::from_nanos_f64(time.model_s * 1e9),
            is_covered: time.is_covered,
        }
    }
}

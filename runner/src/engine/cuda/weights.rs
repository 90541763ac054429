//! The model's weights on the device: bfloat16, in one allocation, copied tensor by tensor.

use cudarc::driver::sys::CUdeviceptr;
use indicatif::ProgressBar;

use super::device::{Buffer, Gpu};
use super::error::GpuError;
use crate::engine::qwen3::{LoadFormat, Qwen3Config, WeightSource};

/// Tensors begin at multiples of this many bytes, as allocations do.
const ALIGNMENT: usize = 256;

/// Addresses of one layer's weights, each `[outputs][inputs]` or one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LayerWeights {
    pub(super) input_norm: CUdeviceptr,
    /// Query, key and value projections on top of each other.
    pub(super) query_key_value: CUdeviceptr,
    pub(super) query_norm: CUdeviceptr,
    pub(super) key_norm: CUdeviceptr,
    pub(super) attention_output: CUdeviceptr,
    pub(super) post_attention_norm: CUdeviceptr,
    /// Gate, then up projection.
    pub(super) gate_up: CUdeviceptr,
    pub(super) down: CUdeviceptr,
}

/// All weights of one model.
pub(super) struct Weights {
    pub(super) embedding: CUdeviceptr,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) final_norm: CUdeviceptr,
    /// The embedding itself when they are tied.
    pub(super) head: CUdeviceptr,
    /// Keeps the memory that the addresses point into.
    _buffer: Buffer,
}

/// One tensor of the files.
struct Part {
    name: String,
    rows: usize,
    columns: usize,
}

impl Part {
    fn num_bytes(&self) -> usize {
        self.rows * self.columns * size_of::<u16>()
    }
}

impl Weights {
    /// Allocates all, then copies tensor by tensor; `progress` counts bytes.
    pub(super) fn load(
        gpu: &Gpu,
        config: &Qwen3Config,
        format: &LoadFormat,
        progress: &ProgressBar,
    ) -> Result<Self, GpuError> {
        let source = WeightSource::open(format)?;
        let groups = groups(config);
        let sizes = groups.iter().map(|parts| parts.iter().map(Part::num_bytes).sum::<usize>());
        let offsets: Vec<usize> = sizes
            .scan(0, |next: &mut usize, size| {
                let offset = *next;
                *next = (offset + size).next_multiple_of(ALIGNMENT);
                Some(offset)
            })
            .collect();
        let last = groups.last().map_or(0, |parts| parts.iter().map(Part::num_bytes).sum());
        let num_bytes = offsets.last().map_or(0, |offset| offset + last);
        let hint = "choose a smaller model, or free the GPU of other processes";
        let buffer = gpu.allocate::<u8>(num_bytes, "the weights", hint)?;
        progress.set_length(num_bytes as u64);
        for (parts, offset) in groups.iter().zip(&offsets) {
            let mut to = *offset;
            for part in parts {
                gpu.upload(&source.bf16_bytes(&part.name, part.rows, part.columns)?, &buffer, to)?;
                to += part.num_bytes();
                progress.inc(part.num_bytes() as u64);
            }
        }
        Ok(Weights::at(config, &offsets, buffer))
    }

    /// Addresses in the order of [`groups`].
    fn at(config: &Qwen3Config, offsets: &[usize], buffer: Buffer) -> Self {
        let mut next = offsets.iter().map(|offset| buffer.at(*offset));
        let mut address = || next.next().unwrap_or_default();
        let embedding = address();
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerWeights {
                input_norm: address(),
                query_key_value: address(),
                query_norm: address(),
                key_norm: address(),
                attention_output: address(),
                post_attention_norm: address(),
                gate_up: address(),
                down: address(),
            })
            .collect();
        let final_norm = address();
        let head = if config.tie_word_embeddings { embedding } else { address() };
        Weights { embedding, layers, final_norm, head, _buffer: buffer }
    }
}

/// Every tensor in the order of its address; those of one group lie right after each other, as one matrix.
fn groups(config: &Qwen3Config) -> Vec<Vec<Part>> {
    let (hidden, intermediate, head_dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (query, key_value) = (config.query_size(), config.key_value_size());
    let part = |name: String, rows: usize, columns: usize| Part { name, rows, columns };
    let mut groups = vec![vec![part("model.embed_tokens.weight".to_owned(), config.vocab_size, hidden)]];
    for layer in 0..config.num_hidden_layers {
        let of = |name: &str, rows: usize, columns: usize| {
            part(format!("model.layers.{layer}.{name}.weight"), rows, columns)
        };
        groups.extend([
            vec![of("input_layernorm", 1, hidden)],
            vec![
                of("self_attn.q_proj", query, hidden),
                of("self_attn.k_proj", key_value, hidden),
                of("self_attn.v_proj", key_value, hidden),
            ],
            vec![of("self_attn.q_norm", 1, head_dim)],
            vec![of("self_attn.k_norm", 1, head_dim)],
            vec![of("self_attn.o_proj", hidden, query)],
            vec![of("post_attention_layernorm", 1, hidden)],
            vec![of("mlp.gate_proj", intermediate, hidden), of("mlp.up_proj", intermediate, hidden)],
            vec![of("mlp.down_proj", hidden, intermediate)],
        ]);
    }
    groups.push(vec![part("model.norm.weight".to_owned(), 1, hidden)]);
    if !config.tie_word_embeddings {
        groups.push(vec![part("lm_head.weight".to_owned(), config.vocab_size, hidden)]);
    }
    groups
}

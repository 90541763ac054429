//! The model on the device: every operation of a forward pass, put on the stream. Knows steps by their shape only.

use cudarc::driver::sys::CUdeviceptr;
use indicatif::ProgressBar;

use super::buckets::{num_splits, row_bucket, row_buckets};
use super::compile::{KernelShape, compile};
use super::device::{Buffer, Gpu};
use super::error::GpuError;
use super::gemm::Gemms;
use super::launch::{Arg, Grid, Kernels, SkinnyColumns};
use super::memory::{Activations, KvCache, Limits};
use super::products::{Product, head_operands, head_shape, prepare_products};
use super::step::{Layout, StepShape};
use super::weights::{LayerWeights, Weights};
use crate::engine::qwen3::{LoadFormat, Qwen3Config};

/// Blocks that share one row's search for the largest logit.
const ARGMAX_SPLITS: usize = 16;

/// How matrix products of a step are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Our kernels for few rows, fused with norms, activation and residual: five launches a layer.
    Fused,
    /// cuBLASLt, with our kernels between: eight launches a layer, nine with a prefill.
    Gemm,
}

/// Most rows of [`Path::Fused`].
pub(super) const MAX_FUSED_ROWS: usize = 16;

/// What the model is loaded with.
pub(super) struct ModelOptions<'a> {
    pub(super) config: Qwen3Config,
    pub(super) format: &'a LoadFormat,
    pub(super) limits: Limits,
    pub(super) num_blocks: Option<usize>,
    pub(super) gpu_memory_utilization: f64,
    pub(super) programmatic_launch: bool,
    pub(super) sampled_vocab_size: usize,
    pub(super) kernel_cache: Option<&'a std::path::Path>,
}

/// Weights, cache and buffers of one model with what computes on them.
pub(super) struct Model {
    pub(super) gpu: Gpu,
    pub(super) config: Qwen3Config,
    pub(super) limits: Limits,
    pub(super) act: Activations,
    pub(super) cache: KvCache,
    /// A step's words, as [`Layout`] places them.
    pub(super) inputs: Buffer,
    weights: Weights,
    kernels: Kernels,
    columns: SkinnyColumns,
    gemms: Gemms,
    /// Cosine and sine, f32, `[position][head_dim / 2]`.
    rope: Buffer,
    sampled_vocab_size: usize,
    /// Rows that a layer's products are prepared for, and rows of logits that the head's is.
    row_buckets: Vec<usize>,
    logit_buckets: Vec<usize>,
}

/// One step as the operations see it: its shape, and where its words lie.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) shape: StepShape,
    words: Words,
}

/// Addresses of one step's words.
#[derive(Clone, Copy)]
struct Words {
    tiles: CUdeviceptr,
    ids: CUdeviceptr,
    positions: CUdeviceptr,
    slots: CUdeviceptr,
    logit_rows: CUdeviceptr,
    table_starts: CUdeviceptr,
    block_ids: CUdeviceptr,
}

impl Model {
    /// Compiles the kernels, loads weights, and sets up memory: the KV cache last, from what is left.
    pub(super) fn load(gpu: Gpu, options: ModelOptions<'_>, progress: &ProgressBar) -> Result<Self, GpuError> {
        let ModelOptions { config, format, limits, .. } = options;
        let (major, minor) = gpu.properties.compute_capability;
        let shape = KernelShape::new(&config, limits.block_size)?;
        let compiled = compile(&shape, &format!("sm_{major}{minor}"), options.kernel_cache)?;
        // Hopper is the first that can start a kernel while the one before it ends.
        let programmatic = options.programmatic_launch && major >= 9;
        let kernels = Kernels::load(&gpu.context, compiled.cubin, config.head_dim, programmatic)?;
        let weights = Weights::load(&gpu, &config, format, progress)?;
        let rope = upload_rope(&gpu, &config, limits.model_len)?;
        let act = Activations::new(&gpu, &config, limits)?;
        let mut gemms = Gemms::new(&gpu)?;
        prepare_products(&gpu, &mut gemms, &config, limits, &weights, &act)?;
        let cache = KvCache::new(&gpu, &config, limits.block_size, options.num_blocks, options.gpu_memory_utilization)?;
        let words = max_words(limits, cache.num_blocks);
        let inputs = gpu.zeroed::<i32>(words, "a step's inputs", "lower scheduler.num_blocks")?;
        let columns = SkinnyColumns::of_source();
        let sampled_vocab_size = options.sampled_vocab_size.min(config.vocab_size);
        Ok(Model {
            gpu,
            config,
            limits,
            act,
            cache,
            inputs,
            weights,
            kernels,
            columns,
            gemms,
            rope,
            sampled_vocab_size,
            row_buckets: row_buckets(limits.rows),
            logit_buckets: row_buckets(limits.seqs),
        })
    }

    /// Words of the largest step.
    pub(super) fn max_words(&self) -> usize {
        max_words(self.limits, self.cache.num_blocks)
    }

    /// Queues a whole forward pass over the words that are in `inputs`.
    pub(super) fn enqueue(&self, shape: StepShape, path: Path) -> Result<(), GpuError> {
        let pass = &self.pass(shape, &self.inputs, 0);
        self.enqueue_embedding(pass)?;
        for layer in 0..self.weights.layers.len() {
            match path {
                Path::Fused => self.enqueue_fused_layer(pass, layer)?,
                Path::Gemm => self.enqueue_layer(pass, layer)?,
            }
        }
        if shape.logit_rows > 0 {
            self.enqueue_head(pass, path)?;
        }
        Ok(())
    }

    fn enqueue_fused_layer(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        let weights = self.layer(layer);
        let rows = pass.shape.rows();
        let skinny = self.kernels.skinny(rows);
        let (hidden, query, intermediate) =
            (self.config.hidden_size, self.config.query_size(), self.config.intermediate_size);
        let packed = self.packed_width();
        let (act, columns) = (&self.act, self.columns);
        let (residual, context, gated) = (act.residual.address(), act.context.address(), act.gated.address());
        let from_residual = |weight: CUdeviceptr, norm: CUdeviceptr, out: CUdeviceptr, outputs: usize| {
            [weight.into(), residual.into(), norm.into(), out.into(), outputs.into(), hidden.into(), rows.into()]
        };
        let to_residual = |weight: CUdeviceptr, x: CUdeviceptr, inputs: usize| -> [Arg; 6] {
            [weight.into(), x.into(), residual.into(), hidden.into(), inputs.into(), rows.into()]
        };
        let blocks = |outputs: usize, columns: usize| Grid::new((outputs.div_ceil(columns), 1, 1), 256);
        let qkv: [Arg; 7] =
            from_residual(weights.query_key_value, weights.input_norm, act.query_key_value.address(), packed);
        self.run(&skinny.qkv, blocks(packed, columns.qkv), &qkv)?;
        self.enqueue_decode_attention(pass, layer)?;
        self.run(&skinny.add, blocks(hidden, columns.add), &to_residual(weights.attention_output, context, query))?;
        let silu: [Arg; 7] = from_residual(weights.gate_up, weights.post_attention_norm, gated, intermediate);
        self.run(&skinny.silu, blocks(intermediate, columns.silu), &silu)?;
        self.run(&skinny.add, blocks(hidden, columns.add), &to_residual(weights.down, gated, intermediate))
    }

    fn enqueue_layer(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        let weights = self.layer(layer);
        self.enqueue_norm(pass.shape.rows(), weights.input_norm)?;
        self.enqueue_product(Product::QueryKeyValue, pass.shape.rows(), layer)?;
        self.enqueue_attention(pass, layer)?;
        self.enqueue_product(Product::AttentionOutput, pass.shape.rows(), layer)?;
        self.enqueue_norm(pass.shape.rows(), weights.post_attention_norm)?;
        self.enqueue_product(Product::GateUp, pass.shape.rows(), layer)?;
        self.enqueue_activation(pass.shape.rows())?;
        self.enqueue_product(Product::Down, pass.shape.rows(), layer)
    }

    /// The residual stream from the embedding; the sampled tokens begin anew.
    pub(super) fn enqueue_embedding(&self, pass: &Pass) -> Result<(), GpuError> {
        let Pass { shape, words } = pass;
        let args = [
            words.ids.into(),
            self.weights.embedding.into(),
            self.act.residual.address().into(),
            self.act.best.address().into(),
            shape.logit_rows.into(),
        ];
        self.run(&self.kernels.embed, Grid::new((shape.rows(), 1, 1), 128), &args)
    }

    /// `normed = norm(residual)` for the first `rows` rows.
    pub(super) fn enqueue_norm(&self, rows: usize, weight: CUdeviceptr) -> Result<(), GpuError> {
        self.norm_rows(rows, weight, 0)
    }

    fn norm_rows(&self, rows: usize, weight: CUdeviceptr, row_ids: CUdeviceptr) -> Result<(), GpuError> {
        let args =
            [self.act.residual.address().into(), weight.into(), row_ids.into(), self.act.normed.address().into()];
        self.run(&self.kernels.rms_norm, Grid::new((rows, 1, 1), 256), &args)
    }

    /// One of a layer's four products by cuBLASLt, for at least `rows` rows.
    pub(super) fn enqueue_product(&self, product: Product, rows: usize, layer: usize) -> Result<(), GpuError> {
        let rows = row_bucket(&self.row_buckets, rows);
        self.gemms.enqueue(product.shape(&self.config, rows), product.operands(&self.act, self.layer(layer)))
    }

    /// Attention of all rows: decodes by one kernel, longer shares by two.
    pub(super) fn enqueue_attention(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        if pass.shape.decode_rows > 0 {
            self.enqueue_decode_attention(pass, layer)?;
        }
        if pass.shape.prefill_rows > 0 {
            self.enqueue_prefill_qkv(pass, layer)?;
            self.enqueue_prefill_attention(pass, layer)?;
        }
        Ok(())
    }

    /// Norms and rotates queries and keys of the decode rows, saves keys and values, and attends: all in one.
    pub(super) fn enqueue_decode_attention(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        let (Pass { shape, words }, weights, act) = (pass, self.layer(layer), &self.act);
        let heads = self.config.num_key_value_heads;
        let multiprocessors = self.gpu.properties.num_multiprocessors as usize;
        let splits = num_splits(shape.decode_rows, heads, multiprocessors, self.limits.model_len);
        let args = [
            act.query_key_value.address().into(),
            weights.query_norm.into(),
            weights.key_norm.into(),
            words.positions.into(),
            words.slots.into(),
            words.table_starts.into(),
            words.block_ids.into(),
            self.rope.address().into(),
            self.cache.keys(layer).into(),
            self.cache.values(layer).into(),
            act.partial.address().into(),
            act.partial_ml.address().into(),
            act.counters.address().into(),
            act.context.address().into(),
            splits.into(),
        ];
        self.run(&self.kernels.decode_attention, Grid::new((heads, shape.decode_rows, splits), 128), &args)
    }

    /// Norms and rotates queries and keys of the prefill rows and saves keys and values.
    pub(super) fn enqueue_prefill_qkv(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        let (Pass { shape, words }, weights) = (pass, self.layer(layer));
        let args = [
            self.act.query_key_value.address().into(),
            weights.query_norm.into(),
            weights.key_norm.into(),
            words.positions.into(),
            words.slots.into(),
            self.rope.address().into(),
            self.cache.keys(layer).into(),
            self.cache.values(layer).into(),
            shape.decode_rows.into(),
        ];
        self.run(&self.kernels.prefill_qkv, Grid::new((shape.prefill_rows, 1, 1), 256), &args)
    }

    /// Attention of the prefill rows over what the cache holds.
    pub(super) fn enqueue_prefill_attention(&self, pass: &Pass, layer: usize) -> Result<(), GpuError> {
        let Pass { shape, words } = pass;
        let args = [
            self.act.query_key_value.address().into(),
            words.tiles.into(),
            words.block_ids.into(),
            self.cache.keys(layer).into(),
            self.cache.values(layer).into(),
            self.act.context.address().into(),
        ];
        let grid = Grid {
            blocks: (self.config.num_attention_heads, shape.tiles, 1),
            threads: 128,
            shared_bytes: self.kernels.prefill_shared_bytes,
        };
        self.run(&self.kernels.prefill_attention, grid, &args)
    }

    /// `gated = silu(gate) * up`.
    pub(super) fn enqueue_activation(&self, rows: usize) -> Result<(), GpuError> {
        let args = [self.act.gate_up.address().into(), self.act.gated.address().into(), rows.into()];
        let blocks = ((self.config.intermediate_size / 8).div_ceil(128), rows.min(65_535), 1);
        self.run(&self.kernels.silu_mul, Grid::new(blocks, 128), &args)
    }

    /// Logits of the wanted rows, and the best token of each.
    pub(super) fn enqueue_head(&self, pass: &Pass, path: Path) -> Result<(), GpuError> {
        let (words, act, rows) = (&pass.words, &self.act, pass.shape.logit_rows);
        let (vocab, hidden) = (self.config.vocab_size, self.config.hidden_size);
        match path {
            Path::Fused => {
                let args = [
                    self.weights.head.into(),
                    act.residual.address().into(),
                    self.weights.final_norm.into(),
                    words.logit_rows.into(),
                    act.logits.address().into(),
                    vocab.into(),
                    hidden.into(),
                    rows.into(),
                ];
                let grid = Grid::new((vocab.div_ceil(self.columns.logits), 1, 1), 256);
                self.run(&self.kernels.skinny(rows).logits, grid, &args)?;
            }
            Path::Gemm => {
                self.norm_rows(rows, self.weights.final_norm, words.logit_rows)?;
                self.enqueue_logits(rows)?;
            }
        }
        self.enqueue_argmax(rows)
    }

    /// `normed = norm(residual)` with the last norm, for the first `rows` rows.
    pub(super) fn enqueue_final_norm(&self, rows: usize) -> Result<(), GpuError> {
        self.enqueue_norm(rows, self.weights.final_norm)
    }

    /// Logits of the first `rows` normed rows.
    pub(super) fn enqueue_logits(&self, rows: usize) -> Result<(), GpuError> {
        let shape = head_shape(&self.config, row_bucket(&self.logit_buckets, rows));
        self.gemms.enqueue(shape, head_operands(&self.act, &self.weights))
    }

    /// The best token of each of the first `rows` rows of logits.
    pub(super) fn enqueue_argmax(&self, rows: usize) -> Result<(), GpuError> {
        let (act, vocab) = (&self.act, self.config.vocab_size);
        let args =
            [act.logits.address().into(), act.best.address().into(), self.sampled_vocab_size.into(), vocab.into()];
        self.run(&self.kernels.argmax, Grid::new((rows, ARGMAX_SPLITS, 1), 256), &args)
    }

    /// A layer's weights.
    pub(super) fn layer(&self, layer: usize) -> &LayerWeights {
        &self.weights.layers[layer]
    }

    fn packed_width(&self) -> usize {
        self.config.query_size() + 2 * self.config.key_value_size()
    }

    /// A step whose words begin at word `first` of `inputs`.
    pub(super) fn pass(&self, shape: StepShape, inputs: &Buffer, first: usize) -> Pass {
        let layout = Layout::of(shape);
        let at = |word: usize| inputs.at((first + word) * size_of::<i32>());
        let words = Words {
            tiles: at(layout.tiles),
            ids: at(layout.ids),
            positions: at(layout.positions),
            slots: at(layout.slots),
            logit_rows: at(layout.logit_rows),
            table_starts: at(layout.table_starts),
            block_ids: at(layout.block_ids),
        };
        Pass { shape, words }
    }

    fn run(&self, kernel: &cudarc::driver::CudaFunction, grid: Grid, args: &[Arg]) -> Result<(), GpuError> {
        self.kernels.launch(&self.gpu.stream, kernel, grid, args)
    }
}

fn max_words(limits: Limits, num_blocks: usize) -> usize {
    let Limits { rows, seqs, .. } = limits;
    // Padding of graphs adds fewer than a full step's worth of tiles.
    let tiles = 2 * (rows.div_ceil(super::step::TILE_ROWS) + seqs) + 64;
    Layout::of(StepShape { decode_rows: seqs, prefill_rows: rows, tiles, logit_rows: seqs.max(64) }).block_ids
        + num_blocks
}

/// The rotary embedding's table, computed as the CPU model does.
fn upload_rope(gpu: &Gpu, config: &Qwen3Config, positions: usize) -> Result<Buffer, GpuError> {
    let pairs = config.head_dim / 2;
    let frequency = |pair: usize| config.rope_theta.powf(-((2 * pair) as f64) / config.head_dim as f64) as f32;
    let frequencies: Vec<f32> = (0..pairs).map(frequency).collect();
    let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
    let table: Vec<f32> = angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect();
    let buffer = gpu.allocate::<f32>(table.len(), "the rotary embedding's table", "lower scheduler.max_model_len")?;
    gpu.upload(&table, &buffer, 0)?;
    Ok(buffer)
}

//! The operations a profile measures one by one, named as Vidur names them.

/// One measured operation. The order is that of [`Operation::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Query, key and value projections.
    AttnPreProj,
    /// Output projection of attention.
    AttnPostProj,
    /// Rotary embedding.
    AttnRope,
    /// Up (and gate) projection of the MLP.
    MlpUpProj,
    /// Down projection of the MLP.
    MlpDownProj,
    /// Activation of the MLP.
    MlpAct,
    /// Norm before attention.
    InputLayernorm,
    /// Norm before the MLP.
    PostAttentionLayernorm,
    /// Residual addition.
    Add,
    /// Writing new keys and values to the paged cache.
    AttnKvCacheSave,
    /// Attention of prompt chunks.
    AttnPrefill,
    /// Attention of single new tokens.
    AttnDecode,
    /// All-reduce over the tensor parallel group.
    AllReduce,
    /// Point-to-point transfer to the next pipeline stage.
    SendRecv,
    /// Host: forming a batch.
    Schedule,
    /// Host: sampling, end to end.
    SamplerE2e,
    /// Host: preparing the model's inputs, end to end.
    PrepareInputsE2e,
    /// Host: handling the model's outputs.
    ProcessModelOutputs,
    /// Host: talking to workers.
    RayCommTime,
}

/// The file of a profiling root an operation is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileFile {
    /// `mlp.csv`: by tokens.
    Mlp,
    /// `attention.csv`: by batch, chunk and cache size.
    Attention,
    /// `all_reduce.csv`: by bytes.
    AllReduce,
    /// `send_recv.csv`: by bytes.
    SendRecv,
    /// `cpu_overheads.csv`: by batch size.
    CpuOverheads,
}

/// What the two numbers of a query mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Tokens of the step; the second number is 0.
    Tokens,
    /// Sequences of the step; the second number is 0.
    BatchSize,
    /// Tokens already in the cache, tokens of the chunk.
    CacheAndChunk,
    /// Sequences, tokens in the cache of each.
    BatchAndCache,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 19] = [
        Operation::AttnPreProj,
        Operation::AttnPostProj,
        Operation::AttnRope,
        Operation::MlpUpProj,
        Operation::MlpDownProj,
        Operation::MlpAct,
        Operation::InputLayernorm,
        Operation::PostAttentionLayernorm,
        Operation::Add,
        Operation::AttnKvCacheSave,
        Operation::AttnPrefill,
        Operation::AttnDecode,
        Operation::AllReduce,
        Operation::SendRecv,
        Operation::Schedule,
        Operation::SamplerE2e,
        Operation::PrepareInputsE2e,
        Operation::ProcessModelOutputs,
        Operation::RayCommTime,
    ];

    /// Name in profiles and tables, `attn_decode`.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// Column with the median time in ms (for `ray_comm_time` the mean: its median was never recorded).
    pub fn time_column(self) -> &'static str {
        self.words().1
    }

    /// Column with the standard deviation in ms.
    pub fn std_column(self) -> &'static str {
        self.words().2
    }

    /// The operation called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Operation::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The file that measures it.
    pub fn file(self) -> ProfileFile {
        use Operation::*;
        match self {
            AttnKvCacheSave | AttnPrefill | AttnDecode => ProfileFile::Attention,
            AllReduce => ProfileFile::AllReduce,
            SendRecv => ProfileFile::SendRecv,
            Schedule | SamplerE2e | PrepareInputsE2e | ProcessModelOutputs | RayCommTime => ProfileFile::CpuOverheads,
            _ => ProfileFile::Mlp,
        }
    }

    /// What it is a function of.
    pub fn axes(self) -> Axes {
        match (self, self.file()) {
            (Operation::AttnPrefill, _) => Axes::CacheAndChunk,
            (Operation::AttnDecode, _) => Axes::BatchAndCache,
            (_, ProfileFile::CpuOverheads) => Axes::BatchSize,
            _ => Axes::Tokens,
        }
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        macro_rules! device {
            ($name:literal) => {
                ($name, concat!("time_stats.", $name, ".median"), concat!("time_stats.", $name, ".std"))
            };
        }
        macro_rules! host {
            ($name:literal, $time:literal) => {
                ($name, concat!($name, $time), concat!($name, "_std"))
            };
        }
        match self {
            Operation::AttnPreProj => device!("attn_pre_proj"),
            Operation::AttnPostProj => device!("attn_post_proj"),
            Operation::AttnRope => device!("attn_rope"),
            Operation::MlpUpProj => device!("mlp_up_proj"),
            Operation::MlpDownProj => device!("mlp_down_proj"),
            Operation::MlpAct => device!("mlp_act"),
            Operation::InputLayernorm => device!("input_layernorm"),
            Operation::PostAttentionLayernorm => device!("post_attention_layernorm"),
            Operation::Add => device!("add"),
            Operation::AttnKvCacheSave => device!("attn_kv_cache_save"),
            Operation::AttnPrefill => device!("attn_prefill"),
            Operation::AttnDecode => device!("attn_decode"),
            Operation::AllReduce => device!("all_reduce"),
            Operation::SendRecv => device!("send_recv"),
            Operation::Schedule => host!("schedule", "_median"),
            Operation::SamplerE2e => host!("sampler_e2e", "_median"),
            Operation::PrepareInputsE2e => host!("prepare_inputs_e2e", "_median"),
            Operation::ProcessModelOutputs => host!("process_model_outputs", "_median"),
            Operation::RayCommTime => host!("ray_comm_time", "_mean"),
        }
    }
}

//! A Vidur profiling root, as it is: operations read, failed measurements set aside, predictors tabulated.

use std::path::{Path, PathBuf};

use fidelio_shared::latency::operations::{
    CpuOverheadFilter, OperationProfile, OperationShape, ProfileFilter, num_multiprocessors,
};
use fidelio_shared::latency::{TableLimits, VidurTables};

use super::Files;
use crate::config::Experiment;
use crate::error::Hinted;

/// Longest batch tabulated when the scheduler sets no limit, in tokens.
const MAX_TOKENS: u64 = 1 << 16;

/// Tables of our predictor over the profile in `root`, and the measurements set aside, in words.
pub fn load(experiment: &Experiment, root: &Path, files: &mut Files) -> anyhow::Result<(VidurTables, Vec<String>)> {
    let places = Places::of(experiment, root)?;
    let filter = filter(experiment)?;
    let mut profile = OperationProfile::default();
    let compute = |name: &str| places.compute.join(name);
    let name = |path: &Path| path.display().to_string();
    let (mlp, attention) = (compute("mlp.csv"), compute("attention.csv"));
    profile.read_mlp(&name(&mlp), &files.read(&mlp)?, &filter)?;
    profile.read_attention(&name(&attention), &files.read(&attention)?, &filter)?;
    if filter.tensor_parallel > 1 {
        let path = places.network()?.join("all_reduce.csv");
        profile.read_all_reduce(&name(&path), &files.read(&path)?, &filter)?;
    }
    if filter.pipeline_parallel > 1 {
        let path = places.network()?.join("send_recv.csv");
        profile.read_send_recv(&name(&path), &files.read(&path)?, &filter)?;
    }
    if experiment.latency.host_overhead {
        let path = places.host()?.join("cpu_overheads.csv");
        let filter = CpuOverheadFilter { model_name: &places.model, tensor_parallel: filter.tensor_parallel };
        let Some(bytes) = files.find(&path)? else {
            let problem = format!("`{}` is missing: no host operations were profiled", path.display());
            let hint = "`latency.host_overhead=false` simulates without them; `latency.host_us` adds a stated time";
            return Err(Hinted::new(problem, hint).into());
        };
        profile.read_cpu_overheads(&name(&path), &bytes, &filter)?;
    }
    let predictors = profile.fit(&filter.context(num_multiprocessors(&places.device)));
    let set_aside = profile.set_aside.iter().map(ToString::to_string).collect();
    Ok((VidurTables::from_predictors(&predictors, &limits(experiment)), set_aside))
}

/// What the scheduler's batches can hold.
fn limits(experiment: &Experiment) -> TableLimits {
    let scheduler = &experiment.scheduler;
    let (seqs, longest) = (u64::from(scheduler.max_num_seqs), u64::from(scheduler.max_model_len));
    let budget = u64::from(scheduler.max_num_batched_tokens);
    let max_tokens = match scheduler.policy.reserves_longest() {
        true => seqs * longest,
        false => budget + seqs,
    };
    let tokens = max_tokens.min(MAX_TOKENS) as usize;
    TableLimits {
        max_tokens: tokens.next_multiple_of(8),
        max_seqs: scheduler.max_num_seqs as usize,
        max_chunk: tokens.min(budget.max(longest) as usize),
        max_context: longest as usize,
    }
}

fn filter(experiment: &Experiment) -> anyhow::Result<ProfileFilter> {
    let shape = super::shape(experiment)?;
    Ok(ProfileFilter {
        shape: OperationShape {
            num_q_heads: shape.num_q_heads,
            num_kv_heads: shape.num_kv_heads,
            embedding_dim: shape.hidden_size,
            mlp_hidden_dim: shape.mlp_hidden_size,
            use_gated_mlp: shape.is_gated,
            vocab_size: shape.vocab_size,
        },
        tensor_parallel: shape.tensor_parallel,
        pipeline_parallel: shape.pipeline_parallel,
        devices_per_node: 8,
        block_size: experiment.scheduler.block_size,
        has_post_attention_norm: true,
    })
}

/// Folders of a profiling root.
struct Places {
    base: PathBuf,
    compute: PathBuf,
    device: String,
    model: String,
    node: Option<String>,
}

impl Places {
    fn of(experiment: &Experiment, root: &Path) -> anyhow::Result<Self> {
        let latency = &experiment.latency;
        let inner = root.join("data/profiling");
        let base = if inner.is_dir() { inner } else { root.to_path_buf() };
        let device = latency.device.clone().unwrap_or_else(|| experiment.hardware.name.clone());
        let model = latency.model.clone().unwrap_or_else(|| experiment.model.name.clone());
        let compute = base.join("compute").join(&device).join(&model);
        if !compute.is_dir() {
            let problem = format!("`{}` is no profile: there is no `{}`", root.display(), compute.display());
            let hint = "name its folders with `latency.device=…` and `latency.model=…`";
            return Err(Hinted::new(problem, hint).into());
        }
        Ok(Places { compute, base, device, model, node: latency.network_device.clone() })
    }

    fn node(&self) -> anyhow::Result<&str> {
        self.node.as_deref().ok_or_else(|| {
            let hint = "for example `latency.network_device=a100_dgx`";
            Hinted::new("several devices or host operations need `latency.network_device`", hint).into()
        })
    }

    fn network(&self) -> anyhow::Result<PathBuf> {
        Ok(self.base.join("network").join(self.node()?))
    }

    fn host(&self) -> anyhow::Result<PathBuf> {
        Ok(self.base.join("cpu_overhead").join(self.node()?).join(&self.model))
    }
}

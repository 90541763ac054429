//! Latency models for a simulation: the one an experiment chooses, read from its files.

mod calibrated;
mod operations;
mod steps;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::calibrate::{CalibratedModel, NoBase};
use fidelio_shared::latency::layered::{LayerProfile, LayeredModel};
use fidelio_shared::latency::{
    BatchShape, LatencyModel, Roofline, StepModel, StepTime, VidurModel, VidurShape, VidurTables,
};
use fidelio_shared::schema::{DataError, Folder, RunMeta, read_document};
use fidelio_shared::time::{Nanos, Ticks};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::{Experiment, LatencyKind, model_shape};
use crate::error::Hinted;
use crate::store::DirFolder;

pub use calibrated::{describe_base, nothing};

/// A model ready to predict, and what is to be recorded of it.
pub struct LoadedModel {
    /// What predicts.
    pub model: AnyModel,
    /// What it was read from.
    pub profile: Option<PathBuf>,
    /// Content of the files read.
    pub sha256: String,
    /// The profile's own metadata, where it has some.
    pub measured: Option<RunMeta>,
    /// What a reader of the run should know: fit, what was set aside.
    pub report: Map<String, Value>,
}

/// Any of the models, and a host time that is added to each step.
pub struct AnyModel {
    kind: AnyKind,
    extra_host: Ticks,
}

enum AnyKind {
    Steps(Box<StepModel>),
    Vidur(Box<VidurModel>),
    Layers(Box<LayeredModel>),
    Roofline(Box<Roofline>),
    Calibrated(Box<CalibratedModel<AnyModel>>),
    /// What a calibration without a model to calibrate upon stands on.
    Nothing(NoBase),
}

impl AnyModel {
    /// Vidur's formula, when that is what it is.
    pub fn vidur(&self) -> Option<&VidurModel> {
        match &self.kind {
            AnyKind::Vidur(model) => Some(model),
            _ => None,
        }
    }
}

impl LatencyModel for AnyModel {
    fn stage_time(&self, shape: &BatchShape, stage: u32) -> StepTime {
        let time = match &self.kind {
            AnyKind::Steps(model) => model.stage_time(shape, stage),
            AnyKind::Vidur(model) => model.stage_time(shape, stage),
            AnyKind::Layers(model) => model.stage_time(shape, stage),
            AnyKind::Roofline(model) => model.stage_time(shape, stage),
            AnyKind::Calibrated(model) => model.stage_time(shape, stage),
            AnyKind::Nothing(model) => model.stage_time(shape, stage),
        };
        let host = if stage == 0 { time.host + self.extra_host } else { time.host };
        StepTime { host, ..time }
    }

    fn admission_time(&self, num_arrived: u32) -> Ticks {
        match &self.kind {
            AnyKind::Calibrated(model) => model.admission_time(num_arrived),
            _ => Ticks::default(),
        }
    }

    fn first_step_time(&self) -> Ticks {
        match &self.kind {
            AnyKind::Calibrated(model) => model.first_step_time(),
            _ => Ticks::default(),
        }
    }
}

/// Loads the experiment's model; `profile` is the directory, for kinds that have one.
///
/// # Errors
/// A missing or broken profile, one of another model, or settings the kind cannot serve.
pub fn load(experiment: &Experiment, profile: Option<&Path>) -> anyhow::Result<LoadedModel> {
    let mut files = Files::default();
    let mut report = Map::new();
    let mut measured = None;
    let kind = match experiment.latency.kind {
        LatencyKind::Steps => {
            let dir = needed(experiment, profile)?;
            measured = profile_meta(experiment, dir)?;
            let (model, fit) = steps::load(experiment, dir, &mut files)?;
            report.insert("step_model".to_owned(), json!(fit));
            AnyKind::Steps(Box::new(model))
        }
        LatencyKind::VidurTables => {
            let tables = vidur_tables(needed(experiment, profile)?, &mut files)?;
            AnyKind::Vidur(Box::new(vidur_model(experiment, tables)?))
        }
        LatencyKind::Operations => {
            let (tables, set_aside) = operations::load(experiment, needed(experiment, profile)?, &mut files)?;
            report.insert("set_aside".to_owned(), json!(set_aside));
            AnyKind::Vidur(Box::new(vidur_model(experiment, tables)?))
        }
        LatencyKind::Layers => AnyKind::Layers(Box::new(layers(experiment, needed(experiment, profile)?, &mut files)?)),
        LatencyKind::Roofline => AnyKind::Roofline(Box::new(roofline(experiment)?)),
        LatencyKind::Calibrated => {
            let (model, said) = calibrated::load(experiment, needed(experiment, profile)?, &mut files)?;
            report.insert("calibration".to_owned(), said);
            AnyKind::Calibrated(Box::new(model))
        }
    };
    let profile = profile.filter(|_| experiment.latency.kind != LatencyKind::Roofline).map(Path::to_path_buf);
    let extra_host = Ticks::from_nanos_f64(experiment.latency.host_us * 1e3);
    Ok(LoadedModel { model: AnyModel { kind, extra_host }, profile, sha256: files.finish(), measured, report })
}

/// The metadata of a profile of ours, which must be of this experiment's LLM.
fn profile_meta(experiment: &Experiment, dir: &Path) -> anyhow::Result<Option<RunMeta>> {
    let mut folder = DirFolder::open_dir(dir).map_err(|error| match error.hint {
        Some(_) => error,
        None => {
            error.with_hint("`fidelio profile` measures one; `--profile` names another; `latency=roofline` needs none")
        }
    })?;
    let Some(bytes) = read_document(&mut folder, "run_meta.json")? else { return Ok(None) };
    let file = format!("{}/run_meta.json", folder.name());
    let meta = RunMeta::read(&file, &bytes)?;
    match meta.model.as_ref().filter(|model| **model != experiment.model.name) {
        Some(model) => {
            let problem = format!("this profile is of `{model}`, the experiment runs `{}`", experiment.model.name);
            let hint = "`fidelio profile` measures one for this experiment; `--profile` names another";
            Err(DataError::new(file, problem).in_column("model").with_hint(hint).into())
        }
        None => Ok(Some(meta)),
    }
}

fn needed<'a>(experiment: &Experiment, profile: Option<&'a Path>) -> anyhow::Result<&'a Path> {
    profile.ok_or_else(|| {
        let problem = format!("the latency model `{}` needs a profile", experiment.latency.kind.name());
        Hinted::new(problem, "name its directory with `--profile DIR` or `latency.profile=DIR`").into()
    })
}

/// Files of a profile as they are read: their bytes are what the run was predicted from.
#[derive(Default)]
pub struct Files(Sha256);

impl Files {
    /// The file's bytes, unpacked if `.gz` is what there is.
    ///
    /// # Errors
    /// When neither is there, or reading fails.
    pub fn read(&mut self, path: &Path) -> anyhow::Result<Vec<u8>> {
        self.find(path)?.ok_or_else(|| DataError::new(path.display().to_string(), "is missing").into())
    }

    /// As [`Files::read`]; `None` when there is neither.
    ///
    /// # Errors
    /// When reading fails.
    pub fn find(&mut self, path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
        let packed = PathBuf::from(format!("{}.gz", path.display()));
        let (found, is_packed) = match (path.is_file(), packed.is_file()) {
            (true, _) => (path, false),
            (false, true) => (packed.as_path(), true),
            (false, false) => return Ok(None),
        };
        let fail = |error: std::io::Error| DataError::new(found.display().to_string(), format!("cannot read: {error}"));
        let mut bytes = std::fs::read(found).map_err(fail)?;
        if is_packed {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).map_err(fail)?;
            bytes = text;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.0.update(name.as_bytes());
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(&bytes);
        Ok(Some(bytes))
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn vidur_tables(dir: &Path, files: &mut Files) -> anyhow::Result<VidurTables> {
    let mut tables = VidurTables::default();
    let mut num_read = 0;
    for name in VidurTables::names() {
        // The complete prefill table of a recorded run lies beside its `tables` folder.
        let beside = dir.parent().unwrap_or(dir).join(format!("{name}.csv"));
        let path = dir.join(format!("{name}.csv"));
        let (path, bytes) = match files.find(&path)? {
            Some(bytes) => (path, Some(bytes)),
            None if name.ends_with("_rle") => (beside.clone(), files.find(&beside)?),
            None => (path, None),
        };
        if let Some(bytes) = bytes {
            tables.read(name, &path.display().to_string(), &bytes[..])?;
            num_read += 1;
        }
    }
    if num_read == 0 {
        let problem = format!("`{}` holds no table of Vidur's operations", dir.display());
        return Err(Hinted::new(problem, "it should hold `attn_decode.csv`, `mlp_up_proj.csv` and so on").into());
    }
    Ok(tables)
}

/// Vidur's formula for the experiment's model, cut over its cluster.
fn vidur_model(experiment: &Experiment, tables: VidurTables) -> anyhow::Result<VidurModel> {
    let shape = shape(experiment)?;
    let vidur = VidurShape {
        num_layers: shape.num_layers,
        num_stages: shape.pipeline_parallel,
        tensor_parallel: shape.tensor_parallel,
        is_grouped_query: shape.num_q_heads > shape.num_kv_heads,
        has_post_attention_norm: true,
        decode_batching_overhead: 0.1,
        prefill_batching_overhead: 0.1,
        nccl_launch_ms: 0.02,
        nccl_skew_ms: 0.0,
        has_host_overhead: experiment.latency.host_overhead,
    };
    VidurModel::new(vidur, tables).map_err(|problem| {
        let hint = match problem.contains("schedule") {
            true => "without tables of host operations, `latency.host_overhead=false`",
            false => "a table is `<operation>.csv` with its sizes and `time_ms`",
        };
        Hinted::new(format!("the latency tables do not suffice: {problem}"), hint).into()
    })
}

fn shape(experiment: &Experiment) -> anyhow::Result<fidelio_shared::latency::ModelShape> {
    model_shape(&experiment.model, &experiment.cluster)
        .map_err(|problem| Hinted::new(problem, "see `model.config`").into())
}

fn layers(experiment: &Experiment, dir: &Path, files: &mut Files) -> anyhow::Result<LayeredModel> {
    let mut read = |name: &str| files.read(&dir.join(name));
    let (dense, attention, sequence) = (read("dense.csv")?, read("attention.csv")?, read("per_sequence.csv")?);
    let profile = LayerProfile::read(&dense[..], &attention[..], &sequence[..])
        .with_context(|| format!("reading the profile `{}`", dir.display()))?;
    let num_layers = shape(experiment)?.num_layers;
    Ok(LayeredModel::new(&profile, num_layers, &experiment.latency.capture_sizes, Nanos::ZERO))
}

fn roofline(experiment: &Experiment) -> anyhow::Result<Roofline> {
    let hint = "choose hardware with peak figures: `fidelio configs hardware` lists them";
    let device = experiment.hardware.device.as_ref();
    let device = device.ok_or_else(|| Hinted::new("the roofline needs `hardware.device`", hint))?;
    Roofline::new(&shape(experiment)?, device, Nanos::ZERO).map_err(|problem| Hinted::new(problem, hint).into())
}

//! Captured steps: one CUDA graph a shape, made when the engine is loaded. Of the two ways to compute a small
//! step the quicker is kept, by measurement.

use std::collections::HashMap;

use cudarc::driver::{CudaEvent, CudaGraph};
use fidelio_shared::time::Nanos;
use indicatif::ProgressBar;

use super::buckets::Buckets;
use super::device::Gpu;
use super::error::{Doing, GpuError};
use super::model::{MAX_FUSED_ROWS, Model, Path};
use super::step::{Layout, StepShape, pack};

/// A graph is replayed for about this long to time it, ms, but at least once and at most 20 times.
const TIMED_MILLIS: f32 = 5.0;

/// When a step's first kernel began and its last ended, on the device. Captured into every graph: recorded around
/// a launch instead, they would hold the time the host takes to launch it.
pub(super) struct StepTimes {
    begin: CudaEvent,
    end: CudaEvent,
}

impl StepTimes {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        Ok(StepTimes { begin: gpu.event()?, end: gpu.event()? })
    }

    /// Queues a step without a graph between the two.
    pub(super) fn around(&self, gpu: &Gpu, enqueue: impl FnOnce() -> Result<(), GpuError>) -> Result<(), GpuError> {
        self.begin.record(&gpu.stream).doing("recording an event")?;
        enqueue()?;
        self.end.record(&gpu.stream).doing("recording an event")
    }

    /// Device time of the last step, which must have ended.
    pub(super) fn last(&self) -> Result<Nanos, GpuError> {
        let millis = self.begin.elapsed_ms(&self.end).doing("reading device time")?;
        Ok(Nanos((f64::from(millis) * 1e6).round().max(0.0) as u64))
    }
}

/// The graphs of one engine.
pub(super) struct Graphs {
    buckets: Buckets,
    graphs: HashMap<StepShape, (Path, CudaGraph)>,
}

impl Graphs {
    /// Captures a graph of every bucket; `progress` counts them.
    pub(super) fn capture(
        model: &Model,
        times: &StepTimes,
        buckets: Buckets,
        progress: &ProgressBar,
    ) -> Result<Self, GpuError> {
        let shapes: Vec<StepShape> = buckets.shapes().collect();
        progress.set_length(shapes.len() as u64);
        let mut graphs = HashMap::new();
        for shape in shapes {
            graphs.insert(shape, capture_quickest(model, times, shape)?);
            progress.inc(1);
        }
        Ok(Graphs { buckets, graphs })
    }

    /// The shape with a graph that a step of `exact` is padded to, if there is one.
    pub(super) fn padded(&self, exact: StepShape) -> Option<StepShape> {
        self.buckets.padded(exact).filter(|shape| self.graphs.contains_key(shape))
    }

    /// Launches the graph of `shape`, one of [`Self::padded`]'s.
    pub(super) fn launch(&self, shape: StepShape) -> Result<(), GpuError> {
        match self.graphs.get(&shape) {
            Some((_, graph)) => graph.launch().doing("launching a graph"),
            None => Err(GpuError::Step(format!("no graph of {shape:?} was captured"))),
        }
    }

    /// How each captured shape is computed.
    pub(super) fn paths(&self) -> Vec<(StepShape, Path)> {
        let mut paths: Vec<(StepShape, Path)> = self.graphs.iter().map(|(shape, (path, _))| (*shape, *path)).collect();
        paths.sort_by_key(|(shape, _)| *shape);
        paths
    }
}

/// The ways a step of this shape can be computed, the usual one first.
pub(super) fn ways(shape: StepShape) -> &'static [Path] {
    if shape.prefill_rows == 0 && shape.rows() <= MAX_FUSED_ROWS && shape.logit_rows <= MAX_FUSED_ROWS {
        &[Path::Fused, Path::Gemm]
    } else {
        &[Path::Gemm]
    }
}

fn capture_quickest(model: &Model, times: &StepTimes, shape: StepShape) -> Result<(Path, CudaGraph), GpuError> {
    let ways = ways(shape);
    let mut best: Option<(f32, Path, CudaGraph)> = None;
    for path in ways {
        upload_padding(model, shape)?;
        // Kernels are loaded when they first run, which a capture does not allow.
        model.enqueue(shape, *path)?;
        model.gpu.synchronize()?;
        let graph = model.gpu.capture(|| {
            model.gpu.record_in_graph(&times.begin)?;
            model.enqueue(shape, *path)?;
            model.gpu.record_in_graph(&times.end)
        })?;
        if ways.len() == 1 {
            return Ok((*path, graph));
        }
        let replay = || graph.launch().doing("launching a graph");
        let first = model.gpu.time(replay)?;
        let replays = (TIMED_MILLIS / first.max(0.01)).clamp(1.0, 20.0) as usize;
        let millis = model.gpu.time(|| (0..replays).try_for_each(|_| replay()))? / replays as f32;
        if best.as_ref().is_none_or(|(least, ..)| millis < *least) {
            best = Some((millis, *path, graph));
        }
    }
    let (_, path, graph) = best.ok_or_else(|| GpuError::Step("a step that cannot be computed".to_owned()))?;
    Ok((path, graph))
}

/// A step of padding only: every row is computed, none is kept.
fn upload_padding(model: &Model, shape: StepShape) -> Result<(), GpuError> {
    let mut words = vec![0; Layout::of(shape).block_ids];
    let used = pack(&[], shape, model.limits.block_size, &mut words)?;
    model.gpu.upload(&words[..used], &model.inputs, 0)
}

//! The predictor against the recorded errors of Vidur's forest, its regression and plain interpolation, on
//! both fixed splits of every operation: the rows of the table, for the benchmark to print and the test to hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fidelio_shared::latency::operations::{
    Axes, Operation, OperationContext, OperationShape, Predictor, Sample, num_multiprocessors, set_failed_aside,
};
use fidelio_shared::schema::table::TableReader;
use flate2::read::GzDecoder;

/// How samples are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Every fifth size, interleaved.
    Mod5,
    /// Five contiguous gaps.
    Block,
}

impl Split {
    /// Both.
    pub const ALL: [Split; 2] = [Split::Mod5, Split::Block];

    /// As the recorded results name it.
    pub fn name(self) -> &'static str {
        match self {
            Split::Mod5 => "mod5",
            Split::Block => "block",
        }
    }
}

/// Mean, 95th percentile and largest absolute relative error, %.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    pub mean: f64,
    pub p95: f64,
    pub max: f64,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub split: Split,
    pub dataset: String,
    pub operation: Operation,
    pub num_train: usize,
    pub num_test: usize,
    pub ours: Errors,
    pub forest: Errors,
    pub linear: Errors,
    pub interpolation: Errors,
    /// Mean deviation of repeats of one size from their median, %.
    pub repeat_noise: f64,
    pub tree_share: f64,
    pub fit_seconds: f64,
    pub nanos_per_query: f64,
    /// Failed measurements left out of both parts.
    pub num_set_aside: usize,
}

/// The folder of recorded results, or `None` with a loud word where there is none.
pub fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vidur_goldens");
    let root = std::env::var_os("FIDELIO_VIDUR_GOLDENS").map_or(default, PathBuf::from);
    let folder = root.join("predictor_baseline");
    if folder.join("results.csv").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no predictor baseline at {}; set FIDELIO_VIDUR_GOLDENS to its parent", folder.display());
    None
}

/// Computes every row, in the order of the recorded results; `filter` is a part of `dataset__operation`.
pub fn rows(folder: &Path, filter: &str) -> Vec<Row> {
    let text = fs::read(folder.join("results.csv")).expect("results.csv");
    let mut table = TableReader::new("results.csv", &text[..]).expect("a table");
    let names = table.all_required(&["split", "dataset", "op"]).expect("the names");
    let figures = table
        .all_required(&[
            "rf_mape",
            "rf_p95",
            "rf_max",
            "lr_mape",
            "lr_p95",
            "lr_max",
            "interp_mape",
            "interp_p95",
            "interp_max",
        ])
        .expect("the figures");
    let noise = table.required("dup_spread_pct").expect("the noise");
    let mut rows = Vec::new();
    while table.next_row().expect("a row") {
        let name = |index: usize| table.text(names[index]).expect("text").expect("a name").to_owned();
        let (dataset, op) = (name(1), name(2));
        let split = Split::ALL.into_iter().find(|split| split.name() == name(0)).expect("a split");
        let file = format!("{}__{op}.csv.gz", dataset.replace('/', "_"));
        if !file.contains(filter) {
            continue;
        }
        let number = |index: usize| table.number(figures[index]).expect("a figure");
        let errors = |index: usize| Errors { mean: number(index), p95: number(index + 1), max: number(index + 2) };
        let (mut forest, mut linear, mut interpolation) = (errors(0), errors(3), errors(6));
        // The results file keeps the failed measurements of this set; its README gives the means without.
        if dataset == "h100/Llama-3.1-70B/tp4" && op == "attn_decode" {
            let cleaned = if split == Split::Mod5 { [0.53, 9.01, 0.82] } else { [2.69, 10.36, 3.05] };
            let only_mean = |mean: f64| Errors { mean, p95: f64::NAN, max: f64::NAN };
            [forest, linear, interpolation] = cleaned.map(only_mean);
        }
        // Collectives carry the number of workers in their name.
        let operation = Operation::from_name(op.trim_end_matches("_2").trim_end_matches("_4")).expect("an operation");
        let repeat_noise = table.number(noise).unwrap_or(f64::NAN);
        let recorded = [forest, linear, interpolation];
        rows.push(row(&folder.join("data").join(file), split, &dataset, operation, recorded, repeat_noise));
    }
    rows
}

fn row(
    path: &Path,
    split: Split,
    dataset: &str,
    operation: Operation,
    [forest, linear, interpolation]: [Errors; 3],
    repeat_noise: f64,
) -> Row {
    let (mut samples, held_out) = read(path, split, operation);
    let aside = set_failed_aside(operation, &mut samples);
    let is_test = |sample: &Sample| held_out[&sample.line];
    let (test, train): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(is_test);
    let began = Instant::now();
    let predictor = Predictor::fit(operation, &train, &context(dataset));
    let fit_seconds = began.elapsed().as_secs_f64();
    let mut errors: Vec<f64> =
        test.iter().map(|sample| 100.0 * (predictor.predict_at(sample.x) / sample.time - 1.0).abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let ours = Errors {
        mean: errors.iter().sum::<f64>() / errors.len() as f64,
        p95: quantile(&errors, 0.95),
        max: errors[errors.len() - 1],
    };
    let queries: Vec<[u32; 2]> = test.iter().map(|sample| sample.x.map(|size| size as u32)).collect();
    let repeats = 100_000 / queries.len() + 1;
    let began = Instant::now();
    let mut sum = 0.0;
    for _ in 0..repeats {
        sum += queries.iter().map(|x| predictor.predict(std::hint::black_box(*x))).sum::<f64>();
    }
    let nanos = began.elapsed().as_nanos() as f64;
    assert!(sum > 0.0, "predictions are times");
    Row {
        split,
        dataset: dataset.to_owned(),
        operation,
        num_train: train.len(),
        num_test: test.len(),
        ours,
        forest,
        linear,
        interpolation,
        repeat_noise,
        tree_share: predictor.tree_share(),
        fit_seconds,
        nanos_per_query: nanos / (repeats * queries.len()) as f64,
        num_set_aside: aside.len(),
    }
}

/// As numpy's default: linear between order statistics.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// Samples of a file, and by line whether each is held out.
fn read(path: &Path, split: Split, operation: Operation) -> (Vec<Sample>, BTreeMap<u64, bool>) {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let packed = File::open(path).unwrap_or_else(|error| panic!("{file}: {error}"));
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("a gzip file");
    let mut table = TableReader::new(&file, &bytes[..]).expect("a table");
    let features: &[&'static str] = match operation.axes() {
        Axes::CacheAndChunk => &["kv_cache_size", "prefill_chunk_size_squared"],
        Axes::BatchAndCache => &["batch_size", "kv_cache_size"],
        _ => &["num_tokens"],
    };
    let features: Vec<_> = features.iter().map(|name| table.required(name).expect("a feature")).collect();
    let time = table.required("time_ms").expect("a time");
    let test = table.required(if split == Split::Mod5 { "test_mod5" } else { "test_block" }).expect("the split");
    let (mut samples, mut held_out) = (Vec::new(), BTreeMap::new());
    while table.next_row().expect("a row") {
        let number = |column| table.number(column).expect("a number");
        let mut x = [number(features[0]), features.get(1).map_or(0.0, |column| number(*column))];
        if operation.axes() == Axes::CacheAndChunk {
            x[1] = x[1].sqrt();
        }
        let line = table.line();
        samples.push(Sample { x, time: number(time), std: None, line });
        held_out.insert(line, number(test) > 0.0);
    }
    (samples, held_out)
}

/// Model and device of `a100/Llama-2-7b/tp1`; networks (`a100_dgx`) need no model.
fn context(dataset: &str) -> OperationContext {
    let shape = |num_q_heads, num_kv_heads, embedding_dim, mlp_hidden_dim, vocab_size| OperationShape {
        num_q_heads,
        num_kv_heads,
        embedding_dim,
        mlp_hidden_dim,
        use_gated_mlp: true,
        vocab_size,
    };
    let mut parts = dataset.split('/');
    let device = parts.next().unwrap_or_default();
    let shape = match parts.next() {
        Some("Meta-Llama-3-8B") => shape(32, 8, 4096, 14336, 128_256),
        Some("Qwen-2-7B") => shape(28, 4, 3584, 18944, 152_064),
        Some("Llama-2-7b") => shape(32, 32, 4096, 11008, 32768),
        _ => shape(64, 8, 8192, 28672, 32768),
    };
    let tensor_parallel = parts.next().map_or(1, |part| part[2..].parse().expect("tpN"));
    let device = device.split('_').next().unwrap_or_default();
    OperationContext { shape, tensor_parallel, num_multiprocessors: num_multiprocessors(device) }
}

//! Where weights come from: safetensors files (converted to f32) or random values by seed.
//! Knows names and shapes only as they are asked for.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use half::bf16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{ModelError, Qwen3Config};

/// How a model gets its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFormat {
    /// Random weights: the timings of the real model without its files. Same seed, same weights.
    Dummy {
        /// Seed of all tensors; each draws from a stream of its own name.
        seed: u64,
    },
    /// `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    Safetensors {
        /// The folder with the files.
        directory: PathBuf,
    },
}

/// Values one random stream fills: a piece of a tensor that one thread makes alone.
const VALUES_PER_STREAM: usize = 1 << 16;

/// An opened set of weights.
pub(in crate::engine) enum WeightSource {
    Dummy { seed: u64 },
    Files(Shards),
}

/// The mapped files of one model.
pub(in crate::engine) struct Shards {
    /// What names the whole set in errors: the single file, or the index.
    root: PathBuf,
    files: Vec<(PathBuf, MmapedSafetensors)>,
    file_of_tensor: HashMap<String, usize>,
}

impl WeightSource {
    pub(in crate::engine) fn open(format: &LoadFormat) -> Result<Self, ModelError> {
        match format {
            LoadFormat::Dummy { seed } => Ok(WeightSource::Dummy { seed: *seed }),
            LoadFormat::Safetensors { directory } => Shards::open(directory).map(WeightSource::Files),
        }
    }

    /// A matrix of `[rows, columns]`, f32.
    pub(in crate::engine) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, ModelError> {
        match self {
            WeightSource::Dummy { seed } => {
                // Unit gain: a uniform value of this half width has variance 1 / columns.
                let half_width = (3.0 / columns as f32).sqrt();
                let values = random_values(*seed, name, rows * columns, half_width);
                Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
            }
            WeightSource::Files(shards) => shards.load(name, &[rows, columns]),
        }
    }

    /// Any tensor's bfloat16 values as the bytes a little-endian device holds: a matrix `[rows, columns]`, or a
    /// norm's weight when `rows` is 1.
    pub(in crate::engine) fn bf16_bytes(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Cow<'_, [u8]>, ModelError> {
        let shape: &[usize] = if rows == 1 { &[columns] } else { &[rows, columns] };
        let values = match self {
            WeightSource::Dummy { .. } if rows == 1 => self.norm(name, columns)?,
            WeightSource::Dummy { .. } => self.matrix(name, rows, columns)?.flatten_all()?.to_vec1()?,
            WeightSource::Files(shards) => match shards.bf16_bytes(name, shape)? {
                Some(bytes) => return Ok(Cow::Borrowed(bytes)),
                None => shards.load(name, shape)?.flatten_all()?.to_vec1()?,
            },
        };
        Ok(Cow::Owned(values.par_iter().flat_map_iter(|value| bf16::from_f32(*value).to_le_bytes()).collect()))
    }

    /// The matrices `parts` (name, rows) on top of each other: one `[sum of rows, columns]` matrix.
    pub(super) fn stacked(&self, parts: &[(String, usize)], columns: usize) -> Result<Tensor, ModelError> {
        let parts: Vec<Tensor> =
            parts.iter().map(|(name, rows)| self.matrix(name, *rows, columns)).collect::<Result<_, _>>()?;
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// The weight of a norm, `length` values; all ones when random.
    pub(in crate::engine) fn norm(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        match self {
            WeightSource::Dummy { .. } => Ok(vec![1.0; length]),
            WeightSource::Files(shards) => Ok(shards.load(name, &[length])?.to_vec1()?),
        }
    }

    /// The biases `parts` (name, length) one after the other.
    pub(in crate::engine) fn bias(&self, parts: &[(String, usize)]) -> Result<Vec<f32>, ModelError> {
        let mut all = Vec::new();
        for (name, length) in parts {
            match self {
                WeightSource::Dummy { seed } => all.extend(random_values(*seed, name, *length, 0.1)),
                WeightSource::Files(shards) => all.extend(shards.load(name, &[*length])?.to_vec1::<f32>()?),
            }
        }
        Ok(all)
    }
}

impl Shards {
    fn open(directory: &Path) -> Result<Self, ModelError> {
        let index = directory.join("model.safetensors.index.json");
        let single = directory.join("model.safetensors");
        let (root, paths) = match index.is_file() && !single.is_file() {
            true => {
                let paths = shard_names(&index).map_err(|error| ModelError::in_file(&index, error))?;
                (index, paths.into_iter().map(|name| directory.join(name)).collect())
            }
            false => (single.clone(), vec![single]),
        };
        let mut shards = Shards { root, files: Vec::new(), file_of_tensor: HashMap::new() };
        for path in paths {
            shards.map_file(path)?;
        }
        Ok(shards)
    }

    fn map_file(&mut self, path: PathBuf) -> Result<(), ModelError> {
        // SAFETY: the mapping is read-only and lives no longer than loading. A file cut short by
        // another process meanwhile would fault, as for every program that maps its weights.
        let file = unsafe { MmapedSafetensors::new(&path) }
            .map_err(|error| ModelError::in_file(&path, ModelError::Safetensors(error)))?;
        for (name, _) in file.tensors() {
            self.file_of_tensor.insert(name, self.files.len());
        }
        self.files.push((path, file));
        Ok(())
    }

    fn load(&self, name: &str, expected: &[usize]) -> Result<Tensor, ModelError> {
        let (path, file) = self.file_of(name, expected)?;
        load_checked(file, name, expected).map_err(|error| ModelError::in_file(path, error))
    }

    /// The tensor's bytes as they lie in the file, if it is of bfloat16 already.
    fn bf16_bytes(&self, name: &str, expected: &[usize]) -> Result<Option<&[u8]>, ModelError> {
        let (path, file) = self.file_of(name, expected)?;
        let found = || -> Result<Option<&[u8]>, ModelError> {
            check_shape(file, name, expected)?;
            let view = file.get(name)?;
            Ok((DType::try_from(view.dtype())? == DType::BF16).then(|| view.data()))
        };
        found().map_err(|error| ModelError::in_file(path, error))
    }

    fn file_of(&self, name: &str, expected: &[usize]) -> Result<&(PathBuf, MmapedSafetensors), ModelError> {
        self.file_of_tensor.get(name).and_then(|&index| self.files.get(index)).ok_or_else(|| {
            let missing = ModelError::MissingTensor { tensor: name.to_owned(), expected: expected.to_vec() };
            ModelError::in_file(&self.root, missing)
        })
    }
}

fn check_shape(file: &MmapedSafetensors, name: &str, expected: &[usize]) -> Result<(), ModelError> {
    let found = file.get(name)?.shape().to_vec();
    if found != expected {
        return Err(ModelError::TensorShape { tensor: name.to_owned(), expected: expected.to_vec(), found });
    }
    Ok(())
}

fn load_checked(file: &MmapedSafetensors, name: &str, expected: &[usize]) -> Result<Tensor, ModelError> {
    check_shape(file, name, expected)?;
    let tensor = file.load(name, &Device::Cpu)?;
    match tensor.dtype() {
        DType::F32 | DType::F16 | DType::BF16 => Ok(tensor.to_dtype(DType::F32)?),
        other => Err(ModelError::TensorType { tensor: name.to_owned(), found: format!("{other:?}") }),
    }
}

/// The distinct file names an index lists.
fn shard_names(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = std::fs::read_to_string(index).map_err(ModelError::Read)?;
    let index: Index = serde_json::from_str(&text).map_err(ModelError::IndexSyntax)?;
    Ok(index.weight_map.into_values().collect())
}

/// `count` uniform values in `-half_width .. half_width`, the same on any number of threads. All of them are
/// bfloat16 values, so that engines of either precision hold the same weights.
fn random_values(seed: u64, name: &str, count: usize, half_width: f32) -> Vec<f32> {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    let key: [u8; 32] = hash.finalize().into();
    // 16 random bits a value are plenty for weights that mean nothing, and four times as quick.
    let step = half_width / 32768.0;
    let mut values = vec![0.0; count];
    values.par_chunks_mut(VALUES_PER_STREAM).enumerate().for_each(|(stream, piece)| {
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(stream as u64);
        for four in piece.chunks_mut(4) {
            let bits = random.next_u64();
            for (lane, value) in four.iter_mut().enumerate() {
                let exact = (f32::from((bits >> (16 * lane)) as u16) - 32767.5) * step;
                *value = bf16::from_f32(exact).to_f32();
            }
        }
    });
    values
}

/// Refuses a model whose weights do not fit into free memory, before the first byte is loaded.
pub(super) fn check_weights_fit(config: &Qwen3Config) -> Result<(), ModelError> {
    let f32_bytes = size_of::<f32>() as u64;
    // While a tensor is converted or stacked, its source is in memory too.
    let largest = config.vocab_size.max(2 * config.intermediate_size) as u64 * config.hidden_size as u64;
    check_memory("the weights", config.num_parameters().saturating_add(largest).saturating_mul(f32_bytes))
}

/// An error when `needed_bytes` exceed what the kernel says is available, or, where it does not say, what
/// an allocation can have at all.
pub(super) fn check_memory(what: &'static str, needed_bytes: u64) -> Result<(), ModelError> {
    let available_bytes = available_memory_bytes().unwrap_or(isize::MAX as u64);
    if needed_bytes > available_bytes {
        return Err(ModelError::Memory { what, needed_bytes, available_bytes });
    }
    Ok(())
}

fn available_memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

//! Our kernels' source, compiled by NVRTC for the device at hand and kept on disk by what decides the result.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::path::{Path, PathBuf};

use cudarc::nvrtc::result as nvrtc;
use cudarc::nvrtc::sys;
use sha2::{Digest, Sha256};

use super::error::GpuError;
use crate::engine::qwen3::Qwen3Config;

/// All kernels are one source: they share their first part, and NVRTC then needs no folder to include from.
const SOURCES: [&str; 6] = [
    include_str!("kernels/prelude.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/decode_merge.cu"),
    include_str!("kernels/decode_attention.cu"),
    include_str!("kernels/prefill_attention.cu"),
    include_str!("kernels/skinny.cu"),
];

/// What the kernels are compiled for: sizes they know as constants.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelShape {
    macros: Vec<(&'static str, String)>,
}

/// Compiled kernels with the compiler's report of registers, spills and shared memory.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Machine code of the device.
    pub cubin: Vec<u8>,
    /// What the compiler said; empty when the machine code came from the cache.
    pub log: String,
}

impl KernelShape {
    /// The constants of one model with KV blocks of `block_size` tokens.
    ///
    /// # Errors
    /// A size the kernels cannot compute, named.
    pub fn new(config: &Qwen3Config, block_size: usize) -> Result<Self, GpuError> {
        let refuse = |problem: String| Err(GpuError::Shape(problem));
        if ![64, 128].contains(&config.head_dim) {
            return refuse(format!("head_dim {} is not 64 or 128", config.head_dim));
        }
        let group = config.num_attention_heads / config.num_key_value_heads;
        if group > 8 {
            return refuse(format!("{group} query heads share a key head, at most 8 may"));
        }
        if config.attention_bias {
            return refuse("its attention projections have biases".to_owned());
        }
        for (name, size) in [
            ("hidden_size", config.hidden_size),
            ("intermediate_size", config.intermediate_size),
            ("num_attention_heads * head_dim", config.query_size()),
        ] {
            if !size.is_multiple_of(32) {
                return refuse(format!("{name} {size} is not a multiple of 32"));
            }
        }
        Ok(KernelShape {
            macros: vec![
                ("HEAD_DIM", config.head_dim.to_string()),
                ("NUM_Q_HEADS", config.num_attention_heads.to_string()),
                ("NUM_KV_HEADS", config.num_key_value_heads.to_string()),
                ("HIDDEN", config.hidden_size.to_string()),
                ("INTERMEDIATE", config.intermediate_size.to_string()),
                ("BLOCK_SIZE", block_size.to_string()),
                ("RMS_EPS", format!("{:e}f", config.rms_norm_eps)),
            ],
        })
    }

    fn options(&self, architecture: &str) -> Vec<String> {
        let mut options: Vec<String> = self.macros.iter().map(|(name, value)| format!("-D{name}={value}")).collect();
        options.extend([
            format!("--gpu-architecture={architecture}"),
            "--std=c++17".to_owned(),
            "--use_fast_math".to_owned(),
            "-default-device".to_owned(),
            "--ptxas-options=-v".to_owned(),
        ]);
        options
    }
}

/// The value of a `// HOST: NAME value` line of the kernels' source: a number both sides must agree on.
pub(super) fn host_constant(name: &str) -> usize {
    let lines = SOURCES.iter().flat_map(|source| source.lines());
    let mut values = lines.filter_map(|line| line.trim().strip_prefix("// HOST:")?.trim().strip_prefix(name));
    let value = values.next().and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("the kernels name no {name}"))
}

/// Compiles for `architecture` (as `sm_90`), or takes what an earlier run compiled from the very same input
/// and left in the folder `cache`.
///
/// # Errors
/// The compiler's log.
pub fn compile(shape: &KernelShape, architecture: &str, cache: Option<&Path>) -> Result<Compiled, GpuError> {
    let options = shape.options(architecture);
    let cached = cache.map(|folder| folder.join(format!("{}.cubin", identity(&options))));
    if let Some(cubin) = cached.as_ref().and_then(|path| std::fs::read(path).ok()).filter(|cubin| !cubin.is_empty()) {
        return Ok(Compiled { cubin, log: String::new() });
    }
    let compiled = compile_anew(&options, architecture)?;
    if let Some(path) = cached {
        // A cache that cannot be written costs the next run its compile time, nothing else.
        let _ = keep(&path, &compiled.cubin);
    }
    Ok(compiled)
}

fn compile_anew(options: &[String], architecture: &str) -> Result<Compiled, GpuError> {
    let failed = |log: String| GpuError::Compile { architecture: architecture.to_owned(), log };
    let source = CString::new(SOURCES.concat()).map_err(|error| failed(error.to_string()))?;
    let program =
        nvrtc::create_program(&source, Some(c"fidelio.cu")).map_err(|error| failed(format!("{:?}", error.0)))?;
    let compiled = compile_program(program, options).map_err(failed);
    // SAFETY: made above, destroyed once.
    unsafe { nvrtc::destroy_program(program) }.map_err(|error| failed(format!("{:?}", error.0)))?;
    compiled
}

fn compile_program(program: sys::nvrtcProgram, options: &[String]) -> Result<Compiled, String> {
    let said = |what: &str, code: sys::nvrtcResult| format!("{what}: {code:?}");
    // SAFETY: `program` is a live program; options are copied by the compiler.
    let result = unsafe { nvrtc::compile_program(program, options) };
    // SAFETY: as above; the log ends in a zero byte.
    let log = unsafe { nvrtc::get_program_log(program) }.map_err(|error| said("reading the log", error.0))?;
    // SAFETY: the compiler wrote a string that ends in zero.
    let log = unsafe { CStr::from_ptr(log.as_ptr()) }.to_string_lossy().into_owned();
    result.map_err(|error| format!("{:?}\n{log}", error.0))?;
    let mut size = 0;
    // SAFETY: writes one size.
    unsafe { sys::nvrtcGetCUBINSize(program, &mut size) }
        .result()
        .map_err(|error| said("reading the size", error.0))?;
    let mut cubin = vec![0u8; size];
    // SAFETY: the compiler writes `size` bytes.
    unsafe { sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()) }
        .result()
        .map_err(|error| said("reading the machine code", error.0))?;
    Ok(Compiled { cubin, log })
}

/// What decides the machine code: source, options and compiler.
fn identity(options: &[String]) -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two integers.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    let mut hash = Sha256::new();
    for part in SOURCES {
        hash.update(part.as_bytes());
    }
    for option in options {
        hash.update([0]);
        hash.update(option.as_bytes());
    }
    hash.update(format!("nvrtc {major}.{minor}"));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Where compiled kernels are kept: `$XDG_CACHE_HOME/fidelio/kernels`, or in the home folder's `.cache`.
pub fn kernel_cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(root.join("fidelio").join("kernels"))
}

/// Written beside and renamed, so that no process reads half a file.
fn keep(path: &Path, cubin: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::File::create(&draft)?.write_all(cubin)?;
    std::fs::rename(&draft, path)
}

//! NVIDIA's libraries, found at run time: where they are, and precisely what is missing where they are not.
//! Knows no model; every other file of this folder may assume that [`require`] succeeded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use cudarc::driver::{CudaContext, sys};
use cudarc::{cublaslt, nvrtc};
use libloading::Library;

/// Folders to look in first, separated by colons.
pub const LIBRARIES_VARIABLE: &str = "FIDELIO_CUDA_LIBS";

/// Opened in this order: each needs those before it. Names without a version are what is looked for first.
const LIBRARIES: [&str; 11] = [
    "libcuda.so",
    "libcuda.so.1",
    "libnvidia-ml.so",
    "libnvidia-ml.so.1",
    "libnvrtc-builtins.so.13.0",
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libcublasLt.so",
    "libcublasLt.so.13",
    "libcublasLt.so.12",
];

/// The oldest CUDA version of a driver that has every call the engine makes: event times of its kind came with 12.8.
const OLDEST_DRIVER: i32 = 12_080;

/// The first CUDA device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// As the driver calls it.
    pub name: String,
    /// Compute capability, as `(9, 0)`.
    pub compute_capability: (i32, i32),
    /// Newest CUDA version the driver takes, as 13000.
    pub driver_cuda_version: i32,
    /// Memory in all, bytes.
    pub memory_bytes: u64,
    /// Memory nobody has taken, bytes.
    pub free_bytes: u64,
    /// Multiprocessors.
    pub num_multiprocessors: u32,
    /// Level-2 cache, bytes.
    pub l2_bytes: u64,
}

/// Why `backend=cuda` cannot be used here, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct CudaUnavailable {
    /// What is missing.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

impl CudaUnavailable {
    fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        CudaUnavailable { problem: problem.into(), hint: hint.into() }
    }
}

/// Folders named by [`add_library_folder`].
static ADDED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Looks in `folder` before any other; without effect once a library was looked for.
pub fn add_library_folder(folder: PathBuf) {
    ADDED.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
}

/// The device the engine would use, if driver and device are there. Opens libraries, allocates nothing.
///
/// # Errors
/// No driver, a driver that refuses, or no device.
pub fn device() -> Result<CudaDevice, CudaUnavailable> {
    if !has_driver() {
        return Err(CudaUnavailable::new(
            "the NVIDIA driver's library `libcuda.so.1` could not be loaded",
            format!("install NVIDIA's driver, or name the library's folder in {LIBRARIES_VARIABLE}"),
        ));
    }
    let refused = |what: &str, error: cudarc::driver::DriverError| {
        // Its `Display` asks the driver for words, which may be what just failed.
        CudaUnavailable::new(format!("{what} failed: {:?}", error.0), "`nvidia-smi` shows what the driver sees")
    };
    cudarc::driver::result::init().map_err(|error| refused("starting the CUDA driver", error))?;
    let count = CudaContext::device_count().map_err(|error| refused("counting CUDA devices", error))?;
    if count == 0 {
        return Err(CudaUnavailable::new(
            "the CUDA driver sees no device",
            "`nvidia-smi` shows what the driver sees; CUDA_VISIBLE_DEVICES may hide devices",
        ));
    }
    let context = CudaContext::new(0).map_err(|error| refused("opening CUDA device 0", error))?;
    describe(&context).map_err(|error| refused("asking CUDA device 0 for its properties", error))
}

/// Everything the engine needs is here: driver, device, compiler and matrix library.
///
/// # Errors
/// The first thing that is missing.
pub fn require() -> Result<CudaDevice, CudaUnavailable> {
    let device = device()?;
    let hint = |package: &str| {
        format!(
            "install the CUDA runtime libraries, version 12 or 13 (`pip install {package}` has this one), and name their folder in \
             {LIBRARIES_VARIABLE} unless they are in a usual place"
        )
    };
    if !has_compiler() {
        return Err(CudaUnavailable::new(
            "the CUDA run-time compiler `libnvrtc.so` could not be loaded",
            hint("nvidia-cuda-nvrtc"),
        ));
    }
    if !has_matrix_library() {
        return Err(CudaUnavailable::new("`libcublasLt.so` could not be loaded", hint("nvidia-cublas")));
    }
    usable(&device)?;
    Ok(device)
}

/// The engine can use this device with this driver.
///
/// # Errors
/// A driver that is too old, or a device that is.
pub fn usable(device: &CudaDevice) -> Result<(), CudaUnavailable> {
    if device.driver_cuda_version < OLDEST_DRIVER {
        let version = |number: i32| format!("{}.{}", number / 1000, number % 1000 / 10);
        return Err(CudaUnavailable::new(
            format!(
                "the NVIDIA driver takes CUDA {}, the engine needs {}",
                version(device.driver_cuda_version),
                version(OLDEST_DRIVER)
            ),
            "update the NVIDIA driver to version 570 or newer",
        ));
    }
    if device.compute_capability < (8, 0) {
        let (major, minor) = device.compute_capability;
        return Err(CudaUnavailable::new(
            format!(
                "{} has compute capability {major}.{minor}; the engine needs 8.0 (bfloat16 matrix units)",
                device.name
            ),
            "use an Ampere or newer device, or `backend=candle-cpu`",
        ));
    }
    Ok(())
}

/// The driver's library is here.
pub fn has_driver() -> bool {
    open_libraries();
    // SAFETY: opens the library and closes it again.
    unsafe { sys::is_culib_present() }
}

/// The matrix library is here.
pub fn has_matrix_library() -> bool {
    open_libraries();
    // SAFETY: opens the library and closes it again.
    unsafe { cublaslt::sys::is_culib_present() }
}

/// The compiler is here: enough for checking kernels on a machine without a device.
pub fn has_compiler() -> bool {
    open_libraries();
    // SAFETY: opens the library and closes it again.
    unsafe { nvrtc::sys::is_culib_present() }
}

fn describe(context: &CudaContext) -> Result<CudaDevice, cudarc::driver::DriverError> {
    use sys::CUdevice_attribute_enum::{CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT};
    let (free, total) = context.mem_get_info()?;
    let mut driver_cuda_version = 0;
    // SAFETY: writes one integer.
    unsafe { sys::cuDriverGetVersion(&mut driver_cuda_version) }.result()?;
    Ok(CudaDevice {
        name: context.name()?,
        compute_capability: context.compute_capability()?,
        driver_cuda_version,
        memory_bytes: total as u64,
        free_bytes: free as u64,
        num_multiprocessors: context.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
        l2_bytes: context.attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as u64,
    })
}

/// Opens the libraries that lie off the loader's path, once; a later look-up by name then finds them.
fn open_libraries() {
    static OPENED: OnceLock<()> = OnceLock::new();
    OPENED.get_or_init(|| {
        let folders = folders();
        for name in LIBRARIES {
            let Some(path) = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()) else {
                continue;
            };
            // SAFETY: NVIDIA's libraries run no code on loading that could break a program.
            if let Ok(library) = unsafe { Library::new(&path) } {
                // Kept open for the life of the process: functions looked up in it live as long.
                std::mem::forget(library);
            }
        }
    });
}

/// Where to look, the user's own folders first.
fn folders() -> Vec<PathBuf> {
    let split = |variable: &str| {
        let value = std::env::var_os(variable).unwrap_or_default();
        std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>()
    };
    let mut folders = ADDED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    folders.extend(split(LIBRARIES_VARIABLE));
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        folders.extend(split(variable).iter().map(|root| root.join("lib64")));
    }
    folders.extend(["/usr/local/cuda/lib64", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"].map(PathBuf::from));
    let environments = split("VIRTUAL_ENV").into_iter().chain(split("CONDA_PREFIX"));
    for root in environments.chain(["/usr", "/usr/local"].map(PathBuf::from)) {
        folders.extend(python_folders(&root));
    }
    folders
}

/// `nvidia/<package>/lib` of every Python under `root`: where PyTorch's wheels put the libraries.
fn python_folders(root: &Path) -> BTreeSet<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let is_python = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    let pythons = list(&root.join("lib")).into_iter().filter(is_python);
    let packages = pythons.flat_map(|python| {
        ["site-packages", "dist-packages"].into_iter().flat_map(move |kind| list(&python.join(kind).join("nvidia")))
    });
    packages.map(|package| package.join("lib")).filter(|folder| folder.is_dir()).collect()
}

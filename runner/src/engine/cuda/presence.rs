//! Which of NVIDIA's libraries this machine has, one by one.

use cudarc::cublaslt;
use cudarc::driver::sys;

use super::libraries::has_compiler;

/// The driver's library is here.
pub fn has_driver() -> bool {
    // Looks in the usual folders first, for all libraries.
    has_compiler();
    // SAFETY: opens the library and closes it again.
    unsafe { sys::is_culib_present() }
}

/// The matrix library is here.
pub fn has_matrix_library() -> bool {
    has_compiler();
    // SAFETY: as above.
    unsafe { cublaslt::sys::is_culib_present() }
}

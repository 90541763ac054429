//! Ctrl-C: the first one asks for a clean end, the second ends at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the handler; call once, early.
///
/// # Errors
/// When the operating system refuses.
pub fn install() -> anyhow::Result<()> {
    let flag = flag();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("installing the Ctrl-C handler")
}

/// The flag the handler sets. It is the one piece of state the whole process shares: signals are.
pub fn flag() -> Arc<AtomicBool> {
    FLAG.get_or_init(Arc::default).clone()
}

//! Ctrl-C: asks work that can end cleanly to do so; anything else, and a second one, ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// Installs the handler; call once, early. Until somebody has asked for [`flag`], nobody would look at
/// it, and the first Ctrl-C ends the process; what was being written stays `.partial`.
///
/// # Errors
/// When the operating system refuses.
pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        let is_first = !shared().swap(true, Ordering::SeqCst);
        if !is_first || !IS_ASKED.load(Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("installing the Ctrl-C handler")
}

/// The flag the handler sets, for work that looks at it often. It is the one piece of state the whole
/// process shares: signals are.
pub fn flag() -> Arc<AtomicBool> {
    IS_ASKED.store(true, Ordering::SeqCst);
    shared().clone()
}

/// The work that looked at the flag is over.
pub fn release() {
    IS_ASKED.store(false, Ordering::SeqCst);
}

fn shared() -> &'static Arc<AtomicBool> {
    FLAG.get_or_init(Arc::default)
}

//! The monotonic clock of a run on a real device, and waiting on it. Knows no device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fidelio_shared::time::Nanos;

/// Longest sleep between two looks at the interrupt flag.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// The end of a wait is spun: a sleeping thread wakes up to about this much late.
const SPIN: Duration = Duration::from_micros(150);

/// Time since the run began.
pub(super) struct RunClock {
    zero: Instant,
    interrupted: Arc<AtomicBool>,
}

impl RunClock {
    /// Starts now. Waits end early once `interrupted` is true.
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Self {
        RunClock { zero: Instant::now(), interrupted }
    }

    /// Sets the clock to zero: the run begins now, after warm-up.
    pub(super) fn restart(&mut self) {
        self.zero = Instant::now();
    }

    /// Time since the run began.
    pub(super) fn now(&self) -> Nanos {
        since(self.zero)
    }

    /// Returns at `deadline`, soon after it, or when the user interrupts.
    pub(super) fn wait_until(&self, deadline: Nanos) {
        while !self.interrupted.load(Ordering::Relaxed) {
            let left = Duration::from_nanos(deadline.saturating_sub(self.now()).0);
            if left.is_zero() {
                return;
            }
            match left.checked_sub(SPIN) {
                Some(sleep) if !sleep.is_zero() => std::thread::sleep(sleep.min(LONGEST_SLEEP)),
                _ => std::hint::spin_loop(),
            }
        }
    }
}

/// Time since `start`.
pub(super) fn since(start: Instant) -> Nanos {
    Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

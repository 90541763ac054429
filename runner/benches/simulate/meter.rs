//! What a run costs: CPU time of this thread and peak memory of this process, where the system tells.

use std::fs;
use std::time::{Duration, Instant};

/// CPU time of this thread, as Linux accounts for it.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// How long `run` takes: CPU time, or wall time where CPU time cannot be read.
pub fn cpu_time_of(run: impl FnOnce()) -> Duration {
    let (began, cpu) = (Instant::now(), cpu_time());
    run();
    let wall = began.elapsed();
    cpu.zip(cpu_time()).map_or(wall, |(before, after)| after - before)
}

/// The most memory this process ever had.
pub fn peak_mib() -> String {
    let kib = || -> Option<f64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    kib().map_or("not measured".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
}

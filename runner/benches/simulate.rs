//! How fast the simulator is: requests and output tokens per second of one core, each case in its own process.
//!
//! `cargo bench -p fidelio --bench simulate [-- PART_OF_A_NAME]` prints one line a case:
//! `sim/<case> <requests per second> <tokens per second> <peak MiB>`, then what else there is to say. Rates are
//! of CPU time in the event loop alone, the best of several runs; off Linux, of wall time. Peak memory is of the
//! whole process, its workload included. Vidur's figures are those recorded in `SPEED.md` beside its goldens,
//! read from `FIDELIO_VIDUR_GOLDENS` (default `../shared/data/vidur_goldens`).

#[path = "simulate/cases.rs"]
mod cases;
#[allow(dead_code)]
#[path = "../../tests/goldens/folder.rs"]
mod folder;
#[path = "simulate/meter.rs"]
mod meter;
#[path = "simulate/workloads.rs"]
mod workloads;

use std::process::Command;
use std::time::{Duration, Instant};

use cases::CASES;

/// Measurements of a case; the best counts.
const MEASUREMENTS: u32 = 7;
/// A case is run as often as fills this time, so that the system's accounting, a tick at a time, is fine enough.
const ENOUGH: Duration = Duration::from_millis(400);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.find(|argument| argument == "--case" || !argument.starts_with('-'));
    match (first.as_deref(), arguments.next()) {
        (Some("--case"), Some(name)) => run_here(&name),
        (filter, _) => {
            let filter = filter.unwrap_or_default();
            let chosen = CASES.iter().filter(|case| case.name.contains(filter));
            chosen.for_each(|case| run_in_its_own_process(case.name));
            if "cold_start".contains(filter) {
                cold_start();
            }
        }
    }
}

fn myself() -> Command {
    Command::new(std::env::current_exe().expect("a bench knows where it is"))
}

fn run_in_its_own_process(name: &str) {
    let status = myself().args(["--case", name]).status().expect("a bench can start itself");
    assert!(status.success(), "sim/{name} failed");
}

fn run_here(name: &str) {
    if name == "cold_start" {
        return cases::first_step();
    }
    let case = CASES.iter().find(|case| case.name == name).expect("a name from the list");
    let Some(mut prepared) = (case.prepare)() else { return };
    let began = Instant::now();
    let tally = prepared();
    let repeats = (ENOUGH.as_secs_f64() / began.elapsed().as_secs_f64()).ceil() as u32;
    let once = |_| meter::cpu_time_of(|| (0..repeats).for_each(|_| drop(prepared()))) / repeats;
    let best = (0..MEASUREMENTS).map(once).min().unwrap_or_default();
    let rate = |count: u64| count as f64 / best.as_secs_f64();
    println!(
        "sim/{name} {:.0} {:.0} {}  # {} requests, {} steps, {} output tokens, {:.2} ms, best of {MEASUREMENTS} times \
         {repeats}{}{}",
        rate(tally.num_requests),
        rate(tally.num_tokens),
        meter::peak_mib(),
        tally.num_requests,
        tally.num_steps,
        tally.num_tokens,
        best.as_secs_f64() * 1e3,
        tally.note,
        case.vidur.map_or(String::new(), |vidur| format!(
            "; Vidur {vidur} requests/s: {:.0} times",
            rate(tally.num_requests) / vidur
        )),
    );
}

/// From before the process exists until it has simulated a first step and is gone, tables read.
fn cold_start() {
    if cases::golden_folder().is_none() {
        return;
    }
    let once = || {
        let began = Instant::now();
        run_in_its_own_process("cold_start");
        began.elapsed()
    };
    let mut times: Vec<Duration> = (0..20).map(|_| once()).collect();
    times.sort();
    println!(
        "sim/cold_start {:.1} ms  # wall time of a whole process that reads g01's tables and simulates one request; \
         best of 20, median {:.1} ms",
        times[0].as_secs_f64() * 1e3,
        times[10].as_secs_f64() * 1e3,
    );
}

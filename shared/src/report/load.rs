//! The load certificate and the curves as text: a section of `summary.md`, `tables/load.csv`, `tables/curves.csv`.

use std::fmt::Write;

use crate::charts::format_duration;
use crate::report::percent;
use crate::schema::certificate::{LoadCertificate, LoadSide, Sends};
use crate::schema::curves::Curves;

/// The section of `summary.md`.
pub(super) fn load_section(out: &mut String, load: &LoadCertificate) -> std::fmt::Result {
    writeln!(out, "## Load\n")?;
    if load.failures.is_empty() {
        writeln!(out, "Nothing speaks against the load of either run.\n")?;
    }
    for failure in &load.failures {
        writeln!(out, "- {failure}")?;
    }
    writeln!(out, "\n| | real | simulated |\n|---|---:|---:|")?;
    for [what, real, sim] in load_rows(load) {
        writeln!(out, "| {what} | {real} | {sim} |")?;
    }
    writeln!(
        out,
        "\nLittle's law, L = λ W, holds over a whole run by definition; over a window (the steady part, else all \
         arrivals) a large residual says that requests pile up or that the window is short. The engine's own count of \
         requests comes from its steps.\n\n![Queue, batch and KV over time](figs/curves.svg)\n"
    )
}

/// The load of both runs in words: what, real, simulated.
pub fn load_rows(load: &LoadCertificate) -> Vec<[String; 3]> {
    rows().into_iter().map(|(what, cell)| [what.to_owned(), cell(&load.real), cell(&load.sim)]).collect()
}

type Cell = fn(&LoadSide) -> String;

fn rows() -> [(&'static str, Cell); 11] {
    [
        ("requests asked for a second", |side| {
            side.asked_rps.map_or("all at once".to_owned(), |rate| format!("{rate:.3}"))
        }),
        ("sends", |side| sends(&side.sends)),
        ("arrived, completed in the second half of the arrivals", |side| {
            format!("{}, {}", side.num_arrived_late, side.num_completed_late)
        }),
        ("overloaded", |side| match side.is_overloaded {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => "no rate to tell".to_owned(),
        }),
        ("tokens offered a second", |side| number(side.offered_tokens_per_s)),
        ("tokens served a second", |side| number(side.served_tokens_per_s)),
        ("most in the system at once", |side| side.peak_in_system.to_string()),
        ("mean in the system, L", |side| number(side.little.map(|little| little.mean_in_system))),
        ("λ W", |side| number(side.little.map(|little| little.arrival_rps * little.mean_e2e_ns / 1e9))),
        ("residual of Little's law", |side| share(side.little.and_then(|little| little.residual))),
        ("mean in the system by the engine's steps", |side| match side.little {
            Some(little) if little.mean_in_steps.is_some() => {
                format!("{} ({})", number(little.mean_in_steps), share(little.steps_residual))
            }
            _ => "not told".to_owned(),
        }),
    ]
}

fn sends(sends: &Sends) -> String {
    match sends {
        Sends::NotRecorded => "not recorded".to_owned(),
        Sends::Recorded { p50_ns, p99_ns, max_ns, num_late, num_early, num_requests, .. } => {
            let [p50, p99, max] = [p50_ns, p99_ns, max_ns].map(|time| format_duration(time.as_f64()));
            format!("late by P50 {p50}, P99 {p99}, at most {max}; {num_late} of {num_requests} late, {num_early} early")
        }
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

fn share(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), percent)
}

/// `tables/load.csv`: `what,real,sim`; blank where a run does not tell.
pub(super) fn load_csv(load: &LoadCertificate) -> String {
    let mut text = "what,real,sim\n".to_owned();
    let blank = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    let late = |side: &LoadSide, percentile: fn(&Sends) -> Option<f64>| percentile(&side.sends);
    let p99 = |sends: &Sends| match sends {
        Sends::Recorded { p99_ns, .. } => Some(p99_ns.as_f64()),
        Sends::NotRecorded => None,
    };
    let mut line = |what: &str, cell: &dyn Fn(&LoadSide) -> Option<f64>| {
        let _ = writeln!(text, "{what},{},{}", blank(cell(&load.real)), blank(cell(&load.sim)));
    };
    line("asked_rps", &|side| side.asked_rps);
    line("send_lateness_p99_ns", &|side| late(side, p99));
    line("num_arrived_late", &|side| Some(side.num_arrived_late as f64));
    line("num_completed_late", &|side| Some(side.num_completed_late as f64));
    line("is_overloaded", &|side| side.is_overloaded.map(|is| f64::from(u8::from(is))));
    line("offered_tokens_per_s", &|side| side.offered_tokens_per_s);
    line("served_tokens_per_s", &|side| side.served_tokens_per_s);
    line("peak_in_system", &|side| Some(side.peak_in_system as f64));
    line("mean_in_system", &|side| side.little.map(|little| little.mean_in_system));
    line("arrival_rps", &|side| side.little.map(|little| little.arrival_rps));
    line("mean_e2e_ns", &|side| side.little.map(|little| little.mean_e2e_ns));
    line("little_residual", &|side| side.little?.residual);
    line("mean_in_steps", &|side| side.little?.mean_in_steps);
    line("steps_residual", &|side| side.little?.steps_residual);
    text
}

/// `tables/curves.csv`: one row a bin, blank where a run does not tell.
pub(super) fn curves_csv(curves: &Curves) -> String {
    const NAMES: [&str; 5] = ["num_in_system", "num_running", "num_waiting", "kv_blocks_used", "step_tokens"];
    let header = NAMES.iter().flat_map(|name| [format!("real_{name}"), format!("sim_{name}")]);
    let mut text = format!("from_ns,to_ns,{}\n", header.collect::<Vec<_>>().join(","));
    for bin in 0..curves.real.num_in_system.len() {
        let from = curves.from_ns + bin as u64 * curves.bin_ns;
        let cells = [&curves.real, &curves.sim].map(|side| {
            let at = |values: &[f64]| values.get(bin).map(f64::to_string).unwrap_or_default();
            [
                at(&side.num_in_system),
                at(&side.num_running),
                at(&side.num_waiting),
                at(&side.kv_blocks_used),
                at(&side.step_tokens),
            ]
        });
        let [real, sim] = cells;
        let cells: Vec<String> = real.into_iter().zip(sim).flat_map(|(real, sim)| [real, sim]).collect();
        let _ = writeln!(text, "{from},{},{}", from + curves.bin_ns, cells.join(","));
    }
    text
}

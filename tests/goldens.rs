//! Vidur's own recorded simulations, reproduced from its inputs and look-up tables: every batch, stage,
//! restart and request, exact doubles.

mod folder;
mod native;
mod parity;

use std::path::PathBuf;

use folder::Golden;

/// The folder of goldens: `FIDELIO_VIDUR_GOLDENS`, or where they usually lie.
pub fn goldens() -> Option<Vec<PathBuf>> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vidur_goldens");
    let folder = std::env::var_os("FIDELIO_VIDUR_GOLDENS").map_or_else(|| PathBuf::from(usual), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no goldens in {}: set FIDELIO_VIDUR_GOLDENS", folder.display());
        return None;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.join("config.json").is_file());
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no golden", folder.display());
    Some(paths)
}

#[test]
fn every_golden_is_reproduced_in_vidur_parity_mode_to_the_last_bit() {
    let Some(paths) = goldens() else { return };
    let mut wrong = Vec::new();
    println!(
        "{:<52} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8}",
        "golden", "requests", "batches", "stages", "restarts", "events", "values", "differ"
    );
    for path in paths {
        let golden = Golden::load(&path);
        let report = parity::check(&golden);
        println!("{:<52} {report}", golden.name);
        if let Some(first) = report.first_difference {
            wrong.push(format!("{}: {first}", golden.name));
        }
    }
    assert!(wrong.is_empty(), "differences:\n{}", wrong.join("\n"));
}

#[test]
fn native_time_stays_within_a_microsecond_of_vidurs_doubles() {
    let Some(paths) = goldens() else { return };
    let mut wrong = Vec::new();
    println!("{:<52} {:>12} {:>20} {:>6}", "golden", "worst, ns", "requests over 1 us", "ties");
    for path in paths {
        let golden = Golden::load(&path);
        if golden.assigned.is_some() {
            println!("{:<52} SKIPPED: its routing was drawn by another program", golden.name);
            continue;
        }
        let (worst, num_apart) = native::worst_difference(&golden);
        let has_ties = parity::has_ties(&golden);
        println!("{:<52} {worst:>12} {num_apart:>20} {:>6}", golden.name, if has_ties { "yes" } else { "no" });
        if num_apart > 0 && !has_ties {
            wrong.push(golden.name);
        }
    }
    assert!(wrong.is_empty(), "apart by more than a microsecond: {wrong:?}");
}

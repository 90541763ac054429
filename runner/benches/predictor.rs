//! The predictor table: errors on held-out samples of every operation beside those of Vidur's own predictors.
//!
//! `cargo bench -p fidelio --bench predictor [-- PART_OF_A_NAME]`. Recorded results are read from
//! `FIDELIO_VIDUR_GOLDENS`, by default `../shared/data/vidur_goldens`. Mean / p95 / max in %.

#[path = "../../tests/predictor/table.rs"]
mod table;

use table::{Errors, Row, Split};

fn main() {
    let Some(folder) = table::folder() else { return };
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let rows = table::rows(&folder, &filter);
    println!(
        "{:5} {:26} {:24} {:>10} {:>20} {:>20} {:>20} {:>20} {:>6} {:>6} {:>8} {:>8}",
        "split",
        "dataset",
        "operation",
        "train/test",
        "ours",
        "forest",
        "interpolation",
        "linear",
        "noise",
        "trees",
        "fit ms",
        "ns/query"
    );
    rows.iter().for_each(print);
    for split in Split::ALL {
        summarise(split, &rows.iter().filter(|row| row.split == split).collect::<Vec<_>>());
    }
}

fn print(row: &Row) {
    // Where only a mean is recorded, the others are dashes.
    let shown = |value: f64, digits: usize| if value.is_nan() { "-".to_owned() } else { format!("{value:.digits$}") };
    let errors =
        |errors: &Errors| format!("{}/{}/{}", shown(errors.mean, 2), shown(errors.p95, 2), shown(errors.max, 1));
    println!(
        "{:5} {:26} {:24} {:>10} {:>20} {:>20} {:>20} {:>20} {:6.2} {:6.2} {:8.1} {:8.0}{}",
        row.split.name(),
        row.dataset,
        row.operation.name(),
        format!("{}/{}", row.num_train, row.num_test),
        errors(&row.ours),
        errors(&row.forest),
        errors(&row.interpolation),
        errors(&row.linear),
        row.repeat_noise,
        row.tree_share,
        1e3 * row.fit_seconds,
        row.nanos_per_query,
        if row.num_set_aside > 0 { format!("  {} set aside", row.num_set_aside) } else { String::new() },
    );
}

fn summarise(split: Split, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    for (name, of) in [
        ("forest", (|row: &Row| row.forest.mean) as fn(&Row) -> f64),
        ("interpolation", |row| row.interpolation.mean),
        ("linear", |row| row.linear.mean),
    ] {
        let ratios: Vec<f64> = rows.iter().map(|row| of(row) / row.ours.mean).collect();
        let better = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let worst = ratios.iter().copied().fold(f64::MAX, f64::min);
        println!(
            "{} better than {name} in {better} of {} rows; {name}/ours: geometric mean {mean:.3}, worst {worst:.3}",
            split.name(),
            rows.len()
        );
    }
    let seconds = rows.iter().map(|row| row.fit_seconds);
    let slowest = rows.iter().map(|row| row.nanos_per_query).fold(0.0, f64::max);
    println!(
        "{} fits took {:.2} s in all, the longest {:.0} ms; the slowest query {slowest:.0} ns",
        split.name(),
        seconds.clone().sum::<f64>(),
        1e3 * seconds.fold(0.0, f64::max)
    );
}

//! Bundles: a comparison and its inputs in one zip. The viewer and `verify` are pure functions of these bytes.

mod bare;
mod reader;
mod verify;
mod writer;

pub use reader::{BundleReader, Contents, hand_made_options};
pub use verify::{Verification, verify};
pub use writer::BundleWriter;

use crate::charts::{Axis, Theme, attribution_svg, cdf_svg, curves_svg, shift_svg};
use crate::schema::comparison::{Comparison, MetricComparison};

/// Size of a comparison's figures in pixels.
pub const FIGURE_SIZE: (u32, u32) = (860, 480);
/// The waterfall has a row a part.
const WATERFALL_SIZE: (u32, u32) = (860, 340);

/// Size of its shift curves, which stand under them.
pub const SHIFT_FIGURE_SIZE: (u32, u32) = (860, 300);

/// Folder of the comparison inside a bundle.
pub const COMPARISON: &str = "comparison";
/// Folder of the compared real run; repeats are `real_run_2`, `real_run_3`, ….
pub const REAL_RUN: &str = "real_run";
/// Folder of the simulated run.
pub const SIM_RUN: &str = "sim_run";
/// Folder of the workload.
pub const WORKLOAD: &str = "workload";
/// Name of the first entry.
pub const MANIFEST: &str = "manifest.json";

/// Files of a run that a bundle takes; anything else in its directory stays out.
pub const RUN_FILES: [&str; 5] =
    ["run_meta.json", "request_metrics.csv", "token_metrics.csv", "step_metrics.csv", "summary.md"];
/// Files of a workload that a bundle takes; the last only when prompts are asked for.
pub const WORKLOAD_FILES: [&str; 5] =
    ["workload_meta.json", "trace_lengths.csv", "trace_intervals.csv", "trace_prefixes.csv", "prompts.jsonl"];

/// Entries in a bundle, at most: more is not a bundle.
pub const MAX_ENTRIES: usize = 4096;
/// Uncompressed size of all entries together, at most: beyond it a zip is taken for a bomb.
pub const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Folder of the `index`-th real run, from 0.
pub fn real_run_name(index: usize) -> String {
    if index == 0 { REAL_RUN.to_owned() } else { format!("{REAL_RUN}_{}", index + 1) }
}

/// Every figure of a comparison that is text: (path inside its directory, bytes).
pub fn figures(comparison: &Comparison) -> Vec<(String, Vec<u8>)> {
    let figure = |kind: &str, metric: &MetricComparison, svg: String| {
        (format!("figs/{}_{kind}.svg", metric.metric.file_stem()), svg.into_bytes())
    };
    let cdf = |metric| figure("cdf", metric, cdf_svg(metric, Theme::LIGHT, Axis::Linear, FIGURE_SIZE));
    let shift = |metric| figure("shift", metric, shift_svg(metric, Theme::LIGHT, SHIFT_FIGURE_SIZE));
    let shifted = comparison.metrics.iter().filter(|metric| metric.shift.is_some());
    let mut figures: Vec<(String, Vec<u8>)> = comparison.metrics.iter().map(cdf).chain(shifted.map(shift)).collect();
    if let Some(attribution) = &comparison.attribution {
        let svg = attribution_svg(attribution, Theme::LIGHT, WATERFALL_SIZE);
        figures.push(("figs/attribution.svg".to_owned(), svg.into_bytes()));
    }
    if let Some(curves) = &comparison.curves {
        figures.push(("figs/curves.svg".to_owned(), curves_svg(curves, Theme::LIGHT, FIGURE_SIZE.0).into_bytes()));
    }
    figures
}

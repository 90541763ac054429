//! What a comparison says in words: the verdict line and the banners.

use crate::report::{magnitude, percent};
use crate::schema::comparison::{
    CompareOptions, Counts, MetricComparison, Notice, NoticeKind, ParityRow, ParityState, PercentileRow,
};
use crate::schema::{Origin, Run};
use crate::stats::Verdict;

/// One line over all percentiles of the headline metrics.
pub fn verdict(
    verdict: Verdict,
    metrics: &[&MetricComparison],
    options: &CompareOptions,
    num_requests: usize,
) -> String {
    let rows = || metrics.iter().flat_map(|metric| metric.percentiles.iter().map(move |row| (metric, row)));
    let count = |verdict| rows().filter(|(_, row)| row.verdict == verdict).count();
    let name = |(metric, row): (&MetricComparison, &PercentileRow)| {
        format!("{} {}", row.label.to_uppercase(), metric.metric.label())
    };
    let size = |row: &PercentileRow| row.rel_error.map_or(0.0, libm::fabs);
    let worst =
        |verdict| rows().filter(|(_, row)| row.verdict == verdict).max_by(|a, b| size(a.1).total_cmp(&size(b.1)));
    let total = rows().count();
    let tolerance = magnitude(options.tolerance);
    match verdict {
        Verdict::Outside => {
            let culprit = worst(Verdict::Outside).map_or(String::new(), |(metric, row)| {
                let error = row.rel_error.map_or("unknown".to_owned(), percent);
                format!("; worst {} at {error}", name((metric, row)))
            });
            format!(
                "Do not trust this simulation to {tolerance}: {} of {total} percentiles are outside{culprit} ({num_requests} requests).",
                count(Verdict::Outside)
            )
        }
        Verdict::CannotTell => {
            let needed = rows().map(|(_, row)| row.num_more_needed).max().unwrap_or(0);
            let untold = || rows().filter(|(_, row)| row.verdict == Verdict::CannotTell);
            let few = untold().filter(|(_, row)| row.num_more_needed > 0).count();
            let noisy = untold().filter(|(_, row)| row.num_more_needed == 0);
            let noise = noisy.clone().filter_map(|(_, row)| row.noise_rel).fold(0.0, f64::max);
            let mut reasons = Vec::new();
            if few > 0 {
                reasons.push(format!("{few} need more requests ({num_requests} there, {needed} more for all of them)"));
            }
            if noisy.clone().count() > 0 {
                let noise = magnitude(noise);
                let noise = match noise.strip_prefix("> ") {
                    Some(beyond) => format!("more than {beyond}"),
                    None => format!("up to {noise}"),
                };
                reasons.push(format!(
                    "{} are blurred by the real runs, which differ among themselves by {noise}",
                    noisy.count()
                ));
            }
            format!(
                "Cannot tell at {tolerance}: {} of {total} percentiles are within, none is outside; {}.",
                count(Verdict::Within),
                reasons.join("; ")
            )
        }
        Verdict::Within => {
            let largest = worst(Verdict::Within).map_or(String::new(), |(metric, row)| {
                let error = row.rel_error.map_or("unknown".to_owned(), percent);
                format!("; largest error {} at {error}", name((metric, row)))
            });
            format!("All {total} percentiles are within {tolerance}{largest} ({num_requests} requests).")
        }
    }
}

/// What differs and what is not said, by name.
pub fn parity(rows: &[ParityRow]) -> String {
    let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let differs: Vec<String> = rows
        .iter()
        .filter(|row| row.state == ParityState::Differs)
        .map(|row| format!("`{}` (real {}, simulated {})", row.setting, said(&row.real), said(&row.sim)))
        .collect();
    let unsaid = |pick: fn(&ParityRow) -> bool| -> Vec<String> {
        let rows = rows.iter().filter(|row| row.state == ParityState::Unknown && pick(row));
        rows.map(|row| format!("`{}`", row.setting)).collect()
    };
    let both = unsaid(|row| row.real.is_none() && row.sim.is_none());
    let real = unsaid(|row| row.real.is_none() && row.sim.is_some());
    let sim = unsaid(|row| row.real.is_some() && row.sim.is_none());
    let mut parts = Vec::new();
    for (who, list) in [
        ("settings differ: ", differs),
        ("the real run does not say ", real),
        ("the simulated run does not say ", sim),
        ("neither run says ", both),
    ] {
        if !list.is_empty() {
            parts.push(format!("{who}{}", list.join(", ")));
        }
    }
    parts.join("; ")
}

/// Banners about missing output, early stop and what the runs say of themselves.
pub fn notices(counts: &Counts, real: &Run, sim: &Run) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |kind, text| notices.push(Notice { kind, text });
    if counts.num_real_missing + counts.num_sim_missing > 0 {
        say(
            NoticeKind::MissingOutput,
            format!(
                "{} of {} requests gave no output in the real run, {} in the simulated one; they are left out of every latency",
                counts.num_real_missing, counts.num_requests, counts.num_sim_missing
            ),
        );
    }
    if counts.num_uncut > 0 {
        say(
            NoticeKind::EarlyStop,
            format!(
                "{} of {} requests stopped at different lengths and are left out: without token times they cannot be cut",
                counts.num_uncut, counts.num_requests
            ),
        );
    }
    if counts.num_cut > 0 {
        say(
            NoticeKind::EarlyStop,
            format!(
                "{} of {} requests stopped at different lengths; both sides are cut to the shorter one",
                counts.num_cut, counts.num_compared
            ),
        );
    }
    let out_of_profile = |key: &str| sim.meta.results.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    if out_of_profile("steps_out_of_profile") > 0 {
        say(
            NoticeKind::OutOfProfile,
            format!(
                "{} of {} simulated steps lie outside what was profiled; their times are extrapolated",
                out_of_profile("steps_out_of_profile"),
                out_of_profile("num_steps")
            ),
        );
    }
    for (run, role) in [(real, Origin::Real), (sim, Origin::Simulated)] {
        if run.meta.origin().is_some_and(|origin| origin != role) {
            let (given, says) = if role == Origin::Real { ("real", "simulated") } else { ("simulated", "real") };
            say(NoticeKind::Run, format!("the run given as the {given} one says that it is {says}"));
        }
        let warnings = run.meta.results.get("warnings").and_then(serde_json::Value::as_array);
        for warning in warnings.into_iter().flatten().filter_map(serde_json::Value::as_str) {
            say(NoticeKind::Run, format!("{}: {warning}", run.name));
        }
    }
    notices
}

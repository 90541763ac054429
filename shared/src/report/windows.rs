//! The windows as text: their section of `summary.md`, whole run and steady part side by side.

use std::fmt::Write;

use crate::charts::format_duration;
use crate::report::{percent, thousands};
use crate::schema::comparison::Comparison;
use crate::schema::windows::{SteadyState, Unsteady, Windows};

/// The section of `summary.md`.
pub(super) fn windows_section(out: &mut String, windows: &Windows, comparison: &Comparison) -> std::fmt::Result {
    writeln!(out, "## Windows\n\n{}\n", steady_words(windows))?;
    let drain = |end: u64| format_duration(end.saturating_sub(windows.last_arrival_ns) as f64);
    writeln!(
        out,
        "After the last arrival at {} the real run drains for {}, the simulated one for {}. The warm-up is cut by MSER-5 \
         (White 1997), over the number of requests in the system at arrival and over TTFT; Mann and Kendall's test looks \
         for a trend in what is left.\n",
        format_duration(windows.last_arrival_ns as f64),
        drain(windows.real_end_ns),
        drain(windows.sim_end_ns)
    )?;
    if windows.metrics.is_empty() {
        return Ok(());
    }
    writeln!(out, "| | | whole run: real | simulated | error | steady: real | simulated | error |")?;
    writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|")?;
    for steady in &windows.metrics {
        let Some(whole) = comparison.metric(steady.metric) else { continue };
        for (whole, row) in whole.percentiles.iter().zip(&steady.percentiles) {
            let cells = [(whole.real_ns, whole.sim_ns, whole.rel_error), (row.real_ns, row.sim_ns, row.rel_error)];
            let cells = cells.map(|(real, sim, error)| {
                let (real, sim) = (format_duration(real.as_f64()), format_duration(sim.as_f64()));
                format!("{real} | {sim} | {}", error.map_or("–".to_owned(), percent))
            });
            let label = whole.label.to_ascii_uppercase();
            writeln!(out, "| {} | {label} | {} |", steady.metric.label(), cells.join(" | "))?;
        }
    }
    writeln!(out)
}

/// One sentence on the steady part.
pub fn steady_words(windows: &Windows) -> String {
    match windows.steady {
        SteadyState::Found { from_ns, to_ns, num_requests } => format!(
            "The real run is steady for the {} requests that arrive from {} to {}.",
            thousands(num_requests as u64),
            format_duration(from_ns as f64),
            format_duration(to_ns as f64)
        ),
        SteadyState::None { reason } => format!("The real run has no steady state: {}.", reason_words(reason)),
    }
}

fn reason_words(reason: Unsteady) -> String {
    match reason {
        Unsteady::TooFew { num_requests, num_needed } => {
            format!("{num_requests} requests are too few to see one, {num_needed} may be enough")
        }
        Unsteady::OneInstant => "all requests arrive at one instant, so that it only drains".to_owned(),
        Unsteady::LongWarmUp { series } => {
            format!("{} has not settled in the first half of the requests", series.words())
        }
        Unsteady::Trend { series, rise } => {
            let moves = if rise < 0.0 { "falls" } else { "rises" };
            format!("after the warm-up {} still {moves}, by {} of its mean", series.words(), percent(rise))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::windows::Series;

    #[test]
    fn every_answer_is_a_sentence() {
        let windows = |steady| Windows {
            steady,
            first_arrival_ns: 0,
            last_arrival_ns: 9_000_000_000,
            real_end_ns: 9_500_000_000,
            sim_end_ns: 9_100_000_000,
            metrics: Vec::new(),
        };
        let found = SteadyState::Found { from_ns: 1_500_000_000, to_ns: 9_000_000_000, num_requests: 1_200 };
        let said = "The real run is steady for the 1,200 requests that arrive from 1.500 s to 9.000 s.";
        assert_eq!(steady_words(&windows(found)), said);
        let none = |reason| steady_words(&windows(SteadyState::None { reason }));
        let trend = Unsteady::Trend { series: Series::Ttft, rise: 1.25 };
        let said = "The real run has no steady state: after the warm-up TTFT still rises, by +125.0 % of its mean.";
        assert_eq!(none(trend), said);
        assert!(none(Unsteady::OneInstant).ends_with("so that it only drains."));
    }
}

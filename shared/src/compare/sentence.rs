//! What a comparison says in words: the verdict line and the banners.

use crate::metrics::Definition;
use crate::report::{interval_words, magnitude, percent, thousands};
use crate::schema::comparison::{
    CompareOptions, Counts, MetricComparison, Notice, NoticeKind, ParityRow, ParityState, PercentileRow,
};
use crate::schema::{Origin, Run};
use crate::stats::{Doubt, Verdict};

/// Whose metrics a comparison holds, where they are not ours.
pub fn definition(definition: Definition) -> Option<Notice> {
    let (key, words, rule) = (definition.key(), definition.words(), definition.quantile_rule().words());
    let text = format!("metrics are as `{key}` defines them: {words}; {rule}");
    (definition != Definition::Fidelio).then_some(Notice { kind: NoticeKind::Definition, text })
}

/// One line over all percentiles of the headline metrics.
pub fn verdict(
    verdict: Verdict,
    metrics: &[&MetricComparison],
    options: &CompareOptions,
    num_requests: usize,
) -> String {
    let rows: Vec<Named> =
        metrics.iter().flat_map(|metric| metric.percentiles.iter().map(move |row| (*metric, row))).collect();
    let count = |verdict| rows.iter().filter(|(_, row)| row.verdict == verdict).count();
    let (total, tolerance) = (rows.len(), magnitude(options.tolerance));
    let requests = thousands(num_requests as u64);
    match verdict {
        Verdict::Outside => {
            let culprit = worst(&rows, Verdict::Outside).map_or(String::new(), |named| format!("; worst {named}"));
            let outside = count(Verdict::Outside);
            format!(
                "Do not trust this simulation to {tolerance}: {outside} of {total} percentiles are outside{culprit} ({requests} requests)."
            )
        }
        Verdict::CannotTell => format!(
            "Cannot tell at {tolerance}: {} of {total} percentiles are within, none is outside; {}.",
            count(Verdict::Within),
            doubts(&rows, num_requests).join("; ")
        ),
        Verdict::Within => {
            let largest =
                worst(&rows, Verdict::Within).map_or(String::new(), |named| format!("; largest error {named}"));
            format!("All {total} percentiles are within {tolerance}{largest} ({requests} requests).")
        }
    }
}

type Named<'a> = (&'a MetricComparison, &'a PercentileRow);

/// The largest error among rows of one verdict, by name: `P90 TTFT at -32.0 % (-40.1 … -24.9 %)`.
fn worst(rows: &[Named<'_>], verdict: Verdict) -> Option<String> {
    let size = |row: &PercentileRow| row.rel_error.map_or(0.0, libm::fabs);
    let candidates = rows.iter().filter(|(_, row)| row.verdict == verdict);
    let (metric, row) = candidates.max_by(|a, b| size(a.1).total_cmp(&size(b.1)))?;
    let error = row.rel_error.map_or("unknown".to_owned(), percent);
    let interval = match interval_words(row.interval.as_ref()) {
        words if words.is_empty() => words,
        words => format!(" ({words})"),
    };
    Some(format!("{} {} at {error}{interval}", row.label.to_ascii_uppercase(), metric.metric.label()))
}

/// Why rows without a verdict have none, each reason once with its number of rows.
fn doubts(rows: &[Named<'_>], num_requests: usize) -> Vec<String> {
    let because = |doubt| rows.iter().filter(move |(_, row)| row.doubt == Some(doubt));
    let needed = |doubt| because(doubt).filter_map(|(_, row)| row.num_more_needed).max().unwrap_or(0);
    let number = |count: u32| thousands(count.into());
    let mut reasons = Vec::new();
    let few = because(Doubt::FewRequests).count();
    if few > 0 {
        let (there, more) = (thousands(num_requests as u64), number(needed(Doubt::FewRequests)));
        let need = if few == 1 { "needs" } else { "need" };
        reasons.push(format!("{few} {need} more requests ({there} there, {more} more for all of them)"));
    }
    let wide = because(Doubt::WideInterval).count();
    if wide > 0 {
        let more = match needed(Doubt::WideInterval) {
            0 => String::new(),
            more => format!(" (about {} more requests would tell most)", number(more)),
        };
        let known = if wide == 1 {
            "is known too loosely, its interval reaches"
        } else {
            "are known too loosely, their intervals reach"
        };
        reasons.push(format!("{wide} {known} over the tolerance{more}"));
    }
    let noisy = because(Doubt::NoisyEngine).count();
    if noisy > 0 {
        let noise = magnitude(because(Doubt::NoisyEngine).filter_map(|(_, row)| row.noise_rel).fold(0.0, f64::max));
        let noise = match noise.strip_prefix("> ") {
            Some(beyond) => format!("more than {beyond}"),
            None => format!("up to {noise}"),
        };
        let are = if noisy == 1 { "is" } else { "are" };
        reasons.push(format!("{noisy} {are} blurred by the real runs, which differ among themselves by {noise}"));
    }
    let bare = because(Doubt::NoInterval).count();
    if bare > 0 {
        let have = if bare == 1 { "has" } else { "have" };
        reasons.push(format!("{bare} {have} no interval"));
    }
    let unknown = rows.iter().filter(|(_, row)| row.verdict == Verdict::CannotTell && row.doubt.is_none()).count();
    if unknown > 0 {
        reasons.push(format!("{unknown} are zero in the real run"));
    }
    reasons
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

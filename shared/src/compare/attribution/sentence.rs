//! What an attribution says in one line: the part that errs most, or the two that cancel.

use crate::charts::{format_duration, format_signed_duration};
use crate::report::percent;
use crate::schema::attribution::{Breakdown, PartRow, Split};

/// Errors cancel when those of the smaller sign are at least this share of those of the larger.
const CANCELLING_SHARE: f64 = 0.2;

/// The line about mean E2E.
pub(super) fn attribution(split: Split, e2e: &Breakdown) -> String {
    let whole = match e2e.rel_error {
        Some(error) => format!("Mean E2E is off by {} ({})", signed(e2e, e2e.diff_ns), percent(error)),
        None => format!("Mean E2E is off by {}", signed(e2e, e2e.diff_ns)),
    };
    let with = |sign: i64| e2e.parts.iter().filter(move |row| row.diff_ns.signum() == sign);
    let sum = |sign: i64| with(sign).map(|row| row.diff_ns.unsigned_abs() as f64).sum::<f64>();
    let largest = |sign: i64| with(sign).max_by_key(|row| row.diff_ns.unsigned_abs());
    let (over, under) = (sum(1), sum(-1));
    let text = match (largest(1), largest(-1)) {
        (Some(long), Some(short)) if over.min(under) >= CANCELLING_SHARE * over.max(under) => {
            let kept = format_duration((over.max(under) - over.min(under)) / e2e.num_requests.max(1) as f64);
            format!(
                "{whole}, but errors cancel in it: {} against {}; in all {} too long and {} too short a request leave \
                 {kept}.",
                words(e2e, long),
                words(e2e, short),
                format_duration(over / e2e.num_requests.max(1) as f64),
                format_duration(under / e2e.num_requests.max(1) as f64),
            )
        }
        (long, short) => match long.into_iter().chain(short).max_by_key(|row| row.diff_ns.unsigned_abs()) {
            Some(row) => format!("{whole}, most of it in {}{}.", words(e2e, row), cancelling(e2e)),
            None => "Mean E2E and each of its parts agree to the nanosecond.".to_owned(),
        },
    };
    match split {
        Split::Steps => text,
        Split::Stamps => format!("{text} Host time and stalls are not known apart: they are inside the parts."),
        Split::FirstToken => format!("{text} Queueing is not known apart from prefill, nor host time."),
    }
}

/// The two parts that cancel most of each other where a third decides the whole; nothing of less than a hundredth of
/// it, or of parts that are far apart in size.
fn cancelling(e2e: &Breakdown) -> String {
    let size = |row: &PartRow| row.diff_ns.unsigned_abs();
    let with = |sign: i64| e2e.parts.iter().filter(move |row| row.diff_ns.signum() == sign);
    let pairs = with(1).flat_map(|long| with(-1).map(move |short| (long, short)));
    let alike = pairs.filter(|(long, short)| {
        let (smaller, larger) = (size(long).min(size(short)) as f64, size(long).max(size(short)) as f64);
        smaller >= CANCELLING_SHARE * larger && smaller >= 0.01 * e2e.real_ns as f64
    });
    match alike.max_by_key(|(long, short)| size(long).min(size(short))) {
        Some((long, short)) => format!("; {} and {} cancel", words(e2e, long), words(e2e, short)),
        None => String::new(),
    }
}

fn signed(e2e: &Breakdown, total_ns: i64) -> String {
    format_signed_duration(e2e.mean(total_ns).as_f64())
}

/// `decode +1.234 s (+126.0 % of its real time)`.
fn words(e2e: &Breakdown, row: &PartRow) -> String {
    let error =
        row.rel_error.map_or("none in the real run".to_owned(), |error| format!("{} of its own", percent(error)));
    format!("{} {} ({error})", row.part.label().to_ascii_lowercase(), signed(e2e, row.diff_ns))
}

//! What a bundle may bring to the page: sizes that a first screen can show, lists that fit each other, words that are cut.
//! A bundle may be anyone's; the page itself checks nothing any more.

use fidelio_shared::schema::Manifest;
use fidelio_shared::schema::comparison::{Comparison, MetricComparison};
use serde_json::Value;

use crate::open::Problem;
use crate::words::{megabytes, plain};

/// Entries of any list of a comparison, at most. Ours stay below a tenth of it.
const MOST_ENTRIES: usize = 5_000;
/// Metrics: every one that fidelio knows, and room for those to come.
const MOST_METRICS: usize = 64;
/// Letters of any text: a banner is the longest.
const LONGEST_TEXT: usize = 2_000;
/// All texts and numbers of a comparison together, in bytes of JSON. Ours have a quarter of a megabyte.
const MOST_BYTES: usize = 4 << 20;

/// What the page gets of a comparison: all of it, its texts cut.
///
/// # Errors
/// When there is more of anything than can be shown, or lists do not fit each other.
pub fn admitted(name: &str, comparison: &Comparison) -> Result<Comparison, Problem> {
    match objection(comparison) {
        Some(objection) => Err(Problem::oversized(name, &objection)),
        None => {
            let bytes = tamed(name, comparison.to_line().into_bytes())?;
            let tamed = Comparison::read("comparison.json", &bytes);
            tamed.map(labelled).map_err(|error| Problem::broken(name, &error))
        }
    }
}

/// Labels of percentiles are texts of the file, percentiles are numbers: rows are called by the numbers.
fn labelled(mut comparison: Comparison) -> Comparison {
    let rows = comparison.metrics.iter_mut().flat_map(|metric| &mut metric.percentiles);
    rows.for_each(|row| row.label = row.percentile.to_string());
    comparison
}

/// A manifest, its texts cut.
///
/// # Errors
/// When it is too large even then.
pub fn admitted_manifest(name: &str, manifest: &Manifest) -> Result<Manifest, Problem> {
    let odd = |error: serde_json::Error| Problem::oversized(name, &format!("cannot be handed on: {error}"));
    let bytes = tamed(name, serde_json::to_vec(manifest).map_err(odd)?)?;
    serde_json::from_slice(&bytes).map_err(odd)
}

/// A JSON document with its texts cut. Text in and out: readers of documents are large, and there is one of each already.
fn tamed(name: &str, document: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let odd = |error: serde_json::Error| Problem::oversized(name, &format!("cannot be handed on: {error}"));
    let mut value: Value = serde_json::from_slice(&document).map_err(odd)?;
    tame(&mut value);
    let bytes = serde_json::to_vec(&value).map_err(odd)?;
    if bytes.len() > MOST_BYTES {
        let size = megabytes(bytes.len() as u64);
        let objection = format!("holds {size} of text and numbers, more than a first screen can");
        return Err(Problem::oversized(name, &objection));
    }
    Ok(bytes)
}

/// Why `comparison` is not shown, after “`comparison.json`”; `None` when it is.
fn objection(comparison: &Comparison) -> Option<String> {
    let too_many = |what: &str, count: usize, most: usize| {
        (count > most).then(|| format!("has {count} {what}, more than the {most} that can be shown"))
    };
    let metrics = comparison.metrics.len();
    too_many("metrics", metrics, MOST_METRICS)
        .or_else(|| too_many("notices", comparison.notices.len(), 200))
        .or_else(|| too_many("real runs", comparison.real.len(), 500))
        .or_else(|| too_many("compared settings", comparison.parity.len(), MOST_ENTRIES))
        .or_else(|| too_many("worst requests", comparison.worst_requests.len(), MOST_ENTRIES))
        .or_else(|| comparison.metrics.iter().find_map(objection_to_metric))
}

fn objection_to_metric(metric: &MetricComparison) -> Option<String> {
    let key = metric.metric.key();
    let curve = &metric.curve;
    let mut lists = vec![curve.fractions.len(), curve.real_ns.len(), curve.sim_ns.len()];
    if let Some(longest) = lists.iter().max().filter(|longest| **longest > MOST_ENTRIES) {
        return Some(format!(
            "has a curve of {longest} points for {key}, more than the {MOST_ENTRIES} that can be shown"
        ));
    }
    if metric.percentiles.len() > 200 {
        return Some(format!(
            "has {} percentiles for {key}, more than the 200 that can be shown",
            metric.percentiles.len()
        ));
    }
    lists.dedup();
    let mut are_even = lists.len() == 1 && is_ascending(&curve.fractions);
    if let Some(shift) = &metric.shift {
        let length = shift.fractions.len();
        let others = [shift.shift_ns.len(), shift.low_ns.len(), shift.high_ns.len()];
        are_even &= length <= MOST_ENTRIES && others.iter().all(|other| *other == length);
        are_even &= is_ascending(&shift.fractions);
    }
    if let Some(pairs) = &metric.pairs {
        are_even &= pairs.fractions.len() == pairs.rel_errors.len() && pairs.rel_errors.len() <= MOST_ENTRIES;
    }
    (!are_even).then(|| format!("has curves for {key} whose lists do not fit each other"))
}

fn is_ascending(fractions: &[f64]) -> bool {
    fractions.is_sorted() && fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction))
}

/// Cuts every text of a document and takes the tricks out of it. Keys of settings are texts too.
fn tame(document: &mut Value) {
    match document {
        Value::String(text) => tame_text(text),
        Value::Array(list) => list.iter_mut().for_each(tame),
        Value::Object(fields) => {
            if fields.keys().any(|key| plain(key, LONGEST_TEXT) != *key) {
                let old = std::mem::take(fields);
                fields.extend(old.into_iter().map(|(key, value)| (plain(&key, LONGEST_TEXT), value)));
            }
            fields.values_mut().for_each(tame);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn tame_text(text: &mut String) {
    // A letter has at least a byte, so a short text of plain letters is quickly passed.
    if text.len() > LONGEST_TEXT || !text.is_ascii() || text.contains(|letter: char| letter.is_control()) {
        *text = plain(text, LONGEST_TEXT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::sample::comparison;

    #[test]
    fn a_comparison_of_ours_has_nothing_against_it() {
        let comparison = comparison();
        assert_eq!(admitted("a.zip", &comparison), Ok(comparison));
    }

    #[test]
    fn too_much_and_uneven_lists_are_named() {
        let with = |change: fn(&mut Comparison)| {
            let mut changed = comparison();
            change(&mut changed);
            objection(&changed).unwrap_or_default()
        };
        let metrics = with(|changed| changed.metrics = vec![changed.metrics[0].clone(); 65]);
        assert!(metrics.contains("65 metrics"), "{metrics}");
        let points = with(|changed| changed.metrics[0].curve.real_ns = vec![Default::default(); 50_000]);
        assert!(points.contains("50000 points"), "{points}");
        let notices = with(|changed| {
            let notice = fidelio_shared::schema::comparison::Notice {
                kind: fidelio_shared::schema::comparison::NoticeKind::Run,
                text: "x".to_owned(),
            };
            changed.notices = vec![notice; 100_000];
        });
        assert!(notices.contains("100000 notices"), "{notices}");
        for uneven in [
            with(|changed| changed.metrics[0].curve.sim_ns.truncate(1)),
            with(|changed| changed.metrics[0].curve.fractions[0] = 0.9),
            with(|changed| changed.metrics[0].curve.fractions[0] = -1.0),
            with(|changed| changed.metrics[0].shift.iter_mut().for_each(|shift| shift.low_ns.truncate(1))),
            with(|changed| changed.metrics[0].pairs.iter_mut().for_each(|pairs| pairs.rel_errors.truncate(1))),
        ] {
            assert!(uneven.contains("do not fit each other"), "{uneven}");
        }
    }

    #[test]
    fn rows_are_called_by_their_percentiles() {
        let mut odd = comparison();
        odd.metrics[1].percentiles[0].label = "=cmd|' /C calc'!A0\n,".to_owned();
        assert_eq!(admitted("a.zip", &odd), Ok(comparison()));
    }

    #[test]
    fn a_document_too_large_in_all_is_refused() {
        let mut comparison = comparison();
        let long = "a".repeat(2_000);
        comparison.sim.params.extend((0..3_000).map(|place| (place.to_string(), long.as_str().into())));
        let problem = admitted("a.zip", &comparison).expect_err("six megabytes");
        assert!(problem.detail.contains("a.zip holds 6.") && problem.detail.contains("MB"), "{}", problem.detail);
    }

    #[test]
    fn texts_and_keys_are_cut_at_any_depth() {
        let long = "a".repeat(1 << 20);
        let mut document =
            serde_json::json!({"params": {"x": [long, 1.5, {long.as_str(): "\u{202e}gpj.exe"}]}, "n": 7});
        tame(&mut document);
        let list = &document["params"]["x"];
        assert_eq!(list[0].as_str().map(|text| text.chars().count()), Some(2001));
        let (key, value) = list[2].as_object().and_then(|fields| fields.iter().next()).expect("a field");
        assert_eq!((key.chars().count(), value.as_str()), (2001, Some("\u{fffd}gpj.exe")));
        assert_eq!((&list[1], &document["n"]), (&serde_json::json!(1.5), &serde_json::json!(7)));
    }
}

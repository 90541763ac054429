//! Comparisons beside each other: what differs between them, and how far a number is from a reference's.
//!
//! Knows what runs say of themselves, nothing of their rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::charts::format_duration;
use crate::compare::relative;
use crate::report::{magnitude, thousands};
use crate::schema::comparison::{Comparison, RunIdentity};
use crate::stats::CentiNanos;

/// (other - reference) / reference; `None` when the reference is zero.
pub fn change(reference: CentiNanos, other: CentiNanos) -> Option<f64> {
    relative(reference, other)
}

/// The same of rates and counts.
pub fn change_of_rate(reference: f64, other: f64) -> Option<f64> {
    (reference > 0.0 && other.is_finite()).then(|| (other - reference) / reference)
}

/// One resolved setting of several runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Dotted: `scheduler.max_num_seqs`.
    pub key: String,
    /// What each run says; `None` where it does not.
    pub values: Vec<Option<String>>,
    /// They are known not to be the same. What a run of another tool leaves out is unknown.
    pub is_different: bool,
}

/// Every setting that a run says, in dotted keys; those that differ first.
pub fn settings(runs: &[&RunIdentity]) -> Vec<SettingRow> {
    let mut rows = rows_of(&runs.iter().map(|run| Told::of(run, flat(&run.params))).collect::<Vec<_>>());
    crate::order::sort_by_key(&mut rows, |row| !row.is_different);
    rows
}

/// Which run of a comparison something is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of both, and alike.
    Both,
    /// Of the real run.
    Real,
    /// Of the simulated run.
    Sim,
}

impl Said {
    /// The word for it.
    pub fn words(self) -> &'static str {
        match self {
            Said::Both => "both",
            Said::Real => "real",
            Said::Sim => "simulated",
        }
    }
}

/// Something that is not the same in all of several comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What: words, or a setting in dotted keys.
    pub key: String,
    /// It is a resolved setting.
    pub is_setting: bool,
    /// Of which run.
    pub said: Said,
    /// What each comparison says; `None` where it does not.
    pub values: Vec<Option<String>>,
}

/// What is not the same in all of `comparisons`: what was asked first, then how it was scheduled, then who ran, then
/// all other resolved settings.
pub fn changed(comparisons: &[&Comparison]) -> Vec<Changed> {
    let asked = rows_of(&comparisons.iter().map(|one| Told { is_all: true, says: asked(one) }).collect::<Vec<_>>());
    let mut rows: Vec<Changed> =
        asked.into_iter().filter(|row| row.is_different).map(|row| of(row, false, Said::Both)).collect();
    let sides = |of_run: fn(&RunIdentity) -> BTreeMap<String, String>| {
        let none = RunIdentity::default();
        let told = |run: &RunIdentity| Told::of(run, of_run(run));
        let real = comparisons.iter().map(|one| told(one.real.first().unwrap_or(&none))).collect::<Vec<_>>();
        let sim = comparisons.iter().map(|one| told(&one.sim)).collect::<Vec<_>>();
        (rows_of(&real), rows_of(&sim))
    };
    let (real, sim) = sides(|run| flat(&run.params));
    let mut settings = joined(real, sim, true);
    crate::order::sort_by_key(&mut settings, |row| rank(&row.key));
    let (near, far): (Vec<Changed>, Vec<Changed>) = settings.into_iter().partition(|row| rank(&row.key) < NUM_NEAR);
    let (real, sim) = sides(identity);
    rows.extend(near.into_iter().chain(joined(real, sim, false)).chain(far));
    rows
}

/// Rows of both sides by key, one row where both say the same.
fn joined(real: Vec<SettingRow>, sim: Vec<SettingRow>, is_setting: bool) -> Vec<Changed> {
    let mut rows = Vec::new();
    let mut by_key = BTreeMap::new();
    by_key.extend(sim.into_iter().map(|row| (row.key.clone(), row)));
    for row in real {
        let twin = by_key.remove(&row.key);
        if twin.as_ref() == Some(&row) {
            rows.push((row, Said::Both));
        } else {
            rows.push((row, Said::Real));
            rows.extend(twin.map(|twin| (twin, Said::Sim)));
        }
    }
    rows.extend(by_key.into_values().map(|row| (row, Said::Sim)));
    rows.into_iter().filter(|(row, _)| row.is_different).map(|(row, said)| of(row, is_setting, said)).collect()
}

fn of(row: SettingRow, is_setting: bool, said: Said) -> Changed {
    Changed { key: row.key, is_setting, said, values: row.values }
}

/// Of the groups that come first, those that say how requests are scheduled.
const NUM_NEAR: usize = 2;

/// Settings that move latencies come first, names of presets last.
fn rank(key: &str) -> usize {
    const FIRST: [&str; 7] = ["scheduler", "cluster", "workload", "backend", "latency", "model", "hardware"];
    const LAST: [&str; 2] = ["use", "name"];
    let group = key.split('.').next().unwrap_or(key);
    match FIRST.iter().position(|name| *name == group) {
        Some(place) => place,
        None if LAST.contains(&group) => FIRST.len() + 1,
        None => FIRST.len(),
    }
}

fn asked(comparison: &Comparison) -> BTreeMap<String, String> {
    let workload = &comparison.workload;
    let hash = workload.sha256.get(..10).unwrap_or(&workload.sha256);
    let facts = [
        ("Workload", hash.to_owned()),
        ("Requests", thousands(workload.num_requests as u64)),
        ("Prompt tokens", thousands(workload.num_prefill_tokens)),
        ("Output tokens asked for", thousands(workload.num_decode_tokens)),
        ("Arrivals over", format_duration(workload.span_ns as f64)),
        ("Tolerance", magnitude(comparison.options.tolerance)),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn identity(run: &RunIdentity) -> BTreeMap<String, String> {
    let commit = run.git_commit.as_ref().map(|commit| commit.get(..10).unwrap_or(commit).to_owned());
    let facts = [
        ("LLM", run.model.clone()),
        ("Engine", run.engine.clone()),
        ("Hardware", run.hardware.clone()),
        ("Commit", commit),
        ("Written by", run.writer.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What one side says.
struct Told {
    /// What it does not say, it does not have.
    is_all: bool,
    says: BTreeMap<String, String>,
}

impl Told {
    /// Runs that do not name their writer are of other tools, which may keep things to themselves.
    fn of(run: &RunIdentity, says: BTreeMap<String, String>) -> Self {
        Told { is_all: run.writer.is_some(), says }
    }
}

fn rows_of(sides: &[Told]) -> Vec<SettingRow> {
    let mut keys = BTreeSet::<&String>::new();
    keys.extend(sides.iter().flat_map(|side| side.says.keys()));
    let row = |key: &String| {
        let values: Vec<Option<String>> = sides.iter().map(|side| side.says.get(key).cloned()).collect();
        let mut said = BTreeSet::<&String>::new();
        said.extend(values.iter().flatten());
        let of_whole = || sides.iter().zip(&values).filter(|(side, _)| side.is_all).map(|(_, value)| value.is_some());
        let is_different = said.len() > 1 || (of_whole().any(|is_said| is_said) && !of_whole().all(|is_said| is_said));
        SettingRow { key: key.clone(), values, is_different }
    };
    keys.into_iter().map(row).collect()
}

/// Nested objects as dotted keys; lists stay one value.
fn flat(params: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut waiting: Vec<(String, &Value)> = params.iter().map(|(key, value)| (key.clone(), value)).collect();
    while let Some((key, value)) = waiting.pop() {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                waiting.extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => {
                out.insert(key, words(value));
            }
        }
    }
    out
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Whether a whole number is written with a point is the writer's taste.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && libm::trunc(float) == float && libm::fabs(float) < 1e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Writer;
    use crate::schema::comparison::{CompareOptions, Counts, OverallVerdict, WorkloadIdentity};
    use crate::stats::Verdict;

    fn run(params: Value) -> RunIdentity {
        let Value::Object(params) = params else { panic!("settings are an object") };
        RunIdentity { params, writer: Some("fidelio 1".to_owned()), ..RunIdentity::default() }
    }

    fn texts(values: &[Option<String>]) -> Vec<&str> {
        values.iter().map(|value| value.as_deref().unwrap_or("-")).collect()
    }

    #[test]
    fn settings_are_dotted_and_those_that_differ_come_first() {
        let one = run(json!({"a": {"x": 1.0, "y": [50, 90.0]}, "seed": 42, "z": {}}));
        let other = run(json!({"a": {"x": 1, "y": [50, 99]}, "seed": 42, "more": {"on": true}}));
        let rows = settings(&[&one, &other]);
        let told: Vec<(&str, Vec<&str>, bool)> =
            rows.iter().map(|row| (row.key.as_str(), texts(&row.values), row.is_different)).collect();
        assert_eq!(
            told,
            [
                ("a.y", vec!["[50, 90]", "[50, 99]"], true),
                ("more.on", vec!["-", "true"], true),
                ("z", vec!["{}", "-"], true),
                ("a.x", vec!["1", "1"], false),
                ("seed", vec!["42", "42"], false),
            ]
        );
    }

    #[test]
    fn what_a_run_of_another_tool_leaves_out_is_unknown() {
        let foreign = RunIdentity { writer: None, ..run(json!({"chunk": 16, "seed": 1})) };
        let ours = run(json!({"seed": 1, "name": "x"}));
        let differing = |runs: &[&RunIdentity]| -> Vec<String> {
            settings(runs).into_iter().filter(|row| row.is_different).map(|row| row.key).collect()
        };
        assert_eq!(differing(&[&ours, &foreign]), [""; 0]);
        assert_eq!(differing(&[&ours, &run(json!({"seed": 1}))]), ["name"]);
        assert_eq!(differing(&[&ours, &RunIdentity { writer: None, ..run(json!({"seed": 2})) }]), ["seed"]);
    }

    #[test]
    fn rows_of_both_sides_are_one_where_they_agree() {
        let told = |params: Value| Told { is_all: true, says: flat(&run(params).params) };
        let side = |chunk: u32, seed: u32| {
            rows_of(&[told(json!({"chunk": 512, "seed": 1})), told(json!({"chunk": chunk, "seed": seed}))])
        };
        let rows = joined(side(2048, 1), side(2048, 2), true);
        let told: Vec<(&str, Said, Vec<&str>)> =
            rows.iter().map(|row| (row.key.as_str(), row.said, texts(&row.values))).collect();
        assert_eq!(told, [("chunk", Said::Both, vec!["512", "2048"]), ("seed", Said::Sim, vec!["1", "2"])]);
    }

    #[test]
    fn what_changed_is_told_in_order_of_what_matters() {
        let side = |chunk: u32, engine: &str, seed: u32| RunIdentity {
            engine: Some(engine.to_owned()),
            ..run(json!({"scheduler": {"chunk": chunk}, "latency": {"kind": engine}, "seed": seed}))
        };
        let comparison = |sha256: &str, real: RunIdentity, sim: RunIdentity| Comparison {
            schema_version: "v1".to_owned(),
            writer: Writer { name: "fidelio".to_owned(), version: "1".to_owned() },
            options: CompareOptions::default(),
            verdict: OverallVerdict { verdict: Verdict::Within, sentence: String::new() },
            notices: Vec::new(),
            real: vec![real],
            sim,
            workload: WorkloadIdentity { sha256: sha256.to_owned(), ..WorkloadIdentity::default() },
            parity: Vec::new(),
            counts: Counts::default(),
            metrics: Vec::new(),
            worst_requests: Vec::new(),
            order: None,
            attribution: None,
            windows: None,
            load: None,
            curves: None,
            service: None,
        };
        let one = comparison("aaaaaaaaaaaa", side(512, "x", 1), side(512, "x", 1));
        let other = comparison("bbbbbbbbbbbb", side(2048, "y", 1), side(2048, "x", 1));
        let rows = changed(&[&one, &other]);
        let told: Vec<(&str, Said)> = rows.iter().map(|row| (row.key.as_str(), row.said)).collect();
        let wanted = [
            ("Workload", Said::Both),
            ("scheduler.chunk", Said::Both),
            ("Engine", Said::Real),
            ("latency.kind", Said::Real),
        ];
        assert_eq!(told, wanted);
        assert_eq!(changed(&[&one, &one]), []);
    }

    #[test]
    fn the_scheduler_comes_before_the_names_of_presets() {
        let mut keys = ["name", "use.scheduler", "profile.repeats", "latency.kind", "scheduler.policy"];
        keys.sort_by_key(|key| rank(key));
        assert_eq!(keys, ["scheduler.policy", "latency.kind", "profile.repeats", "name", "use.scheduler"]);
    }

    #[test]
    fn changes_are_against_the_reference() {
        assert_eq!(change(CentiNanos(200), CentiNanos(150)), Some(-0.25));
        assert_eq!(change(CentiNanos(0), CentiNanos(150)), None);
        assert_eq!(change_of_rate(4.0, 5.0), Some(0.25));
        assert_eq!(change_of_rate(0.0, 5.0), None);
    }
}

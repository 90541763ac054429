//! `fidelio evidence`: every public data set at hand, predicted again and scored, misses included.

mod datasets;
mod predict;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::evidence::{Case, case_sentence, evidence_csv, evidence_markdown};
use serde_json::json;

use crate::commands::{Context, Outcome};
use crate::error::Hinted;
use crate::store::write_file;

use datasets::{Dataset, find};

/// Names the folder of data where `--data` does not.
const VARIABLE: &str = "FIDELIO_DATA";

/// Reruns what is in `folders` (else in `$FIDELIO_DATA`) and tells every error; with `out`, as files there too.
///
/// # Errors
/// When there is no data, or some of it is broken.
pub fn evidence(context: &Context, folders: &[PathBuf], out: Option<&Path>) -> anyhow::Result<Outcome> {
    let folders = match (folders, std::env::var_os(VARIABLE)) {
        ([], Some(folder)) => vec![PathBuf::from(folder)],
        ([], None) => {
            let hint = format!("name a folder with `--data DIR` or in `{VARIABLE}`; README says what it may hold");
            return Err(Hinted::new("there is no data to rerun", hint).into());
        }
        (folders, _) => folders.to_vec(),
    };
    let mut datasets: Vec<Dataset> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for folder in
        folders.iter().filter(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| (*folder).clone())))
    {
        datasets.extend(find(folder)?);
    }
    if datasets.is_empty() {
        let shown: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        let problem = format!("no run of a known format is in {}", shown.join(", "));
        let hint =
            "a data set holds `requests.jsonl`, `real_request_metrics.csv`, or a real and a simulated run directory";
        return Err(Hinted::new(problem, hint).into());
    }
    let bar = context.talk.progress(datasets.len() as u64, "rerunning");
    let mut cases: Vec<Case> = Vec::new();
    for dataset in &datasets {
        cases.extend(predict::cases(dataset)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let markdown = evidence_markdown(&cases);
    if let Some(out) = out {
        std::fs::create_dir_all(out).with_context(|| format!("making `{}`", out.display()))?;
        for (name, text) in [("evidence.md", markdown.clone()), ("evidence.csv", evidence_csv(&cases))] {
            context.store.check_free_file(&out.join(name))?;
            write_file(&out.join(name), |partial| Ok(std::fs::write(partial, text)?))?;
        }
    }
    Ok(Outcome::new(format!("{}\n\n{}", overview(&cases), markdown.trim_end()), json!({ "cases": cases })))
}

/// One line a case, first: what a reader remembers.
fn overview(cases: &[Case]) -> String {
    let mut text = "In short\n".to_owned();
    for case in cases {
        text.push_str(&format!(
            "\n- {}, {}: {} ({}): {}",
            case.data,
            case.run,
            case.predictor,
            case.standing.words(),
            case_sentence(case)
        ));
    }
    text
}

//! Finding the runs in a zip of bare run directories that someone made by hand.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use crate::bundle::{BundleReader, REAL_RUN, SIM_RUN, WORKLOAD};
use crate::schema::{DataError, Origin, RunMeta, read_document};

/// Role folder to prefix inside the zip.
pub fn find<R: Read + Seek>(bundle: &mut BundleReader<R>) -> Result<BTreeMap<String, String>, DataError> {
    let names = bundle.names().to_vec();
    let prefixes = |file: &str| -> Vec<String> {
        let mut found: Vec<String> = names.iter().filter_map(|name| prefix_of(name, file)).collect();
        crate::order::sort_by(&mut found, Ord::cmp);
        found
    };
    let runs = prefixes("request_metrics.csv");
    if runs.is_empty() {
        return Err(DataError::new("bundle", "holds neither manifest.json nor any request_metrics.csv")
            .with_hint("a bundle is what `fidelio bundle` writes, or a zip of a real and a simulated run directory"));
    }
    let mut places = BTreeMap::new();
    let mut unclear = Vec::new();
    for prefix in runs {
        let role = match origin(bundle, &prefix)? {
            Some(Origin::Real) => REAL_RUN,
            Some(Origin::Simulated) => SIM_RUN,
            None => {
                unclear.push(prefix);
                continue;
            }
        };
        if let Some(other) = places.insert(role.to_owned(), prefix.clone()) {
            let problem = format!("holds two candidates for the {role}: `{other}` and `{prefix}`");
            return Err(DataError::new("bundle", problem).with_hint("zip one real and one simulated run"));
        }
    }
    for role in [REAL_RUN, SIM_RUN] {
        if !places.contains_key(role)
            && let Some(prefix) = unclear.pop()
        {
            places.insert(role.to_owned(), prefix);
        }
    }
    if let Some(role) = [REAL_RUN, SIM_RUN].into_iter().find(|role| !places.contains_key(*role)) {
        return Err(DataError::new("bundle", format!("holds no {role}"))
            .with_hint("a comparison needs a real and a simulated run; `run_type` in run_meta.json tells them apart"));
    }
    if let Some(prefix) = prefixes("trace_lengths.csv").pop() {
        places.insert(WORKLOAD.to_owned(), prefix);
    }
    Ok(places)
}

/// `real/request_metrics.csv` → `real/`; only whole file names count.
fn prefix_of(name: &str, file: &str) -> Option<String> {
    let prefix = name.strip_suffix(file)?;
    (prefix.is_empty() || prefix.ends_with('/')).then(|| prefix.to_owned())
}

/// What the metadata says, else what the folder's name says.
fn origin<R: Read + Seek>(bundle: &mut BundleReader<R>, prefix: &str) -> Result<Option<Origin>, DataError> {
    let file = format!("{prefix}run_meta.json");
    if let Some(bytes) = read_document(&mut bundle.folder(""), &file)?
        && let Some(origin) = RunMeta::read(&file, &bytes)?.origin()
    {
        return Ok(Some(origin));
    }
    let name = prefix.to_ascii_lowercase();
    Ok(match (name.contains("real"), name.contains("sim") || name.contains("vidur")) {
        (true, false) => Some(Origin::Real),
        (false, true) => Some(Origin::Simulated),
        _ => None,
    })
}

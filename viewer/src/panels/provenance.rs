//! Where the numbers come from: both runs, the settings they must share, what was resolved, what the file holds.

use std::sync::Arc;

use fidelio_shared::report::thousands;
use fidelio_shared::schema::comparison::{Comparison, ParityRow, ParityState, RunIdentity};
use fidelio_shared::schema::{Manifest, Writer};
use leptos::prelude::*;

use crate::panels::fold::Fold;
use crate::panels::parameters::Parameters;
use crate::session::Session;
use crate::state::Panel;
use crate::words::megabytes;
use crate::worker::protocol::Opened;

/// Everything folded.
#[component]
pub fn Provenance(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let comparison = StoredValue::new(opened.comparison.clone());
    let opened = StoredValue::new(opened);
    let is_matched = |row: &&ParityRow| matches!(row.state, ParityState::Matched | ParityState::Defaulted);
    let (matched, all) = comparison
        .with_value(|comparison| (comparison.parity.iter().filter(is_matched).count(), comparison.parity.len()));
    let manifest = StoredValue::new(opened.with_value(|opened| opened.manifest.clone()));
    view! {
        <Fold panel=Panel::Runs title="Runs and provenance" note="who ran what, on what, from which commit">
            <Runs session opened=opened.get_value()/>
        </Fold>
        <Fold panel=Panel::Parity title="Same experiment?" note=format!("{matched} of {all} settings known to match")>
            <Parity rows=comparison.with_value(|comparison| comparison.parity.clone())/>
        </Fold>
        <Fold panel=Panel::Parameters title="Resolved parameters" note="of both runs, differences first">
            <Parameters session opened=opened.get_value()/>
        </Fold>
        {manifest.get_value().map(|found| view! {
            <Fold panel=Panel::Files title="Files in the bundle" note=format!("{}", found.files.len() + 1)>
                {manifest.get_value().map(|manifest| view! { <Files session manifest/> })}
            </Fold>
        })}
    }
}

type Field = fn(&RunIdentity) -> Option<String>;
const FIELDS: [(&str, Field); 7] = [
    ("Folder", |run| Some(run.name.clone())),
    ("Run", |run| run.run_id.clone()),
    ("Model", |run| run.model.clone()),
    ("Engine", |run| run.engine.clone()),
    ("Hardware", |run| run.hardware.clone()),
    ("Commit", |run| run.git_commit.clone()),
    ("Written by", |run| run.writer.clone()),
];

#[component]
fn Runs(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let Comparison { real, sim, workload, writer, options, .. } = opened.comparison.clone();
    let sides: Vec<RunIdentity> = real.into_iter().chain([sim]).collect();
    let num_real = sides.len() - 1;
    let head = (0..sides.len()).map(|index| match (index == num_real, num_real) {
        (true, _) => "Simulated".to_owned(),
        (false, 1) => "Real".to_owned(),
        (false, _) => format!("Real {}", index + 1),
    });
    let rows = FIELDS.map(|(name, field)| {
        let cells = sides.iter().map(|run| said(field(run))).collect_view();
        view! { <tr><th scope="row">{name}</th>{cells}</tr> }
    });
    let tolerance = match options.is_tolerance_declared {
        true => format!("{:.1} %, declared", options.tolerance * 100.0),
        false => format!("{:.1} %, the default", options.tolerance * 100.0),
    };
    let workload_tokens = format!(
        "{} requests, {} prompt tokens, {} output tokens asked for",
        thousands(workload.num_requests as u64),
        thousands(workload.num_prefill_tokens),
        thousands(workload.num_decode_tokens)
    );
    view! {
        <div class="scroll" role="region" tabindex="0" aria-label="Runs">
            <table class="words" data-testid="runs-identity">
                <caption class="sr-only">"Who ran what, on what, from which commit"</caption>
                <thead><tr><th scope="col"><span class="sr-only">"What"</span></th>{head.map(|name| view! { <th scope="col">{name}</th> }).collect_view()}</tr></thead>
                <tbody>{rows.into_iter().collect_view()}</tbody>
            </table>
        </div>
        <dl class="list">
            <dt>"Workload"</dt><dd>{workload_tokens}<br/><code>{workload.sha256}</code></dd>
            <dt>"Bundle"</dt>
            <dd>
                {opened.name.clone()}{opened.num_bytes.map(|bytes| format!(", {}", megabytes(bytes)))}<br/>
                <code data-testid="bundle-identity">
                    {move || session.sha256.get().unwrap_or_else(|| "its hash is computed when its rows are read".to_owned())}
                </code>
            </dd>
            <dt>"Tolerance"</dt><dd>{tolerance}</dd>
            <dt>"Compared by"</dt><dd>{writer_words(&writer)}</dd>
        </dl>
    }
}

fn writer_words(writer: &Writer) -> String {
    format!("{} {}", writer.name, writer.version)
}

fn said(value: Option<String>) -> impl IntoView {
    match value {
        Some(value) => view! { <td>{value}</td> }.into_any(),
        None => view! { <td class="unsaid">"not said"</td> }.into_any(),
    }
}

#[component]
fn Parity(rows: Vec<ParityRow>) -> impl IntoView {
    let row = |row: ParityRow| {
        let (class, words) = match row.state {
            ParityState::Matched => ("within", "matches"),
            ParityState::Defaulted => ("within", "matches by default"),
            ParityState::Differs => ("outside", "differs"),
            ParityState::Unknown => ("unsure", "unknown"),
        };
        view! {
            <tr data-setting=row.setting.clone()><th scope="row"><code>{row.setting.clone()}</code></th>{said(row.real)}{said(row.sim)}
                <td class=format!("said {class}")>{words}</td></tr>
        }
    };
    view! {
        <div class="scroll tall" role="region" tabindex="0" aria-label="Settings that must match">
            <table class="words" data-testid="parity-table">
                <caption class="sr-only">"Settings that both runs must share"</caption>
                <thead><tr><th scope="col">"Setting"</th><th scope="col">"Real"</th><th scope="col">"Simulated"</th>
                    <th scope="col">"State"</th></tr></thead>
                <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[component]
fn Files(session: Session, manifest: Manifest) -> impl IntoView {
    let row = |file: fidelio_shared::schema::ManifestFile| {
        view! {
            <tr><th scope="row"><code>{file.path}</code></th><td class="number">{megabytes(file.bytes)}</td>
                <td><code class="hash">{file.sha256}</code></td></tr>
        }
    };
    let prompts = if manifest.has_prompts { "with prompt texts" } else { "without prompt texts" };
    let made = manifest.created_at.map_or(String::new(), |time| format!(", {time}"));
    view! {
        <p class="small">{format!("{}, by {}{made}, {prompts}", manifest.comparison_id, writer_words(&manifest.writer))}</p>
        {move || session.sha256.get().map(|sha256| view! {
            <p class="small">"SHA-256 of the bundle: "<code data-testid="bundle-hash">{sha256}</code></p>
        })}
        <div class="scroll tall" role="region" tabindex="0" aria-label="Files">
            <table class="words" data-testid="files-table">
                <caption class="sr-only">"Files of the bundle"</caption>
                <thead><tr><th scope="col">"File"</th><th scope="col" class="number">"Size"</th>
                    <th scope="col">"SHA-256"</th></tr></thead>
                <tbody>{manifest.files.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

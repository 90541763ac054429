//! Resolved parameters of every open bundle's runs, key by key: what differs first, what is equal folded.

use std::sync::Arc;

use fidelio_shared::explore::beside::{SettingRow, settings};
use fidelio_shared::report::thousands;
use fidelio_shared::schema::comparison::RunIdentity;
use leptos::prelude::*;

use crate::app::View;
use crate::panels::bar::letter;
use crate::session::Session;
use crate::worker::protocol::Opened;

/// One run's column.
#[derive(Clone, PartialEq)]
struct Column {
    /// Of its bundle; empty when there is one only.
    letter: String,
    is_real: bool,
    run: RunIdentity,
}

impl Column {
    fn both_of(letter: String, opened: &Opened) -> [Column; 2] {
        let real = opened.comparison.real.first().cloned().unwrap_or_default();
        [
            Column { letter: letter.clone(), is_real: true, run: real },
            Column { letter, is_real: false, run: opened.comparison.sim.clone() },
        ]
    }
}

/// The table, with a box to find keys and values in.
#[component]
pub fn Parameters(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let view = expect_context::<View>();
    let columns = Memo::new(move |_| columns(view, session, &opened));
    let rows =
        Memo::new(move |_| columns.with(|columns| settings(&columns.iter().map(|one| &one.run).collect::<Vec<_>>())));
    let filter = RwSignal::new(String::new());
    let found = move |is_different: bool| {
        let wanted = filter.get().to_ascii_lowercase();
        rows.with(|rows| {
            let found = rows.iter().filter(|row| row.is_different == is_different && holds(row, &wanted));
            found.cloned().collect::<Vec<_>>()
        })
    };
    let (different, equal) = (Memo::new(move |_| found(true)), Memo::new(move |_| found(false)));
    let count = move || match rows.with(Vec::len) {
        0 => "Neither run says its parameters.".to_owned(),
        all if filter.with(String::is_empty) => {
            let differing = rows.with(|rows| rows.iter().filter(|row| row.is_different).count());
            format!("{} of {} differ", thousands(differing as u64), thousands(all as u64))
        }
        all => {
            let shown = different.with(Vec::len) + equal.with(Vec::len);
            format!("{} of {} found", thousands(shown as u64), thousands(all as u64))
        }
    };
    view! {
        <div class="table-tools">
            <label class="search">"Find "<input
                type="search"
                placeholder="scheduler, 2048 …"
                data-testid="parameters-filter"
                on:input=move |event| filter.set(event_target_value(&event))
            /></label>
            <span data-testid="parameters-count" role="status">{count}</span>
        </div>
        {move || (!different.with(Vec::is_empty)).then(|| view! {
            <Table columns=columns.get() rows=different.get() name="parameters-different" caption="Parameters that differ"/>
        })}
        {move || (!equal.with(Vec::is_empty)).then(|| {
            let is_sought = !filter.with(String::is_empty);
            view! {
                <details class="equal" data-testid="parameters-equal" prop:open=is_sought>
                    <summary>{move || match equal.with(Vec::len) {
                        1 => "1 more that is equal, or not known to differ".to_owned(),
                        count => format!("{} more that are equal, or not known to differ", thousands(count as u64)),
                    }}</summary>
                    <Table columns=columns.get() rows=equal.get() name="parameters-same" caption="Parameters that are equal, or not known to differ"/>
                </details>
            }
        })}
    }
}

fn columns(view: View, session: Session, opened: &Opened) -> Vec<Column> {
    let sessions = view.sessions.get();
    if sessions.len() < 2 {
        return Column::both_of(String::new(), opened).into();
    }
    let of = |(place, one): (usize, &Session)| {
        // The one in focus is known; others may still be on their way.
        if *one == session {
            Some(Column::both_of(letter(place), opened))
        } else {
            one.opened().map(|opened| Column::both_of(letter(place), &opened))
        }
    };
    sessions.iter().enumerate().filter_map(of).flatten().collect()
}

fn holds(row: &SettingRow, wanted: &str) -> bool {
    let words = std::iter::once(&row.key).chain(row.values.iter().flatten());
    wanted.split_whitespace().all(|term| words.clone().any(|word| word.to_ascii_lowercase().contains(term)))
}

#[component]
fn Table(columns: Vec<Column>, rows: Vec<SettingRow>, name: &'static str, caption: &'static str) -> impl IntoView {
    let heads = columns.iter().map(|column| {
        let (class, side) = if column.is_real { ("swatch real", "Real") } else { ("swatch sim", "Simulated") };
        let letter =
            (!column.letter.is_empty()).then(|| view! { <strong class="letter">{column.letter.clone()}</strong>" " });
        view! { <th scope="col">{letter}<span class=class aria-hidden="true"></span>{side}</th> }
    });
    view! {
        <div class="scroll tall" role="region" tabindex="0" aria-label=caption>
            <table class="words parameters" data-testid=name>
                <caption class="sr-only">{caption}</caption>
                <thead><tr><th scope="col">"Parameter"</th>{heads.collect_view()}</tr></thead>
                <tbody>{rows.into_iter().map(line).collect_view()}</tbody>
            </table>
        </div>
    }
}

fn line(row: SettingRow) -> impl IntoView {
    let first = row.values.iter().flatten().next().cloned();
    let cells = row.values.into_iter().map(|value| match value {
        // What is not as in the first run that says it is marked; the words are there in any case.
        Some(value) if Some(&value) != first.as_ref() => view! { <td class="different">{value}</td> }.into_any(),
        Some(value) => view! { <td>{value}</td> }.into_any(),
        None => view! { <td class="unsaid">"not said"</td> }.into_any(),
    });
    view! {
        <tr data-parameter=row.key.clone() class:differs=row.is_different>
            <th scope="row"><code>{row.key.clone()}</code></th>{cells.collect_view()}
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_sought_is_in_the_key_or_a_value() {
        let row = SettingRow {
            key: "scheduler.max_num_seqs".to_owned(),
            values: vec![Some("16".to_owned()), None, Some("Sixty".to_owned())],
            is_different: true,
        };
        for (wanted, is_found) in [("", true), ("seqs 16", true), ("sixty", true), ("seqs 17", false)] {
            assert_eq!(holds(&row, wanted), is_found, "{wanted}");
        }
    }
}

//! The columns of the request table: heads that sort, and what a row says in each.

use fidelio_shared::explore::answers::TableRow;
use fidelio_shared::explore::questions::Column;
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;
use leptos::prelude::*;

use crate::app::View;
use crate::link::column_key;
use crate::panels::requests::SHOWN;
use crate::words::{percent, time};

/// The heads: (column, group, word).
pub(super) fn heads() -> Vec<(Option<Column>, &'static str, &'static str)> {
    let mut heads = vec![
        (Some(Column::Request), "", "Request"),
        (Some(Column::Arrival), "", "Arrival"),
        (Some(Column::Prompt), "", "Prompt"),
        (Some(Column::Output), "", "Output"),
    ];
    for metric in SHOWN {
        heads.extend([
            (Some(Column::Real(metric)), metric.label(), "real"),
            (Some(Column::Sim(metric)), metric.label(), "simulated"),
            (Some(Column::Error(metric)), metric.label(), "error"),
        ]);
    }
    heads.extend([(Some(Column::Preemptions), "", "Preempted"), (None, "", "Trouble")]);
    heads
}

#[component]
pub(super) fn Head() -> impl IntoView {
    let view = expect_context::<View>();
    let sorted = view.part(|state| (state.column, state.ascending));
    let head = move |index: usize, (column, group, word): (Option<Column>, &'static str, &'static str)| {
        let order = move || column.and_then(|column| order(column, sorted.get()));
        let mark = move || order().map(|ascending| if ascending { " ▲" } else { " ▼" });
        let said = move || order().map_or("none", |ascending| if ascending { "ascending" } else { "descending" });
        let sort = move |_| {
            if let Some(column) = column {
                let (column, ascending) = next(column, sorted.get_untracked());
                view.state.update(|state| (state.column, state.ascending) = (column, ascending));
            }
        };
        view! {
            <div role="columnheader" class=class(index) aria-sort=said aria-colindex=(index + 1).to_string()>
                {match column {
                    Some(column) => view! {
                        <button type="button" data-testid=format!("sort-{}", column_key(column)) on:click=sort>
                            {(!group.is_empty()).then(|| view! { <small>{group}" "</small> })}{word}{mark}
                        </button>
                    }.into_any(),
                    None => word.into_any(),
                }}
            </div>
        }
    };
    let heads = heads().into_iter().enumerate().map(|(index, one)| head(index, one)).collect_view();
    view! { <div class="grid-row grid-head" role="row" aria-rowindex="1">{heads}</div> }
}

/// Whether the table is sorted by a column, and which way. `Worst` is the error of E2E, whichever way.
fn order(column: Column, (by, ascending): (Column, bool)) -> Option<bool> {
    match (column, by) {
        (Column::Error(Metric::E2e), Column::Worst) => Some(false),
        (column, by) => (column == by).then_some(ascending),
    }
}

/// What a click on a head sorts by: the other way when it is sorted by already.
fn next(column: Column, sorted: (Column, bool)) -> (Column, bool) {
    match order(column, sorted) {
        Some(ascending) => (column, !ascending),
        None => (column, matches!(column, Column::Request | Column::Arrival)),
    }
}

/// Words to the left, numbers to the right.
pub(super) fn class(index: usize) -> &'static str {
    match index {
        0 => "first",
        4 | 7 => "group",
        6 | 9 => "strong",
        11 => "word",
        _ => "",
    }
}

/// What a row says, column by column.
pub(super) fn cells(row: &TableRow) -> Vec<String> {
    let mut cells = vec![
        format!("#{}", row.request_id),
        time(Some(row.arrival_ns)),
        thousands(row.num_prefill_tokens.into()),
        thousands(row.num_decode_tokens.into()),
    ];
    for (index, (real, sim)) in row.values.iter().enumerate() {
        cells.extend([time(*real), time(*sim), percent(row.rel_error(index))]);
    }
    let times = |times: Option<u32>| times.map_or("–".to_owned(), |times| thousands(times.into()));
    cells.push(match row.num_preemptions {
        (None, None) => "–".to_owned(),
        (real, sim) => format!("{} / {}", times(real), times(sim)),
    });
    cells.push(row.trouble.clone().unwrap_or_default());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_sorts_and_turns_around() {
        let usual = (Column::Worst, false);
        let error = Column::Error(Metric::E2e);
        assert_eq!(order(error, usual), Some(false));
        assert_eq!(next(error, usual), (error, true));
        assert_eq!(next(Column::Arrival, usual), (Column::Arrival, true));
        assert_eq!(next(Column::Prompt, usual), (Column::Prompt, false));
        assert_eq!(next(Column::Prompt, (Column::Prompt, false)), (Column::Prompt, true));
        assert_eq!(order(Column::Prompt, usual), None);
    }

    #[test]
    fn every_column_has_a_cell() {
        let row = TableRow { values: vec![(Some(5), None), (Some(100), Some(80))], ..TableRow::default() };
        let cells = cells(&row);
        assert_eq!(cells.len(), heads().len());
        assert_eq!((cells[6].as_str(), cells[9].as_str(), cells[10].as_str()), ("–", "−20.0 %", "–"));
    }
}

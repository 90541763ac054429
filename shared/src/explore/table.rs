//! The request table: chosen, sorted and filtered once, then given page by page.

use crate::explore::Explorer;
use crate::explore::answers::{Found, TablePage, TableRow};
use crate::explore::filter::Filter;
use crate::explore::questions::{Column, TableQuestion};
use crate::explore::sides::{Sides, rel_error};
use crate::metrics::Metric;
use crate::schema::{RequestRow, RequestStatus};

/// Rows of one page, at most.
const MOST_ROWS: usize = 1_000;

/// The rows of one question, whatever its page.
pub(super) struct TableOrder {
    /// The question without its page.
    question: TableQuestion,
    /// Places of the requests in the compared run.
    requests: Vec<u32>,
    filter_problem: Option<String>,
}

impl Explorer {
    /// One page of the request table. The next page of the same question takes no sorting.
    pub fn requests(&mut self, question: &TableQuestion) -> TablePage {
        let asked = TableQuestion { from: 0, count: 0, metrics: Vec::new(), find: None, ..question.clone() };
        let order = match self.table.take().filter(|order| order.question == asked) {
            Some(order) => order,
            None => self.order(asked),
        };
        let from = question.from.min(order.requests.len());
        let places = order.requests[from..].iter().take(question.count.min(MOST_ROWS));
        let page = TablePage {
            num_rows: order.requests.len(),
            num_requests: self.real().requests.len(),
            filter_problem: order.filter_problem.clone(),
            from,
            rows: places.map(|index| row(&self.sides(*index as usize), &question.metrics)).collect(),
            found: question.find.and_then(|request| order.find(request)),
        };
        self.table = Some(order);
        page
    }

    fn order(&self, question: TableQuestion) -> TableOrder {
        let (filter, filter_problem) = match Filter::parse(&question.filter, self.options.definition) {
            Ok(filter) => (filter, None),
            Err(problem) => (Filter::default(), Some(problem)),
        };
        let rows = (0u32..).zip(&self.real().requests).filter(|(_, row)| question.selection.holds(row));
        let mut keys: Vec<(Option<u64>, u32)> = rows
            .filter_map(|(index, _)| {
                let sides = self.sides(index as usize);
                filter.passes(&sides).then(|| (key(question.column, &sides), index))
            })
            .collect();
        let is_descending = question.descending || question.column == Column::Worst;
        // Equal ones by their number, whichever way.
        keys.sort_unstable_by_key(|(key, index)| {
            (key.is_none(), key.map(|key| if is_descending { !key } else { key }), *index)
        });
        let requests = keys.into_iter().map(|(_, index)| index).collect();
        TableOrder { question, requests, filter_problem }
    }
}

impl TableOrder {
    /// Where a request stands, and who beside it. Ids of a run are places in it.
    fn find(&self, request_id: u32) -> Option<Found> {
        let place = self.requests.iter().position(|index| *index == request_id)?;
        let at = |place: usize| self.requests.get(place).copied();
        Some(Found { request_id, place, previous: place.checked_sub(1).and_then(at), next: at(place + 1) })
    }
}

impl TableRow {
    /// (simulated - real) / real of the metric at a place of `values`; `None` without both, or where the real one is 0.
    pub fn rel_error(&self, metric: usize) -> Option<f64> {
        let (real, sim) = self.values.get(metric).copied()?;
        rel_error(real?, sim?)
    }
}

/// What requests are sorted by, in a number of the same order.
fn key(column: Column, sides: &Sides<'_>) -> Option<u64> {
    match column {
        Column::Request => Some(u64::from(sides.real_row.request_id)),
        Column::Arrival => Some(sides.real_row.arrival.0),
        Column::Prompt => Some(u64::from(sides.real_row.num_prefill_tokens)),
        Column::Output => Some(u64::from(sides.num_tokens())),
        Column::Preemptions => sides.most_preemptions().map(u64::from),
        Column::Real(metric) => sides.value(metric).0,
        Column::Sim(metric) => sides.value(metric).1,
        // The bits of a number that is not negative are in its order.
        Column::Error(metric) => sides.error(metric).map(f64::to_bits),
        Column::Worst => sides.error(Metric::E2e).map(f64::to_bits),
    }
}

fn row(sides: &Sides<'_>, metrics: &[Metric]) -> TableRow {
    TableRow {
        request_id: sides.real_row.request_id,
        arrival_ns: sides.real_row.arrival.0,
        num_prefill_tokens: sides.real_row.num_prefill_tokens,
        num_decode_tokens: sides.num_tokens(),
        num_preemptions: sides.num_preemptions(),
        values: metrics.iter().map(|metric| sides.value(*metric)).collect(),
        trouble: trouble(sides),
    }
}

/// Why the request is not compared.
fn trouble(sides: &Sides<'_>) -> Option<String> {
    if sides.is_pair {
        return None;
    }
    let said = [("real", Some(sides.real_row)), ("simulated", sides.sim_row)].map(|(side, row)| {
        let ended = row.map_or(Some("not there".to_owned()), ended)?;
        Some(format!("{side}: {ended}"))
    });
    let said: Vec<String> = said.into_iter().flatten().collect();
    Some(if said.is_empty() {
        "outputs of different lengths, and no token times to cut by".to_owned()
    } else {
        said.join("; ")
    })
}

/// How a request ended that has no output.
fn ended(row: &RequestRow) -> Option<String> {
    let word = match row.status {
        RequestStatus::Ok if row.has_output() => return None,
        RequestStatus::Ok => "no output",
        status => status.as_str(),
    };
    Some(match &row.error_msg {
        Some(message) if !message.is_empty() => format!("{word} ({message})"),
        _ => word.to_owned(),
    })
}

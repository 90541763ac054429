//! The per-request table: both timelines of each request, cut to the shorter, as `shared` measures them.

use fidelio_shared::metrics::{Metric, Timeline};
use fidelio_shared::schema::{DataError, RequestStatus, Run};

use crate::open::Opened;

/// One request on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPair {
    /// Which.
    pub request_id: u32,
    /// Planned arrival, ns.
    pub arrival_ns: u64,
    /// Prompt length.
    pub num_prefill_tokens: u32,
    /// Output tokens compared.
    pub num_decode_tokens: u32,
    /// TTFT on both sides, ns.
    pub ttft: Sides,
    /// E2E on both sides, ns.
    pub e2e: Sides,
    /// How it ended where it did not end well.
    pub trouble: Option<&'static str>,
}

/// A value on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sides {
    /// Real, ns.
    pub real: Option<u64>,
    /// Simulated, ns.
    pub sim: Option<u64>,
}

impl Sides {
    /// (simulated - real) / real.
    pub fn rel_error(self) -> Option<f64> {
        let (real, sim) = (self.real.filter(|real| *real > 0)? as f64, self.sim? as f64);
        Some((sim - real) / real)
    }
}

/// How the table is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Largest E2E error first.
    #[default]
    E2eError,
    /// Largest TTFT error first.
    TtftError,
    /// As they arrived.
    Arrival,
    /// Longest prompt first.
    Prompt,
}

impl Order {
    /// All, in the order they are offered.
    pub const ALL: [Order; 4] = [Order::E2eError, Order::TtftError, Order::Arrival, Order::Prompt];

    /// Its name in the menu.
    pub fn label(self) -> &'static str {
        match self {
            Order::E2eError => "largest E2E error first",
            Order::TtftError => "largest TTFT error first",
            Order::Arrival => "in order of arrival",
            Order::Prompt => "longest prompt first",
        }
    }
}

/// Reads the raw rows of both runs.
///
/// # Errors
/// The first broken file, row or hash.
pub fn read(opened: &Opened) -> Result<Vec<RequestPair>, DataError> {
    let mut reader = opened.reader()?;
    let (real, sim) = (reader.real_run()?, reader.sim_run()?);
    Ok((0..real.requests.len()).map(|index| pair(&real, &sim, index)).collect())
}

fn pair(real: &Run, sim: &Run, index: usize) -> RequestPair {
    let row = &real.requests[index];
    let (real_line, sim_line) = (Timeline::of(real, index), Timeline::of(sim, index));
    let shared = match (real_line, sim_line) {
        (Some(real), Some(sim)) => Some(real.num_tokens().min(sim.num_tokens())),
        (real, sim) => real.or(sim).map(|line| line.num_tokens()),
    };
    let value = |line: Option<Timeline<'_>>, metric| line?.cut(shared?)?.value(metric);
    let sides = |metric| Sides { real: value(real_line, metric), sim: value(sim_line, metric) };
    RequestPair {
        request_id: row.request_id,
        arrival_ns: row.arrival.0,
        num_prefill_tokens: row.num_prefill_tokens,
        num_decode_tokens: shared.unwrap_or(0),
        ttft: sides(Metric::Ttft),
        e2e: sides(Metric::E2e),
        trouble: trouble(row.status, sim.requests.get(index).map(|row| row.status), real_line.is_some()),
    }
}

fn trouble(real: RequestStatus, sim: Option<RequestStatus>, has_real_output: bool) -> Option<&'static str> {
    match (real, sim) {
        (RequestStatus::Error, _) => Some("failed in the real run"),
        (RequestStatus::Rejected, _) => Some("rejected in the real run"),
        (_, Some(RequestStatus::Error)) => Some("failed in the simulation"),
        (_, Some(RequestStatus::Rejected)) => Some("rejected in the simulation"),
        (_, None) => Some("not in the simulation"),
        _ if !has_real_output => Some("no output"),
        _ => None,
    }
}

/// Sorts in place; equals keep the order of arrival, requests without a value come last.
pub fn sort(rows: &mut [RequestPair], order: Order) {
    let size = |sides: Sides| sides.rel_error().map_or(-1.0, f64::abs);
    match order {
        Order::E2eError => {
            rows.sort_by(|a, b| size(b.e2e).total_cmp(&size(a.e2e)).then(a.request_id.cmp(&b.request_id)))
        }
        Order::TtftError => {
            rows.sort_by(|a, b| size(b.ttft).total_cmp(&size(a.ttft)).then(a.request_id.cmp(&b.request_id)));
        }
        Order::Arrival => rows.sort_by_key(|row| (row.arrival_ns, row.request_id)),
        Order::Prompt => rows.sort_by_key(|row| (std::cmp::Reverse(row.num_prefill_tokens), row.request_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(request_id: u32, real: u64, sim: Option<u64>) -> RequestPair {
        let sides = Sides { real: Some(real), sim };
        RequestPair {
            request_id,
            arrival_ns: 100 - u64::from(request_id),
            num_prefill_tokens: request_id,
            num_decode_tokens: 1,
            ttft: sides,
            e2e: sides,
            trouble: None,
        }
    }

    #[test]
    fn the_worst_request_comes_first_and_the_unknown_last() {
        let mut rows = vec![row(0, 100, None), row(1, 100, Some(110)), row(2, 100, Some(20)), row(3, 100, Some(190))];
        let ids = |rows: &[RequestPair]| rows.iter().map(|row| row.request_id).collect::<Vec<_>>();
        sort(&mut rows, Order::E2eError);
        assert_eq!(ids(&rows), [3, 2, 1, 0]);
        sort(&mut rows, Order::Arrival);
        assert_eq!(ids(&rows), [3, 2, 1, 0]);
    }
}

//! A whole run in memory: metadata, requests, tokens, steps, and the invariants across them.

use crate::schema::table::MAX_SPAN;
use crate::schema::{DataError, RequestRow, RequestStatus, RunMeta, StepRow, TokenTimes, Workload};
use crate::time::Nanos;

/// Everything one real or simulated run left behind.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What errors and reports call it: its directory's name.
    pub name: String,
    /// `run_meta.json`; empty when a foreign run has none.
    pub meta: RunMeta,
    /// `request_metrics.csv`, by id.
    pub requests: Vec<RequestRow>,
    /// `token_metrics.csv`; without it ITL is unknown.
    pub tokens: Option<TokenTimes>,
    /// `step_metrics.csv`, ours only.
    pub steps: Option<Vec<StepRow>>,
}

impl Run {
    /// Puts the parts together, derives what a minimal file lacks and checks the rows against each other.
    ///
    /// # Errors
    /// Token rows that contradict a request row, or a completion that nothing tells.
    pub fn assemble(
        name: &str,
        meta: RunMeta,
        mut requests: Vec<RequestRow>,
        tokens: Option<TokenTimes>,
        steps: Option<Vec<StepRow>>,
    ) -> Result<Self, DataError> {
        for row in &mut requests {
            match &tokens {
                Some(tokens) => check_tokens(name, row, tokens.of(row.request_id))?,
                None if row.has_output() && row.completion.is_none() => {
                    let problem = format!(
                        "request {} has no completion time, and there is no token_metrics.csv to tell it",
                        row.request_id
                    );
                    let file = format!("{name}/request_metrics.csv");
                    return Err(DataError::new(file, problem).in_column("completion_time_ns"));
                }
                None => {}
            }
        }
        Ok(Run { name: name.to_owned(), meta, requests, tokens, steps })
    }

    /// Some of its requests, numbered anew, on the same clock; without steps, which are of all of them.
    ///
    /// # Panics
    /// When the run has fewer requests.
    pub fn part(&self, requests: std::ops::Range<usize>) -> Run {
        let tokens = self.tokens.as_ref().map(|tokens| {
            let lists: Vec<Vec<Nanos>> = requests.clone().map(|id| tokens.of(id as u32).to_vec()).collect();
            TokenTimes::from_lists(&lists)
        });
        let renumbered = self.requests[requests].iter().enumerate();
        let rows = renumbered.map(|(id, row)| RequestRow { request_id: id as u32, ..row.clone() });
        Run { name: self.name.clone(), meta: self.meta.clone(), requests: rows.collect(), tokens, steps: None }
    }

    /// Requests, lengths and arrivals agree with `workload`.
    ///
    /// # Errors
    /// The first request that differs, by run, row and column.
    pub fn check_workload(&self, workload: &Workload) -> Result<(), DataError> {
        let file = format!("{}/request_metrics.csv", self.name);
        if self.requests.len() != workload.rows.len() {
            let problem = format!("has {} requests, the workload has {}", self.requests.len(), workload.rows.len());
            return Err(DataError::new(file, problem));
        }
        for (row, asked) in self.requests.iter().zip(&workload.rows) {
            let pairs = [
                ("num_prefill_tokens", u64::from(row.num_prefill_tokens), u64::from(asked.num_prefill_tokens)),
                ("num_decode_tokens", u64::from(row.num_decode_tokens), u64::from(asked.num_decode_tokens)),
                ("arrival_time_ns", row.arrival.0, asked.arrival.0),
            ];
            for (column, ran, asked) in pairs {
                if ran != asked {
                    let problem = format!("request {}: {ran} here, {asked} in the workload", row.request_id);
                    return Err(DataError::new(file, problem).in_column(column));
                }
            }
        }
        Ok(())
    }
}

fn check_tokens(name: &str, row: &mut RequestRow, times: &[crate::time::Nanos]) -> Result<(), DataError> {
    let id = row.request_id;
    if row.status != RequestStatus::Ok {
        return Ok(());
    }
    let fail = |file: &str, column: &str, problem: String| {
        Err(DataError::new(format!("{name}/{file}"), problem).in_column(column))
    };
    if times.len() != row.num_decode_tokens_actual as usize {
        let problem = format!("request {id} has {} token rows, not {}", times.len(), row.num_decode_tokens_actual);
        return fail("token_metrics.csv", "num_decode_tokens_actual", problem);
    }
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
    if row.first_token != Some(*first) {
        let problem = format!("request {id}: token 0 is at {first}, request_metrics.csv says otherwise");
        return fail("token_metrics.csv", "first_token_time_ns", problem);
    }
    match row.completion {
        None if last.saturating_sub(row.arrival) > MAX_SPAN => {
            let problem = format!("request {id}: {last} is years after arrival_time_ns {}", row.arrival);
            return fail("token_metrics.csv", "token_time_ns", problem);
        }
        None => row.completion = Some(*last),
        Some(completion) if completion < *last => {
            let problem = format!("request {id} completes at {completion}, before its last token at {last}");
            return fail("request_metrics.csv", "completion_time_ns", problem);
        }
        Some(_) => {}
    }
    Ok(())
}

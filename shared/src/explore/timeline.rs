//! One request token by token.

use crate::explore::Explorer;
use crate::explore::answers::{RequestTimeline, TimelineSide};
use crate::schema::Run;
use crate::stats::{CentiNanos, Percentile, Sorted};

impl Explorer {
    /// The request called `request_id`, whole on both sides; `None` when there is none.
    pub fn timeline(&self, request_id: u32) -> Option<RequestTimeline> {
        let row = self.real().requests.get(request_id as usize)?;
        Some(RequestTimeline {
            request_id: row.request_id,
            num_prefill_tokens: row.num_prefill_tokens,
            arrival_ns: row.arrival.0,
            real: side(self.real(), request_id),
            sim: side(&self.sim, request_id),
        })
    }
}

impl TimelineSide {
    /// Time from the token before to the one at `index`, ns; `None` of the first, and where token times are not told.
    pub fn gap(&self, index: usize) -> Option<u64> {
        let before = self.tokens_ns.get(index.checked_sub(1)?)?;
        self.tokens_ns.get(index)?.checked_sub(*before).filter(|_| self.has_tokens)
    }

    /// Quantiles of the gaps between its tokens; `None` without any.
    pub fn gap_quantiles(&self, percentiles: &[Percentile]) -> Option<Vec<CentiNanos>> {
        let gaps = Sorted::new((1..self.tokens_ns.len()).filter_map(|index| self.gap(index)).collect())?;
        Some(percentiles.iter().map(|percentile| gaps.quantile(*percentile)).collect())
    }
}

fn side(run: &Run, request_id: u32) -> Option<TimelineSide> {
    let row = run.requests.get(request_id as usize).filter(|row| row.has_output())?;
    let tokens = run.tokens.as_ref().map(|tokens| tokens.of(row.request_id));
    let completion = row.completion?;
    let stamps = || {
        // One token has one time.
        let first = row.first_token.filter(|_| row.num_decode_tokens_actual > 1);
        first.into_iter().chain([completion]).map(|time| time.0).collect()
    };
    Some(TimelineSide {
        scheduled_ns: row.scheduled.map(|time| time.0),
        tokens_ns: tokens.map_or_else(stamps, |times| times.iter().map(|time| time.0).collect()),
        completion_ns: completion.0,
        num_preemptions: row.num_preemptions,
        has_tokens: tokens.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_tokens_that_are_told() {
        let told = TimelineSide { tokens_ns: vec![10, 20, 20, 50], has_tokens: true, ..TimelineSide::default() };
        assert_eq!([0, 1, 2, 3, 4].map(|index| told.gap(index)), [None, Some(10), Some(0), Some(30), None]);
        let quantiles = told.gap_quantiles(&[Percentile(0), Percentile::P50, Percentile(10_000)]);
        assert_eq!(quantiles, Some([0, 10, 30].map(CentiNanos::from_nanos).to_vec()));
        let stamps = TimelineSide { has_tokens: false, ..told };
        assert_eq!((stamps.gap(1), stamps.gap_quantiles(&[Percentile::P50])), (None, None));
    }
}

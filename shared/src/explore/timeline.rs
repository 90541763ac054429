//! One request token by token.

use crate::explore::Explorer;
use crate::explore::answers::{RequestTimeline, TimelineSide};
use crate::schema::Run;

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

//! A request and its state inside one replica.

use crate::schema::{RequestRow, RequestStatus, WorkloadRow};
use crate::serving::RequestId;
use crate::time::Nanos;

/// What a user asks, as the serving core sees it. `T` is an instant of the driver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<T = Nanos> {
    /// Its number in the workload.
    pub id: RequestId,
    /// When the workload planned it to arrive.
    pub arrival: T,
    /// Prompt length in tokens.
    pub num_prefill_tokens: u32,
    /// Output length asked for, in tokens.
    pub num_decode_tokens: u32,
}

impl Request<Nanos> {
    /// The `id`-th row of a workload.
    pub fn from_row(id: RequestId, row: &WorkloadRow) -> Self {
        Request {
            id,
            arrival: row.arrival,
            num_prefill_tokens: row.num_prefill_tokens,
            num_decode_tokens: row.num_decode_tokens,
        }
    }
}

impl<T: Copy> Request<T> {
    /// The request on another clock.
    pub fn with_arrival<U>(self, arrival: U) -> Request<U> {
        Request {
            id: self.id,
            arrival,
            num_prefill_tokens: self.num_prefill_tokens,
            num_decode_tokens: self.num_decode_tokens,
        }
    }

    fn unserved_row(&self, arrival: Nanos, unserved: Unserved) -> RequestRow {
        RequestRow {
            request_id: self.id,
            arrival,
            num_prefill_tokens: self.num_prefill_tokens,
            num_decode_tokens: self.num_decode_tokens,
            status: unserved.status,
            error_msg: unserved.reason,
            ..RequestRow::default()
        }
    }
}

/// Why a request needs no serving: it can never fit, or it asks for no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Rejected, or done at once.
    pub status: RequestStatus,
    /// Why it was rejected.
    pub reason: Option<String>,
}

impl Unserved {
    /// The row of `request`, which never ran.
    pub fn row(self, request: &Request<Nanos>) -> RequestRow {
        request.unserved_row(request.arrival, self)
    }
}

/// A request that was served to its end, with the instants that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served<T = Nanos> {
    /// What was asked.
    pub request: Request<T>,
    /// When it was first in a batch.
    pub scheduled: Option<T>,
    /// When its first token was there.
    pub first_token: Option<T>,
    /// When its last token was there.
    pub completion: T,
    /// Tokens produced.
    pub num_output_tokens: u32,
    /// How often it lost its KV blocks.
    pub num_preemptions: u32,
    /// Tokens computed before the last attempt began to decode: the prompt, unless it was restarted.
    pub num_prefill_tokens_last: u32,
}

impl<T: Copy> Served<T> {
    /// The row of this request; `nanos` reads the driver's clock.
    pub fn row(&self, nanos: impl Fn(T) -> Nanos) -> RequestRow {
        RequestRow {
            scheduled: self.scheduled.map(&nanos),
            first_token: self.first_token.map(&nanos),
            completion: Some(nanos(self.completion)),
            num_decode_tokens_actual: self.num_output_tokens,
            num_preemptions: Some(self.num_preemptions),
            ..self
                .request
                .unserved_row(nanos(self.request.arrival), Unserved { status: RequestStatus::Ok, reason: None })
        }
    }
}

/// A request being served. Tokens are *known* (prompt and output so far) and *computed* (in the KV cache,
/// or on their way there in a batch that is out); when a batch comes back, the tokens it gives become known.
#[derive(Clone, Debug)]
pub(super) struct Sequence<T> {
    pub request: Request<T>,
    pub num_known: u32,
    pub num_computed: u32,
    /// Known tokens this attempt computes before it decodes: the prompt, after a restart also the output so far.
    pub num_prefill: u32,
    /// Batches out that will give a token: each stands for one not yet known.
    pub num_placeholders: u32,
    /// Output tokens told: a restart that forgot some must not tell them again.
    pub num_told: u32,
    /// Batches out with a share of it.
    pub num_out: u32,
    pub num_blocks: u32,
    pub num_preemptions: u32,
    pub scheduled: Option<T>,
    pub first_token: Option<T>,
    /// Rises with every admission to running.
    pub admission: u64,
    pub is_waiting: bool,
}

impl<T: Copy> Sequence<T> {
    pub fn new(request: Request<T>) -> Self {
        Sequence {
            request,
            num_known: request.num_prefill_tokens,
            num_computed: 0,
            num_prefill: request.num_prefill_tokens,
            num_placeholders: 0,
            num_told: 0,
            num_out: 0,
            num_blocks: 0,
            num_preemptions: 0,
            scheduled: None,
            first_token: None,
            admission: 0,
            is_waiting: true,
        }
    }

    /// Tokens known or on their way and not yet computed: 1 for a sequence that decodes.
    pub fn num_pending(&self) -> u32 {
        self.num_known + self.num_placeholders - self.num_computed
    }

    pub fn is_prefilled(&self) -> bool {
        self.num_computed >= self.num_prefill
    }

    /// Vidur's `num_processed_tokens`: computed ones, and the output token a finished prefill gives.
    pub fn num_processed(&self) -> u32 {
        if self.is_prefilled() { self.num_known } else { self.num_computed }
    }

    pub fn num_total(&self) -> u32 {
        self.request.num_prefill_tokens + self.request.num_decode_tokens
    }

    pub fn num_output(&self) -> u32 {
        // A restart that forgot a part of the prompt (Vidur's way) first decodes that part.
        self.num_known.saturating_sub(self.request.num_prefill_tokens)
    }

    /// Its last token is known, or on its way.
    pub fn needs_no_more(&self) -> bool {
        self.num_known + self.num_placeholders >= self.num_total()
    }

    pub fn is_complete(&self) -> bool {
        self.num_known == self.num_total()
    }

    /// A share is on its way.
    pub fn send(&mut self, num_tokens: u32, emits_token: bool, now: T) {
        self.scheduled.get_or_insert(now);
        self.num_computed += num_tokens;
        self.num_placeholders += u32::from(emits_token);
        self.num_out += 1;
    }

    /// A share is computed at `now`; the index of the new output token it gave, if any.
    pub fn receive(&mut self, emits_token: bool, now: T) -> Option<u32> {
        self.num_out -= 1;
        if !emits_token {
            return None;
        }
        self.num_placeholders -= 1;
        self.num_known += 1;
        if self.is_waiting {
            // It was preempted meanwhile: the token counts, and is computed again with the others.
            self.num_prefill = self.num_known;
        }
        self.first_token.get_or_insert(now);
        if self.num_output() <= self.num_told {
            return None;
        }
        self.num_told = self.num_output();
        Some(self.num_told - 1)
    }

    /// Starts over: everything known is computed again. `forget` keeps only what was computed as the
    /// prompt, as Vidur does, so that the rest of an unfinished prompt is decoded token by token.
    pub fn restart(&mut self, forget: bool) {
        if forget {
            self.num_known = self.num_processed();
        }
        self.num_prefill = self.num_known;
        self.num_computed = 0;
        self.num_blocks = 0;
        self.num_preemptions += 1;
        self.is_waiting = true;
    }

    pub fn served(&self, completion: T) -> Served<T> {
        Served {
            request: self.request,
            scheduled: self.scheduled,
            first_token: self.first_token,
            completion,
            num_output_tokens: self.num_output(),
            num_preemptions: self.num_preemptions,
            num_prefill_tokens_last: self.num_prefill,
        }
    }
}

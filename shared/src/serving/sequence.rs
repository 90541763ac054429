//! A request and its state inside one replica.

use crate::schema::{RequestRow, RequestStatus, WorkloadRow};
use crate::serving::RequestId;
use crate::time::Nanos;

/// What a user asks, as the serving core sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the workload.
    pub id: RequestId,
    /// When the workload planned it to arrive.
    pub arrival: Nanos,
    /// Prompt length in tokens.
    pub num_prefill_tokens: u32,
    /// Output length asked for, in tokens.
    pub num_decode_tokens: u32,
}

impl Request {
    /// The `id`-th row of a workload.
    pub fn from_row(id: RequestId, row: &WorkloadRow) -> Self {
        Request {
            id,
            arrival: row.arrival,
            num_prefill_tokens: row.num_prefill_tokens,
            num_decode_tokens: row.num_decode_tokens,
        }
    }

    /// The row of a request that never ran.
    pub fn unserved_row(&self, status: RequestStatus, message: Option<String>) -> RequestRow {
        RequestRow {
            request_id: self.id,
            arrival: self.arrival,
            num_prefill_tokens: self.num_prefill_tokens,
            num_decode_tokens: self.num_decode_tokens,
            status,
            error_msg: message,
            ..RequestRow::default()
        }
    }
}

/// A request being served. Tokens are *known* (prompt and output so far) and *computed* (in the KV
/// cache); a step closes the gap, and at its end the next token becomes known.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub request: Request,
    pub num_computed: u32,
    pub num_output: u32,
    pub num_blocks: u32,
    pub num_preemptions: u32,
    pub scheduled: Option<Nanos>,
    pub first_token: Option<Nanos>,
    /// In a batch that is out: it can be neither scheduled again nor preempted.
    pub is_out: bool,
}

impl Sequence {
    pub fn new(request: Request) -> Self {
        Sequence {
            request,
            num_computed: 0,
            num_output: 0,
            num_blocks: 0,
            num_preemptions: 0,
            scheduled: None,
            first_token: None,
            is_out: false,
        }
    }

    pub fn num_known(&self) -> u32 {
        self.request.num_prefill_tokens + self.num_output
    }

    /// Known tokens not yet computed: 1 for a sequence that decodes.
    pub fn num_pending(&self) -> u32 {
        self.num_known() - self.num_computed
    }

    pub fn is_decoding(&self) -> bool {
        self.num_output > 0 && self.num_pending() == 1
    }

    pub fn row(&self, completion: Nanos) -> RequestRow {
        RequestRow {
            scheduled: self.scheduled,
            first_token: self.first_token,
            completion: Some(completion),
            num_decode_tokens_actual: self.num_output,
            num_preemptions: Some(self.num_preemptions),
            ..self.request.unserved_row(RequestStatus::Ok, None)
        }
    }
}

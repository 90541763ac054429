//! Vidur's per-request metrics, with its names and its definitions (after restarts, its own lengths).

use crate::serving::Request;
use crate::simulate::vidur::VidurRequest;

/// Columns of Vidur's `request_metrics.csv` after `Request Id`.
pub const VIDUR_COLUMNS: [&str; 20] = [
    "request_e2e_time",
    "request_e2e_time_normalized",
    "request_execution_time",
    "request_execution_time_normalized",
    "request_model_execution_time",
    "request_model_execution_time_normalized",
    "request_preemption_time",
    "request_scheduling_delay",
    "request_execution_plus_preemption_time",
    "request_execution_plus_preemption_time_normalized",
    "prefill_e2e_time",
    "prefill_time_execution_plus_preemption",
    "prefill_time_execution_plus_preemption_normalized",
    "decode_time_execution_plus_preemption_normalized",
    "request_inter_arrival_delay",
    "request_num_tokens",
    "request_num_prefill_tokens",
    "request_num_decode_tokens",
    "request_pd_ratio",
    "request_num_restarts",
];

/// The values of [`VIDUR_COLUMNS`] of one request; `None` where Vidur writes nothing. Seconds.
pub fn vidur_metrics(
    request: &Request<f64>,
    previous_arrival: Option<f64>,
    result: &VidurRequest,
) -> [Option<f64>; VIDUR_COLUMNS.len()] {
    let mut row = [None; VIDUR_COLUMNS.len()];
    if let (Some(scheduled), Some(first), Some(completed)) =
        (result.scheduled, result.prefill_completed, result.completed)
    {
        let num_prefill = f64::from(result.num_prefill_tokens);
        let num_decode = f64::from(result.num_decode_tokens);
        let e2e = completed - request.arrival;
        let busy = result.execution + result.preempted;
        let served = [
            e2e,
            e2e / num_decode,
            result.execution,
            result.execution / num_decode,
            result.model_execution,
            result.model_execution / num_decode,
            result.preempted,
            scheduled - request.arrival,
            busy,
            busy / num_decode,
            first - request.arrival,
            first - scheduled,
            (first - scheduled) / num_prefill,
            (completed - first) / num_decode,
        ];
        row.iter_mut().zip(served).for_each(|(cell, value)| *cell = Some(value));
        row[19] = Some(f64::from(result.num_restarts));
    }
    let (num_prefill, num_decode) = (f64::from(request.num_prefill_tokens), f64::from(request.num_decode_tokens));
    row[14] = previous_arrival.map(|previous| request.arrival - previous);
    row[15] = Some(num_prefill + num_decode);
    row[16] = Some(num_prefill);
    row[17] = Some(num_decode);
    row[18] = Some(num_prefill / num_decode);
    row
}

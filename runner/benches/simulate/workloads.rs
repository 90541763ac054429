//! Workloads of the speed cases.

use std::fs::File;
use std::path::Path;

use fidelio_shared::schema::{Prefixes, Workload, WorkloadRow};
use fidelio_shared::serving::Request;
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::{
    ArrivalProcess, ChatTemplate, FirstArrival, Inputs, LengthDistribution, Order, RequestSource, SourceRequest,
    TraceReader, WorkloadSpec, generate, in_memory,
};

fn spec(requests: RequestSource, arrivals: ArrivalProcess, num_requests: u32) -> WorkloadSpec {
    let first_arrival = match arrivals {
        ArrivalProcess::Static {} => FirstArrival::AtZero,
        _ => FirstArrival::AfterGap,
    };
    WorkloadSpec {
        requests,
        arrivals,
        decode: None,
        num_requests: Some(num_requests),
        duration_s: None,
        first_arrival,
        order: Order::Shuffled,
        chat_template: ChatTemplate::None,
        seed: 42,
    }
}

fn drawn(spec: &WorkloadSpec, inputs: &Inputs) -> Workload {
    let mut workload = generate(spec, inputs).expect("a possible specification");
    // Names of prompts are no part of a simulation's memory.
    workload.rows.iter_mut().for_each(|row| row.prompt_id = String::new());
    workload
}

/// The rows of requests that were recorded in seconds.
pub fn recorded(requests: &[Request<f64>]) -> Workload {
    let row = |request: &Request<f64>| WorkloadRow {
        num_prefill_tokens: request.num_prefill_tokens,
        num_decode_tokens: request.num_decode_tokens,
        arrival: Nanos::from_secs_f64(request.arrival).expect("a time"),
        ..WorkloadRow::default()
    };
    Workload { rows: requests.iter().map(row).collect(), prefixes: None }
}

/// Lengths of `requests` in random order, all once before any again; arrivals as Vidur draws them: Poisson,
/// no gap longer than thrice the mean.
pub fn resampled(requests: &[Request<f64>], num_requests: u32, rate_rps: f64) -> Workload {
    let row = |request: &Request<f64>| SourceRequest {
        num_prefill_tokens: request.num_prefill_tokens,
        num_decode_tokens: Some(request.num_decode_tokens),
        ..SourceRequest::default()
    };
    let source = in_memory(requests.iter().map(row).collect());
    let spec = spec(
        RequestSource::Lengths { file: String::new() },
        ArrivalProcess::Poisson { rate_rps, max_gap_factor: Some(3.0) },
        num_requests,
    );
    drawn(&spec, &Inputs { source: Some(source), ..Inputs::default() })
}

/// Requests of one length, all there from the start.
pub fn fixed(num_requests: usize, num_prefill_tokens: u32, num_decode_tokens: u32) -> Workload {
    let row = WorkloadRow { num_prefill_tokens, num_decode_tokens, ..WorkloadRow::default() };
    Workload { rows: vec![row; num_requests], prefixes: None }
}

/// Log-normal lengths, all there from the start.
pub fn lognormal(num_requests: u32) -> Workload {
    let law = |median: f64, sigma: f64, max: u32| LengthDistribution::Lognormal {
        mean: None,
        median: Some(median),
        sigma,
        min: 1,
        max,
    };
    let requests = RequestSource::Synthetic { prefill: law(512.0, 0.8, 6_144), decode: law(128.0, 0.6, 2_048) };
    drawn(&spec(requests, ArrivalProcess::Static {}, num_requests), &Inputs::default())
}

/// Prompts whose first half is one of `num_groups` beginnings and whose second half is their own.
pub fn with_shared_beginnings(mut workload: Workload, num_groups: u64) -> Workload {
    const PIECE: u32 = 256;
    let mut prefixes = Prefixes::new(PIECE);
    for (id, row) in workload.rows.iter().enumerate() {
        let (id, num_pieces) = (id as u64, u64::from(row.num_prefill_tokens / PIECE));
        let group = ((id * 2_654_435_761) >> 7) % num_groups;
        let piece = |number: u64| match number < num_pieces / 2 {
            true => (group << 8) + number,
            false => (1 << 63) + (id << 8) + number,
        };
        prefixes.push((0..num_pieces).map(piece));
    }
    workload.prefixes = Some(prefixes);
    workload
}

/// Lengths and gaps of a trace.
pub fn trace(path: &Path) -> Option<Vec<SourceRequest>> {
    let name = path.display().to_string();
    let Ok(file) = File::open(path) else {
        eprintln!("SKIPPED: no trace at {name}");
        return None;
    };
    let rows: Result<Vec<SourceRequest>, _> = TraceReader::requests(&name, file).expect("a trace").collect();
    Some(rows.expect("a whole trace"))
}

/// The rows of a trace over and over, `speed_up` times as fast, made one at a time.
pub fn cycled(rows: &[SourceRequest], num_requests: u32, speed_up: u64) -> impl Iterator<Item = Request> {
    let time = |index: usize| rows[index].arrival.expect("a trace with times");
    let mut arrival = Nanos::ZERO;
    (0..num_requests).zip((0..rows.len()).cycle()).map(move |(id, index)| {
        arrival += Nanos((time(index) - time(index.saturating_sub(1))).0 / speed_up);
        let num_decode_tokens = rows[index].num_decode_tokens.expect("a trace with output lengths");
        Request { id, arrival, num_prefill_tokens: rows[index].num_prefill_tokens, num_decode_tokens }
    })
}

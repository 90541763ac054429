//! Random rows that are valid.

use super::*;

pub fn running_sum(gaps: Vec<u64>) -> Vec<Nanos> {
    let mut sum = 0;
    let times = gaps.into_iter().map(|gap| {
        sum += gap;
        Nanos(sum)
    });
    times.collect()
}

/// What CSV has to quote, and more; without white space at its ends, which cells do not keep.
pub fn text() -> impl Strategy<Value = String> {
    "[ -~é你\n\r\"',]{0,20}".prop_map(|text| text.trim_ascii().to_owned())
}

/// Rows by id, and the same rows in any order.
pub fn requests() -> impl Strategy<Value = (Vec<RequestRow>, Vec<RequestRow>)> {
    let status = select(vec![RequestStatus::Ok, RequestStatus::Error, RequestStatus::Rejected]);
    let gaps = (0..1u64 << 62, option::of(0..1u64 << 54), option::of(0..1u64 << 54), option::of(0..1u64 << 54));
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), option::of(any::<u32>()));
    let row =
        (gaps, counts, status, text()).prop_map(|((arrival, scheduled, first, completion), counts, status, text)| {
            let mut now = arrival;
            let mut at = |gap: Option<u64>| {
                now += gap.unwrap_or_default();
                gap.map(|_| Nanos(now))
            };
            let (scheduled, first_token, completion) = (at(scheduled), at(first), at(completion));
            let may_have_tokens = first_token.is_some() || status != RequestStatus::Ok;
            RequestRow {
                request_id: 0,
                arrival: Nanos(arrival),
                sent: first_token.map(|_| Nanos(arrival.saturating_sub(7))),
                scheduled,
                first_token,
                completion,
                num_prefill_tokens: counts.0,
                num_decode_tokens: counts.1.max(counts.2),
                num_decode_tokens_actual: if may_have_tokens { counts.1.min(counts.2) } else { 0 },
                status,
                num_preemptions: counts.3,
                error_msg: (!text.is_empty()).then_some(text),
            }
        });
    vec(row, 1..20)
        .prop_map(|mut rows| {
            (0u32..).zip(&mut rows).for_each(|(id, row)| row.request_id = id);
            rows
        })
        .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
}

pub fn step() -> impl Strategy<Value = StepRow> {
    let times = (0..1u64 << 62, 0..1u64 << 62, 0..=i64::MAX as u64, 0..=i64::MAX as u64);
    let counts = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (any::<u64>(), any::<u32>(), times, counts).prop_map(|(step_index, replica_id, times, counts)| StepRow {
        step_index,
        replica_id,
        start: Nanos(times.0),
        end: Nanos(times.0 + times.1),
        host: Nanos(times.2),
        device: Nanos(times.3),
        num_prefill_tokens: counts.0,
        num_decode_seqs: counts.1,
        context_tokens: counts.2,
        kv_blocks_used: counts.3,
        num_running: counts.4,
        num_waiting: counts.5,
        phases: None,
    })
}

/// Steps of an engine that tells the host's phases, of every step or of some after the first.
pub fn phased_steps() -> impl Strategy<Value = Vec<StepRow>> {
    let time = || (0..=i64::MAX as u64).prop_map(Nanos);
    let phases = (time(), time(), time(), time(), time())
        .prop_map(|(schedule, prepare, launch, wait, sample)| StepPhases { schedule, prepare, launch, wait, sample });
    vec((step(), phases, any::<bool>()), 1..20).prop_map(|steps| {
        let told = |(index, (row, phases, is_told)): (usize, (StepRow, StepPhases, bool))| StepRow {
            phases: (is_told || index == 0).then_some(phases),
            ..row
        };
        steps.into_iter().enumerate().map(told).collect()
    })
}

pub fn profile_row() -> impl Strategy<Value = StepProfileRow> {
    let most = i64::MAX as u64;
    let counts = (1..=most, 0..=most, 0..=most, 0..=most, 0..=most, 0..=most);
    // Three parts of a time: together at most an hour, the longest step that is taken.
    let third = 1_200_000_000_000u64;
    let times = (0..=third, 1..=third, 0..=third, 0..=third);
    (counts, any::<u32>(), times, any::<bool>()).prop_map(|(counts, num_repeats, times, is_held_out)| StepProfileRow {
        shape: BatchShape {
            num_prefill_tokens: counts.0,
            num_prefill_seqs: counts.1,
            prefill_pairs: counts.2,
            num_decode_seqs: counts.3,
            context_tokens: counts.4,
            num_sampled: counts.5,
            ..BatchShape::default()
        },
        num_repeats,
        host: Nanos(times.0),
        device: Nanos(times.1 + times.2),
        device_min: Nanos(times.1),
        device_max: Nanos(times.1 + times.2 + times.3),
        is_held_out,
    })
}

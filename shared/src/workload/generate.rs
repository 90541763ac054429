//! From a specification and what its files held to the workload itself. Same inputs, same bytes.

use std::collections::BTreeMap;

use crate::schema::{Workload, WorkloadRow};
use crate::time::Nanos;
use crate::workload::arrivals;
use crate::workload::lengths::LengthSampler;
use crate::workload::spec::{DecodeLengths, Order, RequestSource, SpecError, WorkloadSpec};
use crate::workload::stream::Stream;

/// One row of the source: a prompt that was tokenised, or a row of a lengths table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRequest {
    /// Its prompt.
    pub prompt_id: String,
    /// Prompt length in tokens, chat template included.
    pub num_prefill_tokens: u32,
    /// Output length the source gives, when it does.
    pub num_decode_tokens: Option<u32>,
}

/// What the files named by a specification held.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Rows of the prompts or lengths file; empty for synthetic requests.
    pub source: Vec<SourceRequest>,
    /// Output length by prompt id, when `decode` names a table.
    pub decode_by_prompt: BTreeMap<String, u32>,
    /// Arrival times, when `arrivals` names a table.
    pub times: Option<Vec<Nanos>>,
}

/// A workload, and which row of the source each request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// The workload.
    pub workload: Workload,
    /// Index into [`Inputs::source`] of each request; empty for synthetic requests.
    pub picks: Vec<usize>,
}

/// Draws the workload.
///
/// # Errors
/// An impossible field of the specification, or one that what the files held cannot satisfy.
pub fn generate(spec: &WorkloadSpec, inputs: &Inputs) -> Result<Generated, SpecError> {
    spec.check()?;
    let (asked, picks) = match &spec.requests {
        RequestSource::Synthetic { .. } => (synthetic(spec), Vec::new()),
        RequestSource::Prompts { .. } | RequestSource::Lengths { .. } => from_source(spec, inputs)?,
    };
    let gaps = arrivals::gaps(&spec.arrivals, asked.len(), spec.seed, inputs.times.as_deref())?;
    let mut arrival = Nanos::ZERO;
    let mut rows = Vec::with_capacity(asked.len());
    for ((prompt_id, num_prefill_tokens, num_decode_tokens), inter_arrival) in asked.into_iter().zip(gaps) {
        let sum = arrival.0.checked_add(inter_arrival.0);
        arrival =
            Nanos(sum.ok_or_else(|| SpecError::new("arrivals", "the last request would arrive after 584 years"))?);
        rows.push(WorkloadRow { prompt_id, num_prefill_tokens, num_decode_tokens, inter_arrival, arrival });
    }
    Ok(Generated { workload: Workload { rows }, picks })
}

/// Token ids for a request of which only the length is known: uniform over `0..vocab_size`, the
/// same for the same seed and request whatever the rest of the workload is.
pub fn synthetic_prompt(seed: u64, request_id: u32, num_tokens: u32, vocab_size: u32) -> Vec<u32> {
    let mut stream = Stream::new(seed, &format!("prompt_tokens/{request_id}"));
    (0..num_tokens).map(|_| stream.below(u64::from(vocab_size)) as u32).collect()
}

/// Prompt id, prompt length, output length.
type Asked = (String, u32, u32);

fn synthetic(spec: &WorkloadSpec) -> Vec<Asked> {
    let RequestSource::Synthetic { prefill, decode } = &spec.requests else { return Vec::new() };
    let (prefill, decode) = (LengthSampler::new(prefill), LengthSampler::new(decode));
    let mut prefill_stream = Stream::new(spec.seed, "prefill_lengths");
    let mut decode_stream = Stream::new(spec.seed, "decode_lengths");
    (0..spec.num_requests.unwrap_or_default())
        .map(|id| (format!("synthetic_{id}"), prefill.draw(&mut prefill_stream), decode.draw(&mut decode_stream)))
        .collect()
}

fn from_source(spec: &WorkloadSpec, inputs: &Inputs) -> Result<(Vec<Asked>, Vec<usize>), SpecError> {
    if inputs.source.is_empty() {
        return Err(SpecError::new("requests", "the source holds no request"));
    }
    let num = spec.num_requests.map_or(inputs.source.len(), |num| num as usize);
    let picks = picks(spec, inputs.source.len(), num);
    let sampler = match &spec.decode {
        Some(DecodeLengths::Sampled { lengths }) => Some(LengthSampler::new(lengths)),
        _ => None,
    };
    let mut stream = Stream::new(spec.seed, "decode_lengths");
    let asked = picks.iter().map(|index| {
        let row = &inputs.source[*index];
        let decode = match &sampler {
            Some(sampler) => sampler.draw(&mut stream),
            None => given_decode(spec.decode.as_ref(), inputs, row)?,
        };
        Ok((row.prompt_id.clone(), row.num_prefill_tokens, decode))
    });
    Ok((asked.collect::<Result<_, SpecError>>()?, picks))
}

/// Which row each request takes: the whole source, over and over, in file order or a new random
/// order each time.
fn picks(spec: &WorkloadSpec, num_rows: usize, num: usize) -> Vec<usize> {
    let mut stream = Stream::new(spec.seed, "prompt_order");
    let mut picks = Vec::with_capacity(num);
    while picks.len() < num {
        let mut round: Vec<usize> = (0..num_rows).collect();
        if spec.order == Order::Shuffled {
            stream.shuffle(&mut round);
        }
        round.truncate(num - picks.len());
        picks.append(&mut round);
    }
    picks
}

fn given_decode(lengths: Option<&DecodeLengths>, inputs: &Inputs, row: &SourceRequest) -> Result<u32, SpecError> {
    let missing = |field: &str, place: &str| {
        SpecError::new(field, format!("{place} gives prompt `{}` no `num_decode_tokens`", row.prompt_id))
    };
    match lengths {
        Some(DecodeLengths::Constant { num_tokens }) => Ok(*num_tokens),
        Some(DecodeLengths::PerPrompt { file: Some(file) }) => {
            let found = inputs.decode_by_prompt.get(&row.prompt_id).copied();
            found.ok_or_else(|| missing("decode.file", &format!("`{file}`")))
        }
        _ => row.num_decode_tokens.ok_or_else(|| missing("decode", "its row")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::spec::{ArrivalProcess, ChatTemplate, LengthDistribution};

    fn spec(requests: RequestSource, decode: Option<DecodeLengths>, num_requests: Option<u32>) -> WorkloadSpec {
        let arrivals = ArrivalProcess::Poisson { rate_rps: 3.0 };
        WorkloadSpec {
            requests,
            arrivals,
            decode,
            num_requests,
            order: Order::File,
            chat_template: ChatTemplate::None,
            seed: 5,
        }
    }

    fn synthetic_spec(num_requests: u32) -> WorkloadSpec {
        let prefill = LengthDistribution::Lognormal { mean: Some(300.0), median: None, sigma: 1.0, min: 4, max: 4096 };
        let decode = LengthDistribution::Uniform { min: 1, max: 500 };
        spec(RequestSource::Synthetic { prefill, decode }, None, Some(num_requests))
    }

    fn prompts(num_requests: Option<u32>) -> (WorkloadSpec, Inputs) {
        let source = |index: u32| SourceRequest {
            prompt_id: format!("p{index}"),
            num_prefill_tokens: 10 + index,
            num_decode_tokens: Some(20 + index),
        };
        let requests = RequestSource::Prompts { file: "p.jsonl".to_owned() };
        let inputs = Inputs { source: (0..5).map(source).collect(), ..Inputs::default() };
        (spec(requests, Some(DecodeLengths::PerPrompt { file: None }), num_requests), inputs)
    }

    fn draw(spec: &WorkloadSpec) -> Workload {
        generate(spec, &Inputs::default()).expect("a good specification").workload
    }

    #[test]
    fn one_seed_gives_one_workload_and_another_seed_another() {
        let first = draw(&synthetic_spec(50));
        assert_eq!(first, draw(&synthetic_spec(50)));
        assert_eq!(
            first.sha256(),
            "ff89ce9c845ac3bb4f41edbd488d0a9a43174742cc95f471ff287707ca64502e",
            "the same workload on every platform and in every version"
        );
        assert_ne!(first, draw(&WorkloadSpec { seed: 6, ..synthetic_spec(50) }));
    }

    #[test]
    fn another_arrival_process_leaves_the_lengths_as_they_were() {
        let poisson = draw(&synthetic_spec(50));
        let gamma = ArrivalProcess::Gamma { rate_rps: 9.0, cv: 3.0 };
        let gamma = draw(&WorkloadSpec { arrivals: gamma, ..synthetic_spec(50) });
        let lengths = |workload: &Workload| -> Vec<(u32, u32)> {
            workload.rows.iter().map(|row| (row.num_prefill_tokens, row.num_decode_tokens)).collect()
        };
        assert_eq!(lengths(&poisson), lengths(&gamma));
        assert_ne!(poisson, gamma);
    }

    #[test]
    fn prompt_lengths_output_lengths_and_gaps_are_independent() {
        let rows = draw(&synthetic_spec(4_000)).rows;
        let series = [
            rows.iter().map(|row| f64::from(row.num_prefill_tokens).ln()).collect::<Vec<f64>>(),
            rows.iter().map(|row| f64::from(row.num_decode_tokens)).collect(),
            rows.iter().map(|row| row.inter_arrival.as_secs_f64()).collect(),
        ];
        let centred = series.map(|values| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.into_iter().map(|value| value - mean).collect::<Vec<f64>>()
        });
        let dot = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(x, y)| x * y).sum::<f64>();
        for (left, right) in [(0, 1), (0, 2), (1, 2)] {
            let (x, y) = (&centred[left], &centred[right]);
            let (first, last) = (1..x.len(), ..x.len() - 1);
            // One request apart as well: the first gap is not drawn, so a stream used twice shows there.
            for (x_part, y_part) in [(&x[..], &y[..]), (&x[first.clone()], &y[last]), (&x[last], &y[first])] {
                let correlation = dot(x_part, y_part) / (dot(x, x) * dot(y, y)).sqrt();
                assert!(correlation.abs() < 4.0 / 4_000f64.sqrt(), "series {left} and {right}: {correlation}");
            }
        }
    }

    #[test]
    fn a_longer_workload_begins_like_a_shorter_one() {
        assert_eq!(draw(&synthetic_spec(200)).rows[..50], draw(&synthetic_spec(50)).rows);
    }

    #[test]
    fn arrivals_are_the_running_sum_of_the_gaps() {
        let mut sum = 0;
        for row in draw(&synthetic_spec(200)).rows {
            sum += row.inter_arrival.0;
            assert_eq!(row.arrival.0, sum);
        }
    }

    #[test]
    fn more_requests_than_prompts_start_over_and_fewer_take_the_first() {
        let (spec, inputs) = prompts(Some(12));
        let generated = generate(&spec, &inputs).expect("good");
        assert_eq!(generated.picks, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(generated.workload.rows[6].prompt_id, "p1");
        assert_eq!(generated.workload.rows[6].num_decode_tokens, 21);
        let (spec, inputs) = prompts(Some(2));
        assert_eq!(generate(&spec, &inputs).expect("good").picks, [0, 1]);
    }

    #[test]
    fn a_shuffled_source_gives_every_row_once_before_any_again() {
        let (spec, inputs) = prompts(Some(10));
        let picks = generate(&WorkloadSpec { order: Order::Shuffled, ..spec }, &inputs).expect("good").picks;
        for round in picks.chunks(5) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4], "{picks:?}");
        }
        assert_ne!(picks[..5], [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_missing_output_length_names_the_prompt() {
        let (mut spec, inputs) = prompts(None);
        spec.decode = Some(DecodeLengths::PerPrompt { file: Some("d.csv".to_owned()) });
        let error = generate(&spec, &inputs).expect_err("the table is empty");
        assert_eq!(error.to_string(), "`decode.file`: `d.csv` gives prompt `p0` no `num_decode_tokens`");
    }

    #[test]
    fn random_prompts_depend_on_seed_and_request_alone() {
        let prompt = synthetic_prompt(1, 7, 100, 151_643);
        assert_eq!(prompt.len(), 100);
        assert!(prompt.iter().all(|token| *token < 151_643));
        assert_eq!(synthetic_prompt(1, 7, 40, 151_643), prompt[..40]);
        assert_ne!(synthetic_prompt(1, 8, 100, 151_643), prompt);
        assert_ne!(synthetic_prompt(2, 7, 100, 151_643), prompt);
    }
}

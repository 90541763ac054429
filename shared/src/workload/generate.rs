//! From a specification and what its files hold to the requests, one at a time. Same inputs, same bytes.

use std::collections::BTreeMap;

use crate::schema::{Prefixes, Workload, WorkloadRow};
use crate::time::Nanos;
use crate::workload::arrivals::Gaps;
use crate::workload::asked::Lengths;
use crate::workload::check::{GenerateError, SpecError};
use crate::workload::source::{Open, SourceRequest};
use crate::workload::spec::{ArrivalProcess, WorkloadSpec};

/// What the files named by a specification hold.
#[derive(Default)]
pub struct Inputs {
    /// Rows of the prompts, lengths or trace file; none for requests that are drawn.
    pub source: Option<Open<SourceRequest>>,
    /// Tokens of a block, when rows of the source have block hashes.
    pub block_tokens: Option<u32>,
    /// Output length by prompt id, when `decode` names a table.
    pub decode_by_prompt: BTreeMap<String, u32>,
    /// Arrival times, when `arrivals` names a table.
    pub times: Option<Open<Nanos>>,
}

/// One request, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneratedRow {
    /// What is asked, and when.
    pub row: WorkloadRow,
    /// Which row of the source it is; `None` when it was drawn.
    pub source_row: Option<u32>,
    /// Hashes of its prompt's blocks.
    pub hash_ids: Vec<u64>,
}

/// The requests of a workload in order. Holds none of them; ends after the first error.
pub struct Requests<'a> {
    spec: &'a WorkloadSpec,
    lengths: Lengths<'a>,
    gaps: Gaps<'a>,
    num_made: u32,
    has_ended: bool,
}

/// Draws the workload into memory.
///
/// # Errors
/// As [`Requests`].
pub fn generate(spec: &WorkloadSpec, inputs: &Inputs) -> Result<Workload, GenerateError> {
    let mut workload = Workload { rows: Vec::new(), prefixes: inputs.block_tokens.map(Prefixes::new) };
    for request in Requests::new(spec, inputs)? {
        let request = request?;
        workload.rows.push(request.row);
        if let Some(prefixes) = &mut workload.prefixes {
            prefixes.push(request.hash_ids);
        }
    }
    Ok(workload)
}

impl<'a> Requests<'a> {
    /// Prepares to draw.
    ///
    /// # Errors
    /// An impossible field of the specification, or a file that cannot be opened. What the files hold
    /// is only known row by row: a request may be such an error too.
    pub fn new(spec: &'a WorkloadSpec, inputs: &'a Inputs) -> Result<Self, GenerateError> {
        spec.check()?;
        let lengths = Lengths::new(spec, inputs)?;
        let gaps = Gaps::new(&spec.arrivals, spec.first_arrival, spec.seed, inputs.times.as_ref())?;
        Ok(Requests { spec, lengths, gaps, num_made: 0, has_ended: false })
    }

    fn step(&mut self) -> Result<Option<GeneratedRow>, GenerateError> {
        let spec = self.spec;
        if spec.num_requests == Some(self.num_made) {
            return Ok(None);
        }
        let Some(asked) = self.lengths.next(spec, self.num_made)? else { return Ok(None) };
        let Some((inter_arrival, arrival)) = self.gaps.next(asked.arrival)? else {
            return self.after_the_last_time();
        };
        if spec.duration_s.is_some_and(|seconds| arrival.as_secs_f64() >= seconds) {
            return Ok(None);
        }
        let row = WorkloadRow {
            prompt_id: asked.prompt_id,
            num_prefill_tokens: asked.num_prefill_tokens,
            num_decode_tokens: asked.num_decode_tokens,
            inter_arrival,
            arrival,
        };
        self.num_made = self.num_made.checked_add(1).ok_or_else(|| {
            SpecError::new("duration_s", "makes more than 4294967295 requests")
                .with_hint("a lower rate, or fewer seconds")
        })?;
        Ok(Some(GeneratedRow { row, source_row: asked.source_row, hash_ids: asked.hash_ids }))
    }

    /// Requests without an end of their own end with the times; others must not be left out in silence.
    fn after_the_last_time(&self) -> Result<Option<GeneratedRow>, GenerateError> {
        let (given, made) = (self.gaps.num_given(), self.num_made);
        if self.spec.requests.is_drawn() && self.spec.num_requests.is_none() && made > 0 {
            return Ok(None);
        }
        let file = match &self.spec.arrivals {
            ArrivalProcess::Times { file, .. } => file.as_str(),
            _ => unreachable!("only given times run out"),
        };
        let error = SpecError::new(
            "arrivals.file",
            format!("`{file}` gives {given} arrival times, and there are more requests"),
        );
        Err(if made > 0 { error.with_hint(format!("set `workload.num_requests` to at most {made}")) } else { error }
            .into())
    }
}

impl Iterator for Requests<'_> {
    type Item = Result<GeneratedRow, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let step = self.step().transpose();
        self.has_ended = !matches!(step, Some(Ok(_)));
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::source::in_memory;
    use crate::workload::spec::{ChatTemplate, DecodeLengths, FirstArrival, LengthDistribution, Order, RequestSource};

    fn spec(requests: RequestSource, decode: Option<DecodeLengths>, num_requests: Option<u32>) -> WorkloadSpec {
        let arrivals = ArrivalProcess::Poisson { rate_rps: 3.0, max_gap_factor: None };
        WorkloadSpec {
            requests,
            arrivals,
            decode,
            num_requests,
            duration_s: None,
            first_arrival: FirstArrival::AtZero,
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
            ..SourceRequest::default()
        };
        let requests = RequestSource::Prompts { file: "p.jsonl".to_owned() };
        let inputs = Inputs { source: Some(in_memory((0..5).map(source).collect())), ..Inputs::default() };
        (spec(requests, Some(DecodeLengths::PerPrompt { file: None }), num_requests), inputs)
    }

    fn draw(spec: &WorkloadSpec) -> Workload {
        generate(spec, &Inputs::default()).expect("a good specification")
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

    fn picks(spec: &WorkloadSpec, inputs: &Inputs) -> Vec<u32> {
        let requests = Requests::new(spec, inputs).expect("good");
        requests.map(|request| request.expect("good").source_row.expect("from the source")).collect()
    }

    #[test]
    fn more_requests_than_prompts_start_over_and_fewer_take_the_first() {
        let (spec, inputs) = prompts(Some(12));
        assert_eq!(picks(&spec, &inputs), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
        let row = &generate(&spec, &inputs).expect("good").rows[6];
        assert_eq!((row.prompt_id.as_str(), row.num_decode_tokens), ("p1", 21));
        assert_eq!(picks(&prompts(Some(2)).0, &inputs), [0, 1]);
        assert_eq!(picks(&prompts(None).0, &inputs), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_shuffled_source_gives_every_row_once_before_any_again() {
        let (spec, inputs) = prompts(Some(10));
        let picks = picks(&WorkloadSpec { order: Order::Shuffled, ..spec }, &inputs);
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
}

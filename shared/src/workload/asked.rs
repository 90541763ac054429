//! How much each request asks for, one at a time: drawn, or taken from a source and made to fit.

use crate::random::Stream;
use crate::time::Nanos;
use crate::workload::check::{GenerateError, SpecError};
use crate::workload::generate::Inputs;
use crate::workload::lengths::LengthSampler;
use crate::workload::source::{Picks, SourceRequest};
use crate::workload::spec::{ArrivalProcess, DecodeLengths, RequestSource, WorkloadSpec};
use crate::workload::totals::{Fit, TotalSampler};

/// What one request asks, before it is known when.
pub(super) struct Asked {
    pub prompt_id: String,
    pub num_prefill_tokens: u32,
    pub num_decode_tokens: u32,
    pub arrival: Option<Nanos>,
    pub source_row: Option<u32>,
    pub hash_ids: Vec<u64>,
}

/// Where lengths come from.
pub(super) enum Lengths<'a> {
    Apart(Box<[(LengthSampler<'a>, Stream); 2]>),
    Together(Box<(TotalSampler<'a>, Stream)>),
    Source(Box<SourceLengths<'a>>),
}

impl<'a> Lengths<'a> {
    pub(super) fn new(spec: &'a WorkloadSpec, inputs: &'a Inputs) -> Result<Self, GenerateError> {
        let together = |total| Lengths::Together(Box::new((total, Stream::new(spec.seed, "total_lengths"))));
        Ok(match spec.requests {
            RequestSource::Synthetic { ref prefill, ref decode } => Lengths::Apart(Box::new([
                (LengthSampler::new(prefill), Stream::new(spec.seed, "prefill_lengths")),
                (LengthSampler::new(decode), Stream::new(spec.seed, "decode_lengths")),
            ])),
            RequestSource::SyntheticTotal { ref total, prefill_to_decode_ratio } => {
                together(TotalSampler::new(total, prefill_to_decode_ratio))
            }
            RequestSource::VidurUniform { min_tokens, max_tokens, prefill_to_decode_ratio } => {
                together(TotalSampler::vidur_uniform(min_tokens, max_tokens, prefill_to_decode_ratio))
            }
            RequestSource::VidurZipf { theta, min_tokens, max_tokens, prefill_to_decode_ratio } => {
                together(TotalSampler::vidur_zipf(theta, min_tokens, max_tokens, prefill_to_decode_ratio))
            }
            RequestSource::Prompts { .. } | RequestSource::Lengths { .. } | RequestSource::Trace { .. } => {
                Lengths::Source(Box::new(SourceLengths::new(spec, inputs)?))
            }
        })
    }

    /// `None` when the source has been gone through.
    pub(super) fn next(&mut self, spec: &WorkloadSpec, request_id: u32) -> Result<Option<Asked>, GenerateError> {
        let (num_prefill_tokens, num_decode_tokens) = match self {
            Lengths::Apart(pair) => {
                let [prefill, decode] = &mut **pair;
                (prefill.0.draw(&mut prefill.1), decode.0.draw(&mut decode.1))
            }
            Lengths::Together(total) => {
                let (total, stream) = &mut **total;
                total.draw(stream)
            }
            Lengths::Source(source) => return source.next(spec, request_id),
        };
        let prompt_id = String::new();
        let drawn = Asked {
            prompt_id,
            num_prefill_tokens,
            num_decode_tokens,
            arrival: None,
            source_row: None,
            hash_ids: Vec::new(),
        };
        Ok(Some(drawn))
    }
}

/// Lengths of the rows of a file.
pub(super) struct SourceLengths<'a> {
    picks: Picks<'a>,
    /// Rows taken in this round.
    num_taken: u32,
    /// Draws output lengths that replace the source's.
    sampler: Option<LengthSampler<'a>>,
    stream: Stream,
    fit: Option<Fit>,
    inputs: &'a Inputs,
}

impl<'a> SourceLengths<'a> {
    fn new(spec: &'a WorkloadSpec, inputs: &'a Inputs) -> Result<Self, GenerateError> {
        let open = inputs.source.as_ref().ok_or_else(nothing)?;
        let sampler = match &spec.decode {
            Some(DecodeLengths::Sampled { lengths }) => Some(LengthSampler::new(lengths)),
            _ => None,
        };
        Ok(SourceLengths {
            picks: Picks::new(open, spec.order, spec.seed)?,
            num_taken: 0,
            sampler,
            stream: Stream::new(spec.seed, "decode_lengths"),
            fit: Fit::new(&spec.requests),
            inputs,
        })
    }

    fn next(&mut self, spec: &WorkloadSpec, request_id: u32) -> Result<Option<Asked>, GenerateError> {
        let Some((number, row)) = self.pick(spec)? else { return Ok(None) };
        let mut decode = match &self.sampler {
            Some(sampler) => sampler.draw(&mut self.stream),
            None => self.given_decode(spec.decode.as_ref(), number, &row)?,
        };
        let (mut prefill, mut hash_ids) = (row.num_prefill_tokens, row.hash_ids);
        if let Some(fit) = &self.fit {
            if spec.decode.is_none() {
                decode = fit.scale_decode(decode);
            }
            (prefill, decode) = fit.clip(fit.scale_prefill(prefill), decode)?;
            if let Some(block_tokens) = self.inputs.block_tokens.filter(|_| prefill < row.num_prefill_tokens) {
                // A block that was cut is not the one its hash stands for.
                hash_ids.truncate((prefill / block_tokens) as usize);
            }
        }
        // A row without a name is known by its number, which is the request's own in the first round.
        let is_own = number == request_id;
        let prompt_id = if row.prompt_id.is_empty() && !is_own { format!("request_{number}") } else { row.prompt_id };
        Ok(Some(Asked {
            prompt_id,
            num_prefill_tokens: prefill,
            num_decode_tokens: decode,
            arrival: row.arrival,
            source_row: Some(number),
            hash_ids,
        }))
    }

    fn pick(&mut self, spec: &WorkloadSpec) -> Result<Option<(u32, SourceRequest)>, GenerateError> {
        let mut picked = self.picks.next_of_round()?;
        if picked.is_none() && self.num_taken > 0 {
            if spec.num_requests.is_none() {
                return Ok(None);
            }
            if matches!(spec.arrivals, ArrivalProcess::Trace { .. }) {
                let num = self.num_taken;
                return Err(SpecError::new(
                    "num_requests",
                    format!("the trace holds {num} requests, and its own times end with them"),
                )
                .with_hint(format!("at most {num}, or another arrival process"))
                .into());
            }
            self.num_taken = 0;
            self.picks.next_round()?;
            picked = self.picks.next_of_round()?;
        }
        if picked.is_none() {
            return Err(nothing().into());
        }
        self.num_taken += 1;
        Ok(picked)
    }

    fn given_decode(
        &self,
        lengths: Option<&DecodeLengths>,
        number: u32,
        row: &SourceRequest,
    ) -> Result<u32, SpecError> {
        let missing = |field: &str, place: &str| {
            let name = if row.prompt_id.is_empty() { format!("request_{number}") } else { row.prompt_id.clone() };
            SpecError::new(field, format!("{place} gives prompt `{name}` no `num_decode_tokens`"))
        };
        match lengths {
            Some(DecodeLengths::Constant { num_tokens }) => Ok(*num_tokens),
            Some(DecodeLengths::PerPrompt { file: Some(file) }) => {
                let found = self.inputs.decode_by_prompt.get(&row.prompt_id).copied();
                found.ok_or_else(|| missing("decode.file", &format!("`{file}`")))
            }
            _ => row.num_decode_tokens.ok_or_else(|| missing("decode", "its row")),
        }
    }
}

fn nothing() -> SpecError {
    SpecError::new("requests", "the source holds no request")
}

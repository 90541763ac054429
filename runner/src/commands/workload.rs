//! `fidelio workload`: from an experiment to the workload's identity, metadata and tables, however long it is.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fidelio_shared::schema::{
    DataError, IntervalWriter, LengthWriter, PrefixWriter, PromptRow, SCHEMA_VERSION, Workload, WorkloadHash,
    WorkloadMeta, Writer, sha256_hex,
};
use fidelio_shared::workload::{
    ArrivalProcess, DecodeLengths, GenerateError, GeneratedRow, Inputs, RequestSource, Requests, SourceRequest,
    SpecError, WorkloadSpec, generate, in_memory,
};
use serde_json::{Map, Value, json};

use crate::config::{ConfigError, Experiment};
use crate::store::Staging;
use crate::workload::{
    PromptTokenizer, encode_prompts, hash_file, lengths_source, read_decode_lengths, read_prompt_file, times_source,
    trace_source,
};

/// A workload whose identity is known: its requests were drawn once and are drawn again when they are
/// wanted, so that however many there are none is kept.
pub struct BuiltWorkload {
    /// Prompts that are asked, each once, in the order of their file; empty when only lengths are known.
    pub prompts: Vec<PromptRow>,
    /// `workload_meta.json` without `created_at` and `git_commit`, which are the saver's.
    pub meta: WorkloadMeta,
    /// How many requests there are.
    pub num_requests: u64,
    spec: WorkloadSpec,
    inputs: Inputs,
}

impl BuiltWorkload {
    /// All requests in memory.
    ///
    /// # Errors
    /// A file that was changed since.
    pub fn workload(&self) -> Result<Workload> {
        generate(&self.spec, &self.inputs).map_err(located)
    }

    /// Writes the tables, a request at a time.
    ///
    /// # Errors
    /// When one cannot be written, or an input file was changed since.
    pub fn write_tables(&self, staging: &Staging) -> Result<()> {
        let mut lengths = LengthWriter::new(staging.file("trace_lengths.csv")?)?;
        let mut intervals = IntervalWriter::new(staging.file("trace_intervals.csv")?)?;
        let mut prefixes = match self.inputs.block_tokens {
            Some(block_tokens) => Some(PrefixWriter::new(staging.file("trace_prefixes.csv")?, block_tokens)?),
            None => None,
        };
        let mut hash = WorkloadHash::new(self.inputs.block_tokens);
        for request in Requests::new(&self.spec, &self.inputs).map_err(located)? {
            let GeneratedRow { row, hash_ids, .. } = request.map_err(located)?;
            hash.add(&row, &hash_ids);
            lengths.write(&row)?;
            intervals.write(&row)?;
            prefixes.as_mut().map_or(Ok(()), |prefixes| prefixes.write(&hash_ids))?;
        }
        lengths.flush()?;
        intervals.flush()?;
        prefixes.map_or(Ok(()), PrefixWriter::flush)?;
        if self.meta.sha256 != Some(hash.finish()) {
            let problem = "an input file changed while the workload was made of it";
            return Err(DataError::new("trace_lengths.csv", problem).with_hint("make the workload again").into());
        }
        Ok(())
    }

    /// `prompts.jsonl`; `None` when only lengths are known.
    pub fn prompts_jsonl(&self) -> Option<Vec<u8>> {
        (!self.prompts.is_empty()).then(|| prompts_jsonl(&self.prompts))
    }
}

/// What was read for a workload: the inputs, the prompts behind them, and hashes by role.
#[derive(Default)]
struct Read {
    inputs: Inputs,
    prompts: Vec<PromptRow>,
    tokenizer_ref: Option<String>,
    hashes: BTreeMap<&'static str, String>,
}

/// Reads what the experiment's workload names, and draws it for its identity.
///
/// # Errors
/// A file or tokenizer that cannot be read or is wrong, or a specification it cannot satisfy.
pub fn build_workload(experiment: &Experiment) -> Result<BuiltWorkload> {
    let spec = &experiment.workload;
    let mut read = read_source(experiment).context("reading the workload's requests")?;
    if let Some(DecodeLengths::PerPrompt { file: Some(file) }) = &spec.decode {
        read.inputs.decode_by_prompt = read_decode_lengths(file).context("reading output lengths")?;
    }
    if let ArrivalProcess::Times { file, .. } = &spec.arrivals {
        read.inputs.times = Some(times_source(file));
        read.hashes.insert("arrivals", hash_file(file).context("reading arrival times")?);
    }
    let mut is_asked = vec![false; read.prompts.len()];
    let mut hash = WorkloadHash::new(read.inputs.block_tokens);
    let mut num_requests = 0;
    for request in Requests::new(spec, &read.inputs).map_err(located)? {
        let GeneratedRow { row, source_row, hash_ids } = request.map_err(located)?;
        hash.add(&row, &hash_ids);
        if let Some(asked) = source_row.and_then(|number| is_asked.get_mut(number as usize)) {
            *asked = true;
        }
        num_requests += 1;
    }
    if num_requests == 0 {
        let error = SpecError::new("duration_s", "no request arrives in that time");
        return Err(located(error.into()));
    }
    let asked = std::mem::take(&mut read.prompts).into_iter().zip(is_asked);
    read.prompts = asked.filter(|(_, is_asked)| *is_asked).map(|(prompt, _)| prompt).collect();
    let meta = meta(experiment, hash.finish(), &read);
    Ok(BuiltWorkload { prompts: read.prompts, meta, num_requests, spec: spec.clone(), inputs: read.inputs })
}

/// An error of the specification is one of the configuration's; one of a file says enough by itself.
fn located(error: GenerateError) -> anyhow::Error {
    match error {
        GenerateError::Data(error) => error.into(),
        GenerateError::Spec(error) => ConfigError {
            place: "workload".to_owned(),
            key: Some(format!("workload.{}", error.field)),
            problem: error.problem,
            hint: error.hint,
        }
        .into(),
    }
}

fn read_source(experiment: &Experiment) -> Result<Read> {
    let spec = &experiment.workload;
    match &spec.requests {
        RequestSource::Prompts { file } => {
            let found = read_prompt_file(file)?;
            let tokenizer = PromptTokenizer::load(&experiment.model.tokenizer)?;
            let token_ids = encode_prompts(&tokenizer, &found.prompts, spec.chat_template)?;
            let source = found.prompts.iter().zip(&token_ids).map(|(prompt, tokens)| SourceRequest {
                prompt_id: prompt.prompt_id.clone(),
                num_prefill_tokens: tokens.len() as u32,
                num_decode_tokens: prompt.num_decode_tokens,
                ..SourceRequest::default()
            });
            let inputs = Inputs { source: Some(in_memory(source.collect())), ..Inputs::default() };
            let hashes = BTreeMap::from([("prompts", found.sha256), ("tokenizer", tokenizer.sha256().to_owned())]);
            let tokenizer_ref = Some(tokenizer.reference().to_owned());
            Ok(Read { inputs, prompts: found.prompts, tokenizer_ref, hashes })
        }
        RequestSource::Lengths { file } => {
            let inputs = Inputs { source: Some(lengths_source(file)), ..Inputs::default() };
            let hashes = BTreeMap::from([("lengths", hash_file(file)?)]);
            Ok(Read { inputs, hashes, ..Read::default() })
        }
        RequestSource::Trace { file, .. } => {
            let trace = trace_source(file)?;
            if matches!(spec.arrivals, ArrivalProcess::Trace { .. }) && !trace.has_times {
                return Err(DataError::new(file, "says nothing of times: this trace has lengths alone")
                    .with_hint(
                        "choose an arrival process, for example `workload.arrivals={kind=\"poisson\", rate_rps=2.0}`",
                    )
                    .into());
            }
            let (source, block_tokens) = (Some(trace.rows), trace.block_tokens);
            let inputs = Inputs { source, block_tokens, ..Inputs::default() };
            let hashes = BTreeMap::from([("trace", hash_file(file)?)]);
            Ok(Read { inputs, hashes, ..Read::default() })
        }
        RequestSource::Synthetic { .. }
        | RequestSource::SyntheticTotal { .. }
        | RequestSource::VidurUniform { .. }
        | RequestSource::VidurZipf { .. } => Ok(Read::default()),
    }
}

fn meta(experiment: &Experiment, sha256: String, read: &Read) -> WorkloadMeta {
    let spec = &experiment.workload;
    let mut paths = BTreeMap::new();
    for (role, file, is_there) in [
        ("prompts", "prompts.jsonl", !read.prompts.is_empty()),
        ("trace_lengths", "trace_lengths.csv", true),
        ("trace_intervals", "trace_intervals.csv", true),
        ("trace_prefixes", "trace_prefixes.csv", read.inputs.block_tokens.is_some()),
    ] {
        if is_there {
            paths.insert(role.to_owned(), file.to_owned());
        }
    }
    let params = params(spec);
    let defining = json!({
        "workload": sha256,
        "prompts": sha256_hex(&prompts_jsonl(&read.prompts)),
        "inputs": read.hashes,
        "model": experiment.model.name,
        "params": params,
    });
    let id = sha256_hex(defining.to_string().as_bytes());
    let tokenizer_ref = read.tokenizer_ref.clone().unwrap_or_else(|| "none: only lengths are known".to_owned());
    WorkloadMeta {
        schema_version: Some(SCHEMA_VERSION.to_owned()),
        writer: Some(Writer::this()),
        workload_id: Some(format!("workload_{}", &id[..10])),
        model: Some(experiment.model.name.clone()),
        seed: Some(spec.seed),
        tokenizer_ref: Some(tokenizer_ref),
        paths,
        hydra: Some(experiment.hydra()),
        params,
        sha256: Some(sha256),
        extra: Map::from_iter([("inputs".to_owned(), json!(read.hashes))]),
        ..WorkloadMeta::default()
    }
}

fn params(spec: &WorkloadSpec) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("a specification has string keys and finite numbers"),
    }
}

fn prompts_jsonl(prompts: &[PromptRow]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for prompt in prompts {
        bytes.extend(serde_json::to_vec(prompt).expect("a prompt is strings and numbers"));
        bytes.push(b'\n');
    }
    bytes
}

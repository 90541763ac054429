//! `fidelio workload`: from an experiment to the workload and its metadata. Saving is the store's.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fidelio_shared::schema::{PromptRow, SCHEMA_VERSION, Workload, WorkloadMeta, Writer, sha256_hex};
use fidelio_shared::workload::{
    ArrivalProcess, DecodeLengths, Inputs, RequestSource, SourceRequest, WorkloadSpec, generate,
};
use serde_json::{Map, Value, json};

use crate::config::{ConfigError, Experiment};
use crate::workload::{
    PromptTokenizer, encode_prompts, read_arrival_times, read_decode_lengths, read_lengths, read_prompt_file,
};

/// A workload in memory, ready to be saved or run.
#[derive(Clone, Debug)]
pub struct BuiltWorkload {
    /// What is asked, and when.
    pub workload: Workload,
    /// Prompts that are asked, each once, in the order of their file; empty when only lengths are known.
    pub prompts: Vec<PromptRow>,
    /// Token ids of each request, by request id; `None` when only lengths are known.
    pub token_ids: Option<Vec<Vec<u32>>>,
    /// `workload_meta.json` without `created_at` and `git_commit`, which are the saver's.
    pub meta: WorkloadMeta,
}

impl BuiltWorkload {
    /// `prompts.jsonl`; `None` when only lengths are known.
    pub fn prompts_jsonl(&self) -> Option<Vec<u8>> {
        (!self.prompts.is_empty()).then(|| prompts_jsonl(&self.prompts))
    }
}

/// What was read for a workload: the pure inputs, the prompts behind them, and hashes by role.
#[derive(Default)]
struct Read {
    inputs: Inputs,
    prompts: Vec<PromptRow>,
    token_ids: Vec<Vec<u32>>,
    tokenizer_ref: Option<String>,
    hashes: BTreeMap<&'static str, String>,
}

/// Reads what the experiment's workload names, and draws it.
///
/// # Errors
/// A file or tokenizer that cannot be read or is wrong, or a specification it cannot satisfy.
pub fn build_workload(experiment: &Experiment) -> Result<BuiltWorkload> {
    let spec = &experiment.workload;
    let mut read = read_source(experiment).context("reading the workload's requests")?;
    if let Some(DecodeLengths::PerPrompt { file: Some(file) }) = &spec.decode {
        read.inputs.decode_by_prompt = read_decode_lengths(file).context("reading output lengths")?;
    }
    if let ArrivalProcess::Times { file } = &spec.arrivals {
        read.inputs.times = Some(read_arrival_times(file).context("reading arrival times")?);
    }
    let generated = generate(spec, &read.inputs).map_err(|error| ConfigError {
        place: "workload".to_owned(),
        key: Some(format!("workload.{}", error.field)),
        problem: error.problem,
        hint: error.hint,
    })?;
    let has_prompts = !read.prompts.is_empty();
    let token_ids = has_prompts.then(|| generated.picks.iter().map(|pick| read.token_ids[*pick].clone()).collect());
    let mut is_asked = vec![false; read.prompts.len()];
    if has_prompts {
        generated.picks.iter().for_each(|pick| is_asked[*pick] = true);
    }
    let asked = std::mem::take(&mut read.prompts).into_iter().zip(is_asked);
    let prompts: Vec<PromptRow> = asked.filter(|(_, is_asked)| *is_asked).map(|(prompt, _)| prompt).collect();
    let meta = meta(experiment, &generated.workload, &prompts, read);
    Ok(BuiltWorkload { workload: generated.workload, prompts, token_ids, meta })
}

fn read_source(experiment: &Experiment) -> Result<Read> {
    match &experiment.workload.requests {
        RequestSource::Synthetic { .. } => Ok(Read::default()),
        RequestSource::Lengths { file } => {
            Ok(Read { inputs: Inputs { source: read_lengths(file)?, ..Inputs::default() }, ..Read::default() })
        }
        RequestSource::Prompts { file } => {
            let found = read_prompt_file(file)?;
            let tokenizer = PromptTokenizer::load(&experiment.model.tokenizer)?;
            let token_ids = encode_prompts(&tokenizer, &found.prompts, experiment.workload.chat_template)?;
            let source = found.prompts.iter().zip(&token_ids).map(|(prompt, tokens)| SourceRequest {
                prompt_id: prompt.prompt_id.clone(),
                num_prefill_tokens: tokens.len() as u32,
                num_decode_tokens: prompt.num_decode_tokens,
            });
            let inputs = Inputs { source: source.collect(), ..Inputs::default() };
            let hashes = BTreeMap::from([("prompts", found.sha256), ("tokenizer", tokenizer.sha256().to_owned())]);
            let tokenizer_ref = Some(tokenizer.reference().to_owned());
            Ok(Read { inputs, prompts: found.prompts, token_ids, tokenizer_ref, hashes })
        }
    }
}

fn meta(experiment: &Experiment, workload: &Workload, prompts: &[PromptRow], read: Read) -> WorkloadMeta {
    let spec = &experiment.workload;
    let sha256 = workload.sha256();
    let mut paths = BTreeMap::new();
    for (role, file, is_there) in [
        ("prompts", "prompts.jsonl", !prompts.is_empty()),
        ("trace_lengths", "trace_lengths.csv", true),
        ("trace_intervals", "trace_intervals.csv", true),
    ] {
        if is_there {
            paths.insert(role.to_owned(), file.to_owned());
        }
    }
    let params = params(spec);
    let defining = json!({
        "workload": sha256,
        "prompts": sha256_hex(&prompts_jsonl(prompts)),
        "inputs": read.hashes,
        "model": experiment.model.name,
        "params": params,
    });
    let id = sha256_hex(defining.to_string().as_bytes());
    WorkloadMeta {
        schema_version: Some(SCHEMA_VERSION.to_owned()),
        writer: Some(Writer::this()),
        workload_id: Some(format!("workload_{}", &id[..10])),
        model: Some(experiment.model.name.clone()),
        seed: Some(spec.seed),
        tokenizer_ref: Some(read.tokenizer_ref.unwrap_or_else(|| "none: only lengths are known".to_owned())),
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

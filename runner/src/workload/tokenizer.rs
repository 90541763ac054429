//! Tokenizers: the built-in Qwen3 one, a Hugging Face `tokenizer.json`, or a hub name; and prompts to token ids, in parallel.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use fidelio_shared::schema::{DataError, PromptRow, sha256_hex};
use fidelio_shared::workload::ChatTemplate;
use flate2::read::MultiGzDecoder;
use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::config::QWEN3_TOKENIZER_GZ;
use crate::workload::hub::{self, HUB_PREFIX};

/// Names the tokenizer that ships with the program.
pub const BUILTIN_QWEN3: &str = "builtin:qwen3";

/// No tokenizer is larger; a file that is would only fill memory.
const MAX_BYTES: u64 = 512 << 20;

/// A tokenizer, and which one it is.
pub struct PromptTokenizer {
    inner: Tokenizer,
    reference: String,
    sha256: String,
}

impl PromptTokenizer {
    /// Loads `builtin:qwen3`, a directory with a `tokenizer.json`, such a file (gzipped or not), or
    /// `hub:NAME` or `hub:NAME@REVISION` from the local Hugging Face cache or else from the hub.
    ///
    /// # Errors
    /// When it is not there, cannot be downloaded, or is not a tokenizer.
    pub fn load(reference: &str) -> Result<Self> {
        let (bytes, found) = if reference.starts_with(HUB_PREFIX) {
            let found = hub::tokenizer_file(reference)?;
            (read_file(reference, &found.path)?, found.reference)
        } else {
            (read_bytes(reference)?, reference.to_owned())
        };
        let mut inner = Tokenizer::from_bytes(&bytes).map_err(|error| {
            DataError::new(reference, format!("is not a tokenizer: {error}"))
                .with_hint("a `tokenizer.json` as the Hugging Face `tokenizers` library writes it is needed; `builtin:qwen3` is always there")
        })?;
        // A file may ask for both; prompts here are never cut and never filled up.
        inner.with_truncation(None).map_err(|error| anyhow!(error))?;
        inner.with_padding(None);
        Ok(PromptTokenizer { inner, reference: found, sha256: sha256_hex(&bytes) })
    }

    /// Token ids of `text`; special tokens written in it count as such, none are added.
    ///
    /// # Errors
    /// When the tokenizer cannot encode it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| anyhow!(error));
        Ok(encoding.with_context(|| format!("encoding with tokenizer `{}`", self.reference))?.get_ids().to_vec())
    }

    /// What was asked for, as metadata records it; a hub name with the commit it stands for.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// SHA-256 of its file's text.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Tokens it knows, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// Token ids of every prompt inside the chat template, in order.
///
/// # Errors
/// The first prompt that cannot be encoded or has no token.
pub fn encode_prompts(
    tokenizer: &PromptTokenizer,
    prompts: &[PromptRow],
    template: ChatTemplate,
) -> Result<Vec<Vec<u32>>> {
    let encode = |prompt: &PromptRow| {
        let tokens = tokenizer.encode(&template.apply(&prompt.text))?;
        if tokens.is_empty() {
            return Err(anyhow!("prompt `{}` has no token: its text is empty", prompt.prompt_id));
        }
        Ok(tokens)
    };
    prompts.par_iter().map(encode).collect()
}

fn read_bytes(reference: &str) -> Result<Vec<u8>, DataError> {
    if let Some(name) = reference.strip_prefix("builtin:") {
        let unknown = || {
            let problem = format!("there is no built-in tokenizer `{name}`");
            DataError::new(reference, problem).with_hint(format!("the only one is `{BUILTIN_QWEN3}`"))
        };
        return if reference == BUILTIN_QWEN3 { unpack(reference, QWEN3_TOKENIZER_GZ) } else { Err(unknown()) };
    }
    let path = Path::new(reference);
    let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
    read_file(reference, &file)
}

fn read_file(reference: &str, file: &Path) -> Result<Vec<u8>, DataError> {
    let shown = file.display().to_string();
    let input = File::open(file).map_err(|error| cannot_open(reference, file, &error))?;
    let bytes = bounded(&shown, input)?;
    if bytes.starts_with(&[0x1f, 0x8b]) { unpack(&shown, &bytes) } else { Ok(bytes) }
}

fn unpack(file: &str, packed: &[u8]) -> Result<Vec<u8>, DataError> {
    bounded(file, MultiGzDecoder::new(packed))
}

fn bounded(file: &str, input: impl Read) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| DataError::new(file, format!("cannot read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DataError::new(file, format!("is not a tokenizer: it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

fn cannot_open(reference: &str, file: &Path, error: &io::Error) -> DataError {
    let is_hub_name = error.kind() == io::ErrorKind::NotFound
        && reference.split('/').count() == 2
        && !reference.starts_with(['/', '.'])
        && !reference.ends_with(".json");
    if is_hub_name {
        return DataError::new(reference, "there is no such directory").with_hint(format!(
            "if the Hugging Face hub's model is meant, write model.tokenizer={HUB_PREFIX}{reference}"
        ));
    }
    DataError::new(file.display().to_string(), format!("cannot open: {error}")).with_hint(format!(
        "`model.tokenizer` is a directory with a `tokenizer.json`, such a file, `{HUB_PREFIX}NAME`, or `{BUILTIN_QWEN3}`"
    ))
}

//! `prompts.jsonl`: one JSON object a line, `prompt_id` and `text`.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::schema::DataError;
use crate::schema::json_lines::JsonLines;

/// Longest line taken: a prompt of 16 MiB is a mistake, and an endless line must not fill memory.
pub const MAX_PROMPT_LINE_BYTES: u64 = 16 << 20;

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRow {
    /// Unique within the file; no white space at its ends.
    pub prompt_id: String,
    /// What the user asks, before any chat template.
    pub text: String,
    /// Output length of this prompt, when the file gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_decode_tokens: Option<u32>,
}

/// Reads and checks a whole file.
///
/// # Errors
/// The first line that is not such an object, a prompt id twice, or a file without prompts.
pub fn read_prompts(file: &str, input: impl Read) -> Result<Vec<PromptRow>, DataError> {
    let mut lines = JsonLines::new(file, input, MAX_PROMPT_LINE_BYTES);
    let mut prompts: Vec<PromptRow> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(line) = lines.next_line()? {
        let parsed = serde_json::from_slice(line);
        let prompt: PromptRow = parsed.map_err(|error| {
            let hint = "each line is {\"prompt_id\": \"…\", \"text\": \"…\"}";
            lines.error(format!("is not a prompt: {error}")).with_hint(hint)
        })?;
        // Tables trim their cells, so such an id would not be found again there.
        if prompt.prompt_id.trim_ascii() != prompt.prompt_id {
            let problem = format!("{:?} begins or ends with white space", prompt.prompt_id);
            return Err(lines.error(problem).in_column("prompt_id"));
        }
        if !seen.insert(prompt.prompt_id.clone()) {
            let problem = format!("`{}` is there twice", prompt.prompt_id);
            return Err(lines.error(problem).in_column("prompt_id"));
        }
        prompts.push(prompt);
    }
    if prompts.is_empty() {
        return Err(DataError::new(file, "holds no prompt"));
    }
    Ok(prompts)
}

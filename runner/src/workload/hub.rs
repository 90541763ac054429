//! Tokenizers by hub name (`hub:Qwen/Qwen3-0.6B`): the local Hugging Face cache first, then the hub itself.

use std::env;
use std::path::{Path, PathBuf};

use fidelio_shared::schema::DataError;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use crate::talk::Talk;

/// What a hub name begins with.
pub const HUB_PREFIX: &str = "hub:";

const FILE: &str = "tokenizer.json";
const USUAL_REVISION: &str = "main";
const USUAL_ENDPOINT: &str = "https://huggingface.co";

/// A file of the hub that lies in the local cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// The hub name with the commit it is from, itself a name that finds this very file again.
    pub reference: String,
}

/// Finds the `tokenizer.json` of `hub:NAME` or `hub:NAME@REVISION`, downloading it when it is not in the cache.
///
/// # Errors
/// A name that is none, a hub that is forbidden (`HF_HUB_OFFLINE`) or not reached, or one that does not give the file.
pub fn tokenizer_file(reference: &str) -> Result<Found, DataError> {
    let name = HubName::parse(reference)?;
    let cache = cache_dir().ok_or_else(|| {
        name.error("there is no place for the hub's cache").with_hint("set HF_HOME to a directory, or HOME")
    })?;
    if let Some(found) = name.in_cache(&cache) {
        return Ok(found);
    }
    if is_set("HF_HUB_OFFLINE") {
        let problem = format!("is not in the cache `{}`, and HF_HUB_OFFLINE forbids the network", cache.display());
        return Err(name.error(problem));
    }
    name.download(cache)
}

/// A name in its parts.
struct HubName<'a> {
    reference: &'a str,
    model: &'a str,
    revision: &'a str,
}

impl<'a> HubName<'a> {
    fn parse(reference: &'a str) -> Result<Self, DataError> {
        let name = reference.strip_prefix(HUB_PREFIX).unwrap_or(reference);
        let (model, revision) = name.split_once('@').unwrap_or((name, USUAL_REVISION));
        // Both become paths below the cache and parts of an address.
        let is_part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
                && part.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
                && !part.contains("..")
        };
        let is_name = model.split('/').count() <= 2 && model.split('/').chain(revision.split('/')).all(is_part);
        if !is_name {
            return Err(DataError::new(reference, "is not a hub name")
                .with_hint(format!("write {HUB_PREFIX}Qwen/Qwen3-0.6B, and @REVISION after it if it is not `main`")));
        }
        Ok(HubName { reference, model, revision })
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.model.to_owned(), RepoType::Model, self.revision.to_owned())
    }

    /// The file of the commit that the cache knows the revision as, or of the revision if it is a commit.
    fn in_cache(&self, cache: &Path) -> Option<Found> {
        let folder = cache.join(self.repo().folder_name());
        let known = std::fs::read_to_string(folder.join("refs").join(self.revision)).ok();
        let commit = known.as_deref().map_or(self.revision, str::trim);
        let is_commit = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let path = folder.join("snapshots").join(commit).join(FILE);
        (is_commit && path.is_file()).then(|| self.found(commit, path))
    }

    fn found(&self, commit: &str, path: PathBuf) -> Found {
        Found { path, reference: format!("{HUB_PREFIX}{}@{commit}", self.model) }
    }

    fn download(&self, cache: PathBuf) -> Result<Found, DataError> {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| USUAL_ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        Talk::default().note(format!(
            "downloading {FILE} of {} ({}) from {endpoint} to {}",
            self.model,
            self.revision,
            cache.display()
        ));
        let failed = |error: ApiError| self.error(problem(&error, endpoint));
        let mut builder = ApiBuilder::from_cache(Cache::new(cache))
            .with_endpoint(endpoint.to_owned())
            .with_progress(false)
            .with_user_agent("fidelio", env!("CARGO_PKG_VERSION"));
        if let Some(token) = variable("HF_TOKEN") {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().map_err(failed)?;
        let path = api.repo(self.repo()).download(FILE).map_err(failed)?;
        let commit = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Ok(self.found(commit.as_deref().unwrap_or(self.revision), path))
    }

    fn error(&self, problem: impl Into<String>) -> DataError {
        let dir = self.model.rsplit('/').next().unwrap_or(self.model);
        DataError::new(self.reference, problem).with_hint(format!(
            "download it where there is a network (`hf download {} {FILE} --local-dir {dir}`) and set model.tokenizer={dir}, or use `builtin:qwen3`",
            self.model
        ))
    }
}

/// What went wrong, for a person who knows the hub and not its protocol.
fn problem(error: &ApiError, endpoint: &str) -> String {
    match status(error) {
        Some(status @ (401 | 403)) => format!(
            "{endpoint} refuses it (status {status}): there is no such model, or it is private or gated and HF_TOKEN does not open it"
        ),
        Some(404) => format!("{endpoint} has no such model, no such revision, or no {FILE} in it (status 404)"),
        _ => match error {
            ApiError::RequestError(error) => format!("cannot be downloaded from {endpoint}: {error}"),
            error => format!("cannot be downloaded from {endpoint}: {error}"),
        },
    }
}

/// The status of a refusal. The hub's crate does not show the type beneath, only its words.
fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else { return None };
    error.to_string().rsplit_once("status: ")?.1.trim().parse().ok()
}

/// Where the Hugging Face libraries of every language keep what they download.
fn cache_dir() -> Option<PathBuf> {
    let below = |name: &str, rest: &str| variable(name).map(|dir| Path::new(&dir).join(rest));
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
        .map(PathBuf::from)
        .or_else(|| below("HF_HOME", "hub"))
        .or_else(|| below("XDG_CACHE_HOME", "huggingface/hub"))
        .or_else(|| env::home_dir().map(|home| home.join(".cache/huggingface/hub")))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()))
}

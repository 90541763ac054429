//! The artifact store: the only writer of artifacts. Temporary until whole, named by content.

mod dir;
mod file;
mod folder;
mod staging;

pub use dir::write_dir;
pub use file::write_file;
pub use folder::{DirFolder, foreign_format, hash_directory, load_run_dir, load_workload_dir};
pub use staging::Staging;

use std::path::{Path, PathBuf};

use fidelio_shared::schema::{WRITER, sha256_hex, write_json};
use serde::Serialize;

use crate::error::Hinted;
use crate::talk::Talk;

/// Kinds of artifact, each with its folder under the store's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is asked, and when.
    Workload,
    /// What happened.
    RealRun,
    /// What was predicted.
    SimRun,
    /// What things cost.
    Profile,
    /// How far off.
    Comparison,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Kind::Workload => "workloads",
            Kind::RealRun => "real_runs",
            Kind::SimRun => "sim_runs",
            Kind::Profile => "profiles",
            Kind::Comparison => "comparisons",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Workload => "workload",
            Kind::RealRun => "real",
            Kind::SimRun => "sim",
            Kind::Profile => "profile",
            Kind::Comparison => "comparison",
        }
    }

    /// Name of the document that is written last and makes the artifact complete.
    pub fn meta_name(self) -> &'static str {
        if self == Kind::Workload { "workload_meta.json" } else { "run_meta.json" }
    }

    /// It measures this machine, so the same inputs may give another result.
    fn is_measured(self) -> bool {
        matches!(self, Kind::RealRun | Kind::Profile)
    }

    /// `<kind>_<first 10 hex of the SHA-256 of the defining inputs>`.
    pub fn id(self, inputs: &impl Serialize) -> String {
        let hash = sha256_hex(&write_json(inputs));
        format!("{}_{}", self.prefix(), &hash[..10])
    }
}

/// Where artifacts go and what happens to those already there.
#[derive(Clone, Debug)]
pub struct Store {
    /// Default root of every artifact (`tmp`).
    pub root: PathBuf,
    /// Replace what is there.
    pub force: bool,
    /// Where notes go.
    pub talk: Talk,
}

/// An artifact to be made, or one made before.
pub enum Slot {
    /// The same inputs gave it already.
    Existing(PathBuf),
    /// To be filled and committed.
    New(Staging),
}

impl Store {
    /// Opens the place of artifact `id`, at `out` when given.
    ///
    /// # Errors
    /// When something else is there, an interrupted one is there, another process works on it, or the
    /// directory cannot be made.
    pub fn open(&self, kind: Kind, id: &str, out: Option<&Path>) -> anyhow::Result<Slot> {
        let target = match out {
            Some(out) => out.to_path_buf(),
            None if kind.is_measured() => self.next_repeat(kind, id),
            None => self.root.join(kind.folder()).join(id),
        };
        if target.exists() && !self.force {
            if !kind.is_measured() && recorded_id(&target, kind).as_deref() == Some(id) {
                self.talk.note(format!("reusing {}", target.display()));
                return Ok(Slot::Existing(target));
            }
            let problem = format!("`{}` already exists", target.display());
            return Err(Hinted::new(problem, "`--force` replaces it, `--out` puts the new one elsewhere").into());
        }
        if target.exists() && !is_replaceable(&target, kind) {
            let problem = format!("`{}` is not an artifact of this kind: it is not replaced", target.display());
            return Err(Hinted::new(problem, "remove it yourself, or choose another `--out`").into());
        }
        Staging::create(&target, kind, self.force).map(Slot::New)
    }

    /// The profile directory of a device and an LLM.
    pub fn profile_dir(&self, hardware: &str, model: &str) -> PathBuf {
        self.root.join(Kind::Profile.folder()).join(hardware).join(model.replace('/', "--"))
    }

    /// Where the bundle file `name` goes.
    pub fn bundle_file(&self, name: &str) -> PathBuf {
        self.root.join("bundles").join(name)
    }

    fn next_repeat(&self, kind: Kind, id: &str) -> PathBuf {
        let folder = self.root.join(kind.folder());
        let place = |index: u32| folder.join(format!("{id}_{index}"));
        let is_taken = |path: &Path| path.exists() || Staging::partial_of(path).exists();
        let free = (1..).map(place).find(|path| !is_taken(path));
        free.unwrap_or_else(|| place(u32::MAX))
    }
}

/// Only an empty directory or what this program made is ever replaced.
fn is_replaceable(target: &Path, kind: Kind) -> bool {
    let is_empty = || std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    let document = || std::fs::read(target.join(kind.meta_name())).ok();
    let is_ours = || {
        let meta: Option<serde_json::Value> = document().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        meta.is_some_and(|meta| meta["writer"]["name"] == WRITER)
    };
    target.is_dir() && !target.is_symlink() && (is_empty() || is_ours())
}

/// The id an artifact's metadata says it has.
fn recorded_id(dir: &Path, kind: Kind) -> Option<String> {
    let bytes = std::fs::read(dir.join(kind.meta_name())).ok()?;
    let meta: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let key = if kind == Kind::Workload { "workload_id" } else { "run_id" };
    meta.get(key)?.as_str().map(str::to_owned)
}

//! One file a verb: load, call something pure, save, tell. Nothing here knows the command line parser.

pub mod bundle;
pub mod calibrate;
pub mod capacity;
pub mod compare;
pub mod configs;
pub mod doctor;
pub mod evidence;
pub mod measure;
pub mod profile;
pub mod run;
pub mod save_workload;
pub mod share;
pub mod simulate;
pub mod summary;
pub mod trace;
pub mod verify;
pub mod view;
pub mod workload;

mod meta;

use std::path::Path;

use serde_json::{Value, json};

use crate::store::Store;
use crate::talk::Talk;

/// What every verb may need.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where artifacts go.
    pub store: Store,
    /// Where notes go.
    pub talk: Talk,
}

/// What a verb gives back: the result for stdout, for people and for machines, and whether a declared
/// tolerance was exceeded.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For people.
    pub text: String,
    /// For `--json`.
    pub json: Value,
    /// Exit code 1 instead of 0.
    pub is_tolerance_exceeded: bool,
}

impl Outcome {
    /// A result.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Outcome { text: text.into(), json, is_tolerance_exceeded: false }
    }

    /// The path of what was made.
    pub fn made(path: &Path) -> Self {
        let path = path.display().to_string();
        Outcome::new(path.clone(), json!({ "path": path }))
    }
}

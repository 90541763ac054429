//! Layers of configuration: read one, and put it over those before it, remembering who set each key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::ConfigError;
use super::presets::GROUPS;

/// Who is named when the command line set a key.
pub(super) const COMMAND_LINE: &str = "command line";

/// Keys that hold paths; relative ones in a file are relative to that file.
const PATH_KEYS: [&str; 6] = [
    "model.path",
    "model.tokenizer",
    "workload.requests.file",
    "workload.arrivals.file",
    "workload.decode.file",
    "latency.profile",
];

/// One file, or the command line.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Who says it, as errors name it.
    pub place: String,
    /// Directory relative paths in it start from.
    pub base: Option<PathBuf>,
    /// What it says.
    pub table: Table,
}

impl Layer {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let place = format!("`{}`", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(&place, format!("cannot read: {error}"))
                .with_hint("`fidelio configs experiment` lists the built-in experiments")
        })?;
        Layer::parse(place, &text, path.parent().map(Path::to_path_buf))
    }

    /// Parses the text of a file.
    pub fn parse(place: String, text: &str, base: Option<PathBuf>) -> Result<Self, ConfigError> {
        match text.parse::<Table>() {
            Ok(table) => Ok(Layer { place, base, table }),
            Err(error) => {
                let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                let place = line.map_or(place.clone(), |line| format!("{place}, line {line}"));
                Err(ConfigError::new(place, format!("is not TOML: {}", error.message())))
            }
        }
    }

    /// The layer of `group=option` and `dotted.key=value` arguments.
    pub fn from_arguments(arguments: &[String]) -> Result<Self, ConfigError> {
        let mut table = Table::new();
        for argument in arguments {
            let fail = |problem: &str| ConfigError::new(COMMAND_LINE, format!("`{argument}` {problem}"));
            let (key, value) = argument
                .split_once('=')
                .ok_or_else(|| fail("is not an override").with_hint("write `group=option` or `dotted.key=value`"))?;
            let key = key.trim();
            let dotted = if GROUPS.contains(&key) { format!("use.{key}") } else { key.to_owned() };
            let mut parts: Vec<&str> = dotted.split('.').collect();
            if parts.iter().any(|part| part.is_empty()) {
                return Err(fail("has an empty key"));
            }
            let last = parts.pop().unwrap_or_default();
            let parent = parts.into_iter().try_fold(&mut table, |table, part| {
                table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
            });
            let parent = parent.ok_or_else(|| fail("goes into a key that another override sets to a value"))?;
            parent.insert(last.to_owned(), argument_value(value));
        }
        Ok(Layer { place: COMMAND_LINE.to_owned(), base: None, table })
    }

    /// Makes relative paths in it start where the file lies.
    pub fn anchor_paths(&mut self) {
        let Some(base) = self.base.as_ref().filter(|base| !base.as_os_str().is_empty()) else { return };
        for key in PATH_KEYS {
            let mut parts: Vec<&str> = key.split('.').collect();
            let last = parts.pop().unwrap_or_default();
            let parent = parts.into_iter().try_fold(&mut self.table, |table, part| table.get_mut(part)?.as_table_mut());
            if let Some(Value::String(path)) = parent.and_then(|table| table.get_mut(last))
                && !path.starts_with("builtin:")
                && !path.starts_with("hub:")
            {
                *path = base.join(&*path).to_string_lossy().into_owned();
            }
        }
    }
}

/// A TOML value; what is not one is a string.
fn argument_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| match table.len() {
        1 => table.remove("value"),
        _ => None,
    });
    match parsed {
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

/// Everything said so far, and who said it.
#[derive(Debug)]
pub(super) struct Merged {
    /// Current values.
    pub table: Table,
    /// Who is named for what nobody set: the experiment.
    experiment: String,
    origins: BTreeMap<String, String>,
}

impl Merged {
    /// Nothing said yet; `experiment` is the place of the first layer.
    pub fn new(experiment: &str) -> Self {
        Merged { table: Table::new(), experiment: experiment.to_owned(), origins: BTreeMap::new() }
    }

    /// Forgets a group, to start it from another option.
    pub fn clear(&mut self, group: &str) {
        self.table.remove(group);
        let prefix = format!("{group}.");
        self.origins.retain(|key, _| key != group && !key.starts_with(&prefix));
    }

    /// Puts `table` over what is there. A table that sets another `kind` replaces the one before it.
    pub fn merge(&mut self, place: &str, table: Table) {
        merge_into(&mut self.table, table, place, "", &mut self.origins);
    }

    /// Sets a key that no layer has set.
    pub fn set_default(&mut self, group: &str, key: &str, value: Value) {
        if let Some(table) = self.table.get_mut(group).and_then(Value::as_table_mut) {
            table.entry(key).or_insert(value);
        }
    }

    /// Who set `key`, or else the nearest table around it, or the experiment.
    pub fn place(&self, key: &str) -> String {
        let mut key = key;
        loop {
            if let Some(place) = self.origins.get(key) {
                return place.clone();
            }
            match key.rsplit_once('.') {
                Some((parent, _)) => key = parent,
                None => return self.experiment.clone(),
            }
        }
    }
}

fn merge_into(into: &mut Table, from: Table, place: &str, prefix: &str, origins: &mut BTreeMap<String, String>) {
    if let (Some(old), Some(new)) = (into.get("kind"), from.get("kind"))
        && old != new
    {
        into.clear();
    }
    for (key, value) in from {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        origins.insert(path.clone(), place.to_owned());
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge_into(old, new, place, &path, origins),
            (_, Value::Table(new)) => {
                let mut fresh = Table::new();
                merge_into(&mut fresh, new, place, &path, origins);
                into.insert(key, Value::Table(fresh));
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

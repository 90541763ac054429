//! The presets: shipped inside the binary, shadowed by a directory of the user's.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{ConfigError, nearest};
use super::layers::Layer;

/// Groups an experiment picks one option of.
pub const GROUPS: [&str; 6] = ["model", "hardware", "workload", "scheduler", "backend", "latency"];

/// The demo's prompts, `builtin:demo`.
pub const DEMO_PROMPTS: &[u8] = include_bytes!("../../../configs/prompts/demo.jsonl");

/// Qwen3's `tokenizer.json`, gzipped, `builtin:qwen3`.
pub const QWEN3_TOKENIZER_GZ: &[u8] = include_bytes!("../../../configs/tokenizer/qwen3/tokenizer.json.gz");

/// The folder of the experiments themselves.
const EXPERIMENT: &str = "experiment";

macro_rules! presets {
    ($($group:literal / $option:literal),* $(,)?) => {
        /// Every preset: group, option, text.
        const PRESETS: &[(&str, &str, &str)] =
            &[$(($group, $option, include_str!(concat!("../../../configs/", $group, "/", $option, ".toml")))),*];
    };
}

presets! {
    "backend" / "candle-cpu",
    "backend" / "candle-cuda",
    "backend" / "cuda",
    "experiment" / "llama2-7b-a100-sarathi",
    "experiment" / "llama3-8b-a100",
    "experiment" / "quickstart",
    "experiment" / "qwen3-0.6b",
    "experiment" / "qwen3-0.6b-gpu",
    "experiment" / "vidur-dynamic",
    "experiment" / "vidur-static",
    "hardware" / "a100-80gb",
    "hardware" / "a40",
    "hardware" / "h100-80gb",
    "hardware" / "h200",
    "hardware" / "l40s",
    "hardware" / "rtx-4090",
    "hardware" / "this-gpu",
    "hardware" / "this-machine",
    "latency" / "calibrated",
    "latency" / "layers",
    "latency" / "operations",
    "latency" / "roofline",
    "latency" / "steps",
    "latency" / "vidur-tables",
    "model" / "hugging-face",
    "model" / "llama-2-7b",
    "model" / "llama-3-70b",
    "model" / "llama-3-8b",
    "model" / "qwen3-0.6b",
    "model" / "qwen3-30m",
    "scheduler" / "faster-transformer",
    "scheduler" / "lightllm",
    "scheduler" / "orca",
    "scheduler" / "sarathi-server",
    "scheduler" / "sarathi",
    "scheduler" / "vidur-vllm",
    "scheduler" / "vllm-v1-server",
    "scheduler" / "vllm-v1",
    "workload" / "arxiv",
    "workload" / "azure-conv",
    "workload" / "demo",
    "workload" / "lengths",
    "workload" / "mooncake",
    "workload" / "synthetic",
    "workload" / "vidur-uniform",
    "workload" / "vidur-zipf",
}

/// One option as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Its group, or `experiment`.
    pub group: String,
    /// Its name.
    pub option: String,
    /// First line of its file.
    pub description: String,
    /// Path of its file; `None` for one built in.
    pub file: Option<PathBuf>,
}

/// Presets of the binary, and of a directory that comes first.
#[derive(Clone, Debug, Default)]
pub struct Library {
    dir: Option<PathBuf>,
}

impl Library {
    /// A library over the built-in presets, shadowed by `dir`.
    ///
    /// # Errors
    /// When `dir` is not a directory.
    pub fn new(dir: Option<&Path>) -> Result<Self, ConfigError> {
        match dir {
            Some(dir) if !dir.is_dir() => Err(ConfigError::new(format!("`{}`", dir.display()), "is not a directory")
                .with_hint("a configuration directory holds `<group>/<option>.toml` files")),
            _ => Ok(Library { dir: dir.map(Path::to_path_buf) }),
        }
    }

    /// Every option of every group, or of one, in alphabetical order.
    ///
    /// # Errors
    /// A group that does not exist.
    pub fn list(&self, group: Option<&str>) -> Result<Vec<Listing>, ConfigError> {
        let groups: Vec<String> = std::iter::once(EXPERIMENT).chain(GROUPS).map(str::to_owned).collect();
        let Some(group) = group else {
            return Ok(groups.iter().flat_map(|group| self.options(group)).collect());
        };
        if groups.iter().any(|name| name == group) {
            return Ok(self.options(group));
        }
        let problem = format!("there is no group `{group}`");
        Err(ConfigError::new("command line", problem).with_hint(nearest(group, &groups)))
    }

    /// The layer of an experiment: a preset's name, or a path to a file.
    pub(super) fn experiment(&self, name: &str, notices: &mut Vec<String>) -> Result<(Layer, String), ConfigError> {
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Ok((Layer::read(path)?, stem));
        }
        Ok((self.find("command line", EXPERIMENT, name, notices)?, name.to_owned()))
    }

    /// The layer of one option; `place` is who asks for it.
    pub(super) fn find(
        &self,
        place: &str,
        group: &str,
        option: &str,
        notices: &mut Vec<String>,
    ) -> Result<Layer, ConfigError> {
        let built_in = PRESETS.iter().find(|preset| preset.0 == group && preset.1 == option);
        // An option is a name: `../x` must not leave the directory.
        let is_name = !option.contains(['/', '\\']);
        if let Some(file) =
            self.dir.as_ref().filter(|_| is_name).map(|dir| file_of(dir, group, option)).filter(|file| file.is_file())
        {
            if built_in.is_some() {
                notices.push(format!("`{}` shadows the built-in {group} `{option}`", file.display()));
            }
            return Layer::read(&file);
        }
        if let Some((group, option, text)) = built_in {
            return Layer::parse(format!("`configs/{group}/{option}.toml` (built in)"), text, None);
        }
        let options: Vec<String> = self.options(group).into_iter().map(|listing| listing.option).collect();
        let problem = format!("there is no {group} `{option}`");
        let hint = match group {
            EXPERIMENT => format!("{} A path of a `.toml` file works too", nearest(option, &options)),
            _ => nearest(option, &options),
        };
        let error = ConfigError::new(place, problem).with_hint(hint);
        Err(if group == EXPERIMENT { error } else { error.at_key(group) })
    }

    fn options(&self, group: &str) -> Vec<Listing> {
        let own = self.dir.iter().flat_map(|dir| toml_files(&dir.join(group)));
        let mut found: Vec<Listing> = own
            .map(|(option, file)| {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                Listing { group: group.to_owned(), option, description: description(&text), file: Some(file) }
            })
            .collect();
        for (_, option, text) in PRESETS.iter().filter(|preset| preset.0 == group) {
            if !found.iter().any(|listing| listing.option == *option) {
                let (group, option) = (group.to_owned(), (*option).to_owned());
                found.push(Listing { group, option, description: description(text), file: None });
            }
        }
        found.sort_by(|left, right| left.option.cmp(&right.option));
        found
    }
}

fn file_of(dir: &Path, group: &str, option: &str) -> PathBuf {
    dir.join(group).join(format!("{option}.toml"))
}

fn toml_files(dir: &Path) -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let toml = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    toml.filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone()))).collect()
}

fn description(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix('#').unwrap_or_default().trim().to_owned()
}

//! What tests share: the binary, scratch directories that are removed, fixtures, seeded random workloads.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fidelio_shared::schema::{Workload, WorkloadRow};
use fidelio_shared::time::Nanos;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A directory of one test, removed when the test ends well.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A fresh directory under the build's own temporary folder.
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Runs the binary inside the directory.
    pub fn fidelio(&self, args: &[&str]) -> Ran {
        self.fidelio_with(args, &[])
    }

    /// Runs the binary inside the directory with these environment variables.
    pub fn fidelio_with(&self, args: &[&str], variables: &[(&str, &OsStr)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_fidelio"))
            .args(args)
            .envs(variables.iter().copied())
            .current_dir(&self.path)
            .env("XDG_CONFIG_HOME", &self.path)
            .env_remove("FIDELIO_CONFIG")
            .output()
            .expect("the binary starts");
        Ran::new(args, output)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What a run of the binary gave.
pub struct Ran {
    pub args: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(args: &[&str], output: Output) -> Self {
        Ran {
            args: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It ended with `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "fidelio {}\n{}\n{}", self.args, self.stdout, self.stderr);
        self
    }

    /// It failed as bad input must: exit code 2, nothing on stdout, one `error:` with these words.
    pub fn refused(self, words: &[&str]) -> Self {
        let ran = self.expect(2);
        assert_eq!(ran.stdout, "", "an error puts nothing on stdout");
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
        for word in words {
            assert!(
                ran.stderr.contains(word),
                "`{word}` is not in the message of fidelio {}:\n{}",
                ran.args,
                ran.stderr
            );
        }
        ran
    }

    /// The last line of stdout: the path of what was made.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.stdout.lines().last().expect("a path on stdout"))
    }

    /// stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }
}

/// A committed fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// The same as a string for the command line.
pub fn fixture_arg(name: &str) -> String {
    fixture(name).display().to_string()
}

/// The folder `name` of the data that lies beside the project, where there is one.
pub fn data(name: &str) -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let named = PathBuf::from(std::env::var_os("FIDELIO_DATA").unwrap_or_default()).join(name);
    let found = [usual.clone(), named].into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: `{}` is not here; FIDELIO_DATA names the folder above `{name}`", usual.display());
    }
    found
}

/// Copies a directory of plain files.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory to copy") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Random requests whose arrivals lie on a grid of `grid_ns`, so that events tie.
pub fn grid_workload(seed: u64, num_requests: u32, grid_ns: u64, max_gap: u64) -> Workload {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut arrival = 0;
    let rows = (0..num_requests).map(|_| {
        let gap = random.random_range(0..=max_gap) * grid_ns;
        arrival += gap;
        WorkloadRow {
            prompt_id: String::new(),
            num_prefill_tokens: random.random_range(1..=60),
            num_decode_tokens: random.random_range(0..=40),
            inter_arrival: Nanos(gap),
            arrival: Nanos(arrival),
        }
    });
    Workload { rows: rows.collect(), prefixes: None }
}

/// A random generator that prints its seed when the test fails.
pub fn random(seed: u64) -> impl Rng {
    println!("seed {seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

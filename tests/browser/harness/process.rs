//! Processes that end with the test, and where tests put their files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An empty directory for one purpose of these tests.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory below target");
    dir
}

/// A process that ends with the test.
pub struct Running(Child);

impl Drop for Running {
    /// Ends the whole group: a browser must not outlive the driver that started it.
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts `command` and reads its standard output until `pick` finds what it waits for.
    pub fn start<T>(command: &mut Command, hint: &str, pick: impl Fn(&str) -> Option<T>) -> (Self, T) {
        // Into a file: a browser stands still when nobody reads what it complains of.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let complaints = scratch(&format!("process-{}", COUNT.fetch_add(1, Ordering::Relaxed))).join("stderr");
        let stderr = File::create(&complaints).expect("a file for what goes wrong");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        let child = command.spawn();
        let mut running = Running(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}. {hint}")));
        let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| pick(&line));
        let found = found.unwrap_or_else(|| {
            let errors = std::fs::read_to_string(&complaints).unwrap_or_default();
            panic!("{command:?} ended without saying what was waited for: {errors}. {hint}")
        });
        // Whatever comes later is read and dropped, so that the process never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        (running, found)
    }

    /// Its id, which is also its group's.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

/// The first of these programs that is on PATH.
pub fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

//! The command line itself: exit codes, streams, help, reuse, force, JSON.

use std::fs;
use std::process::{Command, Stdio};

use crate::bundles::{published_bundle, unzip};
use crate::harness::{Scratch, fixture_arg};

#[test]
fn help_and_version_go_to_stdout_and_mistakes_to_stderr_with_exit_2() {
    let scratch = Scratch::new("cli-help");
    for args in [&["--help"][..], &["--version"], &["compare", "--help"], &["help", "run"]] {
        let ran = scratch.fidelio(args).expect(0);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{args:?}");
    }
    for args in [
        &[][..],
        &["measur"],
        &["compare", "--sim", "x"],
        &["compare", "--real", "a", "--sim", "b", "--tolerance", "wide"],
    ] {
        let ran = scratch.fidelio(args).expect(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn doctor_never_fails_and_says_what_is_missing() {
    let scratch = Scratch::new("cli-doctor");
    let ran = scratch.fidelio(&["doctor"]).expect(0);
    let of_gpu: &[&str] = if cfg!(feature = "cuda") { &["gpu driver", "gpu", "nvrtc", "cublaslt"] } else { &["gpu"] };
    let parts = [&["processor", "memory"], of_gpu, &["tokenizer", "viewer", "build"]].concat();
    let mut found = ran.stdout.lines().map(|line| line.get(9..).unwrap_or_default());
    assert!(parts.iter().all(|part| found.next().is_some_and(|line| line.starts_with(part))), "{}", ran.stdout);
    assert_eq!(found.next(), None);
    for line in ran.stdout.lines().filter(|line| line.starts_with("missing")) {
        assert!(line.contains("disabled"), "what it disables is said: {line}");
    }
    let json = scratch.fidelio(&["doctor", "--json"]).expect(0).json();
    let named: Vec<&str> = json.as_array().expect("a list").iter().filter_map(|part| part["what"].as_str()).collect();
    assert_eq!(named, parts);
}

#[test]
fn a_declared_tolerance_that_is_exceeded_exits_1_and_an_undeclared_one_0() {
    let scratch = Scratch::new("cli-tolerance");
    let [real, sim] = ["real_run", "vidur_run"].map(|part| fixture_arg(&format!("qwen3_a100_spaced/{part}")));
    let base = ["compare", "--real", &real, "--sim", &sim, "--allow-mismatch", "-q"];
    scratch.fidelio(&base).expect(0);
    scratch.fidelio(&[&base[..], &["--tolerance", "10%"]].concat()).expect(1);
    // The whole range of errors fits into 900 %, and eight requests cannot say more than "cannot tell".
    let ran = scratch.fidelio(&[&base[..], &["--tolerance", "900%", "--json"]].concat()).expect(0);
    assert_eq!(ran.json()["verdict"]["verdict"], "cannot_tell");
    // A run against itself: nothing differs, so nothing is outside.
    scratch
        .fidelio(&["compare", "--real", &real, "--sim", &real, "--allow-mismatch", "--tolerance", "0", "-q"])
        .expect(0);
}

#[test]
fn an_artifact_is_reused_refused_or_replaced() {
    let scratch = Scratch::new("cli-reuse");
    let make = |args: &[&str]| scratch.fidelio(&[&["workload", "quickstart"], args].concat());
    let first = make(&[]).expect(0).path();
    let again = make(&[]).expect(0);
    assert_eq!(first, again.path());
    assert!(again.stderr.contains("reusing"), "{}", again.stderr);
    fs::create_dir(scratch.join("mine")).expect("a directory");
    fs::write(scratch.join("mine/notes.txt"), "keep me").expect("written");
    make(&["--out", "mine"]).refused(&["already exists", "--force"]);
    make(&["--out", "mine", "--force"]).refused(&["`mine` is not an artifact of this kind"]);
    assert!(scratch.join("mine/notes.txt").exists(), "what this program did not make is never deleted");
    fs::remove_file(scratch.join("mine/notes.txt")).expect("removed");
    make(&["--out", "mine", "--force"]).expect(0);
    make(&["seed=1", "--out", "mine"]).refused(&["already exists"]);
    make(&["seed=1", "--out", "mine", "--force"]).expect(0);
    let left: Vec<String> = fs::read_dir(scratch.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "mine" && name != "tmp")
        .collect();
    assert!(left.is_empty(), "locks and replaced directories are gone: {left:?}");
}

#[test]
fn two_processes_on_one_artifact_exclude_each_other() {
    let scratch = Scratch::new("cli-lock");
    let lock = fs::File::create(scratch.join("mine.lock")).expect("a lock file");
    lock.lock().expect("locked");
    let args = ["workload", "quickstart", "--out", "mine"];
    scratch.fidelio(&args).refused(&["another process is making `mine`"]);
    lock.unlock().expect("unlocked");
    scratch.fidelio(&args).expect(0);
    assert!(!scratch.join("mine.lock").exists(), "nothing but the artifact remains");
}

#[test]
fn a_bundle_never_overwrites_what_is_there_unless_forced() {
    let scratch = Scratch::new("cli-overwrite");
    published_bundle(&scratch);
    fs::write(scratch.join("mine.zip"), "my thesis").expect("written");
    scratch.fidelio(&["bundle", "comparison", "--out", "mine.zip"]).refused(&["already exists", "--force"]);
    assert_eq!(fs::read(scratch.join("mine.zip")).expect("a file"), b"my thesis");
    scratch.fidelio(&["bundle", "comparison", "--out", "mine.zip", "--force"]).expect(0);
    scratch.fidelio(&["verify", "mine.zip"]).expect(0);
    fs::write(scratch.join("comparison/notes.txt"), "private").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", scratch.join("comparison/figs/link.svg")).expect("a link");
    scratch.fidelio(&["bundle", "comparison", "--out", "clean.zip"]).expect(0);
    let names: Vec<String> = unzip(&scratch.join("clean.zip")).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| !name.contains("notes") && !name.contains("link")), "{names:?}");
}

#[test]
fn the_same_run_given_twice_is_no_repeat() {
    let scratch = Scratch::new("cli-repeats");
    let [real, sim] = ["real_run", "vidur_run"].map(|part| fixture_arg(&format!("qwen3_a100_spaced/{part}")));
    let twice = ["compare", "--real", &real, &real, "--sim", &sim, "--allow-mismatch"];
    scratch.fidelio(&twice).refused(&["the same real run is given twice"]);
    let simulated = ["compare", "--real", &real, &sim, "--sim", &sim];
    scratch.fidelio(&[&simulated[..], &["--allow-mismatch"]].concat()).expect(0);
    let ran = scratch.fidelio(&[&simulated[..], &["--allow-mismatch", "--force"]].concat()).expect(0);
    assert!(ran.stdout.contains("`real_run_2` was simulated"), "{}", ran.stdout);
}

#[test]
fn a_file_cannot_write_to_the_terminal() {
    let scratch = Scratch::new("cli-escape");
    crate::harness::copy_dir(&crate::harness::fixture("qwen3_a100_burst_sim"), &scratch.join("run"));
    fs::write(scratch.join("run/run_meta.json"), r#"{"model": "\u001b[2Jowned"}"#).expect("written");
    let ran = scratch.fidelio(&["summary", "run"]).expect(0);
    assert!(ran.stdout.contains("owned") && !ran.stdout.contains('\u{1b}'));
}

#[test]
fn settings_that_would_hang_or_invent_are_refused() {
    let scratch = Scratch::new("cli-settings");
    for (setting, words) in [
        ("hardware.num_threads=100000", "100000 is not between 1 and 1024"),
        ("profile.repeats=4294967295", "is not between"),
        ("scheduler.max_in_flight=2", "must be 1"),
        ("scheduler.max_num_seqs=0", "must be at least 1"),
        ("hardware.name=../../elsewhere", "it names a directory"),
    ] {
        scratch
            .fidelio(&["run", "quickstart", setting])
            .refused(&[words, setting.split('=').next().expect("a key").split('.').next().expect("a group")]);
    }
    assert!(!scratch.join("tmp").exists());
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    let scratch = Scratch::new("cli-pipe");
    let mut child = Command::new(env!("CARGO_BIN_EXE_fidelio"))
        .args(["completions", "bash"])
        .current_dir(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

#[test]
fn an_input_that_changed_after_the_comparison_is_not_bundled() {
    let scratch = Scratch::new("cli-changed");
    crate::harness::copy_dir(&crate::harness::fixture("qwen3_a100_spaced"), scratch.path());
    scratch
        .fidelio(&["compare", "--real", "real_run", "--sim", "vidur_run", "--allow-mismatch", "--out", "c"])
        .expect(0);
    let path = scratch.join("vidur_run/token_metrics.csv");
    let text = fs::read_to_string(&path).expect("a file");
    fs::write(&path, text.replacen('1', "2", 1)).expect("written");
    scratch.fidelio(&["bundle", "c", "--out", "b.zip"]).refused(&["no longer the sim_run that was compared"]);
    assert!(!scratch.join("b.zip").exists());
    assert_eq!(
        fs::read_dir(scratch.path())
            .expect("a directory")
            .filter(|entry| {
                entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains("partial"))
            })
            .count(),
        0
    );
}

#[test]
fn summaries_and_tables_read_as_intended() {
    let scratch = Scratch::new("cli-summary");
    published_bundle(&scratch);
    let summary = fs::read_to_string(scratch.join("comparison/summary.md")).expect("summary.md");
    for words in [
        "# Real against simulated",
        "> ⚠ settings differ",
        "| P99 | 22.76 ms |",
        "figs/ttft_cdf.svg",
        "one run: unknown",
    ] {
        assert!(summary.contains(words), "`{words}` is not in\n{summary}");
    }
    for figure in ["ttft_cdf.svg", "ttft_cdf.png", "token_latency_cdf.svg"] {
        let bytes = fs::read(scratch.join("comparison/figs").join(figure)).expect("a figure");
        assert!(bytes.len() > 2_000, "{figure}");
    }
}

//! Configuration: every preset resolves, later layers win, and every mistake is named with the way out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fidelio::commands::configs::{configs_text, list_configs};
use fidelio::config::{ConfigError, ConfigRequest, Experiment, Library, LoadFormat, resolve};
use fidelio_shared::metrics::{Definition, Slo};
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::{ArrivalProcess, LengthDistribution, RequestSource};

fn configs_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn request(experiment: &str, overrides: &[&str]) -> ConfigRequest {
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    ConfigRequest { experiment: experiment.to_owned(), overrides, ..ConfigRequest::default() }
}

fn good(experiment: &str, overrides: &[&str]) -> Experiment {
    resolve(&request(experiment, overrides)).unwrap_or_else(|error| panic!("{overrides:?}: {error}"))
}

/// The message and the hint of a mistake on the command line.
fn bad(overrides: &[&str]) -> (String, String) {
    let error = resolve(&request("quickstart", overrides)).expect_err("the overrides are wrong");
    (error.to_string(), error.hint.unwrap_or_default())
}

/// A directory of this test's own, empty.
fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("fidelio-config-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    dir
}

#[test]
fn every_preset_file_is_inside_the_binary_and_described() {
    let built_in = Library::default().list(None).expect("all groups");
    let listed: BTreeSet<(String, String)> =
        built_in.iter().map(|listing| (listing.group.clone(), listing.option.clone())).collect();
    let on_disk = Library::new(Some(&configs_dir())).expect("the configs folder").list(None).expect("all groups");
    let found: BTreeSet<(String, String)> =
        on_disk.iter().map(|listing| (listing.group.clone(), listing.option.clone())).collect();
    assert_eq!(found, listed, "the preset table in presets.rs and configs/ must agree");
    assert!(on_disk.iter().all(|listing| listing.file.is_some()), "a preset of the table has no file");
    for listing in built_in {
        assert!(listing.description.len() > 10, "{listing:?} needs a first line that says what it is");
    }
}

#[test]
fn every_experiment_resolves_and_every_option_fits_the_quickstart() {
    for listing in Library::default().list(None).expect("all groups") {
        let group = format!("{}={}", listing.group, listing.option);
        match (listing.group.as_str(), listing.option.as_str()) {
            ("experiment", name) => drop(good(name, &[])),
            ("model", "hugging-face") => drop(good("quickstart", &[&group, "model.path=/models/qwen3"])),
            ("workload", "lengths" | "arxiv" | "azure-conv" | "mooncake") => {
                drop(good("quickstart", &[&group, "workload.requests.file=l.csv"]))
            }
            ("scheduler", name) if !["vllm-v1", "sarathi"].contains(&name) => {
                // Their KV blocks come from a device's memory.
                let experiment = good("quickstart", &[&group, "hardware=a100-80gb", "model=llama-3-8b"]);
                assert!(experiment.scheduler.num_blocks > 1_000, "{group}");
            }
            _ => drop(good("quickstart", &[&group])),
        }
    }
}

#[test]
fn params_hold_every_group_and_the_chosen_options() {
    let params = good("quickstart", &[]).params();
    let keys: Vec<&str> = params.keys().map(String::as_str).collect();
    let expected =
        "backend capacity cluster compare hardware latency model name profile scheduler seed simulation use workload";
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" "), expected);
    assert_eq!(params["use"]["model"], "qwen3-30m");
    assert_eq!(params["workload"]["seed"], 42, "the experiment's seed reaches what sets none");
    assert_eq!(params["model"]["dummy_seed"], 42);
}

#[test]
fn the_command_line_wins_over_the_user_file_over_the_experiment() {
    let dir = scratch("layers");
    let user_file = dir.join("user.toml");
    std::fs::write(&user_file, "[scheduler]\nmax_num_seqs = 5\nblock_size = 8\n[use]\nscheduler = \"sarathi\"\n")
        .expect("write");
    let mut asked = request("quickstart", &["scheduler.block_size=4", "seed=7"]);
    asked.user_file = Some(user_file);
    let experiment = resolve(&asked).expect("good layers");
    assert_eq!(experiment.options["scheduler"], "sarathi");
    assert_eq!((experiment.scheduler.max_num_seqs, experiment.scheduler.block_size), (5, 4));
    assert_eq!((experiment.seed, experiment.workload.seed), (7, 7));
    std::fs::remove_dir_all(dir).expect("clean up");
}

#[test]
fn choosing_an_option_starts_its_group_afresh_whatever_the_order() {
    for overrides in
        [["workload=synthetic", "workload.num_requests=9"], ["workload.num_requests=9", "workload=synthetic"]]
    {
        let workload = good("quickstart", &overrides).workload;
        assert_eq!(workload.num_requests, Some(9));
        assert!(matches!(workload.requests, RequestSource::Synthetic { .. }));
        assert_eq!(
            workload.arrivals,
            ArrivalProcess::Poisson { rate_rps: 2.0, max_gap_factor: None },
            "the preset's, not the experiment's"
        );
    }
}

#[test]
fn another_kind_replaces_the_table_it_is_in() {
    let arrivals = |overrides: &[&str]| good("quickstart", overrides).workload.arrivals;
    assert_eq!(arrivals(&["workload.arrivals.kind=static"]), ArrivalProcess::Static {});
    let gamma = ["workload.arrivals.cv=2", "workload.arrivals.kind=gamma", "workload.arrivals.rate_rps=3"];
    assert_eq!(arrivals(&gamma), ArrivalProcess::Gamma { rate_rps: 3.0, cv: 2.0 });
    assert_eq!(
        arrivals(&["workload.arrivals={kind=\"fixed_interval\", interval_ms=5}"]),
        ArrivalProcess::FixedInterval { interval_ms: 5.0 }
    );
    let synthetic = good("quickstart", &["workload=synthetic", "workload.requests.prefill.max=99"]);
    let RequestSource::Synthetic { prefill: LengthDistribution::Lognormal { max, .. }, .. } =
        synthetic.workload.requests
    else {
        panic!("log-normal lengths expected");
    };
    assert_eq!(max, 99);
}

#[test]
fn mistakes_name_the_key_and_the_nearest_valid_names() {
    let cases: [(&[&str], &str, &str); 18] = [
        (
            &["scheduler.max_num_seq=4"],
            "command line, key `scheduler.max_num_seq`: there is no such key",
            "did you mean `max_num_seqs`",
        ),
        (
            &["shceduler.block_size=4"],
            "command line, key `shceduler`: there is no such key",
            "did you mean `scheduler`",
        ),
        (
            &["workload.arrivals.rate=4"],
            "command line, key `workload.arrivals.rate`: there is no such key",
            "did you mean `rate_rps`",
        ),
        (
            &["workload.arrivals.kind=static", "workload.arrivals.rate_rps=4"],
            "command line, key `workload.arrivals.rate_rps`: there is no such key",
            "",
        ),
        (
            &["workload.arrivals.kind=poison"],
            "command line, key `workload.arrivals.kind`: `poison` is not one of its values",
            "did you mean `poisson`",
        ),
        (&["model=qwen3-06b"], "command line, key `model`: there is no model `qwen3-06b`", "did you mean `qwen3-0.6b`"),
        (&["backend=cuda-13"], "command line, key `backend`: there is no backend `cuda-13`", "`cuda`"),
        (&["backend.kind=gpu"], "command line, key `backend.kind`: `gpu` is not one of its values", "`cuda`"),
        (
            &["model.config.num_hiden_layers=2"],
            "command line, key `model.config.num_hiden_layers`: there is no such key",
            "did you mean `num_hidden_layers`",
        ),
        (
            &["scheduler.block_size=tall"],
            "command line, key `scheduler.block_size`: invalid type: string \"tall\", expected u32",
            "",
        ),
        (
            &["workload.arrivals.rate_rps=-1"],
            "command line, key `workload.arrivals.rate_rps`: -1 is not between 0.000001 and 1000000000",
            "",
        ),
        (
            &["scheduler.max_model_len=5000"],
            "command line, key `scheduler.max_model_len`: 5000 is more than the model's 4096 positions",
            "",
        ),
        (
            &["model.load_format=safetensors"],
            "command line, key `model.load_format`: `safetensors` needs `model.path`",
            "model=hugging-face",
        ),
        (
            &["compare.percentiles=[50, 101]"],
            "command line, key `compare.percentiles`: must be numbers between 0 and 100 with at most two decimals",
            "",
        ),
        (
            &["compare.definition=vllm"],
            "command line, key `compare.definition`: `vllm` is not one of its values",
            "did you mean `vllm-bench`?",
        ),
        (&["compare.slo=ttft=5"], "command line, key `compare.slo`: `5` has no unit: write `200ms` or `1.5s`", ""),
        (&["quick"], "command line: `quick` is not an override", "group=option"),
        (
            &["model.name=../up"],
            "command line, key `model.name`: `../up` must be letters, digits, `.`, `_` and `-`: it names a directory",
            "",
        ),
    ];
    for (overrides, message, hint) in cases {
        let (found, found_hint) = bad(overrides);
        assert_eq!(found, message);
        assert!(found_hint.contains(hint), "{overrides:?}: hint {found_hint:?} lacks {hint:?}");
    }
}

#[test]
fn unknown_experiments_and_groups_name_the_valid_ones() {
    let unknown = resolve(&request("quickstrat", &[])).expect_err("no such experiment");
    assert_eq!(unknown.to_string(), "command line: there is no experiment `quickstrat`");
    assert!(unknown.hint.expect("a hint").contains("`quickstart`"));
    let group = Library::default().list(Some("modell")).expect_err("no such group");
    assert_eq!(group.to_string(), "command line: there is no group `modell`");
    let outside = resolve(&request("../quickstart", &[])).expect_err("not a name");
    assert!(outside.to_string().contains("there is no experiment `../quickstart`"));
}

#[test]
fn mistakes_in_a_file_name_the_file() {
    let dir = scratch("files");
    let file = dir.join("mine.toml");
    let fails = |text: &str| -> ConfigError {
        std::fs::write(&file, text).expect("write");
        resolve(&request(&file.to_string_lossy(), &[])).expect_err("the file is wrong")
    };
    let shown = file.display();
    assert_eq!(fails("seed = 1\n[use\n").to_string().split(": ").next(), Some(format!("`{shown}`, line 2").as_str()));
    assert_eq!(fails("seed = 1\n").to_string(), format!("`{shown}`, key `model`: is missing"));
    assert_eq!(
        fails("[use]\nmodle = \"x\"\n").to_string(),
        format!("`{shown}`, key `use.modle`: there is no group `modle`")
    );
    let all = "[use]\nmodel=\"qwen3-30m\"\nhardware=\"this-machine\"\nworkload=\"demo\"\nscheduler=\"vllm-v1\"\nbackend=\"candle-cpu\"\nlatency=\"steps\"\n";
    let typo = fails(&format!("{all}[scheduler]\nblok_size = 3\n"));
    assert_eq!(typo.to_string(), format!("`{shown}`, key `scheduler.blok_size`: there is no such key"));
    assert_eq!(typo.hint.as_deref(), Some("did you mean `block_size`?"));
    std::fs::remove_dir_all(dir).expect("clean up");
}

#[test]
fn paths_in_a_file_start_where_the_file_lies_and_on_the_command_line_where_the_user_is() {
    let dir = scratch("paths");
    let file = dir.join("mine.toml");
    let quickstart = std::fs::read_to_string(configs_dir().join("experiment/quickstart.toml")).expect("the preset");
    std::fs::write(&file, quickstart.replace("[workload]", "[workload]\nrequests.file = \"p.jsonl\"")).expect("write");
    let prompts = |overrides: &[&str]| match good(&file.to_string_lossy(), overrides).workload.requests {
        RequestSource::Prompts { file } => PathBuf::from(file),
        other => panic!("prompts expected, not {other:?}"),
    };
    assert_eq!(prompts(&[]), dir.join("p.jsonl"));
    assert_eq!(prompts(&["workload.requests.file=q.jsonl"]), PathBuf::from("q.jsonl"));
    assert_eq!(prompts(&["workload.requests.file=builtin:demo"]), PathBuf::from("builtin:demo"));
    std::fs::remove_dir_all(dir).expect("clean up");
}

#[test]
fn a_configuration_directory_shadows_presets_and_says_so() {
    let dir = scratch("shadow");
    std::fs::create_dir_all(dir.join("hardware")).expect("a folder");
    std::fs::write(dir.join("hardware/this-machine.toml"), "# Mine\nname = \"mine\"\n").expect("write");
    std::fs::write(dir.join("hardware/other.toml"), "# Another\nname = \"other\"\n").expect("write");
    let mut asked = request("quickstart", &[]);
    asked.config_dir = Some(dir.clone());
    let experiment = resolve(&asked).expect("good");
    assert_eq!(experiment.hardware.name, "mine");
    assert_eq!(experiment.source.notices.len(), 1, "{:?}", experiment.source.notices);
    assert!(experiment.source.notices[0].ends_with("shadows the built-in hardware `this-machine`"));
    asked.overrides.push("hardware=other".to_owned());
    assert_eq!(resolve(&asked).expect("good").hardware.name, "other");
    asked.config_dir = Some(dir.join("nowhere"));
    assert!(resolve(&asked).expect_err("no directory").to_string().ends_with("is not a directory"));
    std::fs::remove_dir_all(dir).expect("clean up");
}

#[test]
fn a_hugging_face_directory_brings_its_name_and_tokenizer() {
    let model = good("quickstart", &["model=hugging-face", "model.path=/models/Qwen3-4B"]).model;
    assert_eq!((model.name.as_str(), model.tokenizer.as_str()), ("Qwen3-4B", "/models/Qwen3-4B"));
    assert_eq!((model.load_format, model.config), (LoadFormat::Safetensors, None));
    let (message, hint) = bad(&["model.path=/models/Qwen3-4B"]);
    assert!(
        message.contains("does not go with `model.config`") && hint.contains("model=hugging-face"),
        "{message} {hint}"
    );
}

#[test]
fn a_declared_tolerance_is_told_from_the_usual_one() {
    let usual = good("quickstart", &[]).compare.options();
    assert!(!usual.is_tolerance_declared);
    assert_eq!(usual.percentiles.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p50", "p90", "p95", "p99"]);
    let declared = good("quickstart", &["compare.tolerance=0.05", "compare.percentiles=[50, 99.9]"]).compare.options();
    assert_eq!((declared.tolerance, declared.is_tolerance_declared), (0.05, true));
    assert_eq!(declared.percentiles.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p50", "p99.9"]);
}

#[test]
fn an_experiment_names_whose_metrics_it_compares_and_its_objective() {
    let usual = good("quickstart", &[]);
    assert_eq!((usual.compare.options().definition, usual.compare.options().slo), (Definition::Fidelio, None));
    assert!(usual.params()["compare"].get("definition").is_none(), "what is usual is not written down");
    let asked = good("quickstart", &["compare.definition=loadgen", "compare.slo=ttft=2s,tpot=50ms"]);
    let slo = Slo { ttft: Some(Nanos(2_000_000_000)), tpot: Some(Nanos(50_000_000)), ..Slo::default() };
    assert_eq!((asked.compare.options().definition, asked.compare.options().slo), (Definition::LoadGen, Some(slo)));
    assert_eq!(asked.params()["compare"]["slo"], "ttft=2s,tpot=50ms");
}

#[test]
fn the_list_shows_groups_and_first_lines() {
    let listings = list_configs(&Library::default(), Some("scheduler")).expect("a group");
    let text = configs_text(&listings);
    assert!(text.starts_with("scheduler\n  faster-transformer  FasterTransformer: a batch"), "{text}");
    assert!(text.contains("\n  sarathi             Sarathi-Serve's scheduler"), "{text}");
    assert_eq!(text.lines().count(), 9);
}

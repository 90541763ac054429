//! `fidelio simulate` as people use it: every scheduler, clusters, clocks, latency models, and what is refused.

use std::fs;
use std::path::Path;

use fidelio_shared::schema::{Prefixes, Workload};
use fidelio_shared::serving::{ClusterConfig, Policy, RouterPolicy, SchedulerConfig};
use fidelio_shared::simulate::Simulation;
use fidelio_shared::time::Nanos;

use crate::harness::{Scratch, data, grid_workload};
use crate::parity::{GridTimes, Log, settings};

/// A hundred requests, simulated with `overrides`; the run's directory.
fn simulated(scratch: &Scratch, name: &str, overrides: &[&str]) -> std::path::PathBuf {
    let base = ["simulate", "llama3-8b-a100", "workload.num_requests=100", "--out", name];
    scratch.fidelio(&[&base[..], overrides].concat()).expect(0);
    scratch.join(name)
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).expect("a file of the run")
}

#[test]
fn every_scheduler_preset_serves_what_it_can_and_says_why_it_cannot() {
    let scratch = Scratch::new("simulate-schedulers");
    for scheduler in
        ["vllm-v1-server", "sarathi-server", "vidur-vllm", "orca", "faster-transformer", "lightllm", "vllm-v1"]
    {
        let option = format!("scheduler={scheduler}");
        let dir = simulated(&scratch, scheduler, &[&option]);
        let rows = read(&dir, "request_metrics.csv");
        let of = |status: &str| rows.lines().filter(|line| line.contains(&format!(",{status},"))).count();
        println!("{scheduler}: {} ok, {} rejected", of("ok"), of("rejected"));
        assert_eq!(of("ok") + of("rejected"), 100, "{scheduler} ends every request:\n{rows}");
        assert!(of("ok") >= 70, "{scheduler} serves what fits");
        for line in rows.lines().filter(|line| line.contains(",rejected,")) {
            assert!(line.contains("are more than"), "a reason is given: {line}");
        }
    }
}

#[test]
fn without_token_rows_everything_else_is_the_same() {
    let scratch = Scratch::new("simulate-tokens");
    for (scheduler, blocks) in [("vllm-v1", 400), ("sarathi", 600), ("vllm-v1-server", 900)] {
        let option = format!("scheduler={scheduler}");
        let blocks = format!("scheduler.num_blocks={blocks}");
        let changes = [&option, &blocks, "scheduler.max_model_len=8000", "workload.arrivals.rate_rps=40"];
        let with = simulated(&scratch, &format!("{scheduler}-with"), &changes);
        let without = simulated(
            &scratch,
            &format!("{scheduler}-without"),
            &[&changes[..], &["simulation.tokens=false"]].concat(),
        );
        assert!(with.join("token_metrics.csv").exists() && !without.join("token_metrics.csv").exists());
        for file in ["request_metrics.csv", "step_metrics.csv"] {
            assert_eq!(read(&with, file), read(&without, file), "{scheduler}, {file}");
        }
    }
}

#[test]
fn replicas_and_stages_take_the_load_off_each_other() {
    let scratch = Scratch::new("simulate-cluster");
    let mean_ttft = |name: &str, overrides: &[&str]| -> f64 {
        let dir = simulated(&scratch, name, &[&["workload.arrivals.rate_rps=60"][..], overrides].concat());
        let dir = dir.display().to_string();
        scratch.fidelio(&["summary", &dir, "--json"]).expect(0).json()["ttft"]["mean"].as_f64().expect("a mean")
    };
    let one = mean_ttft("one", &[]);
    for router in ["round_robin", "least_outstanding", "random", "prefix_aware"] {
        let option = format!("cluster.router={router}");
        let four = mean_ttft(router, &["cluster.num_replicas=4", &option]);
        println!("TTFT of one replica {:.1} ms, of four with {router} {:.1} ms", one / 1e6, four / 1e6);
        assert!(four < one / 2.0, "{router}: {four} ns, one replica {one} ns");
    }
    let staged = ["cluster.pipeline_parallel=2", "scheduler.async_scheduling=false", "cluster.tensor_parallel=2"];
    let staged = mean_ttft("staged", &staged);
    assert!(staged < one, "two stages of two devices: {staged} ns, one device {one} ns");
}

#[test]
fn what_cannot_be_simulated_or_measured_is_named() {
    let scratch = Scratch::new("simulate-refused");
    let refused = |args: &[&str], words: &[&str]| scratch.fidelio(args).refused(words);
    let base = ["simulate", "llama3-8b-a100"];
    refused(&[&base[..], &["simulation.clock=vidur"]].concat(), &["`simulation.clock`", "latency=operations"]);
    refused(&[&base[..], &["latency=operations"]].concat(), &["needs a profile", "--profile DIR"]);
    refused(&[&base[..], &["latency=operations", "latency.profile=."]].concat(), &["is no profile", "latency.device"]);
    refused(&[&base[..], &["latency=vidur-tables", "latency.profile=."]].concat(), &["holds no table"]);
    refused(&[&base[..], &["latency=layers", "latency.profile=."]].concat(), &["dense.csv", "is missing"]);
    refused(&[&base[..], &["hardware=this-machine"]].concat(), &["scheduler.num_blocks", "fidelio configs hardware"]);
    refused(&[&base[..], &["cluster.pipeline_parallel=2"]].concat(), &["async_scheduling", "one pipeline stage"]);
    refused(&[&base[..], &["scheduler=lightllm", "scheduler.block_size=16"]].concat(), &["`block_size` 1"]);
    refused(&[&base[..], &["cluster.num_replicas=0"]].concat(), &["cluster.num_replicas", "between 1 and"]);
    refused(&[&base[..], &["scheduler.num_blocks=4294967295"]].concat(), &["`num_blocks`", "must be at most"]);
    refused(&[&base[..], &["hardware.gpu_memory_utilization=5"]].concat(), &["gpu_memory_utilization"]);
    refused(&[&base[..], &["workload.arrivals.rate_rps=1e-6"]].concat(), &["days", "raise the rate"]);
    let vidur = ["latency=vidur-tables", "latency.profile=.", "simulation.clock=vidur", "scheduler.num_blocks=1000"];
    refused(&[&base[..], &vidur].concat(), &["Vidur has no `vllm_v1`"]);
    let sarathi = ["scheduler=sarathi-server", "scheduler.num_blocks=1000", "latency.host_us=5"];
    refused(&[&base[..], &vidur, &sarathi].concat(), &["latency.host_us"]);
    refused(&["measure", "quickstart", "cluster.num_replicas=2"], &["`cluster`", "fidelio simulate"]);
    refused(&["measure", "quickstart", "scheduler.enable_prefix_caching=true"], &["enable_prefix_caching"]);
    assert!(!scratch.join("tmp/sim_runs").exists(), "a refusal leaves no run behind");
}

#[test]
fn vidurs_clock_and_ours_tell_the_same_story_from_vidurs_tables() {
    let Some(goldens) = data("vidur_goldens") else { return };
    let scratch = Scratch::new("simulate-clocks");
    let profile =
        format!("latency.profile={}", goldens.join("g01_sarathi_llama3-8b_a100_conv_poisson/tables").display());
    let changes = ["latency=vidur-tables", &profile, "scheduler=sarathi-server", "workload.arrivals.rate_rps=4"];
    let changes = [&changes[..], &["scheduler.vidur_oddities=true", "scheduler.num_blocks=30208"]].concat();
    let ours = simulated(&scratch, "native", &changes);
    let theirs = simulated(&scratch, "vidur", &[&changes[..], &["simulation.clock=vidur"]].concat());
    let completions = |dir: &Path| -> Vec<u64> {
        let text = read(dir, "request_metrics.csv");
        let column = text.lines().next().expect("a header").split(',').position(|name| name == "completion_time_ns");
        let column = column.expect("a column");
        text.lines().skip(1).filter_map(|line| line.split(',').nth(column)?.parse().ok()).collect()
    };
    let (ours_ns, theirs_ns) = (completions(&ours), completions(&theirs));
    assert!(ours_ns.len() >= 90, "{} requests completed", ours_ns.len());
    let worst = ours_ns.iter().zip(&theirs_ns).map(|(a, b)| a.abs_diff(*b)).max().expect("requests");
    println!("completion times differ by at most {worst} ns");
    assert!(ours_ns.len() == theirs_ns.len() && worst <= 1_000);
    let count = |dir: &Path| read(dir, "token_metrics.csv").lines().count();
    assert_eq!(count(&ours), count(&theirs), "the same tokens");
}

#[test]
fn a_profiling_root_of_vidurs_is_simulated_as_it_is() {
    let Some(root) = data("profiles/vidur") else { return };
    let scratch = Scratch::new("simulate-operations");
    let profile = format!("latency.profile={}", root.display());
    let dir = simulated(
        &scratch,
        "run",
        &[
            "model=llama-2-7b",
            "latency=operations",
            &profile,
            "latency.device=a800",
            "latency.model=meta-llama/Llama-2-7b-hf",
            "scheduler=sarathi-server",
            "latency.host_us=500",
            "workload.arrivals.rate_rps=1",
        ],
    );
    let meta: serde_json::Value = serde_json::from_str(&read(&dir, "run_meta.json")).expect("JSON");
    assert_eq!(meta["results"]["set_aside"], serde_json::json!([]), "no failed measurement in this profile");
    let steps = meta["results"]["num_steps"].as_u64().expect("a count");
    let outside = meta["results"]["steps_out_of_profile"].as_u64().expect("a count");
    println!("{steps} steps, {outside} outside the profile");
    assert!(steps > 1_000 && outside * 20 < steps);
    let first = read(&dir, "step_metrics.csv").lines().nth(1).expect("a step").to_owned();
    assert_eq!(first.split(',').nth(4), Some("500000"), "the stated host time is host time: {first}");
}

#[test]
fn simulations_on_many_threads_give_the_bytes_of_one() {
    let cases: Vec<(u64, Policy, RouterPolicy)> = (0..24)
        .map(|seed| {
            let routers = [RouterPolicy::RoundRobin, RouterPolicy::LeastOutstanding, RouterPolicy::Random];
            (seed, Policy::ALL[seed as usize % 3], routers[seed as usize / 3 % 3])
        })
        .collect();
    let run = |(seed, policy, router): &(u64, Policy, RouterPolicy)| -> String {
        let scheduler = SchedulerConfig { max_num_batched_tokens: 64, ..settings(*policy, 60) };
        let cluster = ClusterConfig { num_replicas: 3, router: *router, ..ClusterConfig::default() };
        let simulation = Simulation { scheduler: &scheduler, cluster: &cluster, seed: *seed, model: &GridTimes };
        let mut log = Log::default();
        simulation.run(&grid_workload(*seed, 60, 1_000, 12), &mut log).expect("possible settings");
        format!("{log:?}")
    };
    let one: Vec<String> = cases.iter().map(run).collect();
    let many: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| run(case))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a simulation ends")).collect()
    });
    assert_eq!(one, many);
    assert!(one.iter().collect::<std::collections::BTreeSet<_>>().len() == one.len(), "every case is its own");
}

#[test]
fn host_time_is_hidden_behind_the_device_when_scheduled_asynchronously() {
    let scratch = Scratch::new("simulate-async");
    let itl = |name: &str, host: &str, is_async: &str| -> f64 {
        let (host, mode) = (format!("latency.host_us={host}"), format!("scheduler.async_scheduling={is_async}"));
        let dir = simulated(&scratch, name, &[&host, &mode]).display().to_string();
        scratch.fidelio(&["summary", &dir, "--json"]).expect(0).json()["itl"]["mean"].as_f64().expect("a mean") / 1e6
    };
    let (free, hidden, seen) = (itl("free", "0", "true"), itl("hidden", "4000", "true"), itl("seen", "4000", "false"));
    println!("ITL {free:.2} ms without host time, {hidden:.2} ms with 4 ms hidden, {seen:.2} ms with 4 ms in between");
    assert!((hidden / free - 1.0).abs() < 0.02, "steps are longer than 4 ms, so nothing of it shows");
    assert!(seen > free + 3.5);
    let rows = read(&scratch.join("hidden"), "step_metrics.csv");
    let times: Vec<Vec<u64>> = rows
        .lines()
        .skip(1)
        .map(|line| line.split(',').take(6).map(|cell| cell.parse().expect("a time")).collect())
        .collect();
    assert!(times.windows(2).all(|pair| pair[0][3] <= pair[1][2]), "a step begins when the one before has ended");
    assert!(times.iter().all(|row| row[2] + row[4] + row[5] == row[3]), "host and device are the whole step");
}

#[test]
fn vidurs_clock_records_runs_that_lose_their_blocks_in_the_middle_of_a_prompt() {
    let Some(goldens) = data("vidur_goldens") else { return };
    let scratch = Scratch::new("simulate-evictions");
    let tables = goldens.join("g01_sarathi_llama3-8b_a100_conv_poisson/tables");
    let profile = format!("latency.profile={}", tables.display());
    let pressed = ["scheduler.num_blocks=330", "scheduler.watermark_permille=0", "workload.arrivals.rate_rps=20"];
    let changes = ["latency=vidur-tables", &profile, "scheduler=sarathi-server", "simulation.clock=vidur"];
    let dir = simulated(&scratch, "run", &[&changes[..], &pressed].concat());
    let meta: serde_json::Value = serde_json::from_str(&read(&dir, "run_meta.json")).expect("JSON");
    let preemptions = meta["results"]["num_preemptions"].as_u64().expect("a count");
    println!("{preemptions} restarts");
    assert!(preemptions > 10);
}

#[test]
fn tables_that_add_up_to_no_time_are_refused() {
    let Some(goldens) = data("vidur_goldens") else { return };
    let scratch = Scratch::new("simulate-timeless");
    let tables = scratch.join("tables");
    crate::harness::copy_dir(&goldens.join("g01_sarathi_llama3-8b_a100_conv_poisson/tables"), &tables);
    let profile = format!("latency.profile={}", tables.display());
    let base = ["simulate", "llama3-8b-a100", "latency=vidur-tables", &profile, "scheduler=sarathi-server"];
    let only = |name: &str, row: &str| {
        fs::remove_file(tables.join(format!("{name}.csv.gz"))).ok();
        fs::write(tables.join(format!("{name}.csv")), format!("num_tokens,time_ms\n{row}\n")).expect("a table");
    };
    only("mlp_up_proj", "8,-5");
    scratch.fidelio(&base).refused(&["no time", "profile"]);
    let vidur = ["simulation.clock=vidur", "scheduler.num_blocks=1000"];
    scratch.fidelio(&[&base[..], &vidur].concat()).refused(&["the run is impossible", "tokens"]);
    only("attn_pre_proj", "8,1");
    only("attn_post_proj", "16,1");
    scratch.fidelio(&base).refused(&["no number of tokens in common"]);
}

#[test]
fn prompts_that_begin_alike_share_their_blocks_and_find_the_replica_that_has_them() {
    let num_requests = 24;
    let mut workload = grid_workload(5, num_requests, 1_000_000, 4);
    let mut prefixes = Prefixes::new(8);
    for (id, row) in workload.rows.iter_mut().enumerate() {
        (row.num_prefill_tokens, row.num_decode_tokens) = (40, 4);
        (row.inter_arrival, row.arrival) = (Nanos(1_000_000), Nanos(1_000_000 * (id as u64 + 1)));
        // Three families of prompts, alike in their first 32 tokens.
        prefixes.push([0, 1, 2, 3].map(|piece| (id as u64 % 3) * 10 + piece));
    }
    let prefilled = |prefixes: Option<Prefixes>, router: RouterPolicy| -> u64 {
        let workload = Workload { prefixes, ..workload.clone() };
        let scheduler = SchedulerConfig { enable_prefix_caching: true, ..settings(Policy::VllmV1, 200) };
        let cluster = ClusterConfig { num_replicas: 3, router, ..ClusterConfig::default() };
        let simulation = Simulation { scheduler: &scheduler, cluster: &cluster, seed: 1, model: &GridTimes };
        let mut log = Log::default();
        simulation.run(&workload, &mut log).expect("possible settings");
        assert!(log.rows.values().all(|row| row.num_decode_tokens_actual == 4));
        log.steps.iter().map(|step| step.num_prefill_tokens).sum()
    };
    let all = 40 * num_requests as u64;
    assert_eq!(prefilled(None, RouterPolicy::PrefixAware), all, "nothing is known to be alike");
    // The first of each family computes all of it, the others what they do not share.
    assert_eq!(prefilled(Some(prefixes.clone()), RouterPolicy::PrefixAware), all - 32 * (num_requests as u64 - 3));
    let scattered = prefilled(Some(prefixes), RouterPolicy::Random);
    assert!(scattered < all && scattered > all - 32 * (num_requests as u64 - 3), "{scattered} of {all}");
}

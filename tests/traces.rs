//! Published traces as workloads: exact times and lengths, prefix hashes kept, streamed and repeatable.

use std::fs;
use std::path::{Path, PathBuf};

use fidelio::commands::workload::{BuiltWorkload, build_workload};
use fidelio::config::{ConfigRequest, resolve};
use fidelio::store::load_workload_dir;
use fidelio_shared::schema::{Workload, read_lengths};
use fidelio_shared::time::Nanos;

use crate::harness::{Scratch, fixture_arg};

fn build(overrides: &[&str]) -> BuiltWorkload {
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    let request = ConfigRequest { experiment: "quickstart".to_owned(), overrides, ..ConfigRequest::default() };
    let experiment = resolve(&request).unwrap_or_else(|error| panic!("{error}"));
    build_workload(&experiment).unwrap_or_else(|error| panic!("{error:#}"))
}

/// A preset's workload of `file`.
fn whole(preset: &str, file: &str, more: &[&str]) -> Workload {
    let (preset, file) = (format!("workload={preset}"), format!("workload.requests.file={file}"));
    build(&[&[preset.as_str(), &file], more].concat()).workload().expect("drawn before")
}

fn sums(workload: &Workload) -> (usize, u64, u64) {
    let sum = |length: fn(&fidelio_shared::schema::WorkloadRow) -> u32| -> u64 {
        workload.rows.iter().map(|row| u64::from(length(row))).sum()
    };
    (workload.rows.len(), sum(|row| row.num_prefill_tokens), sum(|row| row.num_decode_tokens))
}

fn last(workload: &Workload) -> Nanos {
    workload.rows.last().expect("requests").arrival
}

/// A whole published trace, where this machine has it; says so where it has not.
fn published(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/traces").join(name);
    let places = [path, PathBuf::from(std::env::var_os("FIDELIO_DATA").unwrap_or_default()).join("traces").join(name)];
    let found = places.iter().find(|path| path.is_file()).map(|path| path.display().to_string());
    if found.is_none() {
        eprintln!("SKIPPED: `{}` is not here; FIDELIO_DATA names the folder above `traces`", places[0].display());
    }
    found
}

#[test]
fn excerpts_keep_every_length_and_every_nanosecond() {
    let azure = whole("azure-conv", &fixture_arg("traces/azure_conv_excerpt.csv"), &[]);
    assert_eq!(sums(&azure), (24, 16_391, 2_096));
    assert_eq!((azure.rows[0].arrival, azure.rows[1].arrival), (Nanos(0), Nanos(4_314_579_000)));
    assert_eq!((last(&azure), &azure.prefixes), (Nanos(14_293_309_000), &None));

    let mooncake = whole("mooncake", &fixture_arg("traces/mooncake_excerpt.jsonl"), &[]);
    assert_eq!(sums(&mooncake).0, 20);
    assert_eq!((sums(&mooncake).1, last(&mooncake)), (391_904, Nanos::from_millis(4_840)));
    let prefixes = mooncake.prefixes.expect("block hashes");
    assert_eq!((prefixes.block_tokens, prefixes.num_requests(), prefixes.num_hashes()), (512, 20, 778));
    assert_eq!((prefixes.of(0)[..3].to_vec(), prefixes.of(0).len()), (vec![0, 1, 2], 79));

    let arxiv = whole("arxiv", &fixture_arg("traces/arxiv_excerpt.csv"), &[]);
    assert_eq!(sums(&arxiv), (24, 71_100, 4_405), "whichever order they come in");
}

#[test]
fn whole_published_traces_are_read_to_the_last_row() {
    if let Some(file) = published("AzureLLMInferenceTrace_conv.csv") {
        let azure = whole("azure-conv", &file, &[]);
        assert_eq!(sums(&azure), (19_366, 22_361_870, 4_088_665));
        assert_eq!(last(&azure), Nanos(3_501_721_937_000));
    }
    if let Some(file) = published("mooncake_synthetic_trace.jsonl") {
        let mooncake = whole("mooncake", &file, &[]);
        assert_eq!(sums(&mooncake), (3_993, 61_194_628, 595_432));
        assert_eq!(last(&mooncake), Nanos::from_millis(1_022_025));
        let prefixes = mooncake.prefixes.expect("block hashes");
        let hashes = || (0..3_993).flat_map(|id| prefixes.of(id));
        assert_eq!((hashes().count(), hashes().sum::<u64>(), hashes().max()), (121_877, 2_510_208_276, Some(&43_923)));
    }
    if let Some(file) = published("arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv") {
        let arxiv = whole("arxiv", &file, &["workload.order=file"]);
        assert_eq!(sums(&arxiv), (28_257, 73_131_321, 8_234_948));
        let ends = [&arxiv.rows[0], &arxiv.rows[28_256]].map(|row| (row.num_prefill_tokens, row.num_decode_tokens));
        assert_eq!(ends, [(3_772, 54), (3_178, 313)]);
    }
}

#[test]
fn a_saved_trace_is_read_back_whole_and_its_hashes_are_part_of_what_it_is() {
    let scratch = Scratch::new("trace-saved");
    let file = format!("workload.requests.file={}", fixture_arg("traces/mooncake_excerpt.jsonl"));
    let asked = ["quickstart", "workload=mooncake", &file];
    let made = |out: &str| scratch.fidelio(&[&["workload"], &asked[..], &["--out", out]].concat()).expect(0);
    made("first");
    let (meta, workload) = load_workload_dir(&scratch.join("first")).expect("what was just written");
    assert_eq!(workload, build(&asked[1..]).workload().expect("drawn"));
    assert_eq!(meta.sha256, Some(workload.sha256()));
    assert_eq!(meta.paths.get("trace_prefixes").map(String::as_str), Some("trace_prefixes.csv"));
    let table = fs::read_to_string(scratch.join("first/trace_prefixes.csv")).expect("a table");
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("request_id,block_tokens,hash_ids"));
    assert!(lines.next().is_some_and(|line| line.starts_with("0,512,0 1 2 3 ")), "{table}");

    made("second");
    for name in ["trace_lengths.csv", "trace_intervals.csv", "trace_prefixes.csv"] {
        let bytes = ["first", "second"].map(|dir| fs::read(scratch.join(dir).join(name)).expect("a table"));
        assert_eq!(bytes[0], bytes[1], "{name}: same inputs, same bytes");
    }

    let without = Workload { prefixes: None, ..workload.clone() };
    assert_ne!(without.sha256(), workload.sha256());
    fs::remove_file(scratch.join("second/trace_prefixes.csv")).expect("removed");
    let error = load_workload_dir(&scratch.join("second")).expect_err("hashes that were lost");
    assert!(error.problem.contains("their hash differs"), "{error}");
    let table = table.replace("\n5,512,", "\n5,512,99 ");
    fs::write(scratch.join("first/trace_prefixes.csv"), table).expect("written");
    let error = load_workload_dir(&scratch.join("first")).expect_err("one hash too many");
    assert_eq!((error.line, error.column.as_deref()), (Some(7), Some("hash_ids")), "{error}");
    assert!(error.problem.contains("2 hashes are more than the 1 blocks of 512 in 28 tokens"), "{error}");
}

#[test]
fn scales_clips_and_time_scales_are_applied_to_a_trace() {
    let file = format!("workload.requests.file={}", fixture_arg("traces/mooncake_excerpt.jsonl"));
    let plain = build(&["workload=mooncake", &file]).workload().expect("drawn");
    let scaled = build(&[
        "workload=mooncake",
        &file,
        "workload.requests.prefill_scale=0.1",
        "workload.requests.decode_scale=2",
        "workload.requests.max_tokens=2000",
        "workload.requests.clip=prompt",
        "workload.arrivals.time_scale=0.5",
    ]);
    let scaled = scaled.workload().expect("drawn");
    let prefixes = scaled.prefixes.as_ref().expect("block hashes");
    for (id, (row, asked)) in (0u32..).zip(scaled.rows.iter().zip(&plain.rows)) {
        assert_eq!(row.num_decode_tokens, asked.num_decode_tokens * 2);
        assert_eq!(row.num_prefill_tokens, (asked.num_prefill_tokens / 10).min(2_000 - row.num_decode_tokens).max(1));
        assert_eq!(row.arrival.0, asked.arrival.0 / 2);
        assert_eq!(prefixes.of(id).len() as u32, row.num_prefill_tokens / 512, "only blocks that are left whole");
    }
    let shared =
        ["workload=arxiv", "workload.order=file", "workload.requests.max_tokens=2000", "workload.num_requests=4"];
    let file = format!("workload.requests.file={}", fixture_arg("traces/arxiv_excerpt.csv"));
    let rows = build(&[&shared[..], &[&file]].concat()).workload().expect("drawn").rows;
    let pairs: Vec<_> = rows.iter().map(|row| (row.num_prefill_tokens, row.num_decode_tokens)).collect();
    // What Vidur's generator makes of these four rows.
    assert_eq!(pairs, [(1971, 28), (1856, 143), (1933, 66), (1938, 61)]);
}

#[test]
fn a_longer_workload_of_a_trace_begins_like_a_shorter_one() {
    let file = format!("workload.requests.file={}", fixture_arg("traces/arxiv_excerpt.csv"));
    let of = |num: &str, order: &str| {
        let (num, order) = (format!("workload.num_requests={num}"), format!("workload.order={order}"));
        build(&["workload=arxiv", &file, &num, &order]).workload().expect("drawn").rows
    };
    for order in ["file", "shuffled"] {
        assert_eq!(of("100", order)[..30], of("30", order), "{order}");
    }
    assert_eq!(of("30", "file")[25].prompt_name(25), "request_1", "a row that comes again keeps its name");
    let other = build(&["workload=arxiv", &file, "workload.num_requests=30", "seed=7"]).workload().expect("drawn").rows;
    assert_ne!(other, of("30", "shuffled"));
}

#[test]
fn a_duration_ends_a_workload_before_its_number_of_requests() {
    let file = format!("workload.requests.file={}", fixture_arg("traces/azure_conv_excerpt.csv"));
    let cut = |seconds: &str| {
        let duration = format!("workload.duration_s={seconds}");
        build(&["workload=azure-conv", &file, &duration]).workload().expect("drawn").rows.len()
    };
    // The fourth request comes at 4.710427 s.
    assert_eq!([cut("4.7"), cut("4.710427"), cut("4.710428"), cut("1000")], [3, 3, 4, 24]);
    let whole = build(&["workload=vidur-uniform", "workload.num_requests=1000"]).workload().expect("drawn").rows;
    let until = build(&["workload=vidur-uniform", "workload.num_requests=1000", "workload.duration_s=100"]);
    let until = until.workload().expect("drawn").rows;
    assert!(until.len() > 20 && until.len() < 120, "{}", until.len());
    assert_eq!(until, whole[..until.len()]);
    assert!(whole[until.len()].arrival.as_secs_f64() >= 100.0);
}

#[test]
fn what_cannot_be_is_refused_with_the_way_out() {
    let scratch = Scratch::new("trace-refused");
    let backward = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n2023-11-16 18:15:45,1,1\n";
    fs::write(scratch.join("backward.csv"), backward).expect("written");
    fs::write(scratch.join("other.csv"), "a,b\n1,2\n").expect("written");
    let arxiv = format!("workload.requests.file={}", fixture_arg("traces/arxiv_excerpt.csv"));
    let azure = format!("workload.requests.file={}", fixture_arg("traces/azure_conv_excerpt.csv"));
    for (overrides, words) in [
        (vec!["workload=azure-conv"], vec!["workload.requests.file", "is missing"]),
        (
            vec!["workload=azure-conv", "workload.requests.file=backward.csv"],
            vec!["`backward.csv`, line 3, column `TIMESTAMP`: is earlier than the row before", "sort the rows"],
        ),
        (
            vec!["workload=azure-conv", "workload.requests.file=other.csv"],
            vec!["`other.csv`, line 1, column `num_prefill_tokens`", "the header has: a, b", "TIMESTAMP,ContextTokens"],
        ),
        (vec!["workload=azure-conv", &arxiv], vec!["says nothing of times", "workload.arrivals={kind="]),
        (
            vec!["workload=azure-conv", &azure, "workload.num_requests=25"],
            vec!["the trace holds 24 requests", "at most 24"],
        ),
        (vec!["workload=azure-conv", &azure, "workload.order=shuffled"], vec!["workload.order", "shuffled rows"]),
        (vec!["workload=synthetic", "workload.arrivals={kind=\"trace\"}"], vec!["have no times of their own"]),
        (
            vec![
                "workload=azure-conv",
                &azure,
                "workload.duration_s=1e-9",
                "workload.arrivals={kind='poisson', rate_rps=1.0}",
                "workload.first_arrival=after_gap",
            ],
            vec!["no request arrives in that time"],
        ),
        (
            vec!["workload=vidur-zipf", "workload.requests.min_tokens=20"],
            vec!["give no output token", "synthetic_total"],
        ),
        (
            vec!["workload=azure-conv", &azure, "workload.requests.max_tokens=10", "workload.requests.clip=prompt"],
            vec!["44 output tokens", "proportional"],
        ),
    ] {
        scratch.fidelio(&[&["workload", "quickstart"], &overrides[..]].concat()).refused(&words);
    }
}

#[test]
fn made_up_prompt_names_are_written_and_need_no_memory() {
    let scratch = Scratch::new("trace-names");
    let ran = ["workload", "quickstart", "workload=synthetic", "workload.num_requests=12", "--out", "w"];
    scratch.fidelio(&ran).expect(0);
    let table = fs::read(scratch.join("w/trace_lengths.csv")).expect("a table");
    let text = String::from_utf8(table.clone()).expect("text");
    assert!(text.lines().nth(11).is_some_and(|line| line.starts_with("10,request_10,")), "{text}");
    let rows = read_lengths("l.csv", table.as_slice()).expect("ours");
    assert!(rows.iter().all(|row| row.prompt_id.is_empty()));
    assert!(!scratch.join("w/prompts.jsonl").exists() && !scratch.join("w/trace_prefixes.csv").exists());
}

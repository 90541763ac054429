//! Workloads as the command builds them: the real tokenizer, files of every kind, same inputs same bytes.

use std::io::Write;
use std::path::PathBuf;

use fidelio::commands::workload::{BuiltWorkload, build_workload};
use fidelio::config::{ConfigRequest, resolve};
use fidelio::workload::{
    PromptTokenizer, lengths_source, random_tokens, read_decode_lengths, read_prompt_file, request_tokens, times_source,
};
use fidelio_shared::schema::{DataError, Workload};
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::ChatTemplate;

fn build(overrides: &[&str]) -> anyhow::Result<BuiltWorkload> {
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    let request = ConfigRequest { experiment: "quickstart".to_owned(), overrides, ..ConfigRequest::default() };
    build_workload(&resolve(&request)?)
}

fn good(overrides: &[&str]) -> BuiltWorkload {
    build(overrides).unwrap_or_else(|error| panic!("{overrides:?}: {error:#}"))
}

fn workload(built: &BuiltWorkload) -> Workload {
    built.workload().expect("drawn before")
}

fn qwen3() -> PromptTokenizer {
    PromptTokenizer::load("builtin:qwen3").expect("the built-in tokenizer")
}

/// A file with `bytes`, in a directory of this process.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("fidelio-workload-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("write");
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn data_error(error: &anyhow::Error) -> &DataError {
    error.chain().find_map(|cause| cause.downcast_ref()).unwrap_or_else(|| panic!("not about data: {error:#}"))
}

#[test]
fn the_built_in_tokenizer_gives_qwen3_s_published_ids() {
    let tokenizer = qwen3();
    for (text, ids) in [
        ("Hello, world!", &[9707, 11, 1879, 0][..]),
        ("你好", &[108386]),
        ("<|im_start|>", &[151644]),
        ("<think>", &[151667]),
    ] {
        assert_eq!(tokenizer.encode(text).expect("encodes"), ids, "{text}");
    }
    assert_eq!(tokenizer.vocab_size(), 151_669);
}

#[test]
fn the_chat_template_is_the_one_in_the_tokenizer_s_own_configuration() {
    let config = include_bytes!("../configs/tokenizer/qwen3/tokenizer_config.json");
    let config: serde_json::Value = serde_json::from_slice(config).expect("JSON");
    let template = config["chat_template"].as_str().expect("a template");
    assert!(template.contains("{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"));
    assert!(template.contains("{{- '<|im_start|>assistant\\n' }}"));
    let applied = ChatTemplate::Qwen3.apply("Hi");
    assert_eq!(applied, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    let ids = qwen3().encode(&applied).expect("encodes");
    assert_eq!(ids, [151644, 872, 198, 13048, 151645, 198, 151644, 77091, 198]);
}

#[test]
fn the_quickstart_is_the_same_bytes_every_time() {
    let (first, second) = (good(&[]), good(&[]));
    assert_eq!(workload(&first), workload(&second));
    assert_eq!(first.prompts_jsonl(), second.prompts_jsonl());
    assert_eq!(first.meta, second.meta);
    assert_ne!(first.meta.workload_id, good(&["seed=43"]).meta.workload_id);
    let other_prompts = good(&["workload.order=file"]);
    assert_ne!(first.meta.workload_id, other_prompts.meta.workload_id);
}

#[test]
fn the_quickstart_has_prompts_of_very_different_lengths_and_fits_its_scheduler() {
    let built = good(&[]);
    let workload = workload(&built);
    let rows = &workload.rows;
    let lengths: Vec<u32> = rows.iter().map(|row| row.num_prefill_tokens).collect();
    assert!(
        rows.len() >= 64 && built.prompts.len() >= 36,
        "{} requests of {} prompts",
        rows.len(),
        built.prompts.len()
    );
    assert!(lengths.iter().min() < Some(&16) && lengths.iter().max() > Some(&600), "{lengths:?}");
    assert!(rows.iter().all(|row| row.num_prefill_tokens + row.num_decode_tokens <= 2048));
    assert_eq!(built.num_requests, rows.len() as u64);
}

#[test]
fn a_stored_workload_finds_its_tokens_again_or_says_why_not() {
    let built = good(&["workload.num_requests=5"]);
    let workload = workload(&built);
    let tokens = request_tokens(&workload, &built.prompts, &qwen3(), ChatTemplate::Qwen3).expect("same tokens");
    let lengths: Vec<u32> = workload.rows.iter().map(|row| row.num_prefill_tokens).collect();
    assert_eq!(tokens.iter().map(|ids| ids.len() as u32).collect::<Vec<_>>(), lengths);
    let bare = request_tokens(&workload, &built.prompts, &qwen3(), ChatTemplate::None).expect_err("template left out");
    assert!(data_error(&bare).problem.contains("prompt tokens, its text has"), "{bare:#}");
    let gone = request_tokens(&workload, &[], &qwen3(), ChatTemplate::Qwen3).expect_err("no prompts");
    assert!(data_error(&gone).problem.contains("is not in `prompts.jsonl`"), "{gone:#}");
}

#[test]
fn lengths_and_times_come_from_tables_gzipped_or_not() {
    let lengths = b"request_id,num_prefill_tokens,num_decode_tokens,extra\r\n0,7,3,x\r\n1,9,2,y\r\n";
    let times = b"\xef\xbb\xbfrequest_id,inter_arrival_ns,arrival_time_ns\n0,5,5\n1,10,15\n";
    let lengths = file("lengths.csv.gz", &gzip(lengths));
    let times = file("times.csv", times);
    let built = good(&[
        "workload=lengths",
        &format!("workload.requests.file={}", lengths.display()),
        &format!("workload.arrivals={{kind=\"times\", file=\"{}\"}}", times.display()),
    ]);
    let workload = workload(&built);
    let rows: Vec<_> =
        workload.rows.iter().map(|row| (row.num_prefill_tokens, row.num_decode_tokens, row.arrival.0)).collect();
    assert_eq!(rows, [(7, 3, 5), (9, 2, 15)]);
    assert!(built.prompts_jsonl().is_none());
    assert!(!built.meta.paths.contains_key("prompts"));
    let tokens = random_tokens(&workload, 1, 1000, u32::MAX);
    assert_eq!(tokens.iter().map(Vec::len).collect::<Vec<_>>(), [7, 9]);
}

#[test]
fn seconds_of_a_vidur_trace_become_nanoseconds() {
    let trace = file("vidur.csv", b"arrived_at,num_prefill_tokens\n0.0,4\n1.25,4\n1.2500000015,4\n");
    let times = times_source(&trace.to_string_lossy())().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let times = times.expect("good times");
    assert_eq!(times, [Nanos(0), Nanos(1_250_000_000), Nanos(1_250_000_002)]);
}

#[test]
fn output_lengths_come_from_a_table_by_prompt() {
    let table: String = good(&[]).prompts.iter().map(|prompt| format!("{},5\n", prompt.prompt_id)).collect();
    let table = file("decode.csv", format!("prompt_id,num_decode_tokens\n{table}").as_bytes());
    let built = good(&[&format!("workload.decode.file={}", table.display())]);
    assert!(workload(&built).rows.iter().all(|row| row.num_decode_tokens == 5));
    let twice = file("twice.csv", b"prompt_id,num_decode_tokens\na,5\na,6\n");
    let error = read_decode_lengths(&twice.to_string_lossy()).expect_err("contradiction");
    assert_eq!((error.line, error.column.as_deref()), (Some(3), Some("num_decode_tokens")));
}

#[test]
fn bad_files_name_file_line_and_column() {
    let backward = file("backward.csv", b"arrival_time_ns\n5\n4\n");
    let error = times_source(&backward.to_string_lossy())().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let error = error.expect_err("backward");
    assert_eq!(
        error.to_string(),
        format!("`{}`, line 3, column `arrival_time_ns`: is earlier than the row before", backward.display())
    );
    let negative = file("negative.csv", b"request_id,num_prefill_tokens,num_decode_tokens\n0,-4,3\n");
    let error = lengths_source(&negative.to_string_lossy())().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let error = error.expect_err("negative");
    assert_eq!(
        error.to_string(),
        format!("`{}`, line 2, column `num_prefill_tokens`: `-4` is negative", negative.display())
    );
    let broken = file("broken.jsonl", b"{\"prompt_id\":\"a\",\"text\":\"x\"}\n{\"prompt_id\":\"b\"}\n");
    let error = read_prompt_file(&broken.to_string_lossy()).expect_err("no text");
    assert_eq!(error.line, Some(2));
    let cut = gzip(&[b'x'; 5000]);
    let cut = file("cut.jsonl.gz", &cut[..cut.len() - 9]);
    read_prompt_file(&cut.to_string_lossy()).expect_err("a gzip file that is cut off");
    let missing = build(&["workload.requests.file=/nowhere/p.jsonl"]).err().expect("no file");
    assert_eq!(data_error(&missing).file, "/nowhere/p.jsonl");
    let builtin = build(&["workload.requests.file=builtin:dmeo"]).err().expect("no such built-in");
    assert_eq!(data_error(&builtin).hint.as_deref(), Some("the only one is `builtin:demo`"));
    let empty = file("empty.jsonl", b"{\"prompt_id\":\"a\",\"text\":\"\",\"num_decode_tokens\":1}\n");
    let empty = format!("workload.requests.file={}", empty.display());
    let error = build(&[&empty, "workload.chat_template=none"]).err().expect("no token");
    assert!(format!("{error:#}").contains("prompt `a` has no token"), "{error:#}");
}

#[test]
fn a_tokenizer_that_is_not_one_is_refused_with_the_way_out() {
    for (name, bytes) in [
        ("text.json", &b"not json"[..]),
        ("empty.json", b""),
        ("object.json", b"{}"),
        ("list.json", b"[1,2]"),
        ("cut.json", b"{\"version\":\"1.0\",\"model\":{"),
    ] {
        let path = file(name, bytes);
        let error = PromptTokenizer::load(&path.to_string_lossy()).err().expect("not a tokenizer");
        let error = data_error(&error);
        assert!(error.problem.starts_with("is not a tokenizer: "), "{name}: {error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("builtin:qwen3")));
    }
    let bare = PromptTokenizer::load("Qwen/Qwen3-0.6B").err().expect("no directory, and no `hub:` before it");
    assert_eq!(data_error(&bare).problem, "there is no such directory");
    assert!(
        data_error(&bare).hint.as_deref().is_some_and(|hint| hint.ends_with("model.tokenizer=hub:Qwen/Qwen3-0.6B"))
    );
    let missing = PromptTokenizer::load("/nowhere/tokenizer.json").err().expect("no file");
    assert!(data_error(&missing).problem.starts_with("cannot open"));
}

#[test]
fn a_tokenizer_directory_gives_the_same_ids_as_the_built_in_one() {
    let packed = include_bytes!("../configs/tokenizer/qwen3/tokenizer.json.gz");
    let file = file("tokenizer.json", packed);
    let directory = PromptTokenizer::load(&file.parent().expect("a directory").to_string_lossy()).expect("a tokenizer");
    assert_eq!(directory.encode("Hello, world!").expect("encodes"), [9707, 11, 1879, 0]);
    assert_eq!(directory.sha256(), qwen3().sha256());
}

#[test]
fn impossible_specifications_name_the_field() {
    let prefill = |text: &str| format!("workload.requests.prefill={text}");
    for (overrides, message) in [
        (vec!["workload.num_requests=0".to_owned()], "`workload.num_requests`: must be at least 1"),
        (vec![prefill("{kind='uniform', min=0, max=3}")], "`workload.requests.prefill.min`: must be at least 1"),
        (vec![prefill("{kind='uniform', min=4, max=3}")], "`workload.requests.prefill.min`: 4 is above `max` 3"),
        (
            vec![prefill("{kind='zipf', theta=-1, min=1, max=3}")],
            "`workload.requests.prefill.theta`: -1 is not between 0 and 10",
        ),
        (
            vec![prefill("{kind='zipf', theta=1, min=1, max=99999999}")],
            "`workload.requests.prefill.max`: must be at most 16777216",
        ),
        (
            vec![prefill("{mean=5}")],
            "`workload.requests.prefill`: a lognormal law needs either `mean` or `median`, not both",
        ),
        (vec![prefill("{median=nan}")], "`workload.requests.prefill.median`: NaN is not between 1 and 16777216"),
        (
            vec!["workload.arrivals={kind='gamma', rate_rps=1, cv=0}".to_owned()],
            "`workload.arrivals.cv`: 0 is not between 0.01 and 100",
        ),
        (
            vec!["workload.arrivals.rate_rps=inf".to_owned()],
            "`workload.arrivals.rate_rps`: inf is not between 0.000001 and 1000000000",
        ),
        (
            vec!["workload.decode={kind='constant', num_tokens=3}".to_owned()],
            "`workload.decode`: does not go with `synthetic` requests",
        ),
    ] {
        let overrides: Vec<&str> =
            std::iter::once("workload=synthetic").chain(overrides.iter().map(String::as_str)).collect();
        let error = build(&overrides).err().unwrap_or_else(|| panic!("{overrides:?} must be refused"));
        assert_eq!(error.to_string(), format!("command line, key {message}"));
    }
}
